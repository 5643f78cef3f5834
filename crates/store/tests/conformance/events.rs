use crate::samples::{ACT, at, call, external_call, leg, refusal, trunk, trunk_id, with_account, with_trunk};
use std::convert::Infallible;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tandem_model::{
    AccountId, CallRecord, CallStatus, Connect, Event, HealthReport, HealthStatus, LegStatus, Money, NumberId,
    PhoneNumber, Record, RefusedInvite, Secret, Timestamp, Trunk, TrunkHealth,
};
use tandem_store::{Act, CallKey, LISTENED_FOR, NumberChange, Store};
use tokio::task::JoinHandle;
use uuid::Uuid;

/// What the call path is stamped with.
fn now() -> Timestamp {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Timestamp::from_unix_micros(0).saturating_add(since_1970)
}

fn state(call: &CallRecord, status: CallStatus) -> Record {
    let answered_at = call.answered_at.filter(|_| status == CallStatus::Answered || status.is_final());
    let ended_at = call.ended_at.filter(|_| status.is_final());
    Record::Call(Box::new(CallRecord { status, answered_at, ended_at, ..call.clone() }))
}

async fn all(store: &Store, account: AccountId) -> Vec<Event> {
    store.events_after(account, 0, 1_000).await.unwrap().events
}

fn kinds(events: &[Event]) -> Vec<&'static str> {
    events.iter().map(|event| event.kind.as_str()).collect()
}

const WHOLE_CALL: [CallStatus; 4] =
    [CallStatus::Initiated, CallStatus::Ringing, CallStatus::Answered, CallStatus::Completed];
const WHOLE_CALL_TOLD: [&str; 4] = ["call.initiated", "call.ringing", "call.answered", "call.completed"];

