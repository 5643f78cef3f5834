//! The audio of one call: what was negotiated, and its media port.

use std::net::IpAddr;

use tandem_media::engine::{self, Command, PortStats, RemoteMedia};
use tandem_media::offer_answer::{self, Agreement, LocalMedia, Offer, Payload};
use tandem_media::sdp::Direction;
use tandem_model::Codec;

use crate::exchange::{Callers, Exchange};
use crate::line::{Impairment, LineCommand};
use crate::persona::Talk;
use crate::port::MediaPort;
use crate::report::{CallNumber, Heard, MediaRefusal};

/// The audio of one call.
#[derive(Debug)]
pub(crate) struct Voice {
    port: MediaPort,
    state: PortState,
    /// What the line does to what we say; `None` on a good one.
    line: Option<Impairment>,
    local: LocalMedia,
    /// Where the caller's signalling comes from.
    caller: IpAddr,
    negotiation: Negotiation,
}

#[derive(Debug)]
enum Negotiation {
    Agreed {
        agreement: Agreement,
        description: Vec<u8>,
    },
    /// The caller made no offer, so we do; its answer comes with the ACK.
    Offered {
        offer: Offer,
    },
}

/// The port in the eyes of the media engine.
#[derive(Debug)]
enum PortState {
    /// Taken from the pool; the engine does not know yet.
    Reserved,
    Open,
    /// It was told to close, and will say what it counted.
    Closing,
    Closed(Heard),
}

impl Voice {
    /// Answers the offer of an INVITE, or prepares our own when it has none.
    pub(crate) fn negotiate(
        port: MediaPort,
        local: LocalMedia,
        caller: IpAddr,
        offer: Option<&[u8]>,
        callers: &Callers,
    ) -> Result<Self, MediaRefusal> {
        let negotiation = Negotiation::start(&local, offer, callers)?;
        Ok(Self { port, state: PortState::Reserved, line: None, local, caller, negotiation })
    }

    /// The same over this line.
    pub(crate) fn over(self, line: Option<Impairment>) -> Self {
        Self { line, ..self }
    }

    /// The same for a re-INVITE. When it is refused, what was agreed before stays.
    pub(crate) fn renegotiate(&mut self, offer: Option<&[u8]>, callers: &Callers) -> Result<(), MediaRefusal> {
        let local = LocalMedia { session_version: self.local.session_version.wrapping_add(1), ..self.local.clone() };
        self.negotiation = Negotiation::start(&local, offer, callers)?;
        self.local = local;
        Ok(())
    }

    /// Takes what came with an ACK: the answer, if we made the offer. Tells whether anything was agreed by it.
    pub(crate) fn acknowledge(&mut self, answer: Option<&[u8]>, callers: &Callers) -> Result<bool, MediaRefusal> {
        let Negotiation::Offered { offer } = &self.negotiation else { return Ok(false) };
        let agreement = offer_answer::accept_answer(offer, answer.ok_or(MediaRefusal::NoAnswer)?)?;
        admit(&agreement, callers)?;
        let description = offer.to_bytes();
        self.negotiation = Negotiation::Agreed { agreement, description };
        Ok(true)
    }

    /// The body of a 2xx: our answer, or our offer.
    pub(crate) fn description(&self) -> Vec<u8> {
        match &self.negotiation {
            Negotiation::Agreed { description, .. } => description.clone(),
            Negotiation::Offered { offer } => offer.to_bytes(),
        }
    }

    /// The body of a 183: our answer. An offer of ours waits for the 200, since without reliable provisional responses
    /// it may go nowhere else (RFC 3261 §13.2.1).
    pub(crate) fn early_description(&self) -> Option<Vec<u8>> {
        match &self.negotiation {
            Negotiation::Agreed { description, .. } => Some(description.clone()),
            Negotiation::Offered { .. } => None,
        }
    }

    /// Who may send, as agreed: we and the caller.
    pub(crate) fn direction(&self) -> Option<Direction> {
        match &self.negotiation {
            Negotiation::Agreed { agreement, .. } => Some(agreement.direction),
            Negotiation::Offered { .. } => None,
        }
    }

