//! What calls add up to must be what a fresh look at every row gives, whatever was written in which order.

use crate::samples::{
    ACT, account_id, at, call, call_id, external_call, leg, leg_id, trunk, trunk_id, with_account, with_trunk,
};
use crate::traces::{act, wall_clock, work};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tandem_model::{
    AccountId, CallDirection, CallRecord, CallStatus, CarriedBy, Codec, HangupCause, LegMedia, LegRecord, LegStatus,
    Money, Record, Timestamp, TrunkId,
};
use tandem_store::{
    CallFilter, CallKey, ErasureStep, Part, Store, Sums, TimeStep, TrafficDetail, TrafficQuery, UpdateCallError,
};

/// The same numbers in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }

    fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[usize::try_from(self.below(choices.len() as u64)).unwrap()]
    }
}

const NUMBERS: [(&str, &str); 5] = [
    ("+12025550100", "1202"),
    ("+442079460000", "4420"),
    ("+35312345678", "35312"),
    ("+74951234567", "749"),
    ("echo", ""),
];

fn prefix_of(number: &str) -> String {
    // What is left of a number that was erased says its prefix.
    let erased = number.strip_prefix("erased-").and_then(|rest| rest.split_once('-'));
    erased.map_or_else(
        || NUMBERS.iter().find(|(known, _)| *known == number).unwrap().1.to_owned(),
        |(prefix, _)| prefix.to_owned(),
    )
}

/// A state of a call or of one of its legs, of any sort: begun, over, begun again.
fn call_state(random: &mut Random, account: AccountId, number: u64) -> CallRecord {
    let is_over = random.below(2) == 0;
    let is_answered = random.below(2) == 0;
    let status = match (is_over, is_answered) {
        (false, false) => CallStatus::Ringing,
        (false, true) => CallStatus::Answered,
        (true, true) => CallStatus::Completed,
        (true, false) => {
            random.one_of(&[CallStatus::Busy, CallStatus::NoAnswer, CallStatus::Failed, CallStatus::Canceled])
        }
    };
    CallRecord {
        trunk_id: random.one_of(&[None, Some(trunk_id(1)), Some(trunk_id(2))]),
        direction: random.one_of(&[CallDirection::Inbound, CallDirection::Outbound]),
        to_number: random.one_of(&NUMBERS).0.into(),
        // Two days, in steps of twenty minutes.
        started_at: at(i64::try_from(random.below(144)).unwrap() * 1_200),
        answered_at: is_answered.then(|| at(20)),
        ended_at: is_over.then(|| at(30)),
        duration_ms: is_over.then(|| random.below(100_000)),
        status,
        hangup_cause: is_over.then(|| random.one_of(&["normal_clearing", "user_busy", "what a client says"]).into()),
        quality_score: random.one_of(&[None, Some(4.25), Some(1.0), Some(3.333_333)]),
        cost: is_over.then(|| Money::from_micros(i64::try_from(random.below(10_000)).unwrap())),
        ..call(number, account)
    }
}

fn leg_state(random: &mut Random, call: &CallRecord, number: u64) -> LegRecord {
    let is_over = random.below(2) == 0;
    let is_answered = random.below(2) == 0;
    let number_called = random.one_of(&NUMBERS).0;
    LegRecord {
        id: leg_id(number),
        trunk_id: random.one_of(&[None, Some(trunk_id(1)), Some(trunk_id(2))]),
        direction: random.one_of(&[CallDirection::Inbound, CallDirection::Outbound]),
        request_uri: format!("sip:{number_called}@sip.example.com"),
        started_at: at(i64::try_from(random.below(144)).unwrap() * 1_200),
        ringing_at: random.one_of(&[None, Some(at(500_000))]),
        answered_at: is_answered.then(|| at(600_000)),
        ended_at: is_over.then(|| at(700_000)),
        duration_ms: is_over.then(|| random.below(100_000)),
        status: match (is_over, is_answered) {
            (false, false) => LegStatus::Trying,
            (false, true) => LegStatus::Answered,
            (true, true) => LegStatus::Completed,
            (true, false) => random.one_of(&[LegStatus::Failed, LegStatus::Canceled]),
        },
        cause: is_over.then(|| {
            let known = [HangupCause::UserBusy, HangupCause::Canceled, HangupCause::TemporaryFailure];
            if is_answered { HangupCause::NormalClearing } else { random.one_of(&known) }
        }),
        billed_seconds: is_over.then(|| random.below(100)),
        cost: is_over.then(|| Money::from_micros(i64::try_from(random.below(10_000)).unwrap())),
        codec: random.one_of(&[None, Some(Codec::Pcmu), Some(Codec::Pcma), Some(Codec::G722)]),
        media: is_over.then(|| {
            let (packets_received, packets_lost, _) = random.one_of(&HEARD);
            LegMedia { packets_received, packets_lost, ..LegMedia::default() }
        }),
        ..leg(1, call)
    }
}

