use crate::samples::{
    ACT, account_id, at, call, call_id, event, external_call, leg, leg_id, receipt, with_account, with_trunk,
};
use serde_json::json;
use std::convert::Infallible;
use tandem_model::{
    AccountId, CallEvent, CallRecord, CallStatus, JsonText, LegRecord, LegStatus, MAX_CALL_COST, Money, Receipt, Record,
};
use tandem_store::{CallFilter, CallKey, InsertCallError, JournalPosition, Part, Rejected, RejectedReason, Store};

fn call_state(call: &CallRecord) -> Record {
    Record::Call(Box::new(call.clone()))
}

fn leg_state(leg: &LegRecord) -> Record {
    Record::Leg(Box::new(leg.clone()))
}

async fn stored(store: &Store, account: AccountId, number: u64) -> CallRecord {
    store.call(account, &CallKey::Id(call_id(number))).await.unwrap().unwrap()
}

pub(crate) async fn records_come_back_as_they_were_written(store: &Store) {
    let account = with_account(store, 1).await;
    let call = call(1, account);
    let bare = LegRecord {
        trunk_id: None,
        ringing_at: None,
        answered_at: None,
        ended_at: None,
        duration_ms: None,
        status: LegStatus::Trying,
        cause: None,
        sip_status: None,
        hung_up_by: None,
        codec: None,
        remote_address: None,
        billed_seconds: None,
        cost: None,
        media: None,
        ..leg(1, &call)
    };
    let full = leg(2, &call);
    let anonymous = CallEvent { leg_id: None, detail: JsonText::new(&serde_json::Map::new()), ..event(2, &call) };
    let records = [
        Record::Event(anonymous.clone()),
        leg_state(&full),
        leg_state(&bare),
        call_state(&call),
        Record::Event(event(1, &call)),
    ];
    let written = store.write_records(&records).await.unwrap();
    assert_eq!(written.rejected, []);
    assert_eq!(stored(store, account, 1).await, call);
    assert_eq!(store.call_legs(account, call.id).await.unwrap(), [bare, full]);
    assert_eq!(store.call_events(account, call.id).await.unwrap(), [event(1, &call), anonymous]);

    let other = with_account(store, 2).await;
    assert!(store.call_legs(other, call.id).await.unwrap().is_empty());
    assert!(store.call_events(other, call.id).await.unwrap().is_empty());
    assert_eq!(store.write_records(&[]).await.unwrap().rejected, []);
}

pub(crate) async fn the_last_state_in_the_slice_wins(store: &Store) {
    let account = with_account(store, 1).await;
    let last = call(1, account);
    let first = CallRecord { status: CallStatus::Ringing, ended_at: None, cost: None, ..last.clone() };
    let last_leg = leg(1, &last);
    let first_leg = LegRecord { status: LegStatus::Ringing, media: None, ..last_leg.clone() };
    let records = [call_state(&first), leg_state(&first_leg), leg_state(&last_leg), call_state(&last)];
    store.write_records(&records).await.unwrap();
    assert_eq!(stored(store, account, 1).await, last);
    assert_eq!(store.call_legs(account, last.id).await.unwrap(), [last_leg]);
}

pub(crate) async fn a_later_batch_replaces_the_state(store: &Store) {
    let account = with_account(store, 1).await;
    let last = call(1, account);
    let first = CallRecord {
        trunk_id: None,
        answered_at: None,
        ended_at: None,
        duration_ms: None,
        status: CallStatus::Initiated,
        hangup_cause: None,
        sip_status: None,
        hung_up_by: None,
        codec_used: None,
        sip_call_id: None,
        remote_ip: None,
        cost: None,
        receipt: None,
        ..last.clone()
    };
    let last_leg = leg(1, &last);
    let first_leg = LegRecord { status: LegStatus::Trying, answered_at: None, media: None, ..last_leg.clone() };
    store.write_records(&[call_state(&first), leg_state(&first_leg)]).await.unwrap();
    assert_eq!(stored(store, account, 1).await, first);
    store.write_records(&[call_state(&last), leg_state(&last_leg)]).await.unwrap();
    assert_eq!(stored(store, account, 1).await, last);
    assert_eq!(store.call_legs(account, last.id).await.unwrap(), [last_leg]);
    // A state is written whole: what it no longer holds is taken away, but for the receipt.
    store.write_records(&[call_state(&first)]).await.unwrap();
    assert_eq!(stored(store, account, 1).await, CallRecord { receipt: last.receipt, ..first });
}

