//! Request bodies about credit, as the OpenAPI document shows them. `wire` reads them; a test keeps the two alike.
#![expect(dead_code, reason = "these types document JSON that wire reads field by field")]

use crate::http::problem::ProblemDocument;
use utoipa::{IntoResponses, ToSchema};

/// Credit to be added, or taken away. Unknown fields are refused.
#[derive(ToSchema)]
pub(crate) struct CreditGrant {
    /// In the node's currency; below zero to take away. Not zero.
    #[schema(minimum = -1000000, maximum = 1000000, examples(25))]
    amount: f64,
    /// Why; it stands in the ledger.
    #[schema(min_length = 1, max_length = 200, examples("invoice 2026-0117"))]
    note: String,
}

/// Whether calls are paid for by credit. Unknown fields are refused.
#[derive(ToSchema)]
pub(crate) struct CreditSetting {
    #[schema(value_type = String, pattern = "^(on|off)$")]
    credit_control: (),
}

/// The node has no such account, or the caller is no admin of the node.
#[derive(IntoResponses)]
#[response(status = 404, content_type = "application/problem+json")]
pub(crate) struct NoSuchAccount(ProblemDocument);
