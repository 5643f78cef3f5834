//! What the shell tells a switch, and what a switch wants of its shell.

use crate::kept::Kept;
use crate::route::RouteTable;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use tandem_media::engine;
use tandem_model::{
    AccountId, AccountLoad, CallId, CallRecord, CreditCommitment, CreditTerms, DialOrder, HangupCause, HealthReport,
    HealthStatus, LegId, LiveCall, LiveCredit, MeasuredHealth, Reason, Receipt, Record, RefusalId, Timestamp, Traffic,
    TrunkHealth, TrunkId, TrunkLoad, TrunkState,
};
use tandem_sip::endpoint::{self, Flow};

/// Names a request of the shell, so that it can be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReplyId(pub u64);

/// Names a question of the switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QuestionId(pub(crate) u64);

/// Names a host to be resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResolveId(pub(crate) u64);

/// Something to do for somebody outside of the call path.
#[derive(Debug)]
pub enum Command {
    /// Place a call: [`Reply::Dialled`].
    Dial {
        /// What to do.
        order: Box<DialOrder>,
        /// For the reply.
        reply: ReplyId,
    },
    /// Route a call without placing it: [`Reply::Explained`].
    Explain {
        /// What would be done.
        order: Box<DialOrder>,
        /// For the reply.
        reply: ReplyId,
    },
    /// End a call: [`Reply::HungUp`].
    Hangup {
        /// Whose call.
        account_id: AccountId,
        /// Which.
        call_id: CallId,
        /// For the reply.
        reply: ReplyId,
    },
    /// Show a call that is live, or not stored yet: [`Reply::Inspected`].
    Inspect {
        /// Whose call.
        account_id: AccountId,
        /// Which.
        call_id: CallId,
        /// For the reply.
        reply: ReplyId,
    },
    /// Ask a trunk for a sign of life: [`Reply::Probed`].
    Probe {
        /// Which.
        trunk_id: TrunkId,
        /// For the reply.
        reply: ReplyId,
    },
    /// What trunks carry now: [`Reply::TrunkStates`].
    TrunkStates {
        /// Which.
        trunk_ids: Vec<TrunkId>,
        /// For the reply.
        reply: ReplyId,
    },
    /// Everything that is counted: [`Reply::Counted`].
    Count {
        /// For the reply.
        reply: ReplyId,
    },
    /// What has been counted since the beginning, and what trunks carry: [`Reply::Traffic`].
    Traffic {
        /// For the reply.
        reply: ReplyId,
    },
    /// What each account carries: [`Reply::AccountLoads`].
    AccountLoads {
        /// For the reply.
        reply: ReplyId,
    },
    /// What the calls of an account hold of its credit: [`Reply::Credit`].
    Credit {
        /// Whose.
        account_id: AccountId,
        /// For the reply.
        reply: ReplyId,
    },
    /// What calls have cost and may still cost of which the database does not know: [`Reply::CreditCommitments`].
    CreditCommitments {
        /// For the reply.
        reply: ReplyId,
    },
    /// The accounts whose calls are paid for by credit, all of them, as the database has them now.
    CreditTerms(Vec<CreditTerms>),
    /// A call that something else carries takes its places.
    ExternalStarted {
        /// Whose call.
        account_id: AccountId,
        /// Over which trunk.
        trunk_id: TrunkId,
        /// Which.
        call_id: CallId,
    },
    /// A call that something else carries is over. Twice does no harm.
    ExternalEnded {
        /// Which.
        call_id: CallId,
    },
    /// Final records of these calls are in the store: they need not be shown from memory any more.
    Stored {
        /// Which.
        call_ids: Vec<CallId>,
    },
    /// The configuration has changed.
    Routes(Arc<RouteTable>),
    /// Every call ends now.
    EndAll {
        /// Why.
        cause: HangupCause,
    },
}

/// The answer to a [`Command`].
#[derive(Debug)]
pub enum Reply {
    /// The call log of a call that has begun, or the receipt that says why none has.
    Dialled(Result<Box<CallRecord>, Box<Receipt>>),
    /// How it would be routed.
    Explained(Box<Receipt>),
    /// The call as it is now; `None` when no such call is live.
    HungUp(Option<Box<CallRecord>>),
    /// The call as it is now; `None` when no such call is live.
    Inspected(Option<Box<LiveCall>>),
    /// What the probe found; `None` when no such trunk is configured.
    Probed(Option<Box<ProbeResult>>),
    /// In the order of the question.
    TrunkStates(Vec<(TrunkId, TrunkState)>),
    /// All counts.
    Counted(Box<Counts>),
    /// The credit that is reserved and left; `None` when the account's calls are not paid for by credit.
    Credit(Option<LiveCredit>),
    /// Of each account of which the database does not know all.
    CreditCommitments(Vec<CreditCommitment>),
    /// All that was counted, and each trunk's load, by id.
    Traffic(Box<Traffic>, Vec<TrunkLoad>),
    /// What each account carries, in no order.
    AccountLoads(Vec<AccountLoad>),
}

