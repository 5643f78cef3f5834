use crate::capacity::Capacity;
use crate::command::{Output, QuestionId, ResolveId};
use crate::config::SwitchConfig;
use crate::credit::CreditBook;
use crate::health::{CallFailure, HealthBook};
use crate::kept::Kept;
use crate::ports::LocalPort;
use crate::route::{RouteTable, Sources};
use crate::rules::Rules;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tandem_media::engine;
use tandem_model::{CallId, LegId, LegRecord, Now, Record, Traffic, TrunkId};
use tandem_sip::endpoint::{Endpoint, SessionId};
use tandem_sip::random::Randomness;

/// What all calls of a switch share.
pub(crate) struct Resources {
    pub(crate) config: SwitchConfig,
    pub(crate) endpoint: Endpoint,
    pub(crate) capacity: Capacity,
    pub(crate) credit: CreditBook,
    pub(crate) health: HealthBook,
    pub(crate) table: Arc<RouteTable>,
    /// The addresses that host names of trunks stand for.
    pub(crate) named_sources: Sources,
    /// Which leg a session belongs to. A leg that ended is not in it: what its session still does is the endpoint's affair.
    pub(crate) sessions: HashMap<SessionId, LegKey>,
    /// Which leg an INVITE without a final answer belongs to, by its Call-ID.
    pub(crate) invited: HashMap<String, LegKey>,
    /// Legs that are over here while their far end is still being told so: what was kept for them may be needed again until it knows.
    releasing: HashMap<SessionId, (CallId, LegId)>,
    /// The legs of callers who were refused and may not know it yet, by our tag.
    refused_callers: HashMap<String, LegId>,
    /// Until when their answers are resent; then they are forgotten too.
    refused_until: VecDeque<(Instant, String)>,
    /// Which leg a media port belongs to, by the tag it was opened with.
    pub(crate) port_tags: BTreeMap<u64, (LegKey, LocalPort)>,
    /// Which leg waits for an address.
    pub(crate) resolving: BTreeMap<ResolveId, LegKey>,
    pub(crate) rules: Rules,
    pub(crate) traffic: Traffic,
    random: Box<dyn Randomness>,
    outputs: VecDeque<Output>,
    next_id: u64,
}

/// A leg of a call, by its place in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LegKey {
    pub(crate) call: CallId,
    pub(crate) leg: usize,
}

impl Resources {
    pub(crate) fn new(config: SwitchConfig, endpoint: Endpoint, random: Box<dyn Randomness>) -> Self {
        Self {
            config,
            endpoint,
            capacity: Capacity::default(),
            credit: CreditBook::default(),
            health: HealthBook::default(),
            table: Arc::new(RouteTable::default()),
            named_sources: Sources::default(),
            sessions: HashMap::new(),
            invited: HashMap::new(),
            releasing: HashMap::new(),
            refused_callers: HashMap::new(),
            refused_until: VecDeque::new(),
            port_tags: BTreeMap::new(),
            resolving: BTreeMap::new(),
            rules: Rules::default(),
            traffic: Traffic::default(),
            random,
            outputs: VecDeque::new(),
            next_id: 0,
        }
    }

    pub(crate) fn push(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    pub(crate) fn media(&mut self, command: engine::Command) {
        self.outputs.push_back(Output::Media(command));
    }

    pub(crate) fn record(&mut self, record: Record) {
        self.outputs.push_back(Output::Record(record));
    }

    pub(crate) fn record_leg(&mut self, leg: &LegRecord) {
        self.record(Record::Leg(Box::new(leg.clone())));
    }

    pub(crate) fn keep(&mut self, leg: &LegRecord, kept: Kept) {
        self.outputs.push_back(Output::Keep { call_id: leg.call_id, leg_id: leg.id, kept });
    }

    pub(crate) fn forget(&mut self, leg_id: LegId) {
        self.outputs.push_back(Output::Forget { leg_id });
    }

    /// Forgets a leg once its session, which has been told to end, is over.
    pub(crate) fn forget_once_released(&mut self, session: SessionId, leg: &LegRecord) {
        self.releasing.insert(session, (leg.call_id, leg.id));
    }

    /// The far end of a leg that was given up has answered all the same: it is in a dialog now, until it hears our BYE.
    pub(crate) fn keep_released(&mut self, session: SessionId) {
        let Some((call_id, leg_id)) = self.releasing.get(&session).copied() else { return };
        if let Some(dialog) = self.endpoint.dialog(session) {
            self.push(Output::Keep { call_id, leg_id, kept: Kept::Dialog(Box::new(dialog)) });
        }
    }

    /// Forgets the leg of a caller once its refusal, which bears this tag of ours, is acknowledged or not resent any more.
    pub(crate) fn forget_refused_caller(&mut self, leg_id: LegId, to_tag: String, now: Instant) {
        self.refused_until.push_back((now + FINAL_ANSWER_TIME, to_tag.clone()));
        self.refused_callers.insert(to_tag, leg_id);
    }

    pub(crate) fn has_refused_callers(&self) -> bool {
        !self.refused_callers.is_empty()
    }

    /// An ACK came with this tag of ours, or it is too late for one.
    pub(crate) fn forget_refusal(&mut self, to_tag: &str) {
        if let Some(leg_id) = self.refused_callers.remove(to_tag) {
            self.forget(leg_id);
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.refused_until.front().map(|(due, _)| *due)
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        while let Some((_, to_tag)) = self.refused_until.pop_front_if(|(due, _)| *due <= now) {
            self.forget_refusal(&to_tag);
        }
    }

    pub(crate) fn session_ended(&mut self, session: SessionId) {
        if let Some((_, leg_id)) = self.releasing.remove(&session) {
            self.forget(leg_id);
        }
    }

    /// What an attempt shows of its trunk: that calls over it fail, or that they get through.
    pub(crate) fn note_attempt(&mut self, trunk: TrunkId, failure: Option<CallFailure>, got_through: bool, now: Now) {
        if let Some(by) = failure {
            self.capacity.call_failed(trunk, by, now);
        } else if got_through {
            self.health.call_got_through(trunk, &mut self.capacity, now);
        }
    }

    pub(crate) fn pop(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    pub(crate) fn random_bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut octets = [0; N];
        self.random.fill(&mut octets);
        octets
    }

    pub(crate) fn next_question(&mut self) -> QuestionId {
        QuestionId(self.next_number())
    }

    pub(crate) fn next_resolve(&mut self) -> ResolveId {
        ResolveId(self.next_number())
    }

    /// Numbers that are never used twice in one process.
    pub(crate) const fn next_number(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }
}

/// How long a final answer to an INVITE is resent: timer H (RFC 3261 §17.2.1).
const FINAL_ANSWER_TIME: Duration = Duration::from_secs(32);
