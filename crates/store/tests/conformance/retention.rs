use crate::samples::{ACT, account_id, at, call, call_id, refusal, with_account};
use tandem_model::{CallRecord, Record, Timestamp};
use tandem_store::{Act, AuditFilter, CallKey, Change, NODE, Retention, Store};

pub(crate) async fn what_is_older_goes_in_batches_and_the_rest_stays(store: &Store) {
    let (ours, theirs) = (with_account(store, 1).await, with_account(store, 2).await);
    let ended = |number: u64, account, day: i64, ended_at: Option<Timestamp>| {
        let record = CallRecord { started_at: at(day * 86_400), ended_at, ..call(number, account) };
        Record::Call(Box::new(record))
    };
    let records = [
        ended(1, ours, 1, Some(at(90_000))),
        ended(2, ours, 2, Some(at(200_000))),
        ended(3, ours, 2, None),
        ended(4, ours, 9, Some(at(800_000))),
        ended(5, theirs, 1, Some(at(90_000))),
    ];
    store.write_records(&records).await.unwrap();
    assert_eq!(store.remove_calls_before(ours, at(5 * 86_400), 1).await.unwrap(), 1);
    assert_eq!(store.remove_calls_before(ours, at(5 * 86_400), 10).await.unwrap(), 1);
    assert_eq!(store.remove_calls_before(ours, at(5 * 86_400), 10).await.unwrap(), 0);
    for (number, account, stays) in
        [(1, ours, false), (2, ours, false), (3, ours, true), (4, ours, true), (5, theirs, true)]
    {
        let found = store.call(account, &CallKey::Id(call_id(number))).await.unwrap();
        assert_eq!(found.is_some(), stays, "call {number}");
    }

    let refused = |number| Record::Refusal(Box::new(refusal(number, ours)));
    store.write_records(&[refused(1), refused(2)]).await.unwrap();
    let far = at(1_000_000_000);
    assert_eq!(store.remove_refusals_before(theirs, far, 10).await.unwrap(), 0);
    assert_eq!(store.remove_refusals_before(ours, far, 1).await.unwrap(), 1);
    assert_eq!(store.remove_refusals_before(ours, far, 10).await.unwrap(), 1);
}

pub(crate) async fn a_log_loses_its_oldest_entries_and_stays_a_chain(store: &Store) {
    let ours = with_account(store, 1).await;
    for second in 1..=6 {
        let act = Act { at: at(second), ..ACT.clone() };
        store.record_acts(&[(act, Change::new(ours, "call.dial", &second))]).await.unwrap();
    }
    assert_eq!(store.truncate_audit_log(ours, at(4), 2).await.unwrap(), 2);
    assert_eq!(store.truncate_audit_log(ours, at(4), 100).await.unwrap(), 2);
    assert_eq!(store.truncate_audit_log(ours, at(4), 100).await.unwrap(), 0);
    let numbers = async || {
        let log = store.audit_log_after(ours, &AuditFilter::default(), 0, 100).await.unwrap();
        log.iter().map(|entry| entry.number).collect::<Vec<_>>()
    };
    assert_eq!(numbers().await, [5, 6, 7]);
    assert_eq!(store.truncate_audit_log(ours, at(100), 100).await.unwrap(), 2);
    assert_eq!(numbers().await, [7], "the last one stays");
    store.record_acts(&[(ACT.clone(), Change::new(ours, "call.dial", "next"))]).await.unwrap();
    let verified = store.verify_audit_log().await.unwrap();
    assert!(verified.is_whole(), "{verified:?}");
}

pub(crate) async fn an_account_keeps_what_is_set_for_it(store: &Store) {
    let ours = with_account(store, 1).await;
    assert_eq!(store.retention(ours).await.unwrap(), Retention::default());
    store.change_retention(&ACT, NODE, |node| node.calls_days = Some(400)).await.unwrap();
    let set = store.change_retention(&ACT, ours, |set| set.refusals_days = Some(7)).await.unwrap();
    assert_eq!(store.retention(ours).await.unwrap(), set);
    let in_force = set.or(store.retention(NODE).await.unwrap());
    assert_eq!(in_force, Retention { calls_days: Some(400), refusals_days: Some(7), ..Retention::default() });
    assert_eq!(store.retention(account_id(2)).await.unwrap(), Retention::default());
    let dry = Act { dry_run: true, ..ACT.clone() };
    store.change_retention(&dry, ours, |set| set.refusals_days = None).await.unwrap();
    assert_eq!(store.retention(ours).await.unwrap(), set);
}