/// Packets that came and that were lost, and the mean opinion score of that by G.107 in thousandths.
const HEARD: [(u64, Option<i64>, Option<i64>); 4] =
    [(400, Some(-2), Some(4_410)), (95, Some(5), Some(3_920)), (95, None, None), (24, Some(0), None)];

/// What a row of the log is: its time, trunk, direction, cause and prefix, and what it adds.
type Told = (Timestamp, Option<TrunkId>, CallDirection, Option<String>, String, Sums);

#[expect(clippy::cast_possible_truncation, reason = "a score is at most 5")]
fn millis(score: f64) -> i64 {
    (score * 1_000.0).round() as i64
}

fn told_of_call(call: &CallRecord) -> Told {
    let answered = call.answered_at.is_some() || matches!(call.status, CallStatus::Answered | CallStatus::Completed);
    let over = call.ended_at.is_some();
    let duration = call.duration_ms.filter(|_| over && answered).map(|ms| i64::try_from(ms).unwrap());
    let cost = call.cost.map_or(0, Money::micros);
    let cause = over.then(|| match (call.hangup_cause.as_deref(), call.status) {
        (Some(known @ ("normal_clearing" | "user_busy" | "normal_unspecified")), _) => known.to_owned(),
        (_, CallStatus::Completed | CallStatus::Answered) => "normal_clearing".to_owned(),
        (_, CallStatus::Busy) => "user_busy".to_owned(),
        (_, CallStatus::NoAnswer) => "no_answer".to_owned(),
        (_, CallStatus::Canceled) => "canceled".to_owned(),
        (_, _) => "normal_unspecified".to_owned(),
    });
    let mut sums = Sums {
        calls: 1,
        calls_answered: i64::from(answered),
        calls_failed: i64::from(over && !answered),
        calls_timed: i64::from(duration.is_some()),
        calls_ms: duration.unwrap_or(0),
        calls_cost_micros: cost,
        scores: i64::from(call.quality_score.is_some()),
        scores_millis: call.quality_score.map_or(0, millis),
        ..Sums::default()
    };
    if call.carried_by == CarriedBy::External {
        sums.attempts = 1;
        sums.attempts_answered = sums.calls_answered;
        sums.attempts_failed = sums.calls_failed;
        sums.attempts_timed = sums.calls_timed;
        sums.attempts_ms = sums.calls_ms;
        sums.attempts_cost_micros = cost;
        let reached = matches!(cause.as_deref(), Some("user_busy" | "no_answer"));
        sums.attempts_effective = i64::from(answered || reached);
    }
    (call.started_at, call.trunk_id, call.direction, cause, prefix_of(&call.to_number), sums)
}

fn told_of_leg(leg: &LegRecord) -> Told {
    let answered = leg.answered_at.is_some();
    let over = leg.ended_at.is_some();
    let duration = leg.duration_ms.filter(|_| over && answered).map(|ms| i64::try_from(ms).unwrap());
    let rung = leg.ringing_at.or(leg.answered_at).filter(|_| leg.direction == CallDirection::Outbound);
    let reached = match leg.cause {
        Some(HangupCause::UserBusy) => over,
        Some(HangupCause::Canceled) => over && leg.ringing_at.is_some(),
        _ => false,
    };
    let is_g711 = matches!(leg.codec, Some(Codec::Pcmu | Codec::Pcma));
    let media = leg.media.as_ref().filter(|_| answered && is_g711);
    let mos = media.and_then(|media| {
        HEARD.iter().find(|(came, lost, _)| (*came, *lost) == (media.packets_received, media.packets_lost)).unwrap().2
    });
    let sums = Sums {
        attempts: 1,
        attempts_answered: i64::from(answered),
        attempts_failed: i64::from(over && !answered),
        attempts_effective: i64::from(answered || reached),
        attempts_timed: i64::from(duration.is_some()),
        attempts_ms: duration.unwrap_or(0),
        attempts_cost_micros: leg.cost.map_or(0, Money::micros),
        billed_seconds: leg.billed_seconds.map_or(0, |seconds| i64::try_from(seconds).unwrap()),
        rung: i64::from(rung.is_some()),
        // No ringing counts for longer than an hour.
        rung_us: rung.map_or(0, |at| i64::try_from(at.since(leg.started_at).as_micros()).unwrap().min(3_600_000_000)),
        heard: i64::from(mos.is_some()),
        heard_mos_millis: mos.unwrap_or(0),
        ..Sums::default()
    };
    let number = leg.request_uri.trim_start_matches("sip:").split('@').next().unwrap();
    let cause = leg.cause.filter(|_| over).map(|cause| cause.as_str().to_owned());
    (leg.started_at, leg.trunk_id, leg.direction, cause, prefix_of(number), sums)
}

