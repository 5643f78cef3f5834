//! One port: what it hears, and what leaves by it.

use std::net::SocketAddr;
use std::ops::Range;
use std::time::{Duration, Instant};

use tandem_model::Codec;

use super::command::{Channel, Payload, PortId, RemoteMedia, Sink, Source};
use super::ear::Ear;
use super::egress::{Egress, Origin};
use super::event::Event;
use super::latch::{Latch, Sender};
use super::outbox::Outbox;
use super::reporting::{Reporting, Sent, WallClock};
use super::seed::Seeded;
use super::speaker::{Key, Sound, Speaker, Terms, Utterance};
use super::stats::{PortStats, ReceiveDrops, ReceivedStats, SendDrops, SentStats};
use crate::dtmf::{EventPayload, Press, PressDecoder};
use crate::g711::{self, Law};
use crate::rtcp;
use crate::rtp::{self, Arrival, HEADER_LEN, Header, Reception};

#[derive(Debug)]
pub(crate) struct Port {
    id: PortId,
    tag: u64,
    agreed: Option<Agreed>,
    latch: Latch,
    sink: Sink,
    /// Since it was first to listen for a tone.
    ear: Option<Box<Ear>>,
    reception: Reception,
    presses: PressDecoder,
    silence: Silence,
    heard_anything: bool,
    egress: Egress,
    speaker: Speaker,
    reporting: Reporting,
    received_bytes: u64,
    receive_drops: ReceiveDrops,
    sent_packets: u64,
    sent_bytes: u64,
    send_drops: SendDrops,
}

/// What offer and answer agreed, laid out for the packets.
#[derive(Debug)]
struct Agreed {
    codec: Codec,
    send_payload_type: u8,
    /// By payload type.
    receives: [Option<Payload>; 128],
    telephone_event: Option<u8>,
    rtcp: Option<SocketAddr>,
    rtcp_mux: bool,
    may_send: bool,
    may_receive: bool,
    /// How we speak, if we know the codec.
    terms: Option<Terms>,
}

/// Watches for the peer to fall silent.
#[derive(Debug, Default)]
struct Silence {
    longest: Option<Duration>,
    /// When it last began: the last packet, or when the peer was first expected to send. `None` while it need not.
    since: Option<Instant>,
    /// Told already, until the next packet.
    told: bool,
}

/// A packet of the peer on its way to a sink.
#[derive(Debug)]
pub(crate) struct Heard {
    header: Header,
    payload: Range<usize>,
    /// `None`: it is not to be sent on, but must not look lost either.
    content: Option<Payload>,
    pub(crate) sink: Sink,
}

impl Port {
    pub(crate) fn open(id: PortId, tag: u64, seed: u64, now: Instant) -> Self {
        let mut random = Seeded::new(seed);
        let [ssrc, timestamp, sequence] = [(); 3].map(|()| random.next_u32());
        let [_, _, high, low] = sequence.to_be_bytes();
        Self {
            id,
            tag,
            agreed: None,
            latch: Latch::default(),
            sink: Sink::Discard,
            ear: None,
            reception: Reception::new(now),
            presses: PressDecoder::default(),
            silence: Silence::default(),
            heard_anything: false,
            egress: Egress::new(ssrc, u16::from_be_bytes([high, low]), timestamp, now),
            speaker: Speaker::new(),
            reporting: Reporting::new(random),
            received_bytes: 0,
            receive_drops: ReceiveDrops::default(),
            sent_packets: 0,
            sent_bytes: 0,
            send_drops: SendDrops::default(),
        }
    }

    pub(crate) fn set_remote(&mut self, remote: &RemoteMedia, now: Instant) {
        let could_send = self.can_send();
        if self.latch.signal(remote, now) {
            self.reporting.forget_source();
        }
        let agreed = Agreed::new(remote);
        if !agreed.may_receive {
            self.silence.since = None;
        } else if self.silence.since.is_none() {
            self.silence.since = Some(now);
            self.silence.told = false;
        }
        self.agreed = Some(agreed);
        if self.can_send() != could_send {
            self.egress.interrupt(); // while it could not, the numbers of whoever speaks to it went on
        }
        self.reporting.start(now);
        self.keep_pace(now);
    }

