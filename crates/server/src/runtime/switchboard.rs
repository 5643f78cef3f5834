use super::admission::Admission;
use super::clock::SystemClock;
use super::journal_gauge::JournalGauge;
use super::media::MediaHandle;
use super::routes::RouteLoader;
use super::signalling::ShardHandle;
use super::switch_machine::ShardCommand;
use super::trunk_states::TrunkStates;
use async_trait::async_trait;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tandem_control::{
    DatabaseState, DialError, HangupError, JournalState, LiveNumbers, MediaIo, ProbeError, ProbeResult, QueueDepths,
    Readiness, Switchboard, Unavailable,
};
use tandem_model::{
    AccountId, AccountLoad, CallId, CallRecord, CreditCommitment, DialOrder, LiveCall, LiveCredit, Receipt, Traffic,
    Trunk, TrunkId, TrunkLoad, TrunkState,
};
use tandem_netio::IoPath;
use tandem_switch::{Answer, Command, Counts, ProbeFailure, Reply, ReplyId};
use tokio::sync::oneshot;

/// What the API reaches calls by: commands to the shard, and its replies.
pub(crate) struct ShardSwitchboard {
    parts: SwitchboardParts,
}

/// What a switchboard is joined from.
pub(crate) struct SwitchboardParts {
    pub(crate) shard: ShardHandle<ShardCommand>,
    pub(crate) media: MediaHandle,
    pub(crate) routes: Arc<RouteLoader>,
    pub(crate) states: TrunkStates,
    pub(crate) admission: Arc<Admission>,
    pub(crate) journal: Arc<JournalGauge>,
}

impl ShardSwitchboard {
    pub(crate) const fn new(parts: SwitchboardParts) -> Self {
        Self { parts }
    }

    async fn ask(
        &self,
        wait: Duration,
        make: impl FnOnce(ReplyId) -> Command + Send + 'static,
    ) -> Result<Reply, Unavailable> {
        let (answer, replied) = oneshot::channel();
        self.parts.shard.send(ShardCommand::Ask { make: Box::new(make), answer }).map_err(|_| Unavailable)?;
        tokio::time::timeout(wait, replied).await.map_err(|_| Unavailable)?.map_err(|_| Unavailable)
    }

    /// Hands over a command that must not be lost: a full queue is waited for.
    async fn tell(&self, make: impl Fn() -> Command + Send + Sync) {
        if !until_taken(|| self.parts.shard.send(ShardCommand::Tell(make())).is_ok()).await {
            tracing::error!(command = ?make(), "the shard takes no commands; the slots of an external call are wrong until the next start");
        }
        // It is done after what waits before it; who asks from now on asks after it.
        self.parts.states.epoch().advance();
    }

    /// What calls have cost and may still cost of which the database does not know.
    pub(crate) async fn credit_commitments(&self) -> Result<Vec<CreditCommitment>, Unavailable> {
        let reply = self.ask(REPLY_TIMEOUT, |reply| Command::CreditCommitments { reply }).await?;
        let Reply::CreditCommitments(commitments) = reply else { return Err(mismatched(&reply)) };
        Ok(commitments)
    }

    async fn journal_state(&self) -> JournalState {
        let gauge = Arc::clone(&self.parts.journal);
        // The file system is asked, which may hang.
        let asked = tokio::task::spawn_blocking(move || gauge.backlog_bytes());
        let backlog_bytes = match tokio::time::timeout(FILE_TIMEOUT, asked).await {
            Ok(Ok(Ok(bytes))) => Some(bytes),
            Ok(Ok(Err(error))) => {
                tracing::warn!(%error, "the size of the journal is not known");
                None
            }
            Ok(Err(_)) | Err(_) => None,
        };
        let gauge = &self.parts.journal;
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        let age = gauge.oldest_unstored().map(|oldest| SystemClock::utc().since(oldest));
        JournalState {
            writable: self.parts.admission.is_journal_writable(),
            free_bytes: self.parts.admission.free_bytes(),
            backlog_bytes,
            oldest_unstored_age_ms: age.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
            entries_unwritten: count(gauge.unwritten()),
            refusals_lost: count(gauge.refusals_lost()),
        }
    }

