use super::attempt::Attempt;
use crate::capacity::TrunkSlot;
use crate::ports::LocalPort;
use crate::resources::Resources;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};
use tandem_media::engine::{self, Command, RemoteMedia, Sink, Source};
use tandem_media::offer_answer::{self, Agreement, LocalMedia, NegotiationError, Offer, Payload};
use tandem_media::sdp::Direction;
use tandem_model::{HangupCause, HungUpBy, LegMedia, LegRecord, LegStatus, Money, Now};
use tandem_sip::endpoint::SessionId;
use tandem_sip::session::ReasonHeader;

/// One side of a call: a SIP dialog, or an attempt at one, with its media port.
#[derive(Debug)]
pub(super) struct Leg {
    pub(super) attempt: Attempt,
    pub(super) record: LegRecord,
    pub(super) state: LegState,
    pub(super) slot: Option<TrunkSlot>,
    /// `None` once the port is closed and given back.
    pub(super) port: Option<LegPort>,
}

/// Where a leg is. Each state owns the deadlines that exist in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LegState {
    /// The next hop's name is being looked up; it counts as part of the time in which nothing at all is heard.
    Resolving { silent_until: Instant },
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

/// The media port of a leg, with what was offered and agreed.
#[derive(Debug)]
pub(super) struct LegPort {
    pub(super) local: LocalPort,
    /// Our last offer, to judge its answer by.
    offer: Offer,
    /// Our last description, offer or answer.
    last_sent: Vec<u8>,
    session_version: u64,
    pub(super) agreement: Option<Agreement>,
    /// Where the peer's signalling is, once known.
    signalling_source: Option<IpAddr>,
    /// We offered in the 200 to a re-INVITE without an offer, and wait for the answer in its ACK.
    awaits_answer_in_ack: bool,
    is_closing: bool,
}

impl Leg {
    pub(super) fn session(&self) -> Option<SessionId> {
        match self.state {
            LegState::Resolving { .. } | LegState::Over => None,
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
            LegState::Resolving { .. }
            | LegState::Trying { .. }
            | LegState::Proceeding { .. }
            | LegState::Ringing { .. }
            | LegState::Over => None,
        }
    }

    /// When the attempt is given up as it stands.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.state {
            LegState::Resolving { silent_until } | LegState::Trying { silent_until, .. } => Some(silent_until),
            LegState::Proceeding { progress_until, .. } => Some(progress_until),
            LegState::Ringing { .. } | LegState::Answered { .. } | LegState::Over => None,
        }
    }

    /// Ends the leg: a BYE or CANCEL where one is due, slot and port on their way back, the record closed.
    ///
    /// `tell_peer` is false where the peer ended it, or its final answer did.
    pub(super) fn end(&mut self, ending: LegEnding, tell_peer: bool, resources: &mut Resources, now: Now) {
        let connected = self.answered_since().map(|since| now.instant.saturating_duration_since(since));
        if let Some(session) = self.session() {
            resources.sessions.remove(&session);
            if tell_peer {
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
        self.close_record(ending, connected, now);
        if let Some(port) = &mut self.port
            && !port.is_closing
        {
            port.is_closing = true;
            resources.media(Command::Close { port: port.local.id });
        }
    }

    fn close_record(&mut self, ending: LegEnding, connected: Option<Duration>, now: Now) {
        let record = &mut self.record;
        record.ended_at = Some(now.utc);
        record.cause = Some(ending.cause);
        record.hung_up_by = Some(ending.by);
        record.sip_status = ending.sip_status.or(record.sip_status);
        record.status = match (connected, ending.by) {
            (Some(_), _) => LegStatus::Completed,
            (None, HungUpBy::Callee) => LegStatus::Failed,
            (None, HungUpBy::Caller | HungUpBy::Api | HungUpBy::Switch) => LegStatus::Canceled,
        };
        let connected = connected.unwrap_or(Duration::ZERO);
        record.duration_ms = Some(u64::try_from(connected.as_millis()).unwrap_or(u64::MAX));
        let rate = self.attempt.trunk.as_ref().map(|trunk| trunk.rate);
        record.billed_seconds = Some(rate.map_or(0, |rate| rate.billed_seconds(connected)));
        // A price times a call of at most a day fits: prices have at most 12 digits before the point.
        record.cost = Some(rate.and_then(|rate| rate.cost(connected).ok()).unwrap_or(Money::ZERO));
    }
}

/// Why a leg ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct LegEnding {
    pub(super) cause: HangupCause,
    pub(super) by: HungUpBy,
    pub(super) sip_status: Option<u16>,
}

impl LegPort {
    /// Takes a port and opens it.
    pub(super) fn open(local: LocalPort, tag: u64, attempt: &Attempt, resources: &mut Resources) -> Self {
        let seed = u64::from_be_bytes(resources.random_bytes());
        // RFC 8866 §5.2 wants a numeric id; 62 bits leave room for readers that take it as signed.
        let session_id = u64::from_be_bytes(resources.random_bytes()) >> 2;
        let description = LocalMedia {
            address: resources.config.media_address,
            rtp_port: local.rtp_port,
            codecs: attempt.codecs.clone(),
            telephone_event: true,
            direction: Direction::SendRecv,
            ptime_ms: offer_answer::DEFAULT_PTIME_MS,
            session_id,
            session_version: 1,
        };
        resources.media(Command::Open { port: local.id, tag, seed });
        let offer = offer_answer::offer(&description);
        Self {
            local,
            last_sent: offer.to_bytes(),
            session_version: description.session_version,
            offer,
            agreement: None,
            signalling_source: None,
            awaits_answer_in_ack: false,
            is_closing: false,
        }
    }

