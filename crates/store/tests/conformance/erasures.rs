use crate::samples::{ACT, at, call, external_call, trunk, with_trunk};
use crate::traces::{DIGITS, NUMBER, OTHER, act, calls, leave, wall_clock, work};
use serde_json::json;
use std::time::Duration;
use tandem_model::{CallRecord, Connect, NumberId, PhoneNumber, Record};
use tandem_store::{
    Act, CallFilter, CallKey, Claim, ErasureStep, ErasureWait, IdempotencyKey, InsertErasureError,
    MAX_RUNNING_ERASURES, Part, RefusalFilter, Store,
};
use uuid::Uuid;

const MINUTE: Duration = Duration::from_secs(60);

fn national() -> Vec<String> {
    vec![DIGITS.to_owned()]
}

fn all() -> Part {
    Part { limit: 100, ..Part::default() }
}

/// Everything that an account shows of its calls, as one text.
async fn shown(store: &Store, account: tandem_model::AccountId) -> String {
    let mut shown = String::new();
    for call in store.calls(account, &CallFilter::default(), &all()).await.unwrap().rows {
        let whole = store.call(account, &CallKey::Id(call.id)).await.unwrap();
        let legs = store.call_legs(account, call.id).await.unwrap();
        let events = store.call_events(account, call.id).await.unwrap();
        // What is read is what it should be, and not only without the number.
        whole.iter().filter_map(|call| call.receipt.as_ref()).for_each(|receipt| drop(receipt.read().unwrap()));
        shown.push_str(&format!("{whole:?}\n{legs:?}\n{events:?}\n"));
    }
    let refusals = store.refusals(account, &RefusalFilter::default(), &all()).await.unwrap().rows;
    refusals.iter().for_each(|refusal| drop(refusal.receipt.read().unwrap()));
    let events = store.events_after(account, 0, 100).await.unwrap().events;
    let entries = store.credit_entries(account, 0, 100).await.unwrap();
    shown + &format!("{refusals:?}\n{events:?}\n{entries:?}")
}

pub(crate) async fn a_number_goes_from_everything_and_the_rest_stays(store: &Store) {
    let (ours, _) = with_trunk(store, 1).await;
    let (theirs, _) = with_trunk(store, 1_000).await;
    leave(store, ours, 1).await;
    let untouched = calls(ours, 1).remove(3);
    let before = store.call(ours, &CallKey::Id(untouched.id)).await.unwrap();
    store
        .write_records(&calls(theirs, 1_000).into_iter().map(|call| Record::Call(Box::new(call))).collect::<Vec<_>>())
        .await
        .unwrap();
    assert!(shown(store, ours).await.contains(DIGITS));

    let erasure = store.insert_erasure(&act(), ours, &NUMBER.parse().unwrap(), &national()).await.unwrap();
    assert_eq!(store.erasure(theirs, erasure.id).await.unwrap(), None);
    let soon = wall_clock().saturating_add(MINUTE);
    assert_eq!(work(store, soon).await, Some(ErasureStep::Finished));
    assert_eq!(store.claim_erasure(soon.saturating_add(MINUTE)).await.unwrap().map(|claimed| claimed.erasure), None);

    let text = shown(store, ours).await;
    assert!(!text.contains(DIGITS) && !text.contains("555-0142"), "{text}");
    assert!(text.contains(OTHER) && text.contains("+442079460000"));
    assert_eq!(store.call(ours, &CallKey::Id(untouched.id)).await.unwrap(), before);
    assert!(store.call(theirs, &CallKey::Id(calls(theirs, 1_000)[0].id)).await.unwrap().unwrap().from_number == NUMBER);
    let called = store.call(ours, &CallKey::Id(calls(ours, 1)[1].id)).await.unwrap().unwrap();
    let letters = erasure.pseudonym.strip_prefix("erased-").unwrap();
    assert_eq!(called.to_number, format!("erased-1202-{letters}"));
    let logged = store.call(ours, &CallKey::Any(format!("client-erased-1202-{letters}"))).await.unwrap();
    let logged = logged.or(store.call(ours, &CallKey::Any(format!("client-{}", erasure.pseudonym))).await.unwrap());
    assert_eq!(logged.unwrap().metadata, *json!({"who": erasure.pseudonym}).as_object().unwrap());
    let key = IdempotencyKey::new(ours, "somebody", "key");
    let Claim::Answered(answer) = store.claim_idempotency_key(&key, &[b"a"], wall_clock()).await.unwrap() else {
        panic!("the answer is there");
    };
    assert!(!String::from_utf8_lossy(&answer).contains(DIGITS), "{answer:?}");

    let erased = store.erasure(ours, erasure.id).await.unwrap().unwrap();
    assert_eq!(erased.finished_at, Some(soon));
    let rows = erased.erased;
    assert_eq!(
        (rows.calls, rows.legs, rows.timelines, rows.refusals, rows.answers, rows.credit_entries, rows.trunks),
        (5, 3, 3, 2, 1, 1, 1),
        "{rows:?}"
    );
    assert_eq!((rows.alerts, rows.mails), (1, 1));
    // The trunk was made and removed, and credit was granted with a note.
    assert!(rows.audit_entries >= 2 && rows.events >= 5, "{rows:?}");
    let verified = store.verify_audit_log().await.unwrap();
    assert!(verified.is_whole(), "{verified:?}");
    assert_eq!(verified.redacted, rows.audit_entries);
    let log = store.audit_log_after(ours, &tandem_store::AuditFilter::default(), 0, 100).await.unwrap();
    assert!(!format!("{log:?}").contains(DIGITS));
    assert_eq!(store.erasures(ours, &all()).await.unwrap().rows, [erased]);
    assert_eq!(store.count_erasures(ours).await.unwrap(), Some(1));
}

