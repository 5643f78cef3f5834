//! Entries, and journals in temporary directories.

use proptest::prelude::*;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tandem_journal::{Batch, Entry, Kept, KeptFlow, Options, Recovered, Sync, Tailer, Writer};
use tandem_model::{
    AccountId, CallDirection, CallEvent, CallId, CallRecord, CallStatus, CarriedBy, EventKind, JsonText, LegId,
    LegKind, LegRecord, LegStatus, NodeId, Record, Timestamp, Transport,
};
use tempfile::TempDir;

pub(crate) const SHARD: u16 = 0;

pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix_micros(1_764_000_000_000_000 + seconds * 1_000_000)
}

pub(crate) fn node() -> NodeId {
    NodeId::new(at(0), [1; 10])
}

pub(crate) fn call_id(number: u8) -> CallId {
    CallId::new(at(0), [number; 10])
}

pub(crate) fn leg_id(call: u8, leg: u8) -> LegId {
    LegId::new(at(0), [call.wrapping_mul(16).wrapping_add(leg); 10])
}

fn account() -> AccountId {
    AccountId::new(at(0), [9; 10])
}

pub(crate) fn call(number: u8, status: CallStatus) -> Entry {
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
        started_at: at(1),
        answered_at: None,
        ended_at: status.is_final().then(|| at(9)),
        duration_ms: None,
        status,
        hangup_cause: None,
        sip_status: None,
        hung_up_by: None,
        quality_score: Some(4.25),
        codec_used: None,
        sip_call_id: None,
        remote_ip: None,
        cost: None,
        credits_used: None,
        metadata: serde_json::json!({ "note": "ümläut \u{1} \"quoted\"", "deep": { "list": [1, 2.5, null] } })
            .as_object()
            .cloned()
            .unwrap(),
        receipt: None,
        created_at: at(1),
    })))
}

/// A state whose receipt, which the journal does not read, is this number.
pub(crate) fn call_with_receipt(number: u8, status: CallStatus, receipt: u32) -> Entry {
    match call(number, status) {
        Entry::Record(Record::Call(mut record)) => {
            record.receipt = Some(JsonText::from_stored(receipt.to_string()));
            Entry::Record(Record::Call(record))
        }
        other @ (Entry::Record(_) | Entry::Keep { .. } | Entry::Forget { .. } | Entry::Heartbeat { .. }) => other,
    }
}

pub(crate) fn leg(call: u8, number: u8, status: LegStatus) -> Entry {
    Entry::Record(Record::Leg(Box::new(LegRecord {
        id: leg_id(call, number),
        call_id: call_id(call),
        account_id: account(),
        number: u32::from(number),
        kind: LegKind::Sip,
        trunk_id: None,
        direction: CallDirection::Outbound,
        request_uri: "sip:+12025550100@127.0.0.2".to_owned(),
        started_at: at(1),
        ringing_at: None,
        answered_at: None,
        ended_at: None,
        duration_ms: None,
        status,
        cause: None,
        sip_status: None,
        hung_up_by: None,
        codec: None,
        sip_call_id: "a84b4c76e66710".to_owned(),
        transport: Transport::Udp,
        remote_address: Some("127.0.0.2:5060".parse().unwrap()),
        billed_seconds: None,
        cost: None,
        media: None,
    })))
}

pub(crate) fn event(call: u8, number: u32) -> Entry {
    Entry::Record(Record::Event(CallEvent {
        call_id: call_id(call),
        account_id: account(),
        number,
        leg_id: None,
        at: at(2),
        kind: EventKind::Held,
        detail: JsonText::new(&serde_json::Map::new()),
    }))
}

fn flow() -> KeptFlow {
    KeptFlow {
        transport: Transport::Udp,
        local: "127.0.0.1:5060".parse().unwrap(),
        remote: "[::1]:5070".parse().unwrap(),
    }
}

pub(crate) fn keep_invite(call: u8, leg: u8) -> Entry {
    let octets = b"INVITE sip:+12025550100@127.0.0.2 SIP/2.0\r\n\r\n\x00\xff\xfe".to_vec();
    Entry::Keep { leg: leg_id(call, leg), call: call_id(call), kept: Kept::Invite { flow: flow(), octets } }
}

pub(crate) fn keep_caller(call: u8, leg: u8) -> Entry {
    let octets = b"INVITE sip:us SIP/2.0\r\n\r\n".to_vec();
    Entry::Keep {
        leg: leg_id(call, leg),
        call: call_id(call),
        kept: Kept::WaitingCaller { flow: flow(), octets, to_tag: String::new() },
    }
}

pub(crate) fn keep_dialog(call: u8, leg: u8) -> Entry {
    Entry::Keep {
        leg: leg_id(call, leg),
        call: call_id(call),
        kept: Kept::Dialog { text: "dialog\nof two lines".to_owned() },
    }
}

