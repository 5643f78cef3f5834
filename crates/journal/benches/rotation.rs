//! For how long a new segment holds up the shard: `cargo bench -p tandem-journal`.
//!
//! Thousands of calls are held while others come and go, until the journal has gone over to some new segments. What one turn of the
//! loop waits for its append is what every message of that turn waits.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench fails where it goes wrong, and tells its result"
)]
#![expect(clippy::disallowed_methods, reason = "a bench measures time")]

use std::time::{Duration, Instant};
use tandem_journal::{Entry, Kept, KeptFlow, Options, Writer};
use tandem_model::{
    AccountId, CallDirection, CallEvent, CallId, CallRecord, CallStatus, CarriedBy, EventKind, JsonText, LegId, NodeId,
    Record, Timestamp, Transport,
};

/// Calls that are up all the time.
const HELD: [u32; 3] = [0, 2_000, 10_000];
/// Turns that are measured: some 100 MB.
const TURNS: u32 = 20_000;

fn main() {
    for held in HELD {
        let folder = tempfile::tempdir().unwrap();
        let node = NodeId::new(at(0), [1; 10]);
        let (mut writer, _) = Writer::open(folder.path(), 0, node, at(0), Options::default()).unwrap();
        for number in 0..held {
            writer.append(&begin(number)).unwrap();
        }
        let first = writer.end().segment;
        let mut turns: Vec<Duration> = (0..TURNS)
            .map(|turn| {
                let mut entries = begin(held + turn);
                entries.extend(end(held + turn));
                let before = Instant::now();
                writer.append(&entries).unwrap();
                before.elapsed()
            })
            .collect();
        turns.sort_unstable();
        let segments = writer.end().segment - first;
        let (median, longest) = (turns[turns.len() / 2], turns[turns.len() - 1]);
        let p999 = turns[turns.len() * 999 / 1_000];
        let total: Duration = turns.iter().sum();
        println!(
            "{held} held calls, {segments} new segments: median {median:?}, p99.9 {p999:?}, longest {longest:?}, total {total:?}"
        );
    }
}

fn at(seconds: u32) -> Timestamp {
    Timestamp::from_unix_micros(1_764_000_000_000_000 + i64::from(seconds) * 1_000_000)
}

fn bits(number: u32, of: u8) -> [u8; 10] {
    let [a, b, c, d] = number.to_be_bytes();
    [of, 0, 0, 0, 0, 0, a, b, c, d]
}

/// A call between two parties that are both answered, with what is kept of them.
fn begin(number: u32) -> Vec<Entry> {
    let call = call_id(number);
    let legs = [leg_id(number, 1), leg_id(number, 2)];
    let mut entries = vec![state(number, CallStatus::Answered), event(number, 1)];
    for leg in legs {
        entries.push(Entry::Keep { leg, call, kept: Kept::Invite { flow: flow(), octets: vec![b'i'; 1_200] } });
        entries.push(Entry::Keep { leg, call, kept: Kept::Dialog { text: "d".repeat(900) } });
    }
    entries
}

fn end(number: u32) -> Vec<Entry> {
    let forget = |leg| Entry::Forget { leg: leg_id(number, leg) };
    vec![event(number, 2), state(number, CallStatus::Completed), forget(1), forget(2)]
}

fn call_id(number: u32) -> CallId {
    CallId::new(at(number), bits(number, 0))
}

fn leg_id(number: u32, leg: u8) -> LegId {
    LegId::new(at(number), bits(number, leg))
}

fn state(number: u32, status: CallStatus) -> Entry {
    Entry::Record(Record::Call(Box::new(CallRecord {
        id: call_id(number),
        account_id: account(),
        call_id: call_id(number).to_string(),
        trunk_id: None,
        direction: CallDirection::Outbound,
        carried_by: CarriedBy::Tandem,
        conversation_id: None,
        from_number: "+12025550199".to_owned(),
        to_number: "+12025550100".to_owned(),
        to_uri: None,
        started_at: at(number),
        answered_at: Some(at(number)),
        ended_at: None,
        duration_ms: None,
        status,
        hangup_cause: None,
        sip_status: None,
        hung_up_by: None,
        quality_score: None,
        codec_used: None,
        sip_call_id: None,
        remote_ip: None,
        cost: None,
        credits_used: None,
        // As long as a receipt.
        metadata: [("note".to_owned(), "n".repeat(1_500).into())].into_iter().collect(),
        receipt: None,
        created_at: at(number),
    })))
}

fn account() -> AccountId {
    AccountId::new(at(0), [9; 10])
}

fn event(number: u32, step: u32) -> Entry {
    Entry::Record(Record::Event(CallEvent {
        call_id: call_id(number),
        account_id: account(),
        number: step,
        leg_id: None,
        at: at(number),
        kind: EventKind::Held,
        detail: JsonText::new(&serde_json::Map::new()),
    }))
}

fn flow() -> KeptFlow {
    KeptFlow {
        transport: Transport::Udp,
        local: "127.0.0.1:5060".parse().unwrap(),
        remote: "127.0.0.2:5060".parse().unwrap(),
    }
}
