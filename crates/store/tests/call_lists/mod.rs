//! Every way to list calls, with the index that must serve it.

use tandem_model::{AccountId, CallStatus, Timestamp, TrunkId};
use tandem_store::{CallFilter, Part, Position, Store};
use uuid::Uuid;

pub(crate) fn indexed() -> Vec<(CallFilter, &'static str)> {
    let all = CallFilter::default;
    let span = CallFilter {
        started_from: Some(Timestamp::from_unix_micros(3_000)),
        started_before: Some(Timestamp::from_unix_micros(9_000)),
        ..all()
    };
    let trunk = CallFilter { trunk_id: Some(TrunkId::from_uuid(Uuid::from_u128(1))), ..all() };
    vec![
        (all(), "call_logs_of_account"),
        (span.clone(), "call_logs_of_account"),
        (CallFilter { statuses: vec![CallStatus::Busy], ..span.clone() }, "call_logs_of_account"),
        (CallFilter { metadata: vec![("key".into(), "value".into())], ..all() }, "call_logs_of_account"),
        (trunk.clone(), "call_logs_of_trunk"),
        (CallFilter { trunk_id: trunk.trunk_id, ..span.clone() }, "call_logs_of_trunk"),
        (CallFilter { from_number: Some("+12025550100".into()), ..all() }, "call_logs_from_number"),
        (CallFilter { to_number: Some("+442079460000".into()), ..span }, "call_logs_to_number"),
        (CallFilter { conversation_id: Some(Uuid::from_u128(7)), ..all() }, "call_logs_of_conversation"),
    ]
}

/// How each way is read: the first part, one deep in the list, and both from the other end.
pub(crate) async fn plans(store: &Store, account: AccountId) -> Vec<(String, &'static str, Vec<String>)> {
    let middle: Position =
        serde_json::from_str(r#"[{"i":6000},{"i":6000},{"u":"00000000-0000-0007-0000-000000001770"}]"#).unwrap();
    let mut plans = Vec::new();
    for (filter, index) in indexed() {
        for (after, reversed) in
            [(None, false), (Some(middle.clone()), false), (None, true), (Some(middle.clone()), true)]
        {
            let part = Part { after, reversed, ..Part::page(0, 100) };
            let plan = store.explain_calls(account, &filter, &part).await.unwrap();
            plans.push((format!("{filter:?} {part:?}"), index, plan));
        }
    }
    plans
}
