use super::admission::Admission;
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
    /// Of this turn; and of earlier ones that the disk did not take.
    entries: Vec<Entry>,
    /// Tells the recorder that there is something to read. One place is enough: it reads all there is.
    written: Sender<()>,
    admission: Arc<Admission>,
    /// Whose disk is watched.
    data_dir: PathBuf,
    next_heartbeat: Option<Instant>,
    is_failing: bool,
}

impl TurnJournal {
    pub(crate) fn new(writer: Writer, written: Sender<()>, admission: Arc<Admission>, data_dir: PathBuf) -> Self {
        Self { writer, entries: Vec::new(), written, admission, data_dir, next_heartbeat: None, is_failing: false }
    }

    pub(crate) fn record(&mut self, record: Record) {
        self.admission.record_waits();
        self.entries.push(Entry::Record(record));
    }

    pub(crate) fn keep(&mut self, call: tandem_model::CallId, leg: tandem_model::LegId, kept: tandem_switch::Kept) {
        let kept = match kept {
            tandem_switch::Kept::Invite { flow, octets } => {
                Kept::Invite { flow: kept_flow(&flow), octets: octets.to_vec() }
            }
            tandem_switch::Kept::WaitingCaller { flow, octets, to_tag } => {
                Kept::WaitingCaller { flow: kept_flow(&flow), octets: octets.to_vec(), to_tag }
            }
            tandem_switch::Kept::Dialog(dialog) => Kept::Dialog { text: dialog.to_string() },
        };
        self.entries.push(Entry::Keep { leg, call, kept });
    }

    pub(crate) fn forget(&mut self, leg: tandem_model::LegId) {
        self.entries.push(Entry::Forget { leg });
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    pub(crate) const fn poll_timeout(&self) -> Option<Instant> {
        self.next_heartbeat
    }

    /// Once a second: a sign of life, so that a later process knows how long calls went on, and a look at the disk.
    pub(crate) fn handle_timeout(&mut self, now: Now) {
        if self.next_heartbeat.is_some_and(|due| now.instant < due) {
            return;
        }
        self.next_heartbeat = Some(now.instant + HEARTBEAT);
        self.entries.push(Entry::Heartbeat { at: now.utc });
        match tandem_netio::available_bytes(&self.data_dir) {
            Ok(bytes) => self.admission.set_free_bytes(bytes),
            Err(error) => tracing::warn!(%error, "the free space of the data directory is not known"),
        }
    }

    /// Writes what there is. What the disk does not take waits here and new calls are refused, so it stays bounded by the calls that
    /// are up.
    pub(crate) fn commit(&mut self) {
        if self.entries.is_empty() {
            return;
        }
        let outcome = self.writer.append(&self.entries);
        let failure = match outcome {
            Ok(()) => {
                self.entries.clear();
                None
            }
            Err(AppendError::Write { written, source }) => {
                self.entries.drain(..written);
                Some(source)
            }
            Err(AppendError::Sync(source)) => {
                self.entries.clear();
                Some(source)
            }
            Err(error @ AppendError::Entry { .. }) => {
                tracing::error!(%error, "an entry is lost");
                self.entries.clear();
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

    /// Logs the beginning and the end of a failure, not every turn of it.
    fn note(&mut self, failure: Option<std::io::Error>) {
        match failure {
            Some(error) if !self.is_failing => {
                tracing::error!(%error, "the journal cannot be written; new calls are refused until it can");
                self.is_failing = true;
            }
            None if self.is_failing => {
                tracing::info!("the journal can be written again");
                self.is_failing = false;
            }
            Some(_) | None => return,
        }
        self.admission.set_journal_writable(!self.is_failing);
    }
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
    }
}

/// How often the journal shows that the process lives: what a call's end after a crash is off by at most.
const HEARTBEAT: Duration = Duration::from_secs(1);
