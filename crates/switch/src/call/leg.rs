use super::arrival::{Arrival, status_for_caller};
use super::attempt::Attempt;
use super::leg_port::LegPort;
use super::outcome::Outcome;
use crate::capacity::TrunkSlot;
use crate::command::{Output, ResolveId, Resolved};
use crate::kept::Kept;
use crate::resources::{LegKey, Resources};
use crate::route::RoutedTrunk;
use crate::rules::Rule;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tandem_model::{
    AccountId, CallDirection, HangupCause, HungUpBy, LegId, LegKind, LegRecord, LegStatus, MAX_CALL_COST, Money, Now,
    Rate, Timestamp, Transport,
};
use tandem_sip::endpoint::{Answer, Flow, OutgoingInvite, SessionId};
use tandem_sip::message::{Body, NameAddr, StatusCode, Uri};
use tandem_sip::session::ReasonHeader;

/// One side of a call: a SIP dialog, or an attempt at one, with its media port.
#[derive(Debug)]
pub(super) struct Leg {
    key: LegKey,
    pub(super) side: Side,
    pub(super) record: LegRecord,
    state: LegState,
    kept: LastKept,
    slot: Option<TrunkSlot>,
    /// `None` until the family of the far end's address is known, and once the port is closed and given back.
    pub(super) port: Option<LegPort>,
    /// When our INVITE went out, until something is heard of the far end's telephone.
    invited_at: Option<Instant>,
}

/// Who began the leg.
#[derive(Debug)]
pub(super) enum Side {
    /// We called them.
    Callee(Box<Attempt>),
    /// They called us.
    Caller(Caller),
}

/// What is known of somebody who called us.
#[derive(Debug)]
pub(super) struct Caller {
    pub(super) trunk: Arc<RoutedTrunk>,
    /// Until they are answered.
    pub(super) waiting: Option<Box<WaitingCaller>>,
}

/// What is needed as long as a caller waits.
#[derive(Debug)]
pub(super) struct WaitingCaller {
    pub(super) arrival: Arrival,
    /// Our answer to the offer; `None` when there was none, so that we make one.
    pub(super) description: Option<Vec<u8>>,
}

/// Where a leg is. Each state owns the deadlines that exist in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LegState {
    /// What can be taken is, nothing was sent.
    Idle,
    /// The next hop's name is being looked up; for this it has as long as the INVITE will have after it.
    Resolving { lookup: ResolveId, silent_until: Instant },
    /// The INVITE is out, nothing has come.
    Trying { session: SessionId, silent_until: Instant },
    /// 100 has come, nothing more.
    Proceeding { session: SessionId, progress_until: Instant },
    /// A 18x has come.
    Ringing { session: SessionId },
    /// Their INVITE is here and has no final answer; `told` is the last 18x that we sent.
    Waiting { session: SessionId, told: Option<StatusCode> },
    /// 2xx.
    Answered { session: SessionId, since: Instant },
    /// Ended, or given up.
    Over,
}

/// What is kept of a leg, as far as is needed to see that it has changed.
#[derive(Debug)]
enum LastKept {
    Nothing,
    Invite { octets: Arc<[u8]> },
    WaitingCaller,
    AnsweredCaller,
    Dialog { remote_target: Uri },
}

/// What a provisional answer has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Progress {
    pub(super) begins_to_ring: bool,
    pub(super) begins_early_media: bool,
    pub(super) has_early_media: bool,
}

impl Leg {
    /// A leg to somebody whom we call. It has what it needs, but for its port where a name must be looked up first; nothing is sent
    /// yet.
    pub(super) fn to_callee(
        key: LegKey,
        account_id: AccountId,
        attempt: Attempt,
        slot: Option<TrunkSlot>,
        port: Option<LegPort>,
        resources: &mut Resources,
        now: Now,
    ) -> Self {
        let record = LegRecord {
            trunk_id: attempt.trunk.as_ref().map(|entry| entry.trunk.id),
            request_uri: attempt.request_uri.to_string(),
            transport: attempt.next_hop.transport,
            ..new_record(key, account_id, CallDirection::Outbound, resources, now)
        };
        let side = Side::Callee(Box::new(attempt));
        let (state, kept) = (LegState::Idle, LastKept::Nothing);
        Self { key, side, record, state, kept, slot, port, invited_at: None }
    }