pub(crate) async fn what_began_later_stays(store: &Store) {
    let (ours, _) = with_trunk(store, 1).await;
    store.listen(ours).await.unwrap();
    let early = Act { at: at(15), ..ACT.clone() };
    let [before, after] = [(1, at(10)), (2, at(16))].map(|(number, started_at)| CallRecord {
        from_number: NUMBER.into(),
        started_at,
        ..call(number, ours)
    });
    store.write_records(&[before.clone(), after.clone()].map(|call| Record::Call(Box::new(call)))).await.unwrap();
    store.insert_erasure(&early, ours, &NUMBER.parse().unwrap(), &[]).await.unwrap();
    assert_eq!(work(store, wall_clock().saturating_add(MINUTE)).await, Some(ErasureStep::Finished));
    let from = async |call: &CallRecord| store.call(ours, &CallKey::Id(call.id)).await.unwrap().unwrap().from_number;
    assert!(from(&before).await.starts_with("erased-1202-"));
    assert_eq!(from(&after).await, NUMBER);
    let events = store.events_after(ours, 0, 100).await.unwrap().events;
    for event in events {
        assert_eq!(event.data.as_str().contains(NUMBER), event.subject == format!("calls/{}", after.id), "{event:?}");
    }
}

pub(crate) async fn what_is_configured_is_not_erased(store: &Store) {
    let (ours, _) = with_trunk(store, 1).await;
    let number = |id: u128, number: &str, connect| PhoneNumber {
        id: NumberId::from_uuid(Uuid::from_u128(id)),
        account_id: ours,
        number: number.parse().unwrap(),
        label: None,
        connect,
        trunk_id: None,
        metadata: serde_json::Map::new(),
        created_at: at(1),
        updated_at: at(1),
    };
    store.insert_number(&ACT, &number(1, OTHER, Connect::Echo)).await.unwrap();
    let refused = store.insert_erasure(&ACT, ours, &OTHER.parse().unwrap(), &[]).await.unwrap_err();
    assert!(matches!(refused, InsertErasureError::OwnNumber), "{refused:?}");
    // A caller id of the trunk.
    let caller_id = "+442079460000".parse().unwrap();
    let routed = tandem_model::Trunk { outbound_routing: json!({"caller_id": "+44 20 7946 0000"}), ..trunk(2, ours) };
    store.insert_trunk(&ACT, &routed, 10).await.unwrap();
    let refused = store.insert_erasure(&ACT, ours, &caller_id, &[]).await.unwrap_err();
    let InsertErasureError::Configured { places } = refused else { panic!("{refused:?}") };
    assert_eq!(places, [format!("trunks/{}", routed.id)]);
    store.delete_trunk(&ACT, ours, routed.id, at(9)).await.unwrap();
    store.insert_erasure(&ACT, ours, &caller_id, &[]).await.unwrap();
}

pub(crate) async fn only_so_many_go_on_at_once_and_a_trial_leaves_none(store: &Store) {
    let (ours, _) = with_trunk(store, 1).await;
    let (theirs, _) = with_trunk(store, 2).await;
    let number = NUMBER.parse().unwrap();
    let dry = Act { dry_run: true, ..ACT.clone() };
    store.insert_erasure(&dry, ours, &number, &[]).await.unwrap();
    assert_eq!(store.count_erasures(ours).await.unwrap(), Some(0));
    for _ in 0..MAX_RUNNING_ERASURES {
        store.insert_erasure(&ACT, ours, &number, &[]).await.unwrap();
    }
    assert!(matches!(store.insert_erasure(&ACT, ours, &number, &[]).await.unwrap_err(), InsertErasureError::TooMany));
    store.insert_erasure(&ACT, theirs, &number, &[]).await.unwrap();
    assert_eq!(work(store, wall_clock()).await, Some(ErasureStep::Finished));
    store.insert_erasure(&ACT, ours, &number, &[]).await.unwrap();
}

