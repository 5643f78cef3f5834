use super::attempt::Attempt;
use super::leg_port::LegPort;
use super::outcome::Outcome;
use crate::capacity::TrunkSlot;
use crate::command::{Output, ResolveId, Resolved};
use crate::resources::{LegKey, Resources};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};
use tandem_model::{AccountId, CallDirection, HangupCause, HungUpBy, LegId, LegKind, LegRecord, LegStatus, Money, Now};
use tandem_sip::endpoint::{Answer, Flow, OutgoingInvite, SessionId};
use tandem_sip::message::{Body, NameAddr, StatusCode};
use tandem_sip::session::ReasonHeader;

/// One side of a call: a SIP dialog, or an attempt at one, with its media port.
#[derive(Debug)]
pub(super) struct Leg {
    key: LegKey,
    pub(super) attempt: Attempt,
    pub(super) record: LegRecord,
    state: LegState,
    slot: Option<TrunkSlot>,
    /// `None` once the port is closed and given back.
    pub(super) port: Option<LegPort>,
}

/// Where a leg is. Each state owns the deadlines that exist in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LegState {
    /// Slot and port are taken, nothing was sent.
    Idle,
    /// The next hop's name is being looked up; for this it has as long as the INVITE will have after it.
    Resolving { lookup: ResolveId, silent_until: Instant },
    /// The INVITE is out, nothing has come.
    Trying { session: SessionId, silent_until: Instant },
    /// 100 has come, nothing more.
    Proceeding { session: SessionId, progress_until: Instant },
    /// A 18x has come.
    Ringing { session: SessionId },
    /// 2xx.
    Answered { session: SessionId, since: Instant },
    /// Ended, or given up.
    Over,
}

/// What a provisional answer has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Progress {
    pub(super) begins_to_ring: bool,
    pub(super) begins_early_media: bool,
    pub(super) has_early_media: bool,
}

impl Leg {
    /// A leg that has what it needs; nothing is sent yet.
    pub(super) fn new(
        key: LegKey,
        account_id: AccountId,
        attempt: Attempt,
        slot: Option<TrunkSlot>,
        port: LegPort,
        resources: &mut Resources,
        now: Now,
    ) -> Self {
        let record = LegRecord {
            id: LegId::new(now.utc, resources.random_bytes()),
            call_id: key.call,
            account_id,
            number: u32::try_from(key.leg + 1).unwrap_or(u32::MAX),
            kind: LegKind::Sip,
            trunk_id: attempt.trunk.as_ref().map(|entry| entry.trunk.id),
            direction: CallDirection::Outbound,
            request_uri: attempt.request_uri.to_string(),
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
            transport: attempt.next_hop.transport,
            remote_address: None,
            billed_seconds: None,
            cost: None,
            media: None,
        };
        Self { key, attempt, record, state: LegState::Idle, slot, port: Some(port) }
    }

    fn session(&self) -> Option<SessionId> {
        match self.state {
            LegState::Idle | LegState::Resolving { .. } | LegState::Over => None,
            LegState::Trying { session, .. }
            | LegState::Proceeding { session, .. }
            | LegState::Ringing { session }
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
            | LegState::Over => None,
        }
    }