    /// The leg of somebody who calls us, and waits.
    pub(super) fn of_caller(
        key: LegKey,
        trunk: Arc<RoutedTrunk>,
        waiting: WaitingCaller,
        slot: TrunkSlot,
        port: LegPort,
        resources: &mut Resources,
        now: Now,
    ) -> Self {
        let arrival = &waiting.arrival;
        let session = arrival.session;
        let record = LegRecord {
            trunk_id: Some(trunk.trunk.id),
            request_uri: arrival.request_uri.clone(),
            transport: arrival.flow.transport,
            sip_call_id: arrival.sip_call_id.clone(),
            remote_address: Some(arrival.flow.remote),
            codec: port.agreement.as_ref().map(|agreement| agreement.codec),
            ..new_record(key, trunk.trunk.account_id, CallDirection::Inbound, resources, now)
        };
        resources.sessions.insert(session, key);
        Self {
            key,
            side: Side::Caller(Caller { trunk, waiting: Some(Box::new(waiting)) }),
            record,
            state: LegState::Waiting { session, told: None },
            kept: LastKept::Nothing,
            slot: Some(slot),
            port: Some(port),
            invited_at: None,
        }
    }

    /// The trunk that it goes over.
    pub(super) fn trunk(&self) -> Option<&Arc<RoutedTrunk>> {
        match &self.side {
            Side::Callee(attempt) => attempt.trunk.as_ref(),
            Side::Caller(caller) => Some(&caller.trunk),
        }
    }

    /// Whether its media goes to whoever sends first.
    pub(super) fn comedia(&self) -> bool {
        match &self.side {
            Side::Callee(attempt) => attempt.comedia,
            Side::Caller(caller) => caller.trunk.trunk.comedia(),
        }
    }

    fn rtp_timeout(&self) -> Option<Duration> {
        match &self.side {
            Side::Callee(attempt) => attempt.rtp_timeout,
            Side::Caller(caller) => caller.trunk.trunk.rtp_timeout(),
        }
    }

    /// Who it is that can leave it.
    pub(super) const fn far_end(&self) -> HungUpBy {
        match self.side {
            Side::Callee(_) => HungUpBy::Callee,
            Side::Caller(_) => HungUpBy::Caller,
        }
    }

    /// Whether a caller waits for an answer of ours.
    pub(super) const fn is_waiting(&self) -> bool {
        matches!(self.state, LegState::Waiting { .. })
    }

    /// Whether somebody is being called who has not answered.
    pub(super) const fn is_attempt_under_way(&self) -> bool {
        match self.state {
            LegState::Idle
            | LegState::Resolving { .. }
            | LegState::Trying { .. }
            | LegState::Proceeding { .. }
            | LegState::Ringing { .. } => true,
            LegState::Waiting { .. } | LegState::Answered { .. } | LegState::Over => false,
        }
    }