pub(crate) async fn calls_that_are_up_are_waited_for(store: &Store) {
    let (ours, trunk) = with_trunk(store, 1).await;
    let number = NUMBER.parse().unwrap();
    let up = CallRecord { from_number: NUMBER.into(), ended_at: None, ..call(1, ours) };
    let over = CallRecord { to_number: NUMBER.into(), ..call(2, ours) };
    store.write_records(&[up.clone(), over.clone()].map(|call| Record::Call(Box::new(call)))).await.unwrap();
    let logged = CallRecord { to_number: NUMBER.into(), ..external_call(3, ours, trunk) };
    store.insert_external_call(&ACT, &logged).await.unwrap();
    let erasure = store.insert_erasure(&act(), ours, &number, &[]).await.unwrap();
    let soon = wall_clock().saturating_add(MINUTE);
    assert_eq!(work(store, soon).await, Some(ErasureStep::Waiting(ErasureWait::Calls)));
    let waiting = store.erasure(ours, erasure.id).await.unwrap().unwrap();
    assert_eq!((waiting.waits_for, waiting.erased.calls, waiting.finished_at), (Some(ErasureWait::Calls), 1, None));
    // It is looked at again after a moment, and no sooner.
    assert_eq!(work(store, soon).await, None);

    let ended = CallRecord { ended_at: Some(at(20)), ..up };
    store.write_records(&[Record::Call(Box::new(ended))]).await.unwrap();
    let later = soon.saturating_add(MINUTE);
    assert_eq!(work(store, later).await, Some(ErasureStep::Waiting(ErasureWait::Calls)));
    store
        .update_call(&ACT, ours, &CallKey::Id(logged.id), |call| {
            call.ended_at = Some(at(30));
            Ok::<_, ()>(())
        })
        .await
        .unwrap();
    // What was written a moment ago may not be all.
    assert_eq!(work(store, wall_clock()).await, None);
    let last = later.saturating_add(MINUTE);
    assert_eq!(work(store, last).await, Some(ErasureStep::Finished));
    assert!(!shown(store, ours).await.contains(DIGITS));
    assert_eq!(store.erasure(ours, erasure.id).await.unwrap().unwrap().erased.calls, 3);
}

pub(crate) async fn journals_are_waited_for(store: &Store) {
    let (ours, _) = with_trunk(store, 1).await;
    let now = wall_clock();
    store.keep_keys(now).await.unwrap();
    let erasure = store.insert_erasure(&act(), ours, &NUMBER.parse().unwrap(), &[]).await.unwrap();
    let soon = now.saturating_add(Duration::from_secs(20));
    assert_eq!(work(store, soon).await, Some(ErasureStep::Waiting(ErasureWait::Journals)));
    store.tell_recorded_to(erasure.requested_at).await.unwrap();
    let soon = soon.saturating_add(Duration::from_secs(4));
    assert_eq!(work(store, soon).await, Some(ErasureStep::Waiting(ErasureWait::Journals)));
    // What a journal held comes only now.
    let late = CallRecord { from_number: NUMBER.into(), ..call(1, ours) };
    store.write_records(&[Record::Call(Box::new(late))]).await.unwrap();
    store.tell_recorded_to(soon).await.unwrap();
    let soon = soon.saturating_add(Duration::from_secs(4));
    assert_eq!(work(store, soon).await, Some(ErasureStep::Finished));
    assert!(!shown(store, ours).await.contains(DIGITS));
    // Who runs no more is not waited for.
    store.insert_erasure(&Act { at: soon, ..ACT.clone() }, ours, &NUMBER.parse().unwrap(), &[]).await.unwrap();
    assert_eq!(work(store, soon.saturating_add(MINUTE)).await, Some(ErasureStep::Finished));
}

pub(crate) async fn an_erasure_that_was_cut_off_goes_on_elsewhere(store: &Store) {
    let (ours, _) = with_trunk(store, 1).await;
    leave(store, ours, 1).await;
    let erasure = store.insert_erasure(&act(), ours, &NUMBER.parse().unwrap(), &national()).await.unwrap();
    let mut now = wall_clock().saturating_add(MINUTE);
    let mut turns = 0;
    // Each turn does one step, and then nothing more is heard of who did it.
    while let Some(mut claimed) = store.claim_erasure(now).await.unwrap() {
        assert!(store.claim_erasure(now).await.unwrap().is_none(), "one at a time");
        store.advance_erasure(&mut claimed, now).await.unwrap();
        now = now.saturating_add(2 * MINUTE);
        turns += 1;
    }
    assert!(turns > 8, "{turns}");
    let rows = store.erasure(ours, erasure.id).await.unwrap().unwrap().erased;
    assert_eq!((rows.calls, rows.legs, rows.timelines, rows.refusals, rows.answers), (5, 3, 3, 2, 1), "{rows:?}");
    assert!(!shown(store, ours).await.contains(DIGITS));
    assert!(store.verify_audit_log().await.unwrap().is_whole());
}
