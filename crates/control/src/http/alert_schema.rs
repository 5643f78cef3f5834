//! Request bodies about alerts, as the OpenAPI document shows them. `wire` reads them; a test keeps the two alike.
#![expect(dead_code, reason = "these types document JSON that wire reads field by field")]

use crate::http::problem::ProblemDocument;
use utoipa::{IntoResponses, ToSchema};

/// What somebody who sees to an alert writes about it. Unknown fields are refused.
#[derive(ToSchema)]
pub(crate) struct AlertNote {
    #[schema(min_length = 1, max_length = 1000)]
    note: Option<String>,
}

/// What an account wants to be told of. What is left out stays; `null` is as it is unless anybody says something. Unknown fields are
/// refused.
#[derive(ToSchema)]
pub(crate) struct AlertSettingsUpdate {
    trunk_utilisation: Option<UtilisationRuleUpdate>,
    account_utilisation: Option<UtilisationRuleUpdate>,
    probes_failing: Option<ProbesRuleUpdate>,
    success_rate: Option<SuccessRateRuleUpdate>,
    cost_spike: Option<CostSpikeRuleUpdate>,
    provider_errors: Option<ProviderErrorsRuleUpdate>,
    journal_backlog: Option<JournalBacklogRuleUpdate>,
    database_away: Option<DatabaseAwayRuleUpdate>,
    /// Where mails about alerts go.
    #[schema(max_items = 10)]
    mail_to: Option<Vec<String>>,
}

/// A rule about calls of what may be: from above so many percent on.
#[derive(ToSchema)]
pub(crate) struct UtilisationRuleUpdate {
    enabled: Option<bool>,
    #[schema(minimum = 1, maximum = 99)]
    threshold_percent: Option<u32>,
}

/// A rule about probes that fail one after the other: from so many on.
#[derive(ToSchema)]
pub(crate) struct ProbesRuleUpdate {
    enabled: Option<bool>,
    #[schema(minimum = 1, maximum = 100)]
    threshold_probes: Option<u32>,
}

/// A rule about attempts within 15 minutes: fewer than so many percent are answered, of at least so many.
#[derive(ToSchema)]
pub(crate) struct SuccessRateRuleUpdate {
    enabled: Option<bool>,
    #[schema(minimum = 1, maximum = 100)]
    threshold_percent: Option<u32>,
    #[schema(minimum = 1, maximum = 1000000)]
    minimum_attempts: Option<u32>,
}

/// A rule about what the calls of an hour cost: more than so many times what is usual, and more than so many whole units of the currency.
#[derive(ToSchema)]
pub(crate) struct CostSpikeRuleUpdate {
    enabled: Option<bool>,
    #[schema(minimum = 2, maximum = 100)]
    threshold_factor: Option<u32>,
    #[schema(minimum = 0, maximum = 1000000)]
    minimum_amount: Option<u32>,
}

/// A rule about calls out within 15 minutes: more than so many percent are refused by the far end, or it fails; at least so many.
#[derive(ToSchema)]
pub(crate) struct ProviderErrorsRuleUpdate {
    enabled: Option<bool>,
    #[schema(minimum = 1, maximum = 100)]
    threshold_percent: Option<u32>,
    #[schema(minimum = 1, maximum = 1000000)]
    minimum_errors: Option<u32>,
}

/// A rule about the oldest record that waits for the database: from so many seconds on.
#[derive(ToSchema)]
pub(crate) struct JournalBacklogRuleUpdate {
    enabled: Option<bool>,
    #[schema(minimum = 10, maximum = 86400)]
    threshold_seconds: Option<u32>,
}

/// A rule about a database that does not answer: from so many seconds on.
#[derive(ToSchema)]
pub(crate) struct DatabaseAwayRuleUpdate {
    enabled: Option<bool>,
    #[schema(minimum = 1, maximum = 3600)]
    threshold_seconds: Option<u32>,
}

/// The account has no such alert.
#[derive(IntoResponses)]
#[response(status = 404, content_type = "application/problem+json")]
pub(crate) struct NoSuchAlert(ProblemDocument);

/// The alert is over.
#[derive(IntoResponses)]
#[response(status = 409, content_type = "application/problem+json")]
pub(crate) struct AlertIsOver(ProblemDocument);