    /// True when that is a change.
    pub(crate) fn set_sink(&mut self, sink: Sink, now: Instant) -> bool {
        let is_change = std::mem::replace(&mut self.sink, sink) != sink;
        if let (Sink::Listen { hz }, true) = (sink, is_change) {
            self.ear = Some(Box::new(Ear::new(hz, now)));
        }
        is_change
    }

    /// Somebody begins to speak through this port, perhaps again: what was not sent meanwhile must not look lost.
    pub(crate) fn change_speaker(&mut self) {
        self.egress.interrupt();
    }

    pub(crate) fn set_source(&mut self, source: &Source, now: Instant) {
        self.speaker.set_source(source);
        self.keep_pace(now);
    }

    /// The number of keys that wait.
    pub(crate) fn waiting_keys(&self) -> usize {
        self.speaker.waiting()
    }

    pub(crate) fn press(&mut self, keys: impl Iterator<Item = Key>, now: Instant) {
        self.speaker.press(keys);
        self.keep_pace(now);
    }

    /// The time runs from now, or from when the peer may send.
    pub(crate) fn set_rtp_timeout(&mut self, longest: Option<Duration>, now: Instant) {
        self.silence.longest = longest;
        self.silence.told = false;
        if self.silence.since.is_some() {
            self.silence.since = Some(now);
        }
    }

    pub(crate) fn close(mut self, clock: &WallClock, outbox: &mut Outbox, now: Instant) {
        if let Some(press) = self.presses.restart() {
            self.tell_press(press, outbox);
        }
        if self.reporting.sent() > 0 {
            self.send_report(true, clock, outbox, now);
        }
        let stats = Box::new(self.stats());
        outbox.tell(Event::Closed { port: self.id, tag: self.tag, stats });
    }

    /// Whether a datagram on the RTP socket is RTCP.
    pub(crate) fn is_multiplexed_rtcp(&self, datagram: &[u8]) -> bool {
        self.agreed.as_ref().is_some_and(|agreed| agreed.rtcp_mux) && rtcp::is_rtcp(datagram)
    }

    /// Takes in a datagram from the RTP socket.
    pub(crate) fn hear(
        &mut self,
        from: SocketAddr,
        datagram: &[u8],
        outbox: &mut Outbox,
        now: Instant,
    ) -> Option<Heard> {
        let Some(agreed) = &self.agreed else {
            self.receive_drops.held += 1; // media may overtake the answer
            return None;
        };
        let sender = self.latch.judge(from, now);
        if sender == Sender::Stranger {
            self.receive_drops.wrong_source += 1;
            return None;
        }
        let Ok((header, payload)) = rtp::parse(datagram) else {
            self.receive_drops.malformed += 1;
            return None;
        };
        let meaning = agreed.receives.get(usize::from(header.payload_type)).copied().flatten();
        let may_receive = agreed.may_receive;
        if meaning.is_none() {
            self.receive_drops.unknown_payload_type += 1;
            if sender != Sender::Peer {
                return None; // what is not agreed says nothing about who the peer is
            }
        }
        if sender == Sender::Candidate {
            self.latch.lock(from);
            outbox.tell(Event::Latched { port: self.id, tag: self.tag, source: from });
        }
        if !self.heard_anything {
            self.heard_anything = true;
            outbox.tell(Event::FirstPacket { port: self.id, tag: self.tag });
        }
        let audio_clock = match meaning {
            Some(Payload::Audio(codec)) if !payload.is_empty() => Some(codec.clock_rate()),
            Some(Payload::Audio(_) | Payload::TelephoneEvent) | None => None,
        };
        let arrival = self.reception.receive(&header, audio_clock, now);
        self.received_bytes += u64::try_from(payload.len()).unwrap_or(0);
        if arrival == Arrival::Start
            && let Some(press) = self.presses.restart()
        {
            self.tell_press(press, outbox);
        }
        if !may_receive {
            self.receive_drops.held += 1;
            return None;
        }
        self.silence.since = Some(now);
        self.silence.told = false;

        let bytes = datagram.get(payload.clone()).unwrap_or_default();
        let content = meaning.filter(|meaning| self.is_worth_relaying(*meaning, bytes));
        if content == Some(Payload::TelephoneEvent)
            && let Some(event) = EventPayload::parse(bytes)
        {
            for press in self.presses.hear(header.timestamp, event, now).into_iter().flatten() {
                self.tell_press(press, outbox);
            }
        }
        if let (Sink::Listen { .. }, Some(ear), Some(Payload::Audio(codec))) = (self.sink, &mut self.ear, content)
            && let Some(law) = Law::of(codec)
        {
            ear.hear(law, bytes);
        }
        Some(Heard { header, payload, content, sink: self.sink })
    }

