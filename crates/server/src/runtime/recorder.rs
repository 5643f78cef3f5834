use super::admission::Admission;
use super::signalling::ShardHandle;
use super::switch_machine::ShardCommand;
use super::vital;
use crossbeam_channel::{Receiver, RecvTimeoutError};
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tandem_model::{CallId, Record};
use tandem_store::{Store, WriteError};
use tandem_switch::Command;
use tokio::runtime;

/// Writes what the call path must not forget to the store, in batches.
pub(crate) struct Recorder {
    records: Receiver<Record>,
    store: Store,
    shard: ShardHandle<ShardCommand>,
    admission: Arc<Admission>,
}

impl Recorder {
    /// The queue between shard and recorder.
    pub(crate) fn queue() -> (crossbeam_channel::Sender<Record>, Receiver<Record>) {
        crossbeam_channel::bounded(RECORD_QUEUE)
    }

    pub(crate) const fn new(
        records: Receiver<Record>,
        store: Store,
        shard: ShardHandle<ShardCommand>,
        admission: Arc<Admission>,
    ) -> Self {
        Self { records, store, shard, admission }
    }

    /// Starts the thread; it ends when the shard is gone and everything is written.
    pub(crate) fn spawn(self, runtime: runtime::Handle) -> io::Result<JoinHandle<()>> {
        vital::spawn("recorder", move || self.run(&runtime))
    }

    fn run(self, runtime: &runtime::Handle) {
        let mut batch = Vec::new();
        let mut untold = Vec::new();
        loop {
            let is_over = self.collect(&mut batch);
            if !batch.is_empty() {
                runtime.block_on(self.write(&batch));
                self.tell_stored(&batch, &mut untold);
                self.admission.records_stored(batch.len());
                batch.clear();
            }
            if is_over {
                return;
            }
        }
    }

    /// Fills a batch: what comes within a moment of the first record. Whether no more will come.
    fn collect(&self, batch: &mut Vec<Record>) -> bool {
        match self.records.recv() {
            Ok(record) => batch.push(record),
            Err(_) => return true,
        }
        let until = Instant::now() + BATCH_TIME;
        while batch.len() < BATCH_RECORDS {
            match self.records.recv_deadline(until) {
                Ok(record) => batch.push(record),
                Err(RecvTimeoutError::Timeout) => return false,
                Err(RecvTimeoutError::Disconnected) => return true,
            }
        }
        false
    }

    /// Writes a batch, again and again until the store takes it: a record is never thrown away for a fault that may pass.
    async fn write(&self, batch: &[Record]) {
        let mut pause = FIRST_RETRY;
        loop {
            match self.store.write_records(batch).await {
                Ok(written) => {
                    for rejected in written.rejected {
                        tracing::error!(call = ?batch.get(rejected.index).map(call_of), reason = %rejected.reason, "a record was set aside");
                    }
                    return;
                }
                Err(WriteError::Database(error)) => {
                    tracing::error!(%error, records = batch.len(), retry_in_ms = pause.as_millis(), "records could not be stored");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_RETRY);
                }
            }
        }
    }

    /// Calls whose end is stored need not be shown from memory any more. Those that the shard cannot be told of now stay in `untold`.
    fn tell_stored(&self, batch: &[Record], untold: &mut Vec<CallId>) {
        untold.extend(batch.iter().filter_map(|record| match record {
            Record::Call(call) if call.status.is_final() => Some(call.id),
            Record::Call(_) | Record::Leg(_) | Record::Event(_) => None,
        }));
        let told = ShardCommand::Tell(Command::Stored { call_ids: untold.clone() });
        if !untold.is_empty() && self.shard.send(told).is_ok() {
            untold.clear();
        }
    }
}

/// A record is told by its call: it has numbers in it that do not belong into a log.
fn call_of(record: &Record) -> CallId {
    match record {
        Record::Call(call) => call.id,
        Record::Leg(leg) => leg.call_id,
        Record::Event(event) => event.call_id,
    }
}

/// Records that may wait between shard and recorder; beyond it they wait in the shard, and new calls are refused in the end.
const RECORD_QUEUE: usize = 65_536;
/// Records of one transaction.
const BATCH_RECORDS: usize = 4_096;
/// How long a record may wait for company.
const BATCH_TIME: Duration = Duration::from_millis(20);
const FIRST_RETRY: Duration = Duration::from_millis(50);
const LONGEST_RETRY: Duration = Duration::from_secs(2);
