//! What a call costs in the store, in CPU time of this process: `cargo bench -p tandem-store`. On SQLite, or on the database that
//! `DATABASE_URL` names, in which it leaves its calls.
//!
//! A call is two states of the call, two of each of its legs and eight events, as at 1,000 calls a second with a batch every 250 ms:
//! short ones, which begin and end in one batch, and long ones, which end in a later one. In the last rounds somebody listens to the
//! account, so that each call has its events for clients too.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench fails where it goes wrong, and tells its result"
)]

use std::time::Instant;
use tandem_model::*;
use tandem_store::{Act, DatabaseUrl, MasterKey, Store, StoreOptions};
use uuid::Uuid;

static ACT: Act = Act::system("test", Timestamp::from_unix_micros(0));
const QUIET_ROUNDS: u64 = 6;
const LISTENED_ROUNDS: u64 = 4;
const BATCHES: u64 = 40;
const CALLS_PER_BATCH: u64 = 250;
const LEGS: u32 = 2;
/// A second.
const LONG_CALL_BATCHES: u64 = 4;
/// Of `/proc/self/stat`: `sysconf(_SC_CLK_TCK)` is 100 on every Linux.
const MICROS_PER_TICK: u64 = 10_000;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let folder = tempfile::tempdir().unwrap();
    let options = StoreOptions {
        master_key: MasterKey::from_bytes([1; 32]),
        node_id: NodeId::from_uuid(Uuid::from_u128(1)),
        boot_id: BootId::from_uuid(Uuid::from_u128(2)),
    };
    let url = match std::env::var("DATABASE_URL") {
        Ok(url) => url.parse().unwrap(),
        Err(_) => DatabaseUrl::sqlite(folder.path().join("tandem.db")),
    };
    let store = Store::open(&url, options).await.unwrap();
    let account = store.ensure_admin_account(&ACT, "bench").await.unwrap().id;

    for round in 0..QUIET_ROUNDS + LISTENED_ROUNDS {
        if round == QUIET_ROUNDS {
            store.listen(account).await.unwrap();
        }
        let kind = if round % 2 == 0 { Kind::Short } else { Kind::Long };
        let batches: Vec<Vec<Record>> = (0..BATCHES).map(|batch| records(account, kind, round, batch)).collect();
        let (cpu, wall) = (cpu_micros(), Instant::now());
        for batch in &batches {
            store.write_records(batch).await.unwrap();
        }
        let calls = BATCHES * CALLS_PER_BATCH;
        let (cpu, wall) = (cpu_micros() - cpu, wall.elapsed().as_micros() / u128::from(calls));
        println!(
            "round {round}, {kind:?} calls{}: {:.1} us CPU a call, {wall} us wall, {calls} calls",
            if round < QUIET_ROUNDS { "" } else { " with a listener" },
            cpu as f64 / calls as f64
        );
    }
    store.close().await;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Short,
    Long,
}

/// The beginnings of new calls and their ends, or those of calls that an earlier batch began.
fn records(account: AccountId, kind: Kind, round: u64, batch: u64) -> Vec<Record> {
    let ending = match kind {
        Kind::Short => Some(batch),
        Kind::Long => batch.checked_sub(LONG_CALL_BATCHES),
    };
    let mut records = Vec::new();
    for number in 0..CALLS_PER_BATCH {
        records.extend(states(account, round, batch, number, false));
        if let Some(begun_in) = ending {
            records.extend(states(account, round, begun_in, number, true));
        }
    }
    records
}