/// Every row of the log as it is stored.
async fn stored_rows(store: &Store, account: AccountId) -> Vec<Told> {
    let calls = store.calls(account, &CallFilter::default(), &Part::page(0, 1_000)).await.unwrap().rows;
    let mut rows: Vec<Told> = calls.iter().map(told_of_call).collect();
    // Also the legs of calls that were not written, or belong to another account.
    for number in 0..10 {
        rows.extend(store.call_legs(account, call_id(number)).await.unwrap().iter().map(told_of_leg));
    }
    rows
}

/// Adds up the rows by a text that tells apart what shall be told apart; rows without one are left out.
fn added_up(rows: &[Told], tell_apart: impl Fn(&Told) -> Option<String>) -> BTreeMap<String, Sums> {
    let mut groups: BTreeMap<String, Sums> = BTreeMap::new();
    for row in rows {
        if let Some(group) = tell_apart(row) {
            groups.entry(group).or_default().add(&row.5);
        }
    }
    groups
}

const HOUR: i64 = 3_600_000_000;
const DAY: i64 = 24 * HOUR;

fn floor(time: Timestamp, step: i64) -> i64 {
    time.unix_micros() - time.unix_micros() % step
}

async fn agrees_with_the_rows(store: &Store, account: AccountId) {
    let rows = stored_rows(store, account).await;
    let all = TrafficQuery::new(account, at(-DAY / 1_000_000), at(4 * DAY / 1_000_000));
    let text = |row: &tandem_store::TrafficRow| {
        let time = row.began_at.map(|at| at.unix_micros().to_string());
        let detail = row.cause.map(|cause| cause.as_str().to_owned());
        let detail = detail.or_else(|| row.prefix.map(|prefix| prefix.to_string()));
        let trunk = row.trunk.map(|trunk| trunk.to_string());
        [time, trunk, detail].into_iter().flatten().collect::<Vec<_>>().join(" ")
    };
    let ask = async |query: TrafficQuery| {
        let found = store.traffic(&query).await.unwrap();
        found.iter().map(|row| (text(row), row.sums)).collect::<BTreeMap<_, _>>()
    };

    assert_eq!(ask(all.clone()).await, added_up(&rows, |_| Some(String::new())), "all");
    let hours = TrafficQuery { by_time: Some(TimeStep::Hour), ..all.clone() };
    assert_eq!(ask(hours).await, added_up(&rows, |row| Some(floor(row.0, HOUR).to_string())), "by hour");
    let days = TrafficQuery { by_time: Some(TimeStep::Day), ..all.clone() };
    assert_eq!(ask(days).await, added_up(&rows, |row| Some(floor(row.0, DAY).to_string())), "by day");
    let trunks = TrafficQuery { by_trunk: true, ..all.clone() };
    assert_eq!(ask(trunks).await, added_up(&rows, |row| row.1.map(|trunk| trunk.to_string())), "by trunk");
    let causes = TrafficQuery { by_detail: Some(TrafficDetail::Cause), ..all.clone() };
    assert_eq!(ask(causes).await, added_up(&rows, |row| row.3.clone()), "by cause");
    let prefixes = TrafficQuery { by_detail: Some(TrafficDetail::Prefix), ..all.clone() };
    assert_eq!(ask(prefixes).await, added_up(&rows, |row| Some(row.4.clone())), "by prefix");

    // Some of it: from ten to ten, one trunk, one direction.
    let (from, to) =
        (Timestamp::from_unix_micros(floor(at(36_000), HOUR)), Timestamp::from_unix_micros(floor(at(122_400), HOUR)));
    let part = TrafficQuery {
        by_detail: Some(TrafficDetail::Prefix),
        trunk: Some(trunk_id(1)),
        direction: Some(CallDirection::Outbound),
        ..TrafficQuery::new(account, from, to)
    };
    let inside =
        |row: &&Told| row.0 >= from && row.0 < to && row.1 == Some(trunk_id(1)) && row.2 == CallDirection::Outbound;
    let some: Vec<Told> = rows.iter().filter(inside).cloned().collect();
    assert_eq!(ask(part.clone()).await, added_up(&some, |row| Some(row.4.clone())), "a part");
    let one = TrafficQuery { by_detail: None, prefix: Some("442".into()), ..part };
    let expected = added_up(&some, |row| row.4.starts_with("442").then(String::new));
    assert_eq!(ask(one).await, expected, "one prefix of a part");
}

