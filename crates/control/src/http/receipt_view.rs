use crate::http::model_schema;
use serde::Serialize;
use tandem_model::{
    AttemptReceipt, Considered, HangupCause, Identified, IdentifiedBy, InboundReceipt, Reason, Receipt, Refusal,
    RefusalKind, Timestamp, Verdict,
};
use utoipa::ToSchema;
use uuid::Uuid;

/// How a call was routed: what was asked, every trunk that was looked at, every attempt.
#[derive(Serialize, ToSchema)]
#[schema(as = Receipt)]
pub(crate) struct ReceiptView {
    /// The account.
    user_id: Uuid,
    #[schema(value_type = String, format = DateTime)]
    decided_at: Timestamp,
    /// What was dialled.
    to: String,
    /// The caller id that was asked for.
    from: Option<String>,
    /// How a call that came in found its trunk and its rule; none for a call that goes out.
    inbound: Option<InboundView>,
    /// Revision of the routing table that decided.
    routing_revision: u64,
    /// Trunks of the account (at most 64), those taken first, in the order in which they are tried.
    considered: Vec<ConsideredView>,
    /// What was tried, in order.
    attempts: Vec<AttemptView>,
    /// Why there was no call, when there was none.
    refusal: Option<RefusalView>,
}

/// How a call that came in found its trunk and its rule.
#[derive(Serialize, ToSchema)]
#[schema(as = InboundReceipt)]
pub(crate) struct InboundView {
    /// The address and port it came from.
    source: String,
    request_uri: String,
    /// Each step that left fewer trunks to choose from, in order.
    steps: Vec<IdentifiedView>,
    /// The trunk that took it.
    trunk_name: Option<String>,
    /// Which rule of its `inbound_routing` decided: `rules[0]`, or `default`.
    rule: Option<String>,
    /// Where none did: the `to` of the rule that comes nearest to the number.
    nearest: Option<String>,
}

/// One step in finding the trunk by which a call came in.
#[derive(Serialize, ToSchema)]
#[schema(as = Identified)]
pub(crate) struct IdentifiedView {
    /// What was compared.
    #[schema(value_type = String, pattern = "^(account|target|allowed_ips|request_uri|called_number)$")]
    by: IdentifiedBy,
    /// With what it agreed: an address, a range, a host, a number.
    matched: String,
    /// How many trunks of the node were left.
    trunks_left: u32,
}

/// One trunk that was looked at.
#[derive(Serialize, ToSchema)]
#[schema(as = Considered)]
pub(crate) struct ConsideredView {
    trunk_id: Uuid,
    trunk_name: String,
    #[schema(value_type = String, pattern = "^(taken|skipped)$")]
    verdict: Verdict,
    /// Its `code` says why; other members are per code.
    #[schema(value_type = ReasonSchema)]
    reason: Reason,
    /// The reason as a sentence, with what would change it.
    explanation: String,
}

/// One attempt as it went.
#[derive(Serialize, ToSchema)]
#[schema(as = Attempt)]
pub(crate) struct AttemptView {
    /// None for a call straight to a SIP address.
    trunk_id: Option<Uuid>,
    trunk_name: Option<String>,
    request_uri: String,
    /// The address it was sent to, once known.
    target: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    started_at: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime)]
    decided_at: Option<Timestamp>,
    /// How it went; none while it goes on.
    #[schema(value_type = Option<ReasonSchema>)]
    outcome: Option<Reason>,
    explanation: Option<String>,
    sip_status: Option<u16>,
    #[schema(value_type = Option<model_schema::HangupCause>)]
    cause: Option<HangupCause>,
}

/// Why there was no call.
#[derive(Serialize, ToSchema)]
#[schema(as = Refusal)]
pub(crate) struct RefusalView {
    /// The class: the `code` of the problem.
    #[schema(value_type = String)]
    kind: RefusalKind,
    #[schema(value_type = ReasonSchema)]
    reason: Reason,
    explanation: String,
}

/// A reason: its code, and members per code.
#[derive(ToSchema)]
#[schema(as = Reason)]
#[expect(dead_code, reason = "documents the JSON of tandem_model::Reason")]
pub(crate) struct ReasonSchema {
    /// The stable code.
    code: String,
}

impl From<&Receipt> for ReceiptView {
    fn from(receipt: &Receipt) -> Self {
        Self {
            user_id: receipt.account_id.as_uuid(),
            decided_at: receipt.decided_at,
            to: receipt.to.clone(),
            from: receipt.from.clone(),
            inbound: receipt.inbound.as_ref().map(InboundView::from),
            routing_revision: receipt.routing_revision,
            considered: receipt.considered.iter().map(ConsideredView::from).collect(),
            attempts: receipt.attempts.iter().map(AttemptView::from).collect(),
            refusal: receipt.refusal.as_ref().map(RefusalView::from),
        }
    }
}

impl From<&InboundReceipt> for InboundView {
    fn from(inbound: &InboundReceipt) -> Self {
        Self {
            source: inbound.source.clone(),
            request_uri: inbound.request_uri.clone(),
            steps: inbound.steps.iter().map(IdentifiedView::from).collect(),
            trunk_name: inbound.trunk_name.clone(),
            rule: inbound.rule.clone(),
            nearest: inbound.nearest.clone(),
        }
    }
}

impl From<&Identified> for IdentifiedView {
    fn from(step: &Identified) -> Self {
        Self { by: step.by, matched: step.matched.clone(), trunks_left: step.trunks_left }
    }
}

impl From<&Considered> for ConsideredView {
    fn from(considered: &Considered) -> Self {
        Self {
            trunk_id: considered.trunk_id.as_uuid(),
            trunk_name: considered.trunk_name.clone(),
            verdict: considered.verdict,
            reason: considered.reason.clone(),
            explanation: considered.reason.explanation(),
        }
    }
}

impl From<&AttemptReceipt> for AttemptView {
    fn from(attempt: &AttemptReceipt) -> Self {
        Self {
            trunk_id: attempt.trunk_id.map(tandem_model::TrunkId::as_uuid),
            trunk_name: attempt.trunk_name.clone(),
            request_uri: attempt.request_uri.clone(),
            target: attempt.target.clone(),
            started_at: attempt.started_at,
            decided_at: attempt.decided_at,
            outcome: attempt.outcome.clone(),
            explanation: attempt.outcome.as_ref().map(Reason::explanation),
            sip_status: attempt.sip_status,
            cause: attempt.cause,
        }
    }
}

impl From<&Refusal> for RefusalView {
    fn from(refusal: &Refusal) -> Self {
        Self { kind: refusal.kind, reason: refusal.reason.clone(), explanation: refusal.reason.explanation() }
    }
}
