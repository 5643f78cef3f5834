use super::admission::Admission;
use super::journal_gauge::JournalGauge;
use super::unwritten::Unwritten;
use crossbeam_channel::Sender;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tandem_journal::{AppendError, Entry, Kept, KeptFlow, Writer};
use tandem_model::{Now, Record};
use tandem_sip::endpoint::Flow;

/// The shard's side of the journal: gathers what a turn of the loop must not forget, and writes it at once before anything of that
/// turn leaves.
pub(crate) struct TurnJournal {
    writer: Writer,
    unwritten: Unwritten,
    /// Tells the recorder that there is something to read. One place is enough: it reads all there is.
    written: Sender<()>,
    admission: Arc<Admission>,
    gauge: Arc<JournalGauge>,
    /// Whose disk is watched.
    directory: PathBuf,
    now: Option<Instant>,
    next_heartbeat: Option<Instant>,
    /// Whether the calls of the process before are closed. They end with its last sign of life, so there is none of this one before.
    has_taken_up: bool,
    failing: Option<Failing>,
}

/// The disk takes nothing.
#[derive(Clone, Copy)]
struct Failing {
    /// When it is tried again: what waits is more than a turn has, and must not be encoded in each.
    retry_at: Option<Instant>,
}

impl TurnJournal {
    pub(crate) fn new(
        writer: Writer,
        written: Sender<()>,
        admission: Arc<Admission>,
        gauge: Arc<JournalGauge>,
        directory: PathBuf,
    ) -> Self {
        Self {
            writer,
            unwritten: Unwritten::default(),
            written,
            admission,
            gauge,
            directory,
            now: None,
            next_heartbeat: None,
            has_taken_up: false,
            failing: None,
        }
    }

    pub(crate) fn record(&mut self, record: Record) {
        let is_refusal = match &record {
            Record::Refusal(_) => true,
            Record::Call(_) | Record::Leg(_) | Record::Event(_) => false,
        };
        let entry = Entry::Record(record);
        if !is_refusal || self.failing.is_none() {
            self.unwritten.push(entry);
        } else if !self.unwritten.push_refusal(entry) {
            self.gauge.refusal_lost();
        }
    }

    pub(crate) fn keep(&mut self, call: tandem_model::CallId, leg: tandem_model::LegId, kept: tandem_switch::Kept) {
        let kept = match kept {
            tandem_switch::Kept::Invite { flow, octets } => {
                Kept::Invite { flow: kept_flow(&flow), octets: octets.to_vec() }
            }
            tandem_switch::Kept::WaitingCaller { flow, octets, to_tag } => {
                Kept::WaitingCaller { flow: kept_flow(&flow), octets: octets.to_vec(), to_tag }
            }
            tandem_switch::Kept::AnsweredCaller { flow, octets, dialog } => {
                Kept::AnsweredCaller { flow: kept_flow(&flow), octets: octets.to_vec(), text: dialog.to_string() }
            }
            tandem_switch::Kept::Dialog(dialog) => Kept::Dialog { text: dialog.to_string() },
        };
        self.unwritten.push(Entry::Keep { leg, call, kept });
    }

    pub(crate) fn forget(&mut self, leg: tandem_model::LegId) {
        self.unwritten.push(Entry::Forget { leg });
    }

    /// The records that close the calls of the process before are written in this turn; signs of life begin in a later one.
    pub(crate) fn taken_up(&mut self, now: Instant) {
        self.has_taken_up = true;
        self.next_heartbeat = Some(now + HEARTBEAT);
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let retry_at = self.failing.and_then(|failing| failing.retry_at);
        [self.next_heartbeat, retry_at].into_iter().flatten().min()
    }

    /// Once a second: a sign of life, so that a later process knows how long calls went on, and a look at the disk.
    pub(crate) fn handle_timeout(&mut self, now: Now) {
        self.now = Some(now.instant);
        if let Some(failing) = &mut self.failing {
            failing.retry_at = failing.retry_at.filter(|due| now.instant < *due);
        }
        if self.next_heartbeat.is_some_and(|due| now.instant < due) {
            return;
        }
        self.next_heartbeat = Some(now.instant + HEARTBEAT);
        if self.has_taken_up {
            self.unwritten.push(Entry::Heartbeat { at: now.utc });
        }
        match tandem_netio::available_bytes(&self.directory) {
            Ok(bytes) => self.admission.set_free_bytes(bytes),
            Err(error) => tracing::warn!(%error, "the free space of the journal's disk is not known"),
        }
    }