pub(crate) async fn any_writes_add_up_to_what_the_rows_say(store: &Store) {
    let (ours, theirs) = (with_account(store, 1).await, with_account(store, 2).await);
    for number in [1, 2] {
        store.insert_trunk(&ACT, &trunk(number, ours), 10).await.unwrap();
    }
    let mut random = Random(0x5eed_0001);
    let mut logged = Vec::new();
    for round in 0..60 {
        let batch: Vec<Record> = (0..random.below(12))
            .map(|_| {
                let account = if random.below(8) == 0 { theirs } else { ours };
                let number = random.below(10);
                let call = call_state(&mut random, account, number);
                match random.below(3) {
                    0 => Record::Call(Box::new(call)),
                    _ => {
                        let number = random.below(3);
                        Record::Leg(Box::new(leg_state(&mut random, &call, number)))
                    }
                }
            })
            .collect();
        for _ in 0..=random.below(2) {
            store.write_records(&batch).await.unwrap();
        }
        if random.below(3) == 0 {
            let number = 100 + round;
            let call = CallRecord {
                carried_by: CarriedBy::External,
                call_id: format!("client-{number}"),
                trunk_id: Some(trunk_id(1 + random.below(2))),
                ..call_state(&mut random, ours, number)
            };
            store.insert_external_call(&ACT, &call).await.unwrap();
            logged.push(number);
        }
        let changed = if logged.is_empty() || random.below(2) == 0 { random.below(10) } else { random.one_of(&logged) };
        let state = call_state(&mut random, ours, changed);
        let _ = store
            .update_call(&ACT, ours, &CallKey::Id(call_id(changed)), |call| {
                call.quality_score = state.quality_score;
                call.cost = state.cost;
                call.status = state.status;
                (call.answered_at, call.ended_at) = (state.answered_at, state.ended_at);
                call.duration_ms = state.duration_ms;
                call.hangup_cause = state.hangup_cause;
                Ok::<(), Infallible>(())
            })
            .await;
        if round % 10 == 9 {
            agrees_with_the_rows(store, ours).await;
            agrees_with_the_rows(store, theirs).await;
        }
    }
    assert!(stored_rows(store, ours).await.len() > 20 && !stored_rows(store, theirs).await.is_empty());
}

/// What calls with a number have added stays where it was counted, to the last row, and can be taken away again.
pub(crate) async fn what_an_erased_number_has_added_stays(store: &Store) {
    let ours = with_account(store, 1).await;
    for number in [1, 2] {
        store.insert_trunk(&ACT, &trunk(number, ours), 10).await.unwrap();
    }
    let mut random = Random(0x5eed_0002);
    let mut write = async |from: u64| {
        for number in from..from + 10 {
            let call = call_state(&mut random, ours, number % 10);
            let leg = leg_state(&mut random, &call, number % 3);
            store.write_records(&[Record::Call(Box::new(call)), Record::Leg(Box::new(leg))]).await.unwrap();
        }
    };
    write(0).await;
    let logged = CallRecord {
        carried_by: CarriedBy::External,
        call_id: "client".to_owned(),
        trunk_id: Some(trunk_id(1)),
        to_number: NUMBERS[0].0.to_owned(),
        ..call(50, ours)
    };
    store.insert_external_call(&ACT, &logged).await.unwrap();
    let by_prefix = TrafficQuery {
        by_detail: Some(TrafficDetail::Prefix),
        by_time: Some(TimeStep::Hour),
        by_trunk: true,
        ..TrafficQuery::new(ours, at(-DAY / 1_000_000), at(4 * DAY / 1_000_000))
    };
    let shown = async || format!("{:?}", store.traffic(&by_prefix).await.unwrap());
    let before = shown().await;
    agrees_with_the_rows(store, ours).await;
    let rows = stored_rows(store, ours).await;

    store.insert_erasure(&act(), ours, &NUMBERS[0].0.parse().unwrap(), &[]).await.unwrap();
    // Calls that never end are those of a node that is no more.
    let long_after = wall_clock().saturating_add(Duration::from_secs(50 * 60 * 60));
    assert_eq!(work(store, long_after).await, Some(ErasureStep::Finished));
    assert_eq!(shown().await, before);
    assert_eq!(stored_rows(store, ours).await, rows, "each row tells what it told");
    let logged = store.call(ours, &CallKey::ClientId("client".into())).await.unwrap().unwrap();
    assert!(logged.to_number.starts_with("erased-1202-"), "{}", logged.to_number);
    store
        .update_call(&ACT, ours, &CallKey::Id(logged.id), |call| {
            call.quality_score = Some(2.5);
            Ok::<_, Infallible>(())
        })
        .await
        .unwrap();
    agrees_with_the_rows(store, ours).await;
    write(10).await;
    agrees_with_the_rows(store, ours).await;
}