    /// Takes in a datagram of RTCP.
    pub(crate) fn hear_rtcp(&mut self, from: SocketAddr, datagram: &[u8], clock: &WallClock, now: Instant) {
        let Some(agreed) = self.agreed.as_ref().filter(|_| self.latch.may_report(from)) else {
            self.receive_drops.rtcp += 1;
            return;
        };
        let clock_rate = agreed.codec.clock_rate();
        match rtcp::parse(datagram) {
            Ok(packets) => {
                let ssrc = self.egress.ssrc();
                self.reporting.receive(from, packets, ssrc, clock_rate, clock, now);
            }
            Err(_) => self.receive_drops.rtcp += 1,
        }
    }

    /// Counts a packet whose sink is not there.
    pub(crate) fn miss_sink(&mut self) {
        self.receive_drops.no_sink += 1;
    }

    /// Rewrites what `from` heard into a packet of this port. The answer is where it goes and which octets of
    /// `datagram` it is: our header takes the place right before the payload.
    pub(crate) fn relay(
        &mut self,
        from: PortId,
        heard: &Heard,
        datagram: &mut [u8],
        now: Instant,
    ) -> Option<(SocketAddr, Range<usize>)> {
        let origin = Origin::Relayed { from, ssrc: heard.header.ssrc };
        let Some(content) = heard.content else {
            self.egress.pass_over(origin, heard.header.sequence);
            return None;
        };
        let (agreed, to) = match self.way_out() {
            Ok(way_out) => way_out,
            Err(obstacle) => {
                self.count_obstacle(obstacle);
                return None;
            }
        };
        let payload = datagram.get_mut(heard.payload.clone())?;
        let sent_as = agreed.translate(content, payload);
        let (payload_type, audio_span, len) = match sent_as {
            Ok(translated) => translated,
            Err(obstacle) => {
                self.count_obstacle(obstacle);
                self.egress.pass_over(origin, heard.header.sequence);
                return None;
            }
        };
        let clock_rate = agreed.codec.clock_rate();
        let Some(place) = self.egress.place(origin, &heard.header, audio_span, clock_rate, now) else {
            self.send_drops.stale += 1;
            return None;
        };
        let header = Header {
            marker: heard.header.marker || (place.is_first && audio_span.is_some()),
            payload_type,
            sequence: place.sequence,
            timestamp: place.timestamp,
            ssrc: self.egress.ssrc(),
        };
        let start = heard.payload.start.checked_sub(HEADER_LEN)?;
        let packet = start..heard.payload.start + len;
        *datagram.get_mut(start..)?.first_chunk_mut()? = header.to_bytes();
        self.count_sent(len);
        Some((to, packet))
    }

