use super::admission::Admission;
use super::journal_gauge::JournalGauge;
use super::signalling::ShardHandle;
use super::switch_machine::ShardCommand;
use super::vital;
use crossbeam_channel::{Receiver, Sender, TryRecvError};
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tandem_journal::{Batch, Tailer};
use tandem_model::{CallId, Record};
use tandem_store::{DatabaseError, JournalPosition, Store, WriteError};
use tandem_switch::Command;
use tokio::runtime;

/// Reads the journal into the store, in batches, each exactly once: the position goes into the transaction of its records.
pub(crate) struct Recorder {
    tailer: Tailer,
    written: Receiver<()>,
    store: Store,
    shard: ShardHandle<ShardCommand>,
    admission: Arc<Admission>,
    gauge: Arc<JournalGauge>,
    /// Read, and not taken by the store yet.
    unstored: Option<Batch>,
    /// Ended calls that are stored and that the shard could not be told of yet.
    untold: Vec<CallId>,
    /// Of the last position that the store was given.
    segment: Option<u64>,
}

impl Recorder {
    /// By which the shard says that it has written.
    pub(crate) fn signal() -> (Sender<()>, Receiver<()>) {
        crossbeam_channel::bounded(1)
    }

    pub(crate) const fn new(
        tailer: Tailer,
        written: Receiver<()>,
        store: Store,
        shard: ShardHandle<ShardCommand>,
        admission: Arc<Admission>,
        gauge: Arc<JournalGauge>,
    ) -> Self {
        Self { tailer, written, store, shard, admission, gauge, unstored: None, untold: Vec::new(), segment: None }
    }

    /// Stores what an earlier process left in the journal, so that nobody asks for a call that is only there. With the database away
    /// the thread goes on with it.
    pub(crate) async fn catch_up(&mut self) {
        loop {
            let batch = match self.tailer.read_batch(BATCH_RECORDS, BATCH_BYTES) {
                Ok(batch) => batch,
                Err(error) => return tracing::error!(%error, "the journal cannot be read"),
            };
            self.gauge.storing(batch.oldest);
            if let Err(error) = self.store(&batch).await {
                self.gauge.not_stored();
                tracing::warn!(%error, "what an earlier process left in the journal is not stored yet");
                self.unstored = Some(batch);
                return;
            }
            self.gauge.stored(batch.end);
            if batch.is_at_end {
                return;
            }
        }
    }

    /// Starts the thread; it ends when the shard is gone and everything is stored, or, with the database away, at once: what is not
    /// stored is in the journal, and the next start goes on with it.
    pub(crate) fn spawn(self, runtime: runtime::Handle) -> io::Result<JoinHandle<()>> {
        vital::spawn("recorder", move || self.run(&runtime))
    }

    fn run(mut self, runtime: &runtime::Handle) {
        loop {
            // Asked before reading: what the shard wrote last is then surely read.
            let shard_is_gone = matches!(self.written.try_recv(), Err(TryRecvError::Disconnected));
            let next = match self.unstored.take() {
                Some(batch) => Ok(batch),
                None => self.tailer.read_batch(BATCH_RECORDS, BATCH_BYTES),
            };
            let (is_at_end, records) = match next {
                Ok(batch) => {
                    if !self.keep(&batch, runtime) {
                        tracing::error!(
                            "the database is away; what it does not have is in the journal, for the next start"
                        );
                        return;
                    }
                    (batch.is_at_end, batch.records.len())
                }
                Err(error) => {
                    tracing::error!(%error, "the journal cannot be read");
                    (true, 0)
                }
            };
            if is_at_end && shard_is_gone {
                return;
            }
            if is_at_end && self.written.recv_timeout(IDLE_LOOK).is_ok() {
                // Company for what was written: one transaction for many records, and one row for many states of a call. The shard's
                // signal is left in its queue meanwhile, for taking it would have every turn of the shard wake this thread.
                let _ =
                    crossbeam_channel::after(if records >= BUSY_RECORDS { BUSY_BATCH_TIME } else { BATCH_TIME }).recv();
            }
        }
    }

    /// What the shard writes meanwhile does not shorten the pause; that it is gone does.
    fn pause_until(&self, until: Instant) {
        while let Ok(()) = self.written.recv_deadline(until) {}
    }

    /// Stores a batch, again and again until the store takes it. False when the shard is gone meanwhile: the journal keeps it.
    fn keep(&mut self, batch: &Batch, runtime: &runtime::Handle) -> bool {
        // A sign of life once a second is no reason to write to the database: its position moves with the next records, or once a file
        // of the journal is left behind, which goes then.
        let is_same_segment = self.segment == Some(batch.end.segment);
        if batch.records.is_empty() && batch.set_aside.is_empty() && is_same_segment {
            self.gauge.passed(batch.end);
            self.tell_stored(&[]);
            return true;
        }
        self.gauge.storing(batch.oldest);
        for set_aside in &batch.set_aside {
            tracing::error!(damage = ?set_aside.damage, copy = ?set_aside.copy, "damage in the journal was set aside");
        }
        let mut pause = FIRST_RETRY;
        while let Err(error) = runtime.block_on(self.store(batch)) {
            self.gauge.not_stored();
            let records = batch.records.len();
            tracing::error!(%error, records, retry_in_ms = pause.as_millis(), "records could not be stored");
            self.pause_until(Instant::now() + pause);
            if matches!(self.written.try_recv(), Err(TryRecvError::Disconnected)) {
                return false;
            }
            pause = (pause * 2).min(LONGEST_RETRY);
        }
        self.segment = Some(batch.end.segment);
        self.gauge.stored(batch.end);
        self.admission.records_stored(batch.records.len());
        self.tell_stored(&batch.records);
        if let Err(error) = self.tailer.remove_stored(batch.end) {
            tracing::warn!(%error, "journal segments that are stored could not be removed");
        }
        true
    }