    fn session(&self) -> Option<SessionId> {
        match self.state {
            LegState::Idle | LegState::Resolving { .. } | LegState::Over => None,
            LegState::Trying { session, .. }
            | LegState::Proceeding { session, .. }
            | LegState::Ringing { session }
            | LegState::Waiting { session, .. }
            | LegState::Answered { session, .. } => Some(session),
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.state == LegState::Over
    }

    pub(super) fn answered_since(&self) -> Option<Instant> {
        match self.state {
            LegState::Answered { since, .. } => Some(since),
            LegState::Idle
            | LegState::Resolving { .. }
            | LegState::Trying { .. }
            | LegState::Proceeding { .. }
            | LegState::Ringing { .. }
            | LegState::Waiting { .. }
            | LegState::Over => None,
        }
    }

    /// When the attempt is given up as it stands.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.state {
            LegState::Resolving { silent_until, .. } | LegState::Trying { silent_until, .. } => Some(silent_until),
            LegState::Proceeding { progress_until, .. } => Some(progress_until),
            LegState::Idle
            | LegState::Ringing { .. }
            | LegState::Waiting { .. }
            | LegState::Answered { .. }
            | LegState::Over => None,
        }
    }

    /// Why the attempt is to be given up now, if it is.
    pub(super) fn overdue(&self, now: Instant) -> Option<Outcome> {
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return None;
        }
        let Side::Callee(attempt) = &self.side else { return None };
        match self.state {
            LegState::Resolving { .. } => Some(Outcome::unresolvable(attempt.next_hop.host.to_string())),
            LegState::Trying { .. } => Some(Outcome::no_response(NO_RESPONSE_TIMEOUT)),
            LegState::Proceeding { .. } => Some(Outcome::no_progress(attempt.progress_timeout)),
            LegState::Idle
            | LegState::Ringing { .. }
            | LegState::Waiting { .. }
            | LegState::Answered { .. }
            | LegState::Over => None,
        }
    }

    /// Sends the INVITE, once the address is known.
    ///
    /// # Errors
    /// Why it cannot be sent.
    pub(super) fn reach_next_hop(&mut self, resources: &mut Resources, now: Now) -> Result<(), Outcome> {
        let Side::Callee(attempt) = &self.side else { return Ok(()) };
        let host = &attempt.next_hop.host;
        if let Some(address) = host.ip() {
            return self.send_invite(address, resources, now);
        }
        let lookup = resources.next_resolve();
        resources.resolving.insert(lookup, self.key);
        resources.push(Output::Resolve { id: lookup, host: host.to_string() });
        self.state = LegState::Resolving { lookup, silent_until: now.instant + NO_RESPONSE_TIMEOUT };
        Ok(())
    }

    /// The name of the next hop has been looked up.
    ///
    /// # Errors
    /// Why the INVITE cannot be sent.
    pub(super) fn handle_resolved(
        &mut self,
        resolved: &Resolved,
        resources: &mut Resources,
        now: Now,
    ) -> Result<(), Outcome> {
        let (LegState::Resolving { .. }, Side::Callee(attempt)) = (self.state, &self.side) else { return Ok(()) };
        let transport = attempt.next_hop.transport;
        let reachable = |address: &&IpAddr| resources.config.path_to(transport, **address).is_some();
        let addresses = resolved.as_deref().unwrap_or_default();
        match addresses.iter().find(reachable).or(addresses.first()) {
            Some(address) => self.send_invite(*address, resources, now),
            None => Err(Outcome::unresolvable(attempt.next_hop.host.to_string())),
        }
    }

    fn send_invite(&mut self, address: IpAddr, resources: &mut Resources, now: Now) -> Result<(), Outcome> {
        let address = address.to_canonical();
        if !resources.config.address_policy.permits(address) {
            return Err(Outcome::peer_not_allowed(address));
        }
        let Side::Callee(attempt) = &self.side else { return Ok(()) };
        let transport = attempt.next_hop.transport;
        let Some(path) = resources.config.path_to(transport, address) else {
            return Err(Outcome::no_local_address(transport, address));
        };
        let port = match self.port.take() {
            Some(port) => port,
            None => LegPort::take(self.key, path, &attempt.codecs, resources).map_err(|_| Outcome::node_full())?,
        };
        let port = self.port.insert(port);
        port.set_signalling_source(address);
        let remote = SocketAddr::new(address, attempt.next_hop.port);
        let session = resources.endpoint.invite(
            OutgoingInvite {
                flow: Flow { transport, local: path.local, remote },
                request_uri: attempt.request_uri.clone().into(),
                routes: attempt.routes.clone(),
                from: attempt.from(path.media),
                to: NameAddr::new(attempt.request_uri.clone()),
                headers: attempt.headers.clone(),
                credentials: attempt.credentials.clone(),
                body: Some(Body::sdp(port.offer_body())),
                max_forwards: attempt.max_forwards,
            },
            now.instant,
        );
        resources.sessions.insert(session, self.key);
        self.state = LegState::Trying { session, silent_until: now.instant + NO_RESPONSE_TIMEOUT };
        self.invited_at = Some(now.instant);
        self.record.sip_call_id = resources.endpoint.call_id(session).unwrap_or_default().to_owned();
        self.record.remote_address = Some(remote);
        resources.invited.insert(self.record.sip_call_id.clone(), self.key);
        Ok(())
    }

    /// Writes the leg as it is, and has its INVITE kept if there is one that is not yet.
    pub(super) fn write(&mut self, resources: &mut Resources) {
        resources.record_leg(&self.record);
        match &self.side {
            Side::Callee(_) => self.keep_invite(resources),
            Side::Caller(_) => self.keep_waiting_caller(resources),
        }
    }

    fn keep_waiting_caller(&mut self, resources: &mut Resources) {
        if let (Side::Caller(Caller { waiting: Some(waiting), .. }), LastKept::Nothing) = (&self.side, &self.kept) {
            let Arrival { flow, raw, to_tag, .. } = &waiting.arrival;
            let kept = Kept::WaitingCaller { flow: *flow, octets: Arc::clone(raw), to_tag: to_tag.clone() };
            resources.keep(&self.record, kept);
            self.kept = LastKept::WaitingCaller;
        }
    }

    /// Our tag in what a caller who waits was answered so far.
    fn our_tag(&self) -> Option<String> {
        match &self.side {
            Side::Callee(_) => None,
            Side::Caller(caller) => caller.waiting.as_ref().map(|waiting| waiting.arrival.to_tag.clone()),
        }
    }

    /// Tells a caller who waits that somebody is being called: with our description if there is something to hear already, which needs
    /// that there was an offer. `true` when that is news.
    pub(super) fn tell_ringing(&mut self, has_early_media: bool, resources: &mut Resources, now: Now) -> bool {
        let (LegState::Waiting { session, told }, Side::Caller(Caller { waiting: Some(waiting), .. })) =
            (&mut self.state, &self.side)
        else {
            return false;
        };
        let description = waiting.description.as_ref().filter(|_| has_early_media);
        let status = if description.is_some() { StatusCode::SESSION_PROGRESS } else { StatusCode::RINGING };
        // What is played to them already goes on: nothing takes it back.
        if *told == Some(status) || *told == Some(StatusCode::SESSION_PROGRESS) {
            return false;
        }
        resources.endpoint.progress(*session, status, description.cloned().map(Body::sdp), now.instant);
        *told = Some(status);
        if self.record.ringing_at.is_none() {
            self.record.status = LegStatus::Ringing;
            self.record.ringing_at = Some(now.utc);
        }
        true
    }

    /// Answers a caller who waits.
    pub(super) fn answer_caller(&mut self, resources: &mut Resources, now: Now) {
        let (LegState::Waiting { session, .. }, Side::Caller(caller), Some(port)) =
            (self.state, &mut self.side, &mut self.port)
        else {
            return;
        };
        let Some(waiting) = caller.waiting.take() else { return };
        let WaitingCaller { arrival, description } = *waiting;
        let body = description.unwrap_or_else(|| port.offer_in_answer());
        resources.endpoint.accept(session, Some(Body::sdp(body)), Vec::new(), now.instant);
        self.state = LegState::Answered { session, since: now.instant };
        self.record.status = LegStatus::Answered;
        self.record.answered_at = Some(now.utc);
        self.record.sip_status = Some(StatusCode::OK.as_u16());
        resources.traffic.leg_answered(self.record.trunk_id, self.record.direction);
        let delay = now.instant.saturating_duration_since(arrival.at);
        resources.traffic.caller_answered(self.record.trunk_id, delay);
        self.keep_answered_caller(&arrival, resources);
        self.guard_media(resources);
        resources.record_leg(&self.record);
    }

    fn keep_answered_caller(&mut self, arrival: &Arrival, resources: &mut Resources) {
        let dialog = self.session().and_then(|session| resources.endpoint.dialog(session));
        let Some(dialog) = dialog.map(Box::new) else { return };
        self.kept = LastKept::AnsweredCaller;
        let kept = Kept::AnsweredCaller { flow: arrival.flow, octets: Arc::clone(&arrival.raw), dialog };
        resources.keep(&self.record, kept);
    }

    /// An ACK came: the caller has our answer.
    pub(super) fn handle_acknowledged(&mut self, resources: &mut Resources) {
        if matches!(self.kept, LastKept::AnsweredCaller) {
            self.keep_dialog(resources);
        }
    }

    /// Silence ends the leg from now on, unless the peer holds us.
    fn guard_media(&self, resources: &mut Resources) {
        if let Some(port) = &self.port {
            port.set_rtp_timeout(self.rtp_timeout().filter(|_| !port.is_held()), resources);
        }
    }

    /// Has the INVITE kept that went out last: a challenge may have made the endpoint send another.
    pub(super) fn keep_invite(&mut self, resources: &mut Resources) {
        let invite = self.session().and_then(|session| resources.endpoint.invite_sent(session));
        let Some((flow, octets)) = invite else { return };
        if matches!(&self.kept, LastKept::Invite { octets: known } if Arc::ptr_eq(known, &octets)) {
            return;
        }
        self.kept = LastKept::Invite { octets: Arc::clone(&octets) };
        resources.keep(&self.record, Kept::Invite { flow, octets });
    }

    /// Has the dialog kept, unless it still leads to where it did: a re-INVITE may have moved the far end.
    pub(super) fn keep_dialog(&mut self, resources: &mut Resources) {
        let dialog = self.session().and_then(|session| resources.endpoint.dialog(session));
        let Some(record) = dialog else { return };
        let target = &record.dialog.remote_target;
        if matches!(&self.kept, LastKept::Dialog { remote_target } if remote_target == target)
            || !resources.rules.hold(Rule::KeepsDialogs)
        {
            return;
        }
        self.kept = LastKept::Dialog { remote_target: target.clone() };
        resources.keep(&self.record, Kept::Dialog(Box::new(record)));
    }

    /// 100 to 199. `None` when it changes nothing that anybody hears of.
    pub(super) fn handle_provisional(
        &mut self,
        status: StatusCode,
        body: Option<&[u8]>,
        resources: &mut Resources,
        now: Now,
    ) -> Option<Progress> {
        let (session, begins_to_ring) = match self.state {
            LegState::Trying { session, .. } if status == StatusCode::TRYING => {
                let Side::Callee(attempt) = &self.side else { return None };
                let progress_until = now.instant + attempt.progress_timeout;
                self.state = LegState::Proceeding { session, progress_until };
                return None;
            }
            LegState::Trying { session, .. } | LegState::Proceeding { session, .. } => (session, true),
            LegState::Ringing { session } => (session, false),
            LegState::Idle
            | LegState::Resolving { .. }
            | LegState::Waiting { .. }
            | LegState::Answered { .. }
            | LegState::Over => return None,
        };
        if status == StatusCode::TRYING {
            return None;
        }
        self.state = LegState::Ringing { session };
        self.count_set_up(resources, now);
        if begins_to_ring {
            self.record.status = LegStatus::Ringing;
            self.record.ringing_at = Some(now.utc);
        }
        let comedia = self.comedia();
        let port = self.port.as_mut()?;
        let had_media = port.agreement.is_some();
        let takes_media = body.is_some_and(|body| port.take_answer(body, comedia, resources).is_ok());
        Some(Progress {
            begins_to_ring,
            begins_early_media: takes_media && !had_media,
            has_early_media: takes_media || had_media,
        })
    }

    /// 2xx. `None` when the leg has been answered, or given up, before.
    ///
    /// # Errors
    /// The answer has no media that can be used.
    pub(super) fn handle_answer(
        &mut self,
        answer: &Answer,
        resources: &mut Resources,
        now: Now,
    ) -> Option<Result<(), Outcome>> {
        let session = match self.state {
            LegState::Trying { session, .. } | LegState::Proceeding { session, .. } | LegState::Ringing { session } => {
                session
            }
            LegState::Idle
            | LegState::Resolving { .. }
            | LegState::Waiting { .. }
            | LegState::Answered { .. }
            | LegState::Over => return None,
        };
        self.state = LegState::Answered { session, since: now.instant };
        self.record.status = LegStatus::Answered;
        self.record.answered_at = Some(now.utc);
        self.record.sip_status = Some(answer.status.as_u16());
        resources.invited.remove(&self.record.sip_call_id);
        self.count_set_up(resources, now);
        resources.traffic.leg_answered(self.record.trunk_id, self.record.direction);
        // Before its media are looked at: what cannot be used has to be hung up all the same.
        self.keep_dialog(resources);
        if let Some(entry) = self.trunk() {
            resources.capacity.set_auth_failed(entry.trunk.id, false);
        }
        let media = self.take_answered_media(answer.body.as_deref(), resources);
        resources.record_leg(&self.record);
        Some(media)
    }

    /// Counts how long the far end took until something was heard of its telephone, once.
    fn count_set_up(&mut self, resources: &mut Resources, now: Now) {
        if let Some(invited_at) = self.invited_at.take() {
            let delay = now.instant.saturating_duration_since(invited_at);
            resources.traffic.set_up(self.record.trunk_id, delay);
        }
    }

    fn take_answered_media(&mut self, body: Option<&[u8]>, resources: &mut Resources) -> Result<(), Outcome> {
        let comedia = self.comedia();
        let port = self.port.as_mut().ok_or_else(Outcome::no_description)?;
        match body {
            Some(body) => {
                let taken = port.take_answer(body, comedia, resources);
                taken.map_err(|error| Outcome::of_answer(&error))?;
            }
            // The description may have come with a 18x; then the 200 need not repeat it (RFC 6337 §2.2).
            None if port.agreement.is_some() => {}
            None => return Err(Outcome::no_description()),
        }
        self.record.codec = port.agreement.as_ref().map(|agreement| agreement.codec);
        self.guard_media(resources);
        Ok(())
    }

    /// Takes up what offer and answer have agreed anew. `Some` when the peer thereby holds us, or no longer does.
    ///
    /// Whoever is held hears nothing, whatever the direction says: that silence is no reason to end the call.
    pub(super) fn take_up_agreement(&mut self, was_held: bool, resources: &mut Resources) -> Option<Hold> {
        let port = self.port.as_ref()?;
        self.record.codec = port.agreement.as_ref().map(|agreement| agreement.codec);
        let is_held = port.is_held();
        if is_held == was_held {
            return None;
        }
        self.guard_media(resources);
        Some(if is_held { Hold::Begun } else { Hold::Ended })
    }

    /// Ends the leg: slot and port on their way back, the record closed, and if `gives_up` a BYE, a CANCEL or a final answer to the
    /// peer; else the peer ended it, or its own final answer did.
    pub(super) fn end(&mut self, mut ending: LegEnding, gives_up: bool, resources: &mut Resources, now: Now) {
        let connected = self.answered_since().map(|since| now.instant.saturating_duration_since(since));
        resources.traffic.leg_ended(self.record.trunk_id, self.record.direction, ending.cause, connected);
        if let LegState::Resolving { lookup, .. } = self.state {
            resources.resolving.remove(&lookup);
        }
        if let Some(session) = self.session() {
            resources.sessions.remove(&session);
            resources.invited.remove(&self.record.sip_call_id);
            if gives_up {
                let reason = ReasonHeader::q850(u16::from(ending.cause.q850()));
                match (connected, &self.side) {
                    (Some(_), _) => resources.endpoint.bye(session, Some(&reason), now.instant),
                    (None, Side::Callee(_)) => resources.endpoint.cancel(session, Some(&reason), now.instant),
                    (None, Side::Caller(_)) => {
                        let status = status_for_caller(ending.cause, ending.sip_status);
                        resources.endpoint.reject(session, status, Vec::new(), now.instant);
                        ending.sip_status = Some(status.as_u16());
                    }
                }
            }
            match std::mem::replace(&mut self.kept, LastKept::Nothing) {
                LastKept::Nothing => {}
                LastKept::WaitingCaller if gives_up => {
                    let tag = self.our_tag().unwrap_or_default();
                    resources.forget_refused_caller(self.record.id, tag, now.instant);
                }
                LastKept::Invite { .. } | LastKept::AnsweredCaller | LastKept::Dialog { .. } if gives_up => {
                    resources.forget_once_released(session, &self.record);
                }
                LastKept::Invite { .. }
                | LastKept::WaitingCaller
                | LastKept::AnsweredCaller
                | LastKept::Dialog { .. } => {
                    resources.forget(self.record.id);
                }
            }
        }
        self.state = LegState::Over;
        if let Some(slot) = self.slot.take()
            && (connected.is_some() || resources.rules.hold(Rule::GivesSlotsBack))
        {
            resources.capacity.release_trunk(slot);
        }
        // Who called and was not answered has given up, or has been refused by us.
        let was_canceled = gives_up == matches!(self.side, Side::Callee(_));
        self.record.status = match connected {
            Some(_) => LegStatus::Completed,
            None if was_canceled => LegStatus::Canceled,
            None => LegStatus::Failed,
        };
        let mut price = self.trunk().map_or(Price::Free, |entry| Price::Rated(entry.rate));
        if let Price::Rated(rate) = &mut price
            && !resources.rules.hold(Rule::BillsOnce)
        {
            rate.increment_seconds *= 2;
        }
        close_record(&mut self.record, ending, connected.unwrap_or_default(), price, now.utc);
        resources.record_leg(&self.record);
        if let Some(port) = &mut self.port {
            port.close(resources);
        }
    }
}