    pub(crate) fn handle_timeout(&mut self, clock: &WallClock, outbox: &mut Outbox, now: Instant) {
        if let Some(press) = self.presses.handle_timeout(now) {
            self.tell_press(press, outbox);
        }
        if let Some(silent_for) = self.silence.handle_timeout(now) {
            outbox.tell(Event::RtpTimeout { port: self.id, tag: self.tag, silent_for });
        }
        if let Some(heard) = self.ear.as_mut().and_then(|ear| ear.handle_timeout(now)) {
            outbox.tell(Event::Heard { port: self.id, tag: self.tag, heard });
        }
        self.speak(outbox, now);
        if self.reporting.is_due(now) {
            self.send_report(false, clock, outbox, now);
        }
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        let ear = self.ear.as_ref().and_then(|ear| ear.deadline());
        let deadlines =
            [self.presses.deadline(), self.silence.deadline(), self.speaker.deadline(), self.reporting.deadline(), ear];
        deadlines.into_iter().flatten().min()
    }

    pub(crate) fn stats(&self) -> PortStats {
        PortStats {
            received: ReceivedStats {
                packets: self.reception.packets(),
                bytes: self.received_bytes,
                lost: self.reception.lost(),
                jitter_us: self.reception.jitter_us(),
                max_jitter_us: self.reception.max_jitter_us(),
                duplicates: self.reception.duplicates(),
                out_of_order: self.reception.out_of_order(),
                restarts: self.reception.restarts(),
                rtcp_packets: self.reporting.received(),
                dropped: self.receive_drops,
            },
            sent: SentStats {
                packets: self.sent_packets,
                bytes: self.sent_bytes,
                rtcp_packets: self.reporting.sent(),
                dropped: self.send_drops,
            },
            reported: self.reporting.peer_report(),
            round_trip_us: self.reporting.round_trip_us(),
            source: self.latch.locked(),
        }
    }

    /// Whether a valid packet of a known type has content that can be sent on; counts it if not.
    fn is_worth_relaying(&mut self, meaning: Payload, payload: &[u8]) -> bool {
        if payload.is_empty() {
            self.receive_drops.empty += 1;
            return false;
        }
        match meaning {
            Payload::Audio(_) if payload.len() > MAX_AUDIO_LEN => {
                self.receive_drops.oversized += 1;
                false
            }
            Payload::TelephoneEvent if payload.len() < EventPayload::LEN => {
                self.receive_drops.malformed += 1;
                false
            }
            Payload::Audio(_) | Payload::TelephoneEvent => true,
        }
    }

    /// What was agreed and where to send, if others may speak through this port.
    fn way_out(&self) -> Result<(&Agreed, SocketAddr), Obstacle> {
        let agreed = self.agreed.as_ref().ok_or(Obstacle::NoRemote)?;
        if !agreed.may_send {
            return Err(Obstacle::Held);
        }
        if self.speaker.has_the_floor() {
            return Err(Obstacle::Overridden);
        }
        let to = self.latch.destination().ok_or(Obstacle::NoRemote)?;
        Ok((agreed, to))
    }

    fn count_obstacle(&mut self, obstacle: Obstacle) {
        let drops = &mut self.send_drops;
        let counter = match obstacle {
            Obstacle::Held => &mut drops.held,
            Obstacle::NoRemote => &mut drops.no_remote,
            Obstacle::Overridden => &mut drops.overridden,
            Obstacle::NotTranscodable => &mut drops.not_transcodable,
            Obstacle::NoTelephoneEvent => &mut drops.no_telephone_event,
        };
        *counter += 1;
    }

    fn count_sent(&mut self, payload_len: usize) {
        self.sent_packets += 1;
        self.sent_bytes += u64::try_from(payload_len).unwrap_or(0);
    }

    fn tell_press(&self, press: Press, outbox: &mut Outbox) {
        outbox.tell_if_fetched(Event::Digit {
            port: self.id,
            tag: self.tag,
            digit: press.digit,
            duration: press.duration,
            end_heard: press.end_heard,
        });
    }