    /// Writes records and position. A record that the store will never take does not hold up the others: it is set aside.
    async fn store(&mut self, batch: &Batch) -> Result<(), WriteError> {
        let position = JournalPosition { shard: SHARD, segment: batch.end.segment, offset: batch.end.offset };
        match self.store.write_journal(&batch.records, position).await {
            Ok(written) => {
                for rejected in written.rejected {
                    self.set_aside(batch.records.get(rejected.index), &rejected.reason.to_string());
                }
                Ok(())
            }
            Err(WriteError::Database(error)) if may_concern_records(&error) => {
                tracing::error!(%error, "a batch holds something that the database does not take; it is stored one by one");
                self.store_one_by_one(&batch.records).await?;
                self.store.write_journal(&[], position).await.map(drop)
            }
            Err(error) => Err(error),
        }
    }

    async fn store_one_by_one(&mut self, records: &[Record]) -> Result<(), WriteError> {
        let mut refused = Vec::new();
        let mut doubtful = Vec::new();
        for record in records {
            match self.store.write_records(std::slice::from_ref(record)).await {
                Ok(_) => {}
                Err(WriteError::Database(error)) if error.is_about_values() => refused.push((record, error)),
                Err(WriteError::Database(error)) if may_concern_records(&error) => doubtful.push((record, error)),
                Err(error) => return Err(error),
            }
        }
        // Whether a record or the database is to blame, the other records tell: one that takes none of them is itself what is broken,
        // by a table that is gone, a server that only reads, a file that is damaged. Then they wait until somebody has mended it.
        if doubtful.len() == records.len() {
            return doubtful.pop().map_or(Ok(()), |(_, error)| Err(error.into()));
        }
        for (record, error) in refused.into_iter().chain(doubtful) {
            self.set_aside(Some(record), &error.to_string());
        }
        Ok(())
    }

    fn set_aside(&mut self, record: Option<&Record>, reason: &str) {
        let Some(record) = record else { return };
        // A record is told by its id: it has numbers in it that do not belong into a log.
        let id = match record {
            Record::Call(call) => call.id.as_uuid(),
            Record::Leg(leg) => leg.call_id.as_uuid(),
            Record::Event(event) => event.call_id.as_uuid(),
            Record::Refusal(refusal) => refusal.id.as_uuid(),
        };
        let copy = self.tailer.set_aside(record, reason);
        tracing::error!(%id, reason, ?copy, "a record of this call or refusal was set aside");
    }

    /// Calls whose end is stored need not be shown from memory any more.
    fn tell_stored(&mut self, records: &[Record]) {
        self.untold.extend(records.iter().filter_map(|record| match record {
            Record::Call(call) if call.status.is_final() => Some(call.id),
            Record::Call(_) | Record::Leg(_) | Record::Event(_) | Record::Refusal(_) => None,
        }));
        let told = ShardCommand::Tell(Command::Stored { call_ids: self.untold.clone() });
        if !self.untold.is_empty() && self.shard.send(told).is_ok() {
            self.untold.clear();
        }
    }
}

/// Whether it may be about what was written, and not about the state of the database.
fn may_concern_records(error: &DatabaseError) -> bool {
    match error {
        DatabaseError::Query(_) | DatabaseError::Unreadable { .. } => !error.is_transient(),
        DatabaseError::DiskFull
        | DatabaseError::Busy
        | DatabaseError::Unavailable
        | DatabaseError::Seal(_)
        | DatabaseError::Randomness(_) => false,
    }
}

/// There is one shard.
const SHARD: u16 = 0;
/// Records of one transaction.
const BATCH_RECORDS: usize = 4_096;
/// Bytes of the journal read for one transaction.
const BATCH_BYTES: u64 = 8 * 1024 * 1024;
/// How long a record may wait for company.
const BATCH_TIME: Duration = Duration::from_millis(20);
/// How long while there is much to store: lists lag by as much, and a short call becomes one row instead of four.
const BUSY_BATCH_TIME: Duration = Duration::from_millis(250);
/// Records of one batch that are much: some ten calls a second make fewer.
const BUSY_RECORDS: usize = 64;
/// How long to wait for a word of the shard before looking anyway.
const IDLE_LOOK: Duration = Duration::from_secs(1);
const FIRST_RETRY: Duration = Duration::from_millis(50);
const LONGEST_RETRY: Duration = Duration::from_secs(2);
