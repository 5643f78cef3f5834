use super::arrival::{Arrival, NotTaken};
use crate::config::Path;
use crate::family::Family;
use crate::ports::{LocalPort, PortsExhausted};
use crate::resources::{LegKey, Resources};
use crate::route::RoutedTrunk;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tandem_media::engine::{self, Command, RemoteMedia, Sink, Source};
use tandem_media::offer_answer::{self, Agreement, LocalMedia, NegotiationError, Offer, Payload};
use tandem_media::sdp::Direction;
use tandem_model::{Codec, LegMedia, Reason};

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

impl LegPort {
    /// Takes a port for the leg and opens it, with an offer for a peer that is reached by this path.
    ///
    /// # Errors
    /// No port of its family is free.
    pub(super) fn take(
        leg: LegKey,
        path: Path,
        codecs: &[Codec],
        resources: &mut Resources,
    ) -> Result<Self, PortsExhausted> {
        let local = resources.config.ports.take(path.family)?;
        let tag = resources.next_number();
        resources.port_tags.insert(tag, (leg, local));
        let seed = u64::from_be_bytes(resources.random_bytes());
        // RFC 8866 §5.2 wants a numeric id; 62 bits leave room for readers that take it as signed.
        let session_id = u64::from_be_bytes(resources.random_bytes()) >> 2;
        let description = LocalMedia {
            address: path.media,
            rtp_port: local.rtp_port,
            codecs: codecs.to_vec(),
            telephone_event: true,
            direction: Direction::SendRecv,
            ptime_ms: offer_answer::DEFAULT_PTIME_MS,
            session_id,
            session_version: 1,
        };
        resources.media(Command::Open { port: local.id, tag, seed });
        let offer = offer_answer::offer(&description);
        Ok(Self {
            local,
            last_sent: offer.to_bytes(),
            session_version: description.session_version,
            offer,
            agreement: None,
            signalling_source: None,
            awaits_answer_in_ack: false,
            is_closing: false,
        })
    }

    /// Takes a port for who calls us, with our answer to the offer if there is one.
    ///
    /// # Errors
    /// No port of the family is free, or the offer cannot be used.
    pub(super) fn of_caller(
        leg: LegKey,
        arrival: &Arrival,
        trunk: &RoutedTrunk,
        resources: &mut Resources,
    ) -> Result<(Self, Option<Vec<u8>>), NotTaken> {
        let source = arrival.flow.remote.ip().to_canonical();
        let family = Family::of(source);
        let media = resources.config.media.of(family).ok_or(NotTaken::node(Reason::NodeFull))?;
        let path = Path { local: arrival.flow.local, family, media };
        let taken = Self::take(leg, path, &trunk.codecs, resources);
        let mut port = taken.map_err(|PortsExhausted| NotTaken::node(Reason::NodeFull))?;
        port.set_signalling_source(source);
        let Some(offer) = &arrival.sdp else { return Ok((port, None)) };
        match port.take_offer(offer, trunk.trunk.comedia(), resources) {
            Ok(answer) => Ok((port, Some(answer))),
            Err(_) => {
                port.close(resources);
                Err(NotTaken::unusable_offer())
            }
        }
    }

    pub(super) fn offer_body(&self) -> Vec<u8> {
        self.last_sent.clone()
    }

    pub(super) const fn set_signalling_source(&mut self, source: IpAddr) {
        self.signalling_source = Some(source);
    }

    /// Takes the peer's answer to our offer, of a 18x, a 2xx or an ACK.
    pub(super) fn take_answer(
        &mut self,
        answer: &[u8],
        comedia: bool,
        resources: &mut Resources,
    ) -> Result<(), NegotiationError> {
        let agreement = offer_answer::accept_answer(&self.offer, answer)?;
        self.agree(agreement, comedia, resources);
        Ok(())
    }

    /// Takes the peer's offer of a re-INVITE; the body is our answer.
    pub(super) fn take_offer(
        &mut self,
        offer: &[u8],
        comedia: bool,
        resources: &mut Resources,
    ) -> Result<Vec<u8>, NegotiationError> {
        let (body, agreement) = offer_answer::answer(offer, &self.next_description())?;
        self.sent(&body);
        self.agree(agreement, comedia, resources);
        Ok(body)
    }

    /// Our offer for the 200 to a re-INVITE that has none (RFC 3261 §14.2); the answer comes in the ACK.
    pub(super) fn offer_anew(&mut self) -> Vec<u8> {
        let description = self.next_description();
        self.offer =
            offer_answer::reoffer(&description, &self.last_sent).unwrap_or_else(|_| offer_answer::offer(&description));
        self.awaits_answer_in_ack = true;
        let body = self.offer.to_bytes();
        self.sent(&body);
        body
    }

    /// Our offer for the 200 to an INVITE that has none (RFC 3261 §13.2.1); the answer comes in the ACK.
    pub(super) fn offer_in_answer(&mut self) -> Vec<u8> {
        self.awaits_answer_in_ack = true;
        self.last_sent.clone()
    }

    /// Whether an ACK with a body answers an offer of ours.
    pub(super) const fn expects_answer_in_ack(&mut self) -> bool {
        std::mem::replace(&mut self.awaits_answer_in_ack, false)
    }

    /// Our next description: its version is one higher than that of the last one sent (RFC 3264 §8).
    fn next_description(&self) -> LocalMedia {
        LocalMedia { session_version: self.session_version + 1, ..self.offer.local().clone() }
    }

    fn sent(&mut self, description: &[u8]) {
        self.session_version += 1;
        self.last_sent = description.to_vec();
    }

    fn agree(&mut self, agreement: Agreement, comedia: bool, resources: &mut Resources) {
        // An address that may not be named, or that the port's socket cannot reach, is not sent to. Who names one is most often
        // behind a NAT, and is heard from where its signalling comes from; there the stream starts, and goes to the port that is
        // heard as soon as one is.
        let reachable = |named: SocketAddr| {
            let named = SocketAddr::new(named.ip().to_canonical(), named.port());
            if Family::of(named.ip()) == self.local.family && resources.config.address_policy.permits(named.ip()) {
                return Some(named);
            }
            self.signalling_source.map(|source| SocketAddr::new(source, named.port()))
        };
        let remote = RemoteMedia {
            rtp: agreement.remote_rtp.and_then(reachable),
            rtcp: agreement.remote_rtcp.and_then(reachable),
            rtcp_mux: agreement.rtcp_mux,
            codec: agreement.codec,
            send_payload_type: agreement.send_payload_type,
            receive_payload_types: agreement
                .receive_payload_types
                .iter()
                .map(|(number, payload)| (number, meaning(payload)))
                .collect(),
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

    /// Stops the port; it is given back once it has told its counters.
    pub(super) fn close(&mut self, resources: &mut Resources) {
        if !std::mem::replace(&mut self.is_closing, true) {
            resources.media(Command::Close { port: self.local.id });
        }
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