    pub(super) fn offer_body(&self) -> Vec<u8> {
        self.last_sent.clone()
    }

    pub(super) const fn set_signalling_source(&mut self, source: IpAddr) {
        self.signalling_source = Some(source);
    }

    /// Takes the peer's answer to our offer, of a 18x, a 2xx or an ACK.
    pub(super) fn take_answer(&mut self, answer: &[u8], comedia: bool, resources: &mut Resources) -> Result<(), NegotiationError> {
        let agreement = offer_answer::accept_answer(&self.offer, answer)?;
        self.agree(agreement, comedia, resources);
        Ok(())
    }

    /// Takes the peer's offer of a re-INVITE; the body is our answer.
    pub(super) fn take_offer(&mut self, offer: &[u8], comedia: bool, resources: &mut Resources) -> Result<Vec<u8>, NegotiationError> {
        let (body, agreement) = offer_answer::answer(offer, &self.next_description())?;
        self.last_sent.clone_from(&body);
        self.agree(agreement, comedia, resources);
        Ok(body)
    }

    /// Our offer for the 200 to a re-INVITE that has none (RFC 3261 §14.2); the answer comes in the ACK.
    pub(super) fn offer_anew(&mut self) -> Vec<u8> {
        let description = self.next_description();
        self.offer = offer_answer::reoffer(&description, &self.last_sent).unwrap_or_else(|_| offer_answer::offer(&description));
        self.last_sent = self.offer.to_bytes();
        self.awaits_answer_in_ack = true;
        self.last_sent.clone()
    }

    /// Whether an ACK with a body answers an offer of ours.
    pub(super) const fn expects_answer_in_ack(&mut self) -> bool {
        std::mem::replace(&mut self.awaits_answer_in_ack, false)
    }

    /// Our description with its version one higher (RFC 3264 §8).
    fn next_description(&mut self) -> LocalMedia {
        self.session_version += 1;
        LocalMedia { session_version: self.session_version, ..self.offer.local().clone() }
    }

    fn agree(&mut self, agreement: Agreement, comedia: bool, resources: &mut Resources) {
        // An address that may not be named is not sent to: the stream starts once its source is known, as behind a NAT.
        let usable = |address: &SocketAddr| {
            resources.config.address_policy.permits(address.ip()) || Some(address.ip()) == self.signalling_source
        };
        let remote = RemoteMedia {
            rtp: agreement.remote_rtp.filter(usable),
            rtcp: agreement.remote_rtcp.filter(usable),
            rtcp_mux: agreement.rtcp_mux,
            codec: agreement.codec,
            send_payload_type: agreement.send_payload_type,
            receive_payload_types: agreement.receive_payload_types.iter().map(|(number, payload)| (number, meaning(payload))).collect(),
            telephone_event: agreement.telephone_event.map(|event| event.send_payload_type),
            ptime_ms: agreement.ptime_ms,
            may_send: agreement.direction.sends(),
            may_receive: agreement.direction.receives(),
            signalling_source: self.signalling_source,
            comedia,
        };
        self.agreement = Some(agreement);
        resources.media(Command::SetRemote { port: self.local.id, remote });
    }

    /// Whether the peer holds us: it does not want to hear us.
    pub(super) fn is_held(&self) -> bool {
        self.agreement.as_ref().is_some_and(|agreement| !agreement.direction.sends() || agreement.remote_rtp.is_none())
    }

    pub(super) fn set_sink(&self, sink: Sink, resources: &mut Resources) {
        resources.media(Command::SetSink { port: self.local.id, sink });
    }

    pub(super) fn set_source(&self, source: Source, resources: &mut Resources) {
        resources.media(Command::SetSource { port: self.local.id, source });
    }

    pub(super) fn set_rtp_timeout(&self, after: Option<Duration>, resources: &mut Resources) {
        resources.media(Command::SetRtpTimeout { port: self.local.id, after });
    }
}

const fn meaning(payload: Payload) -> engine::Payload {
    match payload {
        Payload::Audio(codec) => engine::Payload::Audio(codec),
        Payload::TelephoneEvent => engine::Payload::TelephoneEvent,
    }
}

/// The counters of a port as the leg's record keeps them.
pub(super) fn leg_media(stats: &engine::PortStats) -> LegMedia {
    let dropped = &stats.received.dropped;
    LegMedia {
        packets_received: stats.received.packets,
        bytes_received: stats.received.bytes,
        packets_sent: stats.sent.packets,
        bytes_sent: stats.sent.bytes,
        packets_lost: stats.received.lost.map(|lost| i64::try_from(lost).unwrap_or(i64::MAX)),
        jitter_us: stats.received.jitter_us.map(u64::from),
        round_trip_us: stats.round_trip_us.map(u64::from),
        packets_refused: dropped.wrong_source + dropped.malformed + dropped.unknown_payload_type,
        remote_rtp: stats.source,
    }
}