    /// When the attempt is given up as it stands.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.state {
            LegState::Resolving { silent_until, .. } | LegState::Trying { silent_until, .. } => Some(silent_until),
            LegState::Proceeding { progress_until, .. } => Some(progress_until),
            LegState::Idle | LegState::Ringing { .. } | LegState::Answered { .. } | LegState::Over => None,
        }
    }

    /// Why the attempt is to be given up now, if it is.
    pub(super) fn overdue(&self, now: Instant) -> Option<Outcome> {
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return None;
        }
        match self.state {
            LegState::Resolving { .. } => Some(Outcome::unresolvable(self.attempt.next_hop.host.to_string())),
            LegState::Trying { .. } => Some(Outcome::no_response(NO_RESPONSE_TIMEOUT)),
            LegState::Proceeding { .. } => Some(Outcome::no_progress(self.attempt.progress_timeout)),
            LegState::Idle | LegState::Ringing { .. } | LegState::Answered { .. } | LegState::Over => None,
        }
    }

    /// Sends the INVITE, once the address is known.
    ///
    /// # Errors
    /// Why it cannot be sent.
    pub(super) fn reach_next_hop(&mut self, resources: &mut Resources, now: Now) -> Result<(), Outcome> {
        let host = &self.attempt.next_hop.host;
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
        let LegState::Resolving { .. } = self.state else { return Ok(()) };
        let transport = self.attempt.next_hop.transport;
        let reachable = |address: &&IpAddr| resources.config.listener_for(transport, **address).is_some();
        let addresses = resolved.as_deref().unwrap_or_default();
        match addresses.iter().find(reachable).or(addresses.first()) {
            Some(address) => self.send_invite(*address, resources, now),
            None => Err(Outcome::unresolvable(self.attempt.next_hop.host.to_string())),
        }
    }

    fn send_invite(&mut self, address: IpAddr, resources: &mut Resources, now: Now) -> Result<(), Outcome> {
        if !resources.config.address_policy.permits(address) {
            return Err(Outcome::peer_not_allowed(address));
        }
        let attempt = &self.attempt;
        let transport = attempt.next_hop.transport;
        let listener = resources.config.listener_for(transport, address).ok_or_else(Outcome::transport_error)?;
        let remote = SocketAddr::new(address, attempt.next_hop.port);
        let body = self.port.as_mut().map(|port| {
            port.set_signalling_source(address);
            Body::sdp(port.offer_body())
        });
        let session = resources.endpoint.invite(
            OutgoingInvite {
                flow: Flow { transport, local: listener.local, remote },
                request_uri: attempt.request_uri.clone().into(),
                routes: attempt.routes.clone(),
                from: attempt.from.clone(),
                to: NameAddr::new(attempt.request_uri.clone()),
                headers: attempt.headers.clone(),
                credentials: attempt.credentials.clone(),
                body,
                max_forwards: MAX_FORWARDS,
            },
            now.instant,
        );
        resources.sessions.insert(session, self.key);
        self.state = LegState::Trying { session, silent_until: now.instant + NO_RESPONSE_TIMEOUT };
        self.record.sip_call_id = resources.endpoint.call_id(session).unwrap_or_default().to_owned();
        self.record.remote_address = Some(remote);
        Ok(())
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
                let progress_until = now.instant + self.attempt.progress_timeout;
                self.state = LegState::Proceeding { session, progress_until };
                return None;
            }
            LegState::Trying { session, .. } | LegState::Proceeding { session, .. } => (session, true),
            LegState::Ringing { session } => (session, false),
            LegState::Idle | LegState::Resolving { .. } | LegState::Answered { .. } | LegState::Over => return None,
        };
        if status == StatusCode::TRYING {
            return None;
        }
        self.state = LegState::Ringing { session };
        if begins_to_ring {
            self.record.status = LegStatus::Ringing;
            self.record.ringing_at = Some(now.utc);
        }
        let port = self.port.as_mut()?;
        let had_media = port.agreement.is_some();
        let takes_media = body.is_some_and(|body| port.take_answer(body, self.attempt.comedia, resources).is_ok());
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
            LegState::Idle | LegState::Resolving { .. } | LegState::Answered { .. } | LegState::Over => return None,
        };
        self.state = LegState::Answered { session, since: now.instant };
        self.record.status = LegStatus::Answered;
        self.record.answered_at = Some(now.utc);
        self.record.sip_status = Some(answer.status.as_u16());
        if let Some(entry) = &self.attempt.trunk {
            resources.capacity.set_auth_failed(entry.trunk.id, false);
        }
        Some(self.take_answered_media(answer.body.as_deref(), resources))
    }

    fn take_answered_media(&mut self, body: Option<&[u8]>, resources: &mut Resources) -> Result<(), Outcome> {
        let port = self.port.as_mut().ok_or_else(Outcome::no_description)?;
        match body {
            Some(body) => {
                let taken = port.take_answer(body, self.attempt.comedia, resources);
                taken.map_err(|error| Outcome::of_answer(&error))?;
            }
            // The description may have come with a 18x; then the 200 need not repeat it (RFC 6337 §2.2).
            None if port.agreement.is_some() => {}
            None => return Err(Outcome::no_description()),
        }
        self.record.codec = port.agreement.as_ref().map(|agreement| agreement.codec);
        port.set_rtp_timeout(self.attempt.rtp_timeout.filter(|_| !port.is_held()), resources);
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
        port.set_rtp_timeout(self.attempt.rtp_timeout.filter(|_| !is_held), resources);
        Some(if is_held { Hold::Begun } else { Hold::Ended })
    }

    /// Ends the leg: slot and port on their way back, the record closed, and if `gives_up` a BYE or CANCEL to the peer; else
    /// the peer ended it, or its final answer did.
    pub(super) fn end(&mut self, ending: LegEnding, gives_up: bool, resources: &mut Resources, now: Now) {
        let connected = self.answered_since().map(|since| now.instant.saturating_duration_since(since));
        if let LegState::Resolving { lookup, .. } = self.state {
            resources.resolving.remove(&lookup);
        }
        if let Some(session) = self.session() {
            resources.sessions.remove(&session);
            if gives_up {
                let reason = ReasonHeader::q850(u16::from(ending.cause.q850()));
                match connected {
                    Some(_) => resources.endpoint.bye(session, Some(&reason), now.instant),
                    None => resources.endpoint.cancel(session, Some(&reason), now.instant),
                }
            }
        }
        self.state = LegState::Over;
        if let Some(slot) = self.slot.take() {
            resources.capacity.release_trunk(slot);
        }
        self.record.status = match connected {
            Some(_) => LegStatus::Completed,
            None if gives_up => LegStatus::Canceled,
            None => LegStatus::Failed,
        };
        self.close_record(ending, connected.unwrap_or_default(), now);
        if let Some(port) = &mut self.port {
            port.close(resources);
        }
    }

    fn close_record(&mut self, ending: LegEnding, connected: Duration, now: Now) {
        let record = &mut self.record;
        record.ended_at = Some(now.utc);
        record.cause = Some(ending.cause);
        record.hung_up_by = Some(ending.by);
        record.sip_status = ending.sip_status.or(record.sip_status);
        record.duration_ms = Some(u64::try_from(connected.as_millis()).unwrap_or(u64::MAX));
        let rate = self.attempt.trunk.as_ref().map(|trunk| trunk.rate);
        record.billed_seconds = Some(rate.map_or(0, |rate| rate.billed_seconds(connected)));
        // A price times a call of at most a day fits: prices have at most 12 digits before the point.
        record.cost = Some(rate.and_then(|rate| rate.cost(connected).ok()).unwrap_or(Money::ZERO));
    }
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
/// RFC 3261 §8.1.1.6.
const MAX_FORWARDS: u8 = 70;