pub(crate) async fn states_that_come_at_once_are_told_each_in_order(store: &Store) {
    let account = with_account(store, 1).await;
    assert_eq!(store.listen(account).await.unwrap(), 0);
    let call = call(1, account);
    let mut ringing = leg(1, &call);
    (ringing.ringing_at, ringing.status) = (Some(at(11)), LegStatus::Ringing);
    let mut records: Vec<Record> = WHOLE_CALL.iter().map(|status| state(&call, *status)).collect();
    records.push(Record::Leg(Box::new(ringing)));
    store.write_records(&records).await.unwrap();

    let events = all(store, account).await;
    assert_eq!(kinds(&events), WHOLE_CALL_TOLD);
    assert_eq!(events.iter().map(|event| event.sequence).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert_eq!(events.iter().map(|event| event.at).collect::<Vec<_>>(), [at(10), at(11), at(12), at(20)]);
    assert!(events.iter().all(|event| event.subject == format!("calls/{}", call.id) && event.account_id == account));
    let told: Vec<serde_json::Map<_, _>> = events.iter().map(|event| event.data.read().unwrap()).collect();
    let field = |name: &str| told.iter().map(|data| data[name].to_string()).collect::<Vec<_>>();
    assert_eq!(field("status"), ["\"initiated\"", "\"ringing\"", "\"answered\"", "\"completed\""]);
    assert_eq!(field("cost"), ["null", "null", "null", "-1e-6"]);
    assert_eq!(field("hangup_cause"), ["null", "null", "null", "\"normal_clearing\""]);
    assert_eq!(told[1]["answered_at"], serde_json::Value::Null);
    assert_eq!(told[3]["metadata"]["customer"], "Zoë");
    let page = store.events_after(account, 2, 1).await.unwrap();
    assert_eq!((page.events.as_slice(), page.has_gap, page.next), (&events[2..3], false, 3));
}

pub(crate) async fn a_state_is_told_once_however_often_it_is_written(store: &Store) {
    let account = with_account(store, 1).await;
    store.listen(account).await.unwrap();
    let call = call(1, account);
    // As after a journal that is stored again, record by record and in whole.
    for _ in 0..2 {
        for status in WHOLE_CALL {
            store.write_records(&[state(&call, status)]).await.unwrap();
            store.write_records(&[state(&call, CallStatus::Initiated), state(&call, status)]).await.unwrap();
        }
        store.write_records(&WHOLE_CALL.map(|status| state(&call, status))).await.unwrap();
    }
    assert_eq!(kinds(&all(store, account).await), WHOLE_CALL_TOLD);
}

pub(crate) async fn events_are_written_only_while_somebody_listens(store: &Store) {
    let (account, other) = (with_account(store, 1).await, with_account(store, 2).await);
    store.write_records(&[state(&call(1, account), CallStatus::Initiated)]).await.unwrap();
    assert_eq!(store.latest_events(&[account]).await.unwrap(), []);
    store.listen(account).await.unwrap();
    store.write_records(&[state(&call(2, other), CallStatus::Initiated)]).await.unwrap();
    assert_eq!(all(store, other).await, []);

    // Who hears of a call for the first time hears how it began.
    store.write_records(&[state(&call(1, account), CallStatus::Answered)]).await.unwrap();
    assert_eq!(kinds(&all(store, account).await), ["call.initiated", "call.answered"]);
    assert_eq!(store.latest_events(&[account, other]).await.unwrap(), [(account, 2)]);
}

pub(crate) async fn who_comes_back_too_late_is_told_of_a_gap(store: &Store) {
    let account = with_account(store, 1).await;
    let long_ago = Timestamp::from_unix_micros(now().unix_micros() - 2 * 72 * 3_600 * 1_000_000);
    assert!(LISTENED_FOR <= Duration::from_secs(72 * 3_600));
    assert_eq!(store.listen_at(account, long_ago).await.unwrap(), 0);
    store.write_records(&[state(&call(1, account), CallStatus::Initiated)]).await.unwrap();
    assert_eq!(all(store, account).await, []);
    assert_eq!(store.listen(account).await.unwrap(), 1, "a number is left out for what was not written");
    let page = store.events_after(account, 0, 10).await.unwrap();
    assert_eq!((page.has_gap, page.next), (true, 1));
    assert!(!store.events_after(account, 1, 10).await.unwrap().has_gap);

    store.write_records(&WHOLE_CALL.map(|status| state(&call(2, account), status))).await.unwrap();
    let before = all(store, account).await;
    assert!(!store.events_after(account, 1, 10).await.unwrap().has_gap);
    assert_eq!(store.remove_events_before(at(0)).await.unwrap(), 0);
    let removed = store.remove_events_before(now().saturating_add(Duration::from_secs(60))).await.unwrap();
    assert_eq!(removed, before.len() as u64);
    let page = store.events_after(account, 3, 10).await.unwrap();
    assert_eq!((page.has_gap, page.next), (true, 5));
    // A place that was never given, as after a backup was put back.
    assert!(store.events_after(account, 99, 10).await.unwrap().has_gap);
}

/// Whoever reads while many write never passes over an event that becomes visible later.
pub(crate) async fn events_become_visible_in_the_order_of_their_numbers(store: &Store) {
    const WRITERS: u64 = 8;
    const BATCHES: u64 = 6;
    let account = with_account(store, 1).await;
    store.listen(account).await.unwrap();
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let store = store.clone();
            tokio::spawn(async move {
                for batch in 0..BATCHES {
                    let call = call(writer * 100 + batch + 1, account);
                    store.write_records(&WHOLE_CALL.map(|status| state(&call, status))).await.unwrap();
                }
            })
        })
        .collect();
    let (mut next, mut read, mut is_last) = (0, 0, false);
    while !is_last {
        // What was written before this look is seen by it.
        is_last = read >= WRITERS * BATCHES * 4 || writers.iter().all(JoinHandle::is_finished);
        let page = store.events_after(account, next, 7).await.unwrap();
        assert!(!page.has_gap, "after {next}");
        (next, read) = (page.next, read + page.events.len() as u64);
        assert_eq!(next, read);
        tokio::task::yield_now().await;
    }
    for writer in writers {
        writer.await.unwrap();
    }
    assert_eq!(store.latest_events(&[account]).await.unwrap(), [(account, WRITERS * BATCHES * 4)]);
}

pub(crate) async fn calls_that_clients_log_are_told_too(store: &Store) {
    let (account, trunk) = with_trunk(store, 1).await;
    store.listen(account).await.unwrap();
    let call = external_call(1, account, trunk);
    store.insert_external_call(&ACT, &call).await.unwrap();
    let key = CallKey::Id(call.id);
    let end = |call: &mut CallRecord| {
        (call.status, call.answered_at, call.ended_at) = (CallStatus::Completed, Some(at(3)), Some(at(4)));
        Ok::<(), Infallible>(())
    };
    for _ in 0..2 {
        store.update_call(&ACT, account, &key, end).await.unwrap();
    }
    assert_eq!(kinds(&all(store, account).await), ["call.initiated", "call.answered", "call.completed"]);
}