    /// Starts or stops the speaker's clock after anything that it depends on has changed.
    fn keep_pace(&mut self, now: Instant) {
        let can_speak = self.terms().is_some() && self.can_send();
        self.speaker.keep_pace(can_speak, now);
    }

    fn can_send(&self) -> bool {
        self.agreed.as_ref().is_some_and(|agreed| agreed.may_send) && self.latch.destination().is_some()
    }

    /// How to speak, while it may.
    fn terms(&self) -> Option<Terms> {
        self.agreed.as_ref().filter(|agreed| agreed.may_send).and_then(|agreed| agreed.terms)
    }

    /// Sends what the port itself has to say by now.
    fn speak(&mut self, outbox: &mut Outbox, now: Instant) {
        let mut buffer = [0; MAX_OWN_PAYLOAD];
        while let Some(terms) = self.terms() {
            let Some(payload) = buffer.get_mut(..usize::from(terms.samples())) else { return };
            let was_dialling = self.speaker.is_dialling();
            let Some(utterance) = self.speaker.speak(&terms, payload, now) else { return };
            match utterance.sound {
                Sound::Audio => self.utter(&utterance, payload, &terms, outbox, now),
                Sound::Event(event) => {
                    self.utter(&utterance, &event.to_bytes(), &terms, outbox, now);
                }
                Sound::Pause => {}
            }
            if was_dialling && !self.speaker.is_dialling() {
                let as_events = terms.events;
                outbox.tell(Event::DigitsSent { port: self.id, tag: self.tag, as_events });
                self.keep_pace(now); // perhaps there is nothing more to say
            }
        }
    }

    fn utter(&mut self, utterance: &Utterance, payload: &[u8], terms: &Terms, outbox: &mut Outbox, now: Instant) {
        let (Some(agreed), Some(to)) = (&self.agreed, self.latch.destination()) else { return };
        let is_event = matches!(utterance.sound, Sound::Event(_));
        let payload_type = match agreed.telephone_event {
            Some(payload_type) if is_event => payload_type,
            Some(_) | None => agreed.send_payload_type,
        };
        let mut header = Header {
            marker: utterance.marker,
            payload_type,
            sequence: utterance.sequence,
            timestamp: utterance.timestamp,
            ssrc: self.egress.ssrc(),
        };
        let origin = Origin::Own { turn: self.speaker.turn() };
        let span = (!is_event).then(|| u32::from(terms.samples()));
        let clock_rate = agreed.codec.clock_rate();
        let Some(place) = self.egress.place(origin, &header, span, clock_rate, now) else { return };
        header.sequence = place.sequence;
        header.timestamp = place.timestamp;
        let is_queued = outbox.transmit(self.id, Channel::Rtp, to, |bytes| {
            bytes.extend_from_slice(&header.to_bytes());
            bytes.extend_from_slice(payload);
        });
        if is_queued {
            self.count_sent(payload.len());
        } else {
            self.send_drops.backlog += 1;
        }
    }

    fn send_report(&mut self, goodbye: bool, clock: &WallClock, outbox: &mut Outbox, now: Instant) {
        let Some(agreed) = &self.agreed else { return };
        let (channel, to) = if agreed.rtcp_mux {
            (Channel::Rtp, self.latch.destination())
        } else {
            let signalled = agreed.rtcp.filter(|_| !self.latch.is_elsewhere());
            (Channel::Rtcp, self.reporting.source().filter(|_| agreed.rtcp.is_some()).or(signalled))
        };
        let Some(to) = to else { return };
        let sent = Sent {
            ssrc: self.egress.ssrc(),
            packets: self.sent_packets,
            bytes: self.sent_bytes,
            rtp_timestamp: self.egress.media_now(agreed.codec.clock_rate(), now),
        };
        let heard = self.reception.report();
        let report = self.reporting.report(sent, heard, goodbye, clock, now);
        let is_queued = outbox.transmit(self.id, channel, to, |bytes| rtcp::write_report(&report, bytes));
        if is_queued {
            self.reporting.count_sent();
        } else {
            self.send_drops.backlog += 1;
        }
    }
}