pub(crate) async fn a_state_without_a_receipt_keeps_that_of_an_earlier_one(store: &Store) {
    let account = with_account(store, 1).await;
    let routed = CallRecord { ended_at: None, cost: None, status: CallStatus::Ringing, ..call(1, account) };
    let ended = CallRecord { receipt: None, ..call(1, account) };
    store.write_records(&[call_state(&routed), call_state(&ended)]).await.unwrap();
    let expected = call(1, account);
    assert_eq!(stored(store, account, 1).await, expected, "in one batch");

    store.write_records(&[call_state(&ended)]).await.unwrap();
    assert_eq!(stored(store, account, 1).await, expected, "in a later batch");

    let receipt = Some(JsonText::new(&Receipt { routing_revision: 43, ..receipt(account) }));
    let rerouted = CallRecord { receipt: receipt.clone(), ..ended.clone() };
    store.write_records(&[call_state(&ended), call_state(&rerouted), call_state(&ended)]).await.unwrap();
    assert_eq!(stored(store, account, 1).await, CallRecord { receipt, ..expected });
}

pub(crate) async fn a_batch_may_be_written_again(store: &Store) {
    let account = with_account(store, 1).await;
    let call = call(1, account);
    let records = [call_state(&call), leg_state(&leg(1, &call)), Record::Event(event(1, &call))];
    for _ in 0..3 {
        store.write_records(&records).await.unwrap();
    }
    assert_eq!(stored(store, account, 1).await, call);
    assert_eq!(store.call_legs(account, call.id).await.unwrap().len(), 1);
    assert_eq!(store.call_events(account, call.id).await.unwrap().len(), 1);
}

pub(crate) async fn an_event_is_written_once(store: &Store) {
    let account = with_account(store, 1).await;
    let call = call(1, account);
    let changed = CallEvent { at: at(99), ..event(1, &call) };
    store.write_records(&[Record::Event(event(1, &call)), Record::Event(changed.clone())]).await.unwrap();
    store.write_records(&[Record::Event(changed), Record::Event(event(2, &call))]).await.unwrap();
    assert_eq!(store.call_events(account, call.id).await.unwrap(), [event(1, &call), event(2, &call)]);
}

pub(crate) async fn what_the_client_wrote_survives_later_states(store: &Store) {
    let account = with_account(store, 1).await;
    let live = CallRecord { ended_at: None, status: CallStatus::Answered, ..call(1, account) };
    store.write_records(&[call_state(&live)]).await.unwrap();
    let update = store
        .update_call(&ACT, account, &CallKey::Id(live.id), |call| {
            call.metadata = json!({"agent": 7}).as_object().unwrap().clone();
            call.quality_score = Some(4.5);
            call.credits_used = Some(Money::from_micros(9));
            Ok::<(), Infallible>(())
        })
        .await
        .unwrap();
    store.write_records(&[call_state(&call(1, account))]).await.unwrap();
    let expected = CallRecord {
        metadata: update.after.metadata,
        quality_score: Some(4.5),
        credits_used: Some(Money::from_micros(9)),
        ..call(1, account)
    };
    assert_eq!(stored(store, account, 1).await, expected);
}

/// Every double must come back bit by bit. The seed makes the run repeatable.
pub(crate) async fn scores_are_exact(store: &Store) {
    let account = with_account(store, 1).await;
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut scores = vec![0.1 + 0.2, 1.0, 4.2, 5.0, 1.000_000_000_000_000_2, f64::MIN_POSITIVE, f64::MAX];
    // 52 random bits of fraction above 1.0, times 1 to 4: the whole range of scores.
    scores.extend(
        (0..2_000).map(|_| f64::from_bits(0x3ff0_0000_0000_0000 | (random() >> 12)) * (1 + random() % 4) as f64),
    );
    let calls: Vec<CallRecord> = (0_u64..)
        .zip(&scores)
        .map(|(number, score)| CallRecord { quality_score: Some(*score), ..call(number, account) })
        .collect();
    store.write_records(&calls.iter().map(call_state).collect::<Vec<_>>()).await.unwrap();
    for call in calls {
        let stored = store.call(account, &CallKey::Id(call.id)).await.unwrap().unwrap();
        assert_eq!(stored.quality_score.map(f64::to_bits), call.quality_score.map(f64::to_bits), "{call:?}");
    }
    let nonsense = CallRecord { quality_score: Some(f64::NAN), ..call(9_999, account) };
    store.write_records(&[call_state(&nonsense)]).await.unwrap();
    assert_eq!(stored(store, account, 9_999).await.quality_score, None);
}