pub(crate) async fn what_is_written_at_once_by_many_adds_up(store: &Store) {
    let (account, trunk) = with_trunk(store, 1).await;
    store.insert_trunk(&ACT, &crate::samples::trunk(2, account), 10).await.unwrap();
    for number in 0..20 {
        store.insert_external_call(&ACT, &external_call(number, account, trunk)).await.unwrap();
    }
    let writers = (0..6_u64).map(|writer| {
        let store = store.clone();
        tokio::spawn(async move {
            let mut random = Random(0x5eed_1000 + writer);
            for _ in 0..15 {
                let changed = call_id(random.below(20 + 60));
                let ended = Some(at(30)).filter(|_| random.below(2) == 0);
                let cost = Money::from_micros(i64::try_from(random.below(1_000)).unwrap());
                let change = |call: &mut CallRecord| {
                    (call.ended_at, call.cost) = (ended, Some(cost));
                    Ok::<(), Infallible>(())
                };
                let changed = store.update_call(&ACT, account, &CallKey::Id(changed), change).await;
                assert!(matches!(changed, Ok(_) | Err(UpdateCallError::NotFound)), "{changed:?}");
                // A call is recorded by the node that carries it.
                let states: Vec<Record> = (0..10)
                    .map(|_| {
                        let number = 20 + 10 * writer + random.below(10);
                        Record::Call(Box::new(call_state(&mut random, account, number)))
                    })
                    .collect();
                store.write_records(&states).await.unwrap();
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    agrees_with_the_rows(store, account).await;
}

pub(crate) async fn the_last_day_rolls_by_the_minute(store: &Store) {
    let (account, trunk) = with_trunk(store, 1).await;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let now = Timestamp::from_unix_micros(i64::try_from(now.as_micros()).unwrap());
    let ago =
        |span: Duration| Timestamp::from_unix_micros(now.unix_micros() - i64::try_from(span.as_micros()).unwrap());
    let (day, minute) = (Duration::from_secs(86_400), Duration::from_secs(60));
    for (number, started_at) in [
        (1, now),
        (2, ago(day - minute)),
        (3, ago(day + 2 * minute)),
        (4, ago(2 * day + 2 * minute)),
        (5, ago(day / 2)),
    ] {
        let call = CallRecord { started_at, ..external_call(number, account, trunk) };
        store.insert_external_call(&ACT, &call).await.unwrap();
    }
    let query = TrafficQuery { trunk: Some(trunk), from_the_minute: true, ..TrafficQuery::new(account, ago(day), now) };
    let found = store.traffic(&query).await.unwrap();
    assert_eq!(found.iter().map(|row| row.sums.calls).sum::<i64>(), 3);
    assert_eq!(store.remove_old_minutes().await.unwrap(), 0, "none was written that is older");
    let elsewhere = TrafficQuery { account: account_id(9), ..query };
    assert_eq!(store.traffic(&elsewhere).await.unwrap(), []);
}

pub(crate) async fn what_was_counted_is_not_counted_again(store: &Store) {
    let (account, trunk) = with_trunk(store, 1).await;
    store.insert_trunk(&ACT, &crate::samples::trunk(2, account), 10).await.unwrap();
    let logged = CallRecord { ended_at: Some(at(20)), ..external_call(1, account, trunk) };
    store.insert_external_call(&ACT, &logged).await.unwrap();
    let (ours, legs) = (call(2, account), leg(1, &call(2, account)));
    store.write_records(&[Record::Call(Box::new(ours)), Record::Leg(Box::new(legs))]).await.unwrap();
    let mut steps = 0;
    while store.count_earlier_calls().await.unwrap() {
        steps += 1;
        assert!(steps < 10);
    }
    assert!(!store.count_earlier_calls().await.unwrap());
    agrees_with_the_rows(store, account).await;
}
