//! Request bodies about webhooks, as the OpenAPI document shows them. `wire` reads them; a test keeps the two alike.
#![expect(dead_code, reason = "these types document JSON that wire reads field by field")]

use crate::http::problem::ProblemDocument;
use utoipa::{IntoResponses, ToSchema};

/// A webhook endpoint to be made. Unknown fields are refused.
#[derive(ToSchema)]
pub(crate) struct WebhookEndpointCreate {
    /// Where events are posted to: `https`, and no private network.
    #[schema(min_length = 1, max_length = 2048, examples("https://example.com/hooks"))]
    url: String,
    /// For people.
    #[schema(max_length = 500)]
    description: Option<String>,
    /// Types by their names, or all of a kind as `call.*`; all when it is left out or empty.
    event_types: Option<Vec<String>>,
    #[schema(required = false, default = true)]
    enabled: bool,
}

/// A change of a webhook endpoint. What is left out stays; unknown fields are refused.
#[derive(ToSchema)]
pub(crate) struct WebhookEndpointUpdate {
    #[schema(required = false, min_length = 1, max_length = 2048)]
    url: String,
    #[schema(max_length = 500)]
    description: Option<String>,
    event_types: Option<Vec<String>>,
    /// One that is enabled again gets what happens from then on.
    #[schema(required = false)]
    enabled: bool,
}

/// Since when events are sent again.
#[derive(ToSchema)]
pub(crate) struct WebhookReplay {
    /// Events that happened then or later.
    #[schema(format = DateTime)]
    since: String,
}

/// The account has no such webhook endpoint, or the endpoint no such delivery.
#[derive(IntoResponses)]
#[response(status = 404, content_type = "application/problem+json")]
pub(crate) struct NoSuchWebhook(ProblemDocument);
