//! The audio of a far end: one RTP socket, G.711, a tone or an echo, and what was heard.

use super::script::Audio;
use crate::sip_text::SipText;
use std::f64::consts::TAU;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};
use tandem_media::g711::Law;

/// What was heard in one RTP packet.
#[derive(Clone, Debug)]
pub struct Heard {
    /// When it came.
    pub at: Instant,
    /// Its RTP sequence number.
    pub sequence: u16,
    /// Its RTP timestamp.
    pub timestamp: u32,
    /// Its SSRC.
    pub ssrc: u32,
    /// Its payload, decoded: 8,000 samples a second.
    pub samples: Vec<i16>,
}

#[derive(Debug)]
pub(crate) struct Media {
    socket: UdpSocket,
    /// Unknown to who has offered and has no answer yet.
    remote: Option<SocketAddr>,
    payload_type: u8,
    audio: Audio,
    muted: bool,
    next: Instant,
    sequence: u16,
    timestamp: u32,
    phase: f64,
}

impl Media {
    /// Opens a socket for what an offer asks for.
    pub(crate) fn open(address: IpAddr, offer: &SipText, audio: Audio, now: Instant) -> Option<Self> {
        let (remote, payload_type) = read_description(offer)?;
        Some(Self { remote: Some(remote), payload_type, ..Self::listen(address, audio, now) })
    }

    /// Opens a socket for an offer of PCMU.
    pub(crate) fn listen(address: IpAddr, audio: Audio, now: Instant) -> Self {
        Self {
            socket: bind(address),
            remote: None,
            payload_type: 0,
            audio,
            muted: false,
            next: now,
            sequence: 100,
            timestamp: 8_000,
            phase: 0.0,
        }
    }

    /// Speaks to where a description says, in its first codec.
    pub(crate) fn connect(&mut self, description: &SipText) {
        if let Some((remote, payload_type)) = read_description(description) {
            self.remote = Some(remote);
            self.payload_type = payload_type;
        }
    }

    /// Presses a key for 60 ms: packets of 20 ms, and the last one three times (RFC 4733 §2.5.1.4).
    pub(crate) fn press(&mut self, payload_type: u8, key: u8) {
        for (place, duration) in [160_u16, 320, 480, 480, 480].into_iter().enumerate() {
            let marker = if place == 0 { 0x80 } else { 0 };
            let mut packet = vec![0x80, marker | payload_type];
            packet.extend(self.sequence.to_be_bytes());
            packet.extend(self.timestamp.to_be_bytes());
            packet.extend(SSRC.to_be_bytes());
            let end = if duration == 480 { 0x80 } else { 0 };
            packet.extend([key, end | KEY_VOLUME]);
            packet.extend(duration.to_be_bytes());
            self.sequence = self.sequence.wrapping_add(1);
            self.send(&packet);
        }
        self.timestamp = self.timestamp.wrapping_add(480);
    }

    fn send(&self, packet: &[u8]) {
        if let Some(remote) = self.remote {
            // The other side may be gone.
            drop(self.socket.send_to(packet, remote));
        }
    }

    /// Goes on at another port.
    pub(crate) fn move_port(&mut self) {
        self.socket = bind(self.socket.local_addr().expect("the socket is bound").ip());
    }

    pub(crate) fn port(&self) -> u16 {
        self.socket.local_addr().expect("the socket is bound").port()
    }

    pub(crate) const fn payload_type(&self) -> u8 {
        self.payload_type
    }

    pub(crate) const fn set_audio(&mut self, audio: Audio) {
        self.audio = audio;
    }

    /// The far end stops or goes on talking.
    pub(crate) const fn mute(&mut self, muted: bool) {
        self.muted = muted;
    }

    /// Sends what is due and takes in what came.
    pub(crate) fn run(&mut self, now: Instant, heard: &mut Vec<Heard>) {
        self.send_due(now);
        let mut buffer = [0; 2_048];
        while let Ok((length, from)) = self.socket.recv_from(&mut buffer) {
            let Some(packet) = buffer.get_mut(..length) else { continue };
            let Some(found) = decode(packet, now) else { continue };
            if heard.len() < MOST_HEARD {
                heard.push(found);
            }
            if self.audio == Audio::Echo && !self.muted {
                // Who sent it may be gone.
                drop(self.socket.send_to(packet, from));
            }
        }
    }