    async fn counts(&self) -> Result<Counts, Unavailable> {
        let reply = self.ask(REPLY_TIMEOUT, |reply| Command::Count { reply }).await?;
        let Reply::Counted(counts) = reply else { return Err(mismatched(&reply)) };
        Ok(*counts)
    }
}

/// Tries until it is taken; whether it was.
async fn until_taken(mut hand_over: impl FnMut() -> bool + Send) -> bool {
    for _ in 0..ROOM_ATTEMPTS {
        if hand_over() {
            return true;
        }
        tokio::time::sleep(ROOM_INTERVAL).await;
    }
    false
}

/// A reply of another kind than was asked for: a fault of ours, told and answered as no answer.
fn mismatched(reply: &Reply) -> Unavailable {
    tracing::error!(?reply, "the shard gave another reply than was asked for");
    Unavailable
}

#[async_trait]
impl Switchboard for ShardSwitchboard {
    async fn dial(&self, order: DialOrder) -> Result<CallRecord, DialError> {
        self.parts.routes.introduce(order.account_id).await;
        let reply = self.ask(REPLY_TIMEOUT, |reply| Command::Dial { order: Box::new(order), reply }).await?;
        let Reply::Dialled(dialled) = reply else { return Err(mismatched(&reply).into()) };
        dialled.map(|record| *record).map_err(DialError::Refused)
    }

    async fn explain(&self, order: DialOrder) -> Result<Receipt, Unavailable> {
        self.parts.routes.introduce(order.account_id).await;
        let reply = self.ask(REPLY_TIMEOUT, |reply| Command::Explain { order: Box::new(order), reply }).await?;
        let Reply::Explained(receipt) = reply else { return Err(mismatched(&reply)) };
        Ok(*receipt)
    }

    async fn hangup(&self, account_id: AccountId, call_id: CallId) -> Result<CallRecord, HangupError> {
        let reply = self.ask(REPLY_TIMEOUT, move |reply| Command::Hangup { account_id, call_id, reply }).await?;
        let Reply::HungUp(record) = reply else { return Err(mismatched(&reply).into()) };
        record.map(|record| *record).ok_or(HangupError::NotFound)
    }

    async fn live_call(&self, account_id: AccountId, call_id: CallId) -> Result<Option<LiveCall>, Unavailable> {
        let reply = self.ask(REPLY_TIMEOUT, move |reply| Command::Inspect { account_id, call_id, reply }).await?;
        let Reply::Inspected(call) = reply else { return Err(mismatched(&reply)) };
        Ok(call.map(|call| *call))
    }

    async fn probe(&self, trunk_id: TrunkId) -> Result<ProbeResult, ProbeError> {
        // The trunk may have been written a moment ago.
        self.parts.routes.refresh().await.map_err(|error| {
            tracing::warn!(%error, "the routing table could not be loaded");
            Unavailable
        })?;
        let reply = self.ask(PROBE_TIMEOUT, move |reply| Command::Probe { trunk_id, reply }).await?;
        let Reply::Probed(result) = reply else { return Err(mismatched(&reply).into()) };
        let result = result.ok_or(Unavailable)?;
        if result.failure == Some(ProbeFailure::Busy) {
            return Err(ProbeError::Busy);
        }
        Ok(ProbeResult {
            health: result.health,
            trunk: result.trunk.map(|trunk| trunk.health),
            sip_status: result.sip_status,
            target: result.target,
            failure: result.failure.map(|failure| failure.to_string()),
        })
    }

    async fn trunk_states(&self, trunk_ids: Vec<TrunkId>) -> Result<HashMap<TrunkId, TrunkState>, Unavailable> {
        if let Some(states) = self.parts.states.all_known(&trunk_ids) {
            return Ok(states);
        }
        let question = self.parts.states.question();
        let reply = self.ask(REPLY_TIMEOUT, move |reply| Command::TrunkStates { trunk_ids, reply }).await?;
        let Reply::TrunkStates(states) = reply else { return Err(mismatched(&reply)) };
        let states = states.into_iter().collect();
        self.parts.states.remember(question, &states);
        Ok(states)
    }

    async fn external_call_started(&self, account_id: AccountId, trunk_id: TrunkId, call_id: CallId) {
        self.tell(|| Command::ExternalStarted { account_id, trunk_id, call_id }).await;
    }