fn states(account_id: AccountId, round: u64, batch: u64, number: u64, ended: bool) -> impl Iterator<Item = Record> {
    let serial = (round * BATCHES + batch) * CALLS_PER_BATCH + number;
    let at = Timestamp::from_unix_micros(1_760_000_000_000_000 + i64::try_from(serial).unwrap() * 1_000);
    // As random as real ids, the same in every run.
    let spread = serial.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
    let random = [spread[0], spread[1], spread[2], spread[3], spread[4], spread[5], spread[6], spread[7], 0, 0];
    let id = CallId::new(at, random);
    let leg_id =
        move |number| LegId::new(at.saturating_add(std::time::Duration::from_micros(u64::from(number))), random);
    let trunk_id = Some(TrunkId::from_uuid(Uuid::from_u128(3)));
    let end = ended.then_some(at);
    let call = CallRecord {
        id,
        account_id,
        call_id: id.to_string(),
        trunk_id,
        direction: CallDirection::Outbound,
        carried_by: CarriedBy::Tandem,
        conversation_id: None,
        from_number: "+12025550199".into(),
        to_number: "+12025550100".into(),
        to_uri: None,
        started_at: at,
        answered_at: end,
        ended_at: end,
        duration_ms: ended.then_some(2_000),
        status: if ended { CallStatus::Completed } else { CallStatus::Initiated },
        hangup_cause: ended.then(|| "normal_clearing".into()),
        sip_status: ended.then_some(200),
        hung_up_by: ended.then_some(HungUpBy::Callee),
        quality_score: None,
        codec_used: ended.then(|| "PCMU".into()),
        sip_call_id: Some(id.to_string()),
        remote_ip: Some("127.0.0.2".into()),
        cost: ended.then_some(Money::from_micros(200)),
        credits_used: None,
        metadata: serde_json::Map::new(),
        receipt: Some(JsonText::new(&receipt(account_id, at))),
        created_at: at,
    };
    let leg = move |number| LegRecord {
        id: leg_id(number),
        call_id: id,
        account_id,
        number,
        kind: LegKind::Sip,
        trunk_id,
        direction: CallDirection::Outbound,
        request_uri: "sip:+12025550100@127.0.0.2:5080".into(),
        started_at: at,
        ringing_at: end,
        answered_at: end,
        ended_at: end,
        duration_ms: ended.then_some(2_000),
        status: if ended { LegStatus::Completed } else { LegStatus::Trying },
        cause: ended.then_some(HangupCause::NormalClearing),
        sip_status: ended.then_some(200),
        hung_up_by: ended.then_some(HungUpBy::Callee),
        codec: ended.then_some(Codec::Pcmu),
        sip_call_id: id.to_string(),
        transport: Transport::Udp,
        remote_address: Some("127.0.0.2:5080".parse().unwrap()),
        billed_seconds: ended.then_some(2),
        cost: ended.then_some(Money::from_micros(200)),
        media: ended.then(LegMedia::default),
    };
    let first = if ended { 5 } else { 1 };
    let events = (first..first + 4).map(move |number| {
        Record::Event(CallEvent {
            call_id: id,
            account_id,
            number,
            leg_id: Some(leg_id(1)),
            at,
            kind: EventKind::LegStarted,
            detail: JsonText::new(
                serde_json::json!({"target": "127.0.0.2:5080", "sip_status": 180}).as_object().unwrap(),
            ),
        })
    });
    let legs = (1..=LEGS).map(move |number| Record::Leg(Box::new(leg(number))));
    [Record::Call(Box::new(call))].into_iter().chain(legs).chain(events)
}

fn receipt(account_id: AccountId, at: Timestamp) -> Receipt {
    let trunk_id = TrunkId::from_uuid(Uuid::from_u128(3));
    let reason = Reason::Ranked { priority: 1, active: 4, limit: 1_000, weight: 1 };
    Receipt {
        account_id,
        decided_at: at,
        to: "+12025550100".into(),
        from: Some("+12025550199".into()),
        inbound: None,
        routing_revision: 7,
        considered: vec![Considered { trunk_id, trunk_name: "carrier".into(), verdict: Verdict::Taken, reason }],
        attempts: vec![AttemptReceipt {
            trunk_id: Some(trunk_id),
            trunk_name: Some("carrier".into()),
            request_uri: "sip:+12025550100@127.0.0.2:5080".into(),
            target: Some("127.0.0.2:5080".into()),
            started_at: at,
            decided_at: Some(at),
            outcome: Some(Reason::Answered),
            sip_status: Some(200),
            cause: None,
        }],
        refusal: None,
    }
}

/// User and system time of all threads of this process.
fn cpu_micros() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let after_name = stat.rsplit_once(')').unwrap().1;
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let ticks = |field: usize| fields[field].parse::<u64>().unwrap();
    (ticks(11) + ticks(12)) * MICROS_PER_TICK
}
