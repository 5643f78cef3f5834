use crate::http::receipt_view::ReceiptView;
use serde::Serialize;
use tandem_model::{RefusedInvite, Timestamp, TrunkId};
use tandem_store::{DatabaseError, read_receipt};
use utoipa::ToSchema;
use uuid::Uuid;

/// An INVITE that was refused: no call began.
#[derive(Serialize, ToSchema)]
#[schema(as = RefusedInvite)]
pub(crate) struct RefusalView {
    /// Also in the answer to the caller, as the reference in its Warning header.
    id: Uuid,
    /// The account.
    user_id: Uuid,
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// The trunk it came in by; none where several were left.
    sip_trunk_id: Option<Uuid>,
    /// The caller's number or name.
    from_number: String,
    /// The called number or name.
    to_number: String,
    /// Its Call-ID header.
    sip_call_id: String,
    /// What it was answered with.
    sip_status: u16,
    /// Why: `refusal` has the reason, `inbound` how its trunk was looked for.
    receipt: ReceiptView,
}

impl TryFrom<RefusedInvite> for RefusalView {
    type Error = DatabaseError;

    fn try_from(refused: RefusedInvite) -> Result<Self, DatabaseError> {
        Ok(Self {
            id: refused.id.as_uuid(),
            user_id: refused.account_id.as_uuid(),
            at: refused.at,
            sip_trunk_id: refused.trunk_id.map(TrunkId::as_uuid),
            receipt: ReceiptView::from(&read_receipt(&refused.receipt)?),
            from_number: refused.from_number,
            to_number: refused.to_number,
            sip_call_id: refused.sip_call_id,
            sip_status: refused.sip_status,
        })
    }
}