    /// Opens the port if need be, and sets what it says and what it does with what it hears.
    pub(crate) fn talk(&mut self, talk: &Talk, call: CallNumber, exchange: &mut Exchange) {
        let port = self.port.id;
        if matches!(self.state, PortState::Reserved) {
            self.state = PortState::Open;
            let seed = exchange.seeds.next();
            exchange.media(Command::Open { port, tag: call.0, seed });
            if let Some(impairment) = self.line {
                let seed = exchange.seeds.next();
                exchange.line(LineCommand::Impair { port, impairment, seed });
            }
            self.connect(exchange);
        }
        if matches!(self.state, PortState::Open) {
            exchange.media(Command::SetSource { port, source: talk.says.source() });
            exchange.media(Command::SetSink { port, sink: talk.hears });
        }
    }

    /// Tells the port what is agreed by now.
    pub(crate) fn connect(&self, exchange: &mut Exchange) {
        let (PortState::Open, Negotiation::Agreed { agreement, .. }) = (&self.state, &self.negotiation) else { return };
        exchange.media(Command::SetRemote { port: self.port.id, remote: remote_media(agreement, self.caller) });
    }

    /// The call is over. The next one on this port has a line of its own.
    pub(crate) fn close(&mut self, exchange: &mut Exchange) {
        if matches!(self.state, PortState::Open) {
            self.state = PortState::Closing;
            exchange.media(Command::Close { port: self.port.id });
        }
        if self.line.take().is_some() {
            exchange.line(LineCommand::Restore { port: self.port.id });
        }
    }

    /// The engine closed the port.
    pub(crate) fn closed(&mut self, stats: &PortStats) {
        self.state = PortState::Closed(Heard::from(stats));
    }

    /// Whether the engine has the port.
    pub(crate) fn is_open(&self) -> bool {
        match self.state {
            PortState::Open | PortState::Closing => true,
            PortState::Reserved | PortState::Closed(_) => false,
        }
    }

    /// What the port counted, once it is closed.
    pub(crate) fn heard(&self) -> Option<Heard> {
        match &self.state {
            PortState::Closed(heard) => Some(*heard),
            PortState::Reserved | PortState::Open | PortState::Closing => None,
        }
    }

    pub(crate) fn port(&self) -> MediaPort {
        self.port
    }
}

impl Negotiation {
    fn start(local: &LocalMedia, offer: Option<&[u8]>, callers: &Callers) -> Result<Self, MediaRefusal> {
        let Some(offer) = offer else {
            return Ok(Self::Offered { offer: offer_answer::offer(local) });
        };
        let (description, agreement) = offer_answer::answer(offer, local)?;
        admit(&agreement, callers)?;
        Ok(Self::Agreed { agreement, description })
    }
}

/// Our side of a session description.
pub(crate) fn local_media(address: IpAddr, port: MediaPort, session_id: u64) -> LocalMedia {
    LocalMedia {
        address,
        rtp_port: port.rtp_port,
        codecs: vec![Codec::Pcmu, Codec::Pcma],
        telephone_event: true,
        direction: Direction::SendRecv,
        ptime_ms: offer_answer::DEFAULT_PTIME_MS,
        session_id,
        session_version: 1,
    }
}

/// Refuses to send audio to a host that may not call.
fn admit(agreement: &Agreement, callers: &Callers) -> Result<(), MediaRefusal> {
    let foreign = [agreement.remote_rtp, agreement.remote_rtcp]
        .into_iter()
        .flatten()
        .map(|target| target.ip())
        .find(|address| !callers.admit(*address));
    foreign.map_or(Ok(()), |address| Err(MediaRefusal::ForeignAddress(address)))
}

fn remote_media(agreement: &Agreement, caller: IpAddr) -> RemoteMedia {
    RemoteMedia {
        rtp: agreement.remote_rtp,
        rtcp: agreement.remote_rtcp,
        rtcp_mux: agreement.rtcp_mux,
        codec: agreement.codec,
        send_payload_type: agreement.send_payload_type,
        receive_payload_types: agreement
            .receive_payload_types
            .iter()
            .map(|(number, payload)| match payload {
                Payload::Audio(codec) => (number, engine::Payload::Audio(codec)),
                Payload::TelephoneEvent => (number, engine::Payload::TelephoneEvent),
            })
            .collect(),
        telephone_event: agreement.telephone_event.map(|event| event.send_payload_type),
        ptime_ms: agreement.ptime_ms,
        may_send: agreement.direction.sends(),
        may_receive: agreement.direction.receives(),
        signalling_source: Some(caller),
        comedia: false,
    }
}