    async fn external_call_ended(&self, call_id: CallId) {
        self.tell(|| Command::ExternalEnded { call_id }).await;
    }

    async fn credit(&self, account_id: AccountId) -> Result<Option<LiveCredit>, Unavailable> {
        let reply = self.ask(REPLY_TIMEOUT, move |reply| Command::Credit { account_id, reply }).await?;
        let Reply::Credit(credit) = reply else { return Err(mismatched(&reply)) };
        Ok(credit)
    }

    async fn traffic(&self) -> Result<(Traffic, Vec<TrunkLoad>), Unavailable> {
        let reply = self.ask(REPLY_TIMEOUT, |reply| Command::Traffic { reply }).await?;
        let Reply::Traffic(traffic, loads) = reply else { return Err(mismatched(&reply)) };
        Ok((*traffic, loads))
    }

    async fn account_loads(&self) -> Result<Vec<AccountLoad>, Unavailable> {
        let reply = self.ask(REPLY_TIMEOUT, |reply| Command::AccountLoads { reply }).await?;
        let Reply::AccountLoads(loads) = reply else { return Err(mismatched(&reply)) };
        Ok(loads)
    }

    async fn readiness(&self) -> Readiness {
        let counts = self.counts().await;
        let draining = self.parts.admission.is_draining();
        let refuses_because = match self.parts.admission.answer() {
            Answer::Refuse(reason) => Some(reason.code().to_owned()),
            Answer::Admit if counts.is_err() => Some("call_path_unavailable".to_owned()),
            Answer::Admit => None,
        };
        let counts = counts.unwrap_or_default();
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        let unstored = count(self.parts.admission.unstored_records());
        Readiness {
            ready: refuses_because.is_none(),
            draining,
            refuses_because,
            journal: self.journal_state().await,
            database: DatabaseState {
                answers: self.parts.routes.database_answers(),
                takes_records: self.parts.journal.takes_records(),
            },
            media_io: match self.parts.media.path() {
                IoPath::IoUring => MediaIo::IoUring,
                IoPath::Epoll => MediaIo::Epoll,
            },
            live: LiveNumbers {
                calls: counts.calls,
                legs: counts.legs,
                sessions: count(counts.sip.sessions),
                dialogs: count(counts.sip.dialogs),
                client_transactions: count(counts.sip.client_transactions),
                server_transactions: count(counts.sip.server_transactions),
                media_ports_in_use: counts.ports_in_use,
                media_ports_total: counts.ports_total,
                // A call between two parties takes two ports.
                max_calls: counts.ports_total / 2,
                trunk_slots: counts.trunk_slots,
                account_slots: counts.account_slots,
                external_calls: counts.external_calls,
                unstored_calls: counts.unstored_calls,
                records_unstored: unstored,
                queues: QueueDepths {
                    commands: count(self.parts.shard.depth()),
                    records: unstored,
                    media_commands: count(self.parts.media.depth()),
                },
            },
        }
    }

    fn known_trunk_state(&self, trunk: TrunkId) -> Option<TrunkState> {
        self.parts.states.known(trunk)
    }

    fn known_trunk(&self, account: AccountId, trunk: TrunkId) -> Option<Arc<Trunk>> {
        self.parts.routes.trunk(account, trunk)
    }

    fn routing_changed(&self) {
        self.parts.routes.routing_changed();
    }
}

/// How long the shard may take: it answers within one turn, which takes far less than a millisecond.
const REPLY_TIMEOUT: Duration = Duration::from_secs(5);
/// How often, and how many times, a full queue is tried: 5 s, as long as for a reply.
const ROOM_INTERVAL: Duration = Duration::from_millis(20);
const ROOM_ATTEMPTS: u32 = 250;
/// How long the file system may take for the sizes of a few files.
const FILE_TIMEOUT: Duration = Duration::from_millis(500);
/// The switch gives a probe up after 4 s.
const PROBE_TIMEOUT: Duration = Duration::from_secs(6);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_full_queue_is_waited_for_and_not_for_ever() {
        let mut refusals = 100;
        let taken = until_taken(|| {
            refusals -= 1;
            refusals == 0
        });
        assert!(taken.await);
        let began = tokio::time::Instant::now();
        assert!(!until_taken(|| false).await);
        assert_eq!(began.elapsed(), REPLY_TIMEOUT);
    }
}