pub(crate) async fn odd_texts_and_extreme_numbers_survive(store: &Store) {
    let account = with_account(store, 1).await;
    let mut deep = json!("bottom");
    for _ in 0..100 {
        deep = json!([deep]);
    }
    let call = CallRecord {
        call_id: "\"']},{[\\ \u{1f4de} \u{7f} \t\n".into(),
        from_number: "12345".into(),
        to_number: "1e3".into(),
        to_uri: Some("null".into()),
        hangup_cause: Some("true".into()),
        remote_ip: Some(String::new()),
        duration_ms: Some(9_223_372_036_854_775_807),
        cost: Some(Money::from_micros(-MAX_CALL_COST.micros())),
        started_at: tandem_model::Timestamp::from_unix_micros(-1),
        metadata: json!({"deep": deep, "big": u64::MAX, "tiny": 5e-324, "": "\u{0}"}).as_object().unwrap().clone(),
        ..call(1, account)
    };
    let leg = LegRecord { number: u32::MAX, sip_status: Some(u16::MAX), request_uri: "[1]".into(), ..leg(1, &call) };
    store.write_records(&[call_state(&call), leg_state(&leg)]).await.unwrap();
    assert_eq!(stored(store, account, 1).await, call);
    assert_eq!(store.call_legs(account, call.id).await.unwrap(), [leg]);
}

pub(crate) async fn unknown_accounts_do_not_hold_up_the_rest(store: &Store) {
    let account = with_account(store, 1).await;
    let (known, orphan) = (call(1, account), call(2, account_id(9)));
    let records = [
        call_state(&orphan),
        call_state(&known),
        Record::Event(event(1, &orphan)),
        leg_state(&leg(1, &orphan)),
        Record::Event(event(1, &known)),
    ];
    let written = store.write_records(&records).await.unwrap();
    let rejected = |index| Rejected { index, reason: RejectedReason::UnknownAccount(account_id(9)) };
    assert_eq!(written.rejected, [rejected(0), rejected(2), rejected(3)]);
    assert_eq!(stored(store, account, 1).await, known);
    assert_eq!(store.call_events(account, known.id).await.unwrap().len(), 1);
    assert_eq!(store.call(account_id(9), &CallKey::Id(orphan.id)).await.unwrap(), None);
}

pub(crate) async fn our_calls_take_their_call_id(store: &Store) {
    let (account, trunk) = with_trunk(store, 1).await;
    let ours = call(1, account);
    store.write_records(&[call_state(&ours)]).await.unwrap();
    assert_eq!(store.call(account, &CallKey::ClientId(ours.call_id.clone())).await.unwrap(), Some(ours.clone()));
    let clashing = CallRecord { call_id: ours.call_id, ..external_call(2, account, trunk) };
    assert!(matches!(store.insert_external_call(&ACT, &clashing).await, Err(InsertCallError::CallIdTaken)));
}

pub(crate) async fn a_call_of_another_account_is_not_overwritten(store: &Store) {
    let (ours, theirs) = (with_account(store, 1).await, with_account(store, 2).await);
    let call = call(1, ours);
    store.write_records(&[call_state(&call), leg_state(&leg(1, &call))]).await.unwrap();
    let forged = CallRecord { account_id: theirs, to_number: "forged".into(), ..call.clone() };
    store.write_records(&[call_state(&forged), leg_state(&leg(1, &forged))]).await.unwrap();
    assert_eq!(stored(store, ours, 1).await, call);
    assert_eq!(store.call_legs(ours, call.id).await.unwrap(), [leg(1, &call)]);
}

pub(crate) async fn large_batches_are_written_whole(store: &Store) {
    let account = with_account(store, 1).await;
    let mut records = Vec::new();
    for number in 0..2_500 {
        let call = call(number, account);
        records.push(call_state(&call));
        records.push(leg_state(&LegRecord { id: leg_id(number), ..leg(1, &call) }));
        records.push(Record::Event(event(1, &call)));
    }
    store.write_records(&records).await.unwrap();
    for number in [0, 999, 1_000, 2_499] {
        assert_eq!(stored(store, account, number).await, call(number, account));
        assert_eq!(store.call_legs(account, call_id(number)).await.unwrap().len(), 1);
        assert_eq!(store.call_events(account, call_id(number)).await.unwrap().len(), 1);
    }
    let beyond = store.calls(account, &CallFilter::default(), &Part::page(2_500, 1)).await.unwrap();
    assert!(beyond.rows.is_empty());
}

pub(crate) async fn the_journal_position_moves_with_its_records(store: &Store) {
    let account = with_account(store, 1).await;
    assert_eq!(store.journal_position(3).await.unwrap(), None);
    let first = JournalPosition { shard: 3, segment: 1, offset: 4_096 };
    store.write_journal(&[call_state(&call(1, account))], first).await.unwrap();
    assert_eq!(store.journal_position(3).await.unwrap(), Some(first));
    assert_eq!(stored(store, account, 1).await, call(1, account));

    let next = JournalPosition { segment: 2, offset: 0, ..first };
    store.write_journal(&[], next).await.unwrap();
    assert_eq!(store.journal_position(3).await.unwrap(), Some(next));
    assert_eq!(store.journal_position(0).await.unwrap(), None);
}
