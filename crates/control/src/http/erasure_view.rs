//! Erasures as clients see them and ask for them.

use crate::http::problem::ProblemDocument;
use serde::Serialize;
use tandem_model::Timestamp;
use tandem_store::{ErasedRows, Erasure, ErasureWait};
use utoipa::{IntoResponses, ToSchema};
use uuid::Uuid;

/// A number that is being erased, or was. Which one it is, is not told.
#[derive(Serialize, ToSchema)]
#[schema(as = Erasure)]
pub(crate) struct ErasureView {
    id: Uuid,
    /// The account.
    user_id: Uuid,
    /// `running` or `finished`.
    state: &'static str,
    /// What it waits for while it is running: `calls` that were up when it was asked for, or `journals` of nodes.
    waits_for: Option<&'static str>,
    /// What stands in the place of the number: `erased-` and letters drawn at random; between them, where statistics count by it, the
    /// prefix of the number.
    pseudonym: String,
    /// What began by then is erased.
    #[schema(value_type = String, format = DateTime)]
    requested_at: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime)]
    finished_at: Option<Timestamp>,
    erased: ErasedRowsView,
}

/// How many rows were changed.
#[derive(Serialize, ToSchema)]
#[schema(as = ErasedRows)]
pub(crate) struct ErasedRowsView {
    /// With their receipts and metadata.
    calls: u64,
    legs: u64,
    /// Parts of timelines.
    timelines: u64,
    /// Refused INVITEs, with their receipts.
    refusals: u64,
    /// Events, and so webhooks that are still to be sent.
    events: u64,
    /// Answers kept for requests with an `Idempotency-Key`.
    answers: u64,
    /// Notes of changes of credit.
    credit_entries: u64,
    /// Trunks that were removed before.
    trunks: u64,
    /// Alerts: what they say, and what people noted with them.
    alerts: u64,
    /// Mails about alerts, sent or not.
    mails: u64,
    /// Entries of the audit log, whose details were taken away.
    audit_entries: u64,
}

impl From<Erasure> for ErasureView {
    fn from(erasure: Erasure) -> Self {
        let ErasedRows {
            calls,
            legs,
            timelines,
            refusals,
            events,
            answers,
            credit_entries,
            trunks,
            alerts,
            mails,
            audit_entries,
        } = erasure.erased;
        Self {
            id: erasure.id.as_uuid(),
            user_id: erasure.account_id.as_uuid(),
            state: if erasure.finished_at.is_some() { "finished" } else { "running" },
            waits_for: erasure.waits_for.map(ErasureWait::as_str),
            pseudonym: erasure.pseudonym,
            requested_at: erasure.requested_at,
            finished_at: erasure.finished_at,
            erased: ErasedRowsView {
                calls,
                legs,
                timelines,
                refusals,
                events,
                answers,
                credit_entries,
                trunks,
                alerts,
                mails,
                audit_entries,
            },
        }
    }
}

/// A number to be erased. Unknown fields are refused.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents JSON that wire reads field by field")]
pub(crate) struct ErasureCreate {
    /// With `+` and country code, 7 digits or more; spaces and the like are dropped.
    #[schema(min_length = 1, max_length = 40)]
    number: String,
    /// Other digits that stand for it, as those of national calls: at most 8, of 7 to 15 digits each.
    #[schema(max_items = 8)]
    also: Option<Vec<String>>,
}

/// The account has no such erasure.
#[derive(IntoResponses)]
#[response(status = 404, content_type = "application/problem+json")]
#[expect(dead_code, reason = "documents an answer that Problem gives")]
pub(crate) struct NoSuchErasure(ProblemDocument);
