use crate::http::model_schema;
use crate::service::ShownCredit;
use crate::wire::money_number;
use serde::Serialize;
use serde_json::Number;
use tandem_model::{CallId, CreditEntry, CreditEntryKind, Money, Timestamp};
use utoipa::ToSchema;
use uuid::Uuid;

/// An account's credit. Amounts are in the node's currency.
#[derive(Serialize, ToSchema)]
#[schema(as = Credit)]
pub(crate) struct CreditView {
    /// The account.
    user_id: Uuid,
    /// `on` while calls are paid for by credit, and refused or ended when there is none left.
    #[schema(value_type = String, pattern = "^(on|off)$")]
    credit_control: &'static str,
    /// Since when it has been on. Calls that began before are not paid for by credit.
    #[schema(value_type = Option<String>, format = DateTime)]
    controlled_since: Option<Timestamp>,
    /// What is left of what was granted after what calls have cost: the sum of the ledger, to the millionth.
    #[schema(value_type = f64)]
    balance: Number,
    /// All that was added, less what was taken away by an admin of the node.
    #[schema(value_type = f64)]
    granted: Number,
    /// What calls that are over have cost.
    #[schema(value_type = f64)]
    settled: Number,
    /// What calls that are up hold of the balance on this node; none while credit control is off, or the call path does not answer.
    #[schema(value_type = Option<f64>)]
    reserved: Option<Number>,
    /// What is left for other calls; none as with `reserved`.
    #[schema(value_type = Option<f64>)]
    available: Option<Number>,
    /// What one credit is worth: `credits_used` of a call counts in these.
    #[schema(value_type = f64)]
    credit_value: Number,
}

/// One change of an account's credit.
#[derive(Serialize, ToSchema)]
#[schema(as = CreditEntry)]
pub(crate) struct CreditEntryView {
    id: Uuid,
    /// The account.
    user_id: Uuid,
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    #[schema(value_type = model_schema::CreditEntryKind)]
    kind: CreditEntryKind,
    /// By how much the balance changed; below zero for what was taken.
    #[schema(value_type = f64)]
    amount: Number,
    /// Of which call.
    call_id: Option<Uuid>,
    /// What the admin had to say of it; empty for calls.
    note: String,
}

impl CreditView {
    pub(crate) fn new(shown: &ShownCredit, credit_value: Money) -> Self {
        let ShownCredit { account_id, stored, live } = shown;
        Self {
            user_id: account_id.as_uuid(),
            credit_control: if stored.controlled_since.is_some() { "on" } else { "off" },
            controlled_since: stored.controlled_since,
            balance: money_number(stored.balance()),
            granted: money_number(stored.granted),
            settled: money_number(stored.settled),
            reserved: live.map(|live| money_number(live.reserved)),
            available: live.map(|live| money_number(live.available)),
            credit_value: money_number(credit_value),
        }
    }
}

impl From<CreditEntry> for CreditEntryView {
    fn from(entry: CreditEntry) -> Self {
        Self {
            id: entry.id.as_uuid(),
            user_id: entry.account_id.as_uuid(),
            at: entry.at,
            kind: entry.kind,
            amount: money_number(entry.amount),
            call_id: entry.call_id.map(CallId::as_uuid),
            note: entry.note,
        }
    }
}