/// Why a packet cannot leave by a port.
#[derive(Clone, Copy, Debug)]
enum Obstacle {
    Held,
    NoRemote,
    Overridden,
    NotTranscodable,
    NoTelephoneEvent,
}

impl Agreed {
    fn new(remote: &RemoteMedia) -> Self {
        let mut receives = [None; 128];
        for (payload_type, payload) in &remote.receive_payload_types {
            if let Some(meaning) = receives.get_mut(usize::from(*payload_type)) {
                *meaning = Some(*payload);
            }
        }
        let ptime_ms = (remote.ptime_ms / 10 * 10).clamp(MIN_PTIME_MS, MAX_PTIME_MS);
        let terms = Law::of(remote.codec).map(|law| Terms {
            law,
            events: remote.telephone_event.is_some(),
            packet: Duration::from_millis(u64::from(ptime_ms)),
        });
        Self {
            codec: remote.codec,
            send_payload_type: remote.send_payload_type,
            receives,
            telephone_event: remote.telephone_event,
            rtcp: remote.rtcp,
            rtcp_mux: remote.rtcp_mux,
            may_send: remote.may_send,
            may_receive: remote.may_receive,
            terms,
        }
    }

    /// Turns a payload into one that the peer takes. The answer is its type, how much audio it holds, and its length.
    fn translate(&self, content: Payload, payload: &mut [u8]) -> Result<(u8, Option<u32>, usize), Obstacle> {
        match content {
            Payload::Audio(codec) => {
                match (Law::of(codec), Law::of(self.codec)) {
                    _ if codec == self.codec => {}
                    (Some(Law::Mu), Some(Law::A)) => g711::mu_to_a(payload),
                    (Some(Law::A), Some(Law::Mu)) => g711::a_to_mu(payload),
                    (Some(_) | None, Some(_) | None) => return Err(Obstacle::NotTranscodable),
                }
                let span = audio_span(self.codec, payload.len());
                Ok((self.send_payload_type, Some(span), payload.len()))
            }
            Payload::TelephoneEvent => {
                let payload_type = self.telephone_event.ok_or(Obstacle::NoTelephoneEvent)?;
                // One event a packet: what some senders put behind it is not for the other side.
                Ok((payload_type, None, EventPayload::LEN))
            }
        }
    }
}

impl Silence {
    fn deadline(&self) -> Option<Instant> {
        if self.told {
            return None;
        }
        self.since.zip(self.longest).map(|(since, longest)| since + longest)
    }

    fn handle_timeout(&mut self, now: Instant) -> Option<Duration> {
        self.deadline().filter(|due| *due <= now)?;
        self.told = true;
        self.since.map(|since| now.saturating_duration_since(since))
    }
}

/// How much media time a payload fills.
fn audio_span(codec: Codec, payload_len: usize) -> u32 {
    let len = u32::try_from(payload_len).unwrap_or(u32::MAX);
    match codec {
        Codec::Pcmu | Codec::Pcma | Codec::G722 => len, // 64 kbit/s against a clock of 8,000
        Codec::G729 => len.saturating_mul(8),           // 8 kbit/s
        Codec::Opus => codec.clock_rate() / 50,         // not said outside of the payload; 20 ms is usual
    }
}

/// 180 ms of G.711. More than that would not fit an Ethernet frame beside its headers, and nobody asks for it.
const MAX_AUDIO_LEN: usize = 1_440;
/// The shortest packet that we make.
const MIN_PTIME_MS: u16 = 10;
/// The longest: more delay than that is heard.
const MAX_PTIME_MS: u16 = 60;
/// The audio in [`MAX_PTIME_MS`], an octet each sample.
const MAX_OWN_PAYLOAD: usize = 480;