pub(crate) fn forget(call: u8, leg: u8) -> Entry {
    Entry::Forget { leg: leg_id(call, leg) }
}

pub(crate) fn heartbeat(second: i64) -> Entry {
    Entry::Heartbeat { at: at(second) }
}

/// One entry of each kind about one answered call.
pub(crate) fn answered_call() -> Vec<Entry> {
    vec![
        call(1, CallStatus::Initiated),
        event(1, 1),
        leg(1, 1, LegStatus::Trying),
        keep_invite(1, 1),
        leg(1, 1, LegStatus::Answered),
        keep_dialog(1, 1),
        call(1, CallStatus::Answered),
        event(1, 2),
        keep_caller(1, 2),
        heartbeat(3),
    ]
}

/// Any entry about a few calls of three legs each.
pub(crate) fn any_entry() -> impl Strategy<Value = Entry> {
    (0..4_u8, 0..3_u8, 1..20_u32, 0..9_u8, 0..4_usize).prop_map(|(of, number, value, kind, status)| match kind {
        0 | 1 => {
            let status =
                [CallStatus::Initiated, CallStatus::Ringing, CallStatus::Answered, CallStatus::Completed][status];
            if kind == 0 { call(of, status) } else { call_with_receipt(of, status, value) }
        }
        2 => {
            leg(of, number, [LegStatus::Trying, LegStatus::Ringing, LegStatus::Answered, LegStatus::Completed][status])
        }
        3 => event(of, value),
        4 => keep_invite(of, number),
        5 => keep_dialog(of, number),
        6 | 7 => forget(of, number),
        _ => heartbeat(i64::from(value)),
    })
}

pub(crate) fn records(entries: &[Entry]) -> Vec<Record> {
    entries.iter().filter_map(record).collect()
}

fn record(entry: &Entry) -> Option<Record> {
    match entry {
        Entry::Record(record) => Some(record.clone()),
        Entry::Keep { .. } | Entry::Forget { .. } | Entry::Heartbeat { .. } => None,
    }
}

pub(crate) const LONG_SEGMENTS: Options =
    Options { segment_bytes: u64::MAX, snapshot_bytes_per_turn: usize::MAX, sync: Sync::Never };
pub(crate) const SHORT_SEGMENTS: Options = Options { segment_bytes: 1_500, ..LONG_SEGMENTS };
/// One call a turn, so that other turns come between.
pub(crate) const SLOW_SNAPSHOTS: Options = Options { snapshot_bytes_per_turn: 1, ..SHORT_SEGMENTS };

/// A directory in memory: these tests end processes, not machines, and waiting for a disk would take most of their time.
pub(crate) fn temporary() -> TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap()
}

pub(crate) fn open(directory: &Path, options: Options) -> (Writer, Recovered) {
    Writer::open(directory, SHARD, node(), at(0), options).unwrap()
}

pub(crate) fn shard_directory(directory: &Path) -> PathBuf {
    directory.join(format!("shard-{SHARD}"))
}

/// The segment files, by number.
pub(crate) fn segments(directory: &Path) -> BTreeMap<u64, PathBuf> {
    let files = fs::read_dir(shard_directory(directory)).unwrap().map(|file| file.unwrap().path());
    files
        .filter(|path| path.extension().is_some_and(|extension| extension == "journal"))
        .map(|path| (path.file_stem().unwrap().to_str().unwrap().parse().unwrap(), path))
        .collect()
}

/// Reads until there is no more. Twice in vain, since live damage is believed at second sight.
pub(crate) fn read_all(tailer: &mut Tailer) -> Vec<Batch> {
    let mut batches = Vec::new();
    let mut in_vain = 0;
    while in_vain < 2 {
        let batch = tailer.read_batch(7, 5_000).unwrap();
        in_vain = if batch.records.is_empty() && batch.is_at_end { in_vain + 1 } else { 0 };
        batches.push(batch);
    }
    batches
}

pub(crate) fn all_records(tailer: &mut Tailer) -> Vec<Record> {
    read_all(tailer).into_iter().flat_map(|batch| batch.records).collect()
}

/// A small file system in memory, gone with this value.
pub(crate) struct Mount(TempDir);

impl Mount {
    /// `None` where this user may not mount.
    pub(crate) fn of_bytes(bytes: u64) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={bytes}"), "tmpfs"])
            .arg(directory.path())
            .stderr(Stdio::null())
            .status();
        mount.is_ok_and(|status| status.success()).then(|| Self(directory))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Lazily: a failed test may still have files open in it.
        let _ = Command::new("umount").arg("--lazy").arg(self.0.path()).status();
    }
}