    /// Writes what there is. What the disk does not take waits here and new calls are refused, so it stays bounded by the calls that
    /// are up.
    pub(crate) fn commit(&mut self) {
        if self.unwritten.is_empty() {
            return;
        }
        if self.failing.is_some_and(|failing| failing.retry_at.is_some()) {
            return self.wait_for_disk();
        }
        // Before it can be read: the recorder counts them off.
        self.admission.records_wait(records_in(self.unwritten.entries()));
        let failure = match self.writer.append(self.unwritten.entries()) {
            Ok(()) => {
                self.unwritten.clear();
                None
            }
            Err(AppendError::Write { written, source }) => {
                self.unwritten.written(written);
                self.admission.records_stored(records_in(self.unwritten.entries()));
                Some(source)
            }
            Err(AppendError::Sync(source)) => {
                self.unwritten.clear();
                Some(source)
            }
            Err(error @ AppendError::Entry { .. }) => {
                tracing::error!(%error, "an entry is lost");
                self.unwritten.clear();
                None
            }
        };
        self.note(failure);
        if let Some(error) = self.writer.take_rotation_error() {
            tracing::error!(%error, "the journal goes on in its old segment");
        }
        // A full queue means that the recorder is told already.
        let _ = self.written.try_send(());
    }

    fn wait_for_disk(&mut self) {
        self.unwritten.compact();
        self.gauge.set_unwritten(self.unwritten.len());
    }

    /// Logs the beginning and the end of a failure, not every turn of it.
    fn note(&mut self, failure: Option<std::io::Error>) {
        let was_failing = self.failing.is_some();
        self.failing = failure.as_ref().map(|_| Failing { retry_at: self.now.map(|now| now + RETRY) });
        match failure {
            Some(error) => {
                if !was_failing {
                    tracing::error!(%error, "the journal cannot be written; new calls are refused until it can");
                }
                self.wait_for_disk();
            }
            None if was_failing => {
                let refusals_lost = self.gauge.refusals_lost();
                tracing::info!(refusals_lost, "the journal can be written again");
                self.gauge.set_unwritten(0);
            }
            None => return,
        }
        self.admission.set_journal_writable(self.failing.is_none());
    }
}

fn records_in(entries: &[Entry]) -> usize {
    entries.iter().filter(|entry| matches!(entry, Entry::Record(_))).count()
}

const fn kept_flow(flow: &Flow) -> KeptFlow {
    KeptFlow { transport: flow.transport, local: flow.local, remote: flow.remote }
}

/// What an earlier process left open, in the terms of the switch. Calls of which too little can be read are told of, not taken up.
pub(crate) fn open_calls(recovered: tandem_journal::Recovered) -> Vec<tandem_switch::OpenCall> {
    let mut open = Vec::new();
    for (id, call) in recovered.open {
        let Some(record) = call.record else {
            tracing::error!(call = %id, "a call of the earlier process cannot be closed: its records are damaged");
            continue;
        };
        let legs = call.legs.into_iter().filter_map(|leg| match leg.record {
            Some(record) => Some((record, leg.kept.and_then(of_journal))),
            None => {
                tracing::error!(leg = %leg.id, "a leg of the earlier process cannot be ended: its records are damaged");
                None
            }
        });
        open.push(tandem_switch::OpenCall { record, legs: legs.collect(), events: call.events });
    }
    open
}

fn of_journal(kept: Kept) -> Option<tandem_switch::Kept> {
    match kept {
        Kept::Invite { flow: KeptFlow { transport, local, remote }, octets } => {
            Some(tandem_switch::Kept::Invite { flow: Flow { transport, local, remote }, octets: octets.into() })
        }
        Kept::Dialog { text } => text.parse().ok().map(Box::new).map(tandem_switch::Kept::Dialog),
        Kept::WaitingCaller { flow: KeptFlow { transport, local, remote }, octets, to_tag } => {
            let flow = Flow { transport, local, remote };
            Some(tandem_switch::Kept::WaitingCaller { flow, octets: octets.into(), to_tag })
        }
        Kept::AnsweredCaller { flow: KeptFlow { transport, local, remote }, octets, text } => {
            let flow = Flow { transport, local, remote };
            let dialog = text.parse().ok().map(Box::new)?;
            Some(tandem_switch::Kept::AnsweredCaller { flow, octets: octets.into(), dialog })
        }
    }
}

/// How often the journal shows that the process lives: what a call's end after a crash is off by at most.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// How often a disk that takes nothing is tried.
const RETRY: Duration = Duration::from_millis(100);