    fn send_due(&mut self, now: Instant) {
        while self.next <= now {
            self.next += PACKET;
            let Audio::Tone(hz) = self.audio else { continue };
            if self.muted {
                continue;
            }
            let law = law(self.payload_type).expect("only G.711 is agreed");
            let mut packet = vec![0x80, self.payload_type];
            packet.extend(self.sequence.to_be_bytes());
            packet.extend(self.timestamp.to_be_bytes());
            packet.extend(SSRC.to_be_bytes());
            for _ in 0..SAMPLES {
                self.phase = (self.phase + TAU * f64::from(hz) / RATE) % TAU;
                #[expect(clippy::cast_possible_truncation, reason = "a sine of 8,000 fits into 16 bits")]
                let sample = (self.phase.sin() * LEVEL) as i16;
                packet.push(law.encode(sample));
            }
            self.sequence = self.sequence.wrapping_add(1);
            self.timestamp = self.timestamp.wrapping_add(SAMPLES);
            self.send(&packet);
        }
    }
}

/// When a tone was first heard for 40 ms.
pub(crate) fn first_heard(heard: &[Heard], hz: u16) -> Option<Instant> {
    let candidates = [hz, if hz == 400 { 1_700 } else { 400 }];
    heard.windows(2).find_map(|window| {
        let samples: Vec<i16> = window.iter().flat_map(|heard| heard.samples.iter().copied()).collect();
        let found = tandem_media::tone::dominant_hz(&samples, &candidates);
        (found == Some(hz)).then(|| window.last().map(|heard| heard.at)).flatten()
    })
}

fn bind(address: IpAddr) -> UdpSocket {
    let socket = UdpSocket::bind((address, 0)).expect("the host is the test's own");
    socket.set_nonblocking(true).expect("a socket can be made non-blocking");
    socket
}

/// Where a description wants audio, and the first G.711 payload type that it names.
fn read_description(offer: &SipText) -> Option<(SocketAddr, u8)> {
    let media = offer.sdp('m').into_iter().find(|line| line.starts_with("audio "))?;
    let mut words = media.split(' ').skip(1);
    let port: u16 = words.next()?.parse().ok()?;
    let address = offer.sdp('c').into_iter().next()?;
    let address: IpAddr = address.rsplit(' ').next()?.parse().ok()?;
    let payload_type = words.skip(1).filter_map(|word| word.parse().ok()).find(|pt| law(*pt).is_some())?;
    Some((SocketAddr::new(address, port), payload_type))
}

/// An RTP packet with G.711 in it (RFC 3550 §5.1).
fn decode(packet: &[u8], at: Instant) -> Option<Heard> {
    let (header, payload) = packet.split_at_checked(12)?;
    let law = law(header.get(1)? & 0x7f)?;
    let number = |from: usize| header.get(from..from + 4)?.try_into().ok().map(u32::from_be_bytes);
    Some(Heard {
        at,
        sequence: u16::from_be_bytes(header.get(2..4)?.try_into().ok()?),
        timestamp: number(4)?,
        ssrc: number(8)?,
        samples: payload.iter().map(|octet| law.decode(*octet)).collect(),
    })
}

const fn law(payload_type: u8) -> Option<Law> {
    match payload_type {
        0 => Some(Law::Mu),
        8 => Some(Law::A),
        _ => None,
    }
}

const PACKET: Duration = Duration::from_millis(20);
const SAMPLES: u32 = 160;
const RATE: f64 = 8_000.0;
/// Some 12 dB below full scale.
const LEVEL: f64 = 8_000.0;
/// Of keys: 10 dB below full scale.
const KEY_VOLUME: u8 = 10;
const SSRC: u32 = 0x0e2e_0e2e;
/// A minute of one call.
const MOST_HEARD: usize = 3_000;
