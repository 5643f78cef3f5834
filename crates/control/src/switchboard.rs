use async_trait::async_trait;
use serde::Serialize;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use tandem_model::{
    AccountId, AccountLoad, CallId, CallRecord, DialOrder, LiveCall, LiveCredit, Receipt, Traffic, Trunk, TrunkHealth,
    TrunkId, TrunkLoad, TrunkState,
};
use utoipa::ToSchema;

/// The call path, as the API sees it: the one port through which use cases reach live calls.
///
/// Every method answers in bounded time: an implementation that hears nothing from the call path gives up with
/// [`Unavailable`] rather than wait.
#[async_trait]
pub trait Switchboard: Send + Sync + 'static {
    /// Places a call. Returns as soon as routing chose a trunk and the INVITE is on its way, with the call `initiated`.
    ///
    /// # Errors
    /// [`DialError::Refused`] when routing found no way, [`DialError::Unavailable`] when the call path did not answer in time.
    async fn dial(&self, order: DialOrder) -> Result<CallRecord, DialError>;

    /// Decides as [`Switchboard::dial`] would, and places no call.
    ///
    /// # Errors
    /// [`Unavailable`] when the call path did not answer in time.
    async fn explain(&self, order: DialOrder) -> Result<Receipt, Unavailable>;

    /// Ends a live call of the account. The BYE or CANCEL is on its way when this returns; the record is the state at that moment.
    ///
    /// # Errors
    /// [`HangupError::NotFound`] when the account has no such live call.
    async fn hangup(&self, account: AccountId, call: CallId) -> Result<CallRecord, HangupError>;

    /// A call that is live, or that ended and is not stored yet. `None` is any other, and any of another account.
    ///
    /// # Errors
    /// [`Unavailable`] when the call path did not answer in time.
    async fn live_call(&self, account: AccountId, call: CallId) -> Result<Option<LiveCall>, Unavailable>;

    /// Sends a real OPTIONS over the trunk and waits at most 5 s for its answer.
    ///
    /// The trunk may have been written a moment ago: an implementation that does not know it yet loads the snapshot first.
    ///
    /// # Errors
    /// [`ProbeError`] when there was no probe, and so nothing was found.
    async fn probe(&self, trunk: TrunkId) -> Result<ProbeResult, ProbeError>;

    /// What is going on at these trunks now. A trunk that is missing from the answer is at rest: [`TrunkState::default`].
    ///
    /// # Errors
    /// [`Unavailable`] when the call path did not answer in time.
    async fn trunk_states(&self, trunks: Vec<TrunkId>) -> Result<HashMap<TrunkId, TrunkState>, Unavailable>;

    /// What is going on at a trunk now, when it is known without asking for it. Never blocks.
    fn known_trunk_state(&self, trunk: TrunkId) -> Option<TrunkState>;

    /// A trunk of the account as it is configured, from memory: no older than 100 ms, and with everything that this process has
    /// written. `None` when memory cannot say that, or has no such trunk; the store knows. Its health is not to be relied on. Never
    /// blocks.
    fn known_trunk(&self, account: AccountId, trunk: TrunkId) -> Option<Arc<Trunk>>;

    /// A call that something else carries takes a slot of its trunk and of its account, whatever the limits say. Repeats count once.
    /// It waits some seconds for a call path that has no room for more commands: a slot that is lost is wrong until the next start.
    async fn external_call_started(&self, account: AccountId, trunk: TrunkId, call: CallId);

    /// Frees the slots that [`Switchboard::external_call_started`] took. Unknown calls are ignored. It waits likewise.
    async fn external_call_ended(&self, call: CallId);

    /// What calls of the account hold of its credit; `None` when its calls are not paid for by credit.
    ///
    /// # Errors
    /// [`Unavailable`] when the call path did not answer in time.
    async fn credit(&self, account: AccountId) -> Result<Option<LiveCredit>, Unavailable>;

    /// What has been counted since the process began, and what each trunk carries now, by id.
    ///
    /// # Errors
    /// [`Unavailable`] when the call path did not answer in time.
    async fn traffic(&self) -> Result<(Traffic, Vec<TrunkLoad>), Unavailable>;

    /// What each account that the call path knows carries now, in no order.
    ///
    /// # Errors
    /// [`Unavailable`] when the call path did not answer in time.
    async fn account_loads(&self) -> Result<Vec<AccountLoad>, Unavailable>;

    /// Whether new calls are taken, and the numbers of the node.
    async fn readiness(&self) -> Readiness;

    /// Something about accounts, trunks or keys was written: load the routing snapshot. Never blocks.
    fn routing_changed(&self);
}

/// The call path did not answer in time, or is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the call path does not answer")]
pub struct Unavailable;