pub(crate) async fn a_refusal_is_told_once(store: &Store) {
    let account = with_account(store, 1).await;
    store.listen(account).await.unwrap();
    let refused = Record::Refusal(Box::new(refusal(1, account)));
    store.write_records(&[refused.clone(), refused.clone()]).await.unwrap();
    store.write_records(&[refused]).await.unwrap();
    let events = all(store, account).await;
    assert_eq!(kinds(&events), ["call.refused"]);
    assert_eq!(events[0].subject, format!("refusals/{}", refusal(1, account).id));
    assert_eq!(events[0].data.read().unwrap()["sip_status"], refusal(1, account).sip_status);
}

pub(crate) async fn only_a_change_of_health_is_told(store: &Store) {
    let (account, trunk) = with_trunk(store, 1).await;
    store.listen(account).await.unwrap();
    let health =
        |status| TrunkHealth { status, checked_at: Some(at(5)), latency_us: Some(1_500), ..TrunkHealth::UNKNOWN };
    for status in [HealthStatus::Healthy, HealthStatus::Healthy, HealthStatus::Unhealthy] {
        let report = HealthReport { trunk_id: trunk, account_id: account, health: health(status), spans: Vec::new() };
        store.record_health(&[report]).await.unwrap();
    }
    assert!(store.set_trunk_health(trunk, health(HealthStatus::Unhealthy)).await.unwrap());
    assert!(store.set_trunk_health(trunk, health(HealthStatus::Error)).await.unwrap());
    assert!(!store.set_trunk_health(trunk_id(9), TrunkHealth::UNKNOWN).await.unwrap());
    let events = all(store, account).await;
    assert_eq!(kinds(&events), ["trunk.health_changed"; 3]);
    let told: Vec<_> = events.iter().map(|event| event.data.read().unwrap()).collect();
    let statuses: Vec<_> = told.iter().map(|data| [&data["previous_health_status"], &data["health_status"]]).collect();
    assert_eq!(statuses, [["degraded", "healthy"], ["healthy", "unhealthy"], ["unhealthy", "error"]]);
    assert_eq!(told[0]["latency_ms"], 1.5);
}

pub(crate) async fn accounts_do_not_see_each_others_events(store: &Store) {
    let (ours, theirs) = (with_account(store, 1).await, with_account(store, 2).await);
    for account in [ours, theirs] {
        store.listen(account).await.unwrap();
    }
    let records = [(1, ours), (2, theirs), (3, ours)]
        .map(|(number, account)| state(&call(number, account), CallStatus::Initiated));
    store.write_records(&records).await.unwrap();
    for (account, count) in [(ours, 2), (theirs, 1)] {
        let events = all(store, account).await;
        assert_eq!(events.len(), count);
        assert!(events.iter().all(|event| event.account_id == account));
    }
}

pub(crate) async fn changes_of_trunks_are_told_without_secrets(store: &Store) {
    let (account, id) = with_trunk(store, 1).await;
    store.listen(account).await.unwrap();
    let made = trunk(2, account);
    store.insert_trunk(&ACT, &made, 10).await.unwrap();
    let change = |trunk: &mut Trunk| {
        trunk.name = "renamed".to_owned();
        trunk.cost_per_minute = Money::from_micros(7_500);
        trunk.sip_password = Secret::new("another secret");
        Ok::<(), Infallible>(())
    };
    let only_asked = Act { dry_run: true, ..ACT.clone() };
    store.change_trunk(&only_asked, account, id, change).await.unwrap();
    store.change_trunk(&ACT, account, id, change).await.unwrap();
    store.delete_trunk(&ACT, account, id, at(9)).await.unwrap();
    let events = all(store, account).await;
    assert_eq!(kinds(&events), ["trunk.created", "trunk.updated", "trunk.deleted"]);
    assert_eq!(events[0].subject, format!("trunks/{}", made.id));
    let told: Vec<_> = events.iter().map(|event| event.data.read().unwrap()).collect();
    assert_eq!((&told[0]["name"], &told[1]["name"]), (&"trunk 2".into(), &"renamed".into()));
    assert_eq!(told[1]["cost_per_minute"], 0.0075);
    assert_eq!(told[1]["changed"], serde_json::json!(["cost_per_minute", "name", "sip_password"]));
    assert_eq!(told[2], *serde_json::json!({"id": id}).as_object().unwrap());
    for event in &events {
        for secret in ["another secret", "correct horse", "pässwörd"] {
            assert!(!event.data.as_str().contains(secret));
        }
    }
}

fn data(event: &Event) -> serde_json::Map<String, serde_json::Value> {
    event.data.read().unwrap()
}