/// A record of a leg that begins now; what its side knows is still to be filled in.
fn new_record(
    key: LegKey,
    account_id: AccountId,
    direction: CallDirection,
    resources: &mut Resources,
    now: Now,
) -> LegRecord {
    LegRecord {
        id: LegId::new(now.utc, resources.random_bytes()),
        call_id: key.call,
        account_id,
        number: u32::try_from(key.leg + 1).unwrap_or(u32::MAX),
        kind: LegKind::Sip,
        trunk_id: None,
        direction,
        request_uri: String::new(),
        started_at: now.utc,
        ringing_at: None,
        answered_at: None,
        ended_at: None,
        duration_ms: None,
        status: LegStatus::Trying,
        cause: None,
        sip_status: None,
        hung_up_by: None,
        codec: None,
        sip_call_id: String::new(),
        transport: Transport::Udp,
        remote_address: None,
        billed_seconds: None,
        cost: None,
        media: None,
    }
}

/// What a connection costs.
#[derive(Debug, Clone, Copy)]
pub(super) enum Price {
    /// It is over no trunk, or there was none.
    Free,
    Rated(Rate),
    /// Its trunk is gone.
    Unknown,
}

/// Closes the record of a leg that was connected for so long; all but its status.
pub(super) fn close_record(
    record: &mut LegRecord,
    ending: LegEnding,
    connected: Duration,
    price: Price,
    ended_at: Timestamp,
) {
    record.ended_at = Some(ended_at);
    record.cause = Some(ending.cause);
    record.hung_up_by = Some(ending.by);
    record.sip_status = ending.sip_status.or(record.sip_status);
    record.duration_ms = Some(u64::try_from(connected.as_millis()).unwrap_or(u64::MAX));
    (record.billed_seconds, record.cost) = match price {
        Price::Free => (Some(0), Some(Money::ZERO)),
        Price::Rated(rate) => {
            (Some(rate.billed_seconds(connected)), Some(rate.cost(connected).unwrap_or(MAX_CALL_COST)))
        }
        Price::Unknown => (None, None),
    };
}

/// What a new agreement means to who is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hold {
    Begun,
    Ended,
}

/// Why a leg, or a call, ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct LegEnding {
    pub(super) cause: HangupCause,
    pub(super) by: HungUpBy,
    pub(super) sip_status: Option<u16>,
}

/// How long a peer may be silent after an INVITE before the next one is tried. RFC 3261 would wait 32 s (timer B); callers do not.
const NO_RESPONSE_TIMEOUT: Duration = Duration::from_secs(4);