/// Why there is no call.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum DialError {
    /// Routing found no way; the receipt's `refusal` says why.
    #[error("the call was refused")]
    Refused(Box<Receipt>),
    /// The call path did not answer in time.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// Why nothing was hung up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HangupError {
    /// The account has no such live call.
    #[error("no such live call")]
    NotFound,
    /// The call path did not answer in time.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// Why nothing was probed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProbeError {
    /// As many probes as may be are under way.
    #[error("too many probes are under way")]
    Busy,
    /// The call path did not answer in time, or does not know the trunk.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// What a probe found.
#[derive(Clone, Debug, PartialEq)]
pub struct ProbeResult {
    /// The verdict on this probe alone, with the time and the round trip.
    pub health: TrunkHealth,
    /// The health of the trunk, of which this probe is a part; `None` when the call path does not watch it.
    pub trunk: Option<TrunkHealth>,
    /// The SIP answer, if one came.
    pub sip_status: Option<u16>,
    /// Where the OPTIONS went, once the name was resolved.
    pub target: Option<SocketAddr>,
    /// What went wrong, as a sentence for people.
    pub failure: Option<String>,
}

/// Whether the node takes calls, and its numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Readiness {
    /// New calls are taken.
    pub ready: bool,
    /// The node is stopping: calls that are up go on, new ones are refused.
    pub draining: bool,
    /// Why new calls are not taken: the code of a reason (`draining`, `journal_unwritable`, `low_disk`), or `call_path_unavailable`, or
    /// `database_unavailable` while a node that starts waits for its database.
    pub refuses_because: Option<String>,
    /// The journal, which holds what the database does not have yet.
    pub journal: JournalState,
    /// The database. Calls go on and are taken while it is away.
    pub database: DatabaseState,
    /// How RTP comes and goes.
    pub media_io: MediaIo,
    /// The numbers.
    pub live: LiveNumbers,
}

/// How RTP comes and goes: what was found at the start, or set by `TANDEM_MEDIA_IO`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MediaIo {
    /// Many packets a system call.
    IoUring,
    /// Two system calls a packet.
    #[default]
    Epoll,
}

/// How the journal is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct JournalState {
    /// Its disk takes what calls write. If not, new calls are refused.
    pub writable: bool,
    /// Free space of its disk; below 64 MB new calls are refused.
    pub free_bytes: Option<u64>,
    /// Bytes on the disk that the database does not have yet.
    pub backlog_bytes: Option<u64>,
    /// How long ago the oldest record was written that the database does not have yet, to a second; null when there is none.
    pub oldest_unstored_age_ms: Option<u64>,
    /// What calls have said and the disk did not take; it is kept in memory and written as soon as there is room.
    pub entries_unwritten: u64,
    /// Refused calls that are not on record, because the disk took nothing for long, since the process began.
    pub refusals_lost: u64,
}

/// How the database is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct DatabaseState {
    /// It answered when it was last asked: at most a quarter of a second ago, or the two seconds that it may take.
    pub answers: bool,
    /// It took the records that it was last given.
    pub takes_records: bool,
}

/// What the node holds at this moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct LiveNumbers {
    /// Calls, with those whose last legs are being ended.
    pub calls: u64,
    /// Their legs that have a dialog or an INVITE under way. An attempt that was given up and still waits for a late answer is a
    /// session only.
    pub legs: u64,
    /// SIP sessions: every INVITE until nothing can follow from it, given-up attempts included.
    pub sessions: u64,
    /// Those of the sessions that have an established dialog.
    pub dialogs: u64,
    /// SIP client transactions.
    pub client_transactions: u64,
    /// SIP server transactions.
    pub server_transactions: u64,
    /// RTP and RTCP port pairs in use.
    pub media_ports_in_use: u64,
    /// RTP and RTCP port pairs in all.
    pub media_ports_total: u64,
    /// Calls that the ports and the limit of open files allow at once.
    pub max_calls: u64,
    /// Slots taken, over all trunks.
    pub trunk_slots: u64,
    /// Slots taken, over all accounts.
    pub account_slots: u64,
    /// Calls that something else carries and that hold slots.
    pub external_calls: u64,
    /// Calls that are over and that the store does not have yet; they are shown from memory until then.
    pub unstored_calls: u64,
    /// Records of ended and running calls that the store does not have yet.
    pub records_unstored: u64,
    /// Filled places of the bounded queues.
    pub queues: QueueDepths,
}

/// How many messages wait in each bounded queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct QueueDepths {
    /// Commands to the signalling shards.
    pub commands: u64,
    /// Records on their way to the store.
    pub records: u64,
    /// Commands to the media threads.
    pub media_commands: u64,
}