pub(crate) async fn changes_of_numbers_and_of_credit_are_told(store: &Store) {
    let account = with_account(store, 1).await;
    store.listen(account).await.unwrap();
    let number = PhoneNumber {
        id: NumberId::from_uuid(Uuid::from_u128(7)),
        account_id: account,
        number: "+12025550100".parse().unwrap(),
        label: None,
        connect: Connect::Forward,
        trunk_id: None,
        metadata: serde_json::Map::new(),
        created_at: at(1),
        updated_at: at(1),
    };
    let tried = Act { dry_run: true, ..ACT.clone() };
    store.insert_number(&tried, &number).await.unwrap();
    store.insert_number(&ACT, &number).await.unwrap();
    let change = NumberChange {
        label: Some(Some("Desk".to_owned())),
        metadata: Some(serde_json::Map::from_iter([("secret".to_owned(), "s3cr3t".into())])),
        ..NumberChange::default()
    };
    store.update_number(&ACT, account, number.id, change).await.unwrap();
    store.delete_number(&ACT, account, number.id).await.unwrap();
    store.grant_credit(&ACT, account, Money::from_micros(2_500_000), "invoice").await.unwrap();
    store.grant_credit(&ACT, account, Money::from_micros(-500_000), "").await.unwrap();

    let events = all(store, account).await;
    let told = ["number.created", "number.updated", "number.deleted", "credit.topped_up", "credit.adjusted"];
    assert_eq!(kinds(&events), told);
    let subject = format!("numbers/{}", number.id);
    assert!(events[..3].iter().all(|event| event.subject == subject && data(event)["id"] == number.id.to_string()));
    assert_eq!(data(&events[0])["number"], "+12025550100");
    assert_eq!(data(&events[1])["changed"], serde_json::json!(["label", "metadata"]));
    assert_eq!(data(&events[1])["label"], "Desk");
    assert!(!events[1].data.as_str().contains("s3cr3t"), "metadata are the client's own");
    assert!(events[3..].iter().all(|event| event.subject == "credits"));
    assert_eq!((&data(&events[3])["amount"], &data(&events[3])["note"]), (&2.5.into(), &"invoice".into()));
    assert_eq!((&data(&events[4])["amount"], &data(&events[4])["balance"]), (&(-0.5).into(), &2.into()));
}

pub(crate) async fn credit_that_is_used_up_is_told_once_until_some_is_added(store: &Store) {
    let account = with_account(store, 1).await;
    store.set_credit_control(&ACT, account, true).await.unwrap();
    let cut_off = |number| {
        let call = CallRecord { hangup_cause: Some("credit_exhausted".to_owned()), ..call(number, account) };
        [state(&call, CallStatus::Answered), state(&call, CallStatus::Completed)]
    };
    let refused = |number| {
        let reason = "credit_exhausted".to_owned();
        Record::Refusal(Box::new(RefusedInvite { reason, ..refusal(number, account) }))
    };
    let exhausted = async || {
        let events = all(store, account).await;
        let told = events.iter().filter(|event| event.kind.as_str() == "credit.exhausted");
        told.map(|event| (event.subject.clone(), data(event)["by"].clone())).collect::<Vec<_>>()
    };
    store.write_records(&cut_off(1)).await.unwrap();
    store.listen(account).await.unwrap();
    store.tell_credit_exhausted(account, at(1)).await.unwrap();
    assert_eq!(exhausted().await, [("credits".to_owned(), serde_json::Value::Null)]);
    for record in [&cut_off(2)[..], &[refused(3)]] {
        store.write_records(record).await.unwrap();
        store.tell_credit_exhausted(account, at(2)).await.unwrap();
    }
    assert_eq!(exhausted().await.len(), 1, "as long as none is added");

    store.grant_credit(&ACT, account, Money::from_micros(-5), "").await.unwrap();
    store.write_records(&[refused(4)]).await.unwrap();
    assert_eq!(exhausted().await.len(), 1, "what is taken away is none");
    store.grant_credit(&ACT, account, Money::from_micros(5), "").await.unwrap();
    store.write_records(&cut_off(2)).await.unwrap();
    assert_eq!(exhausted().await.len(), 1, "what was over before is not told again");
    let both: Vec<Record> = cut_off(5).into_iter().chain([refused(6)]).collect();
    store.write_records(&both).await.unwrap();
    let told = exhausted().await;
    assert_eq!(told.len(), 2, "{told:?}");
    let Record::Call(call) = &both[0] else { panic!("a call") };
    assert_eq!(told[1].1, format!("calls/{}", call.id));
}