/// What a probe of a trunk found.
#[derive(Clone, Debug, PartialEq)]
pub struct ProbeResult {
    /// The verdict on this probe alone.
    pub health: TrunkHealth,
    /// The verdict on the trunk, of which this probe is a part; `None` when it is not in service.
    pub trunk: Option<Box<MeasuredHealth>>,
    /// The code that OPTIONS was answered with.
    pub sip_status: Option<u16>,
    /// Where the probe was sent.
    pub target: Option<SocketAddr>,
    /// Why there is no code.
    pub failure: Option<ProbeFailure>,
}

/// Why a probe found nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProbeFailure {
    /// It did not answer in time.
    #[error("no answer in {after_ms} ms; check the address, the port and the firewall")]
    NoResponse {
        /// How long we waited.
        after_ms: u64,
    },
    /// The network refused it.
    #[error("the network refused it: nothing listens there, or no route leads there")]
    TransportError,
    /// The host does not resolve.
    #[error("the host {host:?} does not resolve; check sip_domain and the DNS servers")]
    Unresolvable {
        /// Which.
        host: String,
    },
    /// It cannot be probed as it is configured.
    #[error("{}", .0.explanation())]
    Unroutable(Reason),
    /// Too many probes are under way.
    #[error("too many probes are under way; try again")]
    Busy,
}

impl ProbeResult {
    pub(crate) fn failed(failure: ProbeFailure, target: Option<SocketAddr>, at: Timestamp) -> Self {
        let status = match failure {
            ProbeFailure::NoResponse { .. } | ProbeFailure::TransportError => HealthStatus::Unhealthy,
            ProbeFailure::Unresolvable { .. } | ProbeFailure::Unroutable(_) => HealthStatus::Error,
            ProbeFailure::Busy => HealthStatus::Unknown,
        };
        let health = TrunkHealth { status, checked_at: Some(at), ..TrunkHealth::UNKNOWN };
        Self { health, trunk: None, sip_status: None, target, failure: Some(failure) }
    }
}

/// What is live, for readiness and leak checks: all of it returns to where it was once calls are over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Calls, those that close included.
    pub calls: u64,
    /// Legs with a dialog or an INVITE under way.
    pub legs: u64,
    /// What the SIP endpoint holds.
    pub sip: endpoint::Counts,
    /// RTP ports taken.
    pub ports_in_use: u64,
    /// RTP ports there are.
    pub ports_total: u64,
    /// Trunk slots taken.
    pub trunk_slots: u64,
    /// Account slots taken.
    pub account_slots: u64,
    /// Calls that something else carries.
    pub external_calls: u64,
    /// Calls that are over and not stored yet.
    pub unstored_calls: u64,
    /// Credit that calls hold, in millionths of the currency unit.
    pub credit_reserved_micros: u64,
    /// Revision of the routing table in force.
    pub routing_revision: u64,
}

/// Something that is decided outside of the switch.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    /// For [`Switch::handle_answer`](crate::Switch::handle_answer).
    pub id: QuestionId,
    /// Which call waits.
    pub call_id: CallId,
    /// On whose account.
    pub account_id: AccountId,
}

/// The answer to a [`Question`].
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// The call may go on.
    Admit,
    /// It may not.
    Refuse(Reason),
}

/// Why a host has no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// The name does not exist, or has no address.
    #[error("no such host")]
    NotFound,
    /// No DNS server answered.
    #[error("no DNS server answered")]
    Unavailable,
}

/// The addresses of a host.
pub type Resolved = Result<Vec<IpAddr>, ResolveError>;

/// An INVITE that was refused without a call, for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InboundRefusal {
    /// The reference that the peer was told.
    pub id: RefusalId,
    /// Where it came from.
    pub flow: Flow,
    /// Its Call-ID.
    pub sip_call_id: String,
    /// What it was answered with.
    pub sip_status: u16,
    /// Why, in a few words or as the code of a reason.
    pub explanation: &'static str,
    /// The trunk that is calling, or those that may be (at most eight), by name and id; none for a stranger.
    pub trunks: Vec<String>,
}

/// What a switch wants done. Drained after each `handle_*`.
#[derive(Debug)]
pub enum Output {
    /// Send this.
    Transmit(endpoint::Transmit),
    /// Tell the media thread.
    Media(engine::Command),
    /// Keep this: it must not be lost.
    Record(Record),
    /// Keep this for a leg: it takes the place of what was kept for it.
    Keep {
        /// Of which call.
        call_id: CallId,
        /// For which leg.
        leg_id: LegId,
        /// What.
        kept: Kept,
    },
    /// The leg is over: what was kept for it is not needed any more.
    Forget {
        /// Which.
        leg_id: LegId,
    },
    /// Answer a command.
    Reply(ReplyId, Reply),
    /// Decide this, and call `handle_answer`.
    Ask(Question),
    /// Look this name up, and call `handle_resolved`.
    Resolve {
        /// For `handle_resolved`.
        id: ResolveId,
        /// A name; never an address.
        host: String,
    },
    /// Keep this of the health of a trunk. It may be lost: another one follows within minutes.
    Health(Box<HealthReport>),
    /// Log this.
    Refused(InboundRefusal),
}
