//! The simulated carrier on a host of its own.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use tandem_carrier::{Carrier, CarrierConfig, Limits, Lines, MediaPort, Output};
use tandem_lab::setup::Seeded;
use tandem_media::engine::{self, Channel, Engine, PortId};
use tandem_model::{Now, Transport};
use tandem_sip::endpoint::{Flow, Identity};

use crate::audio;
use crate::network::{Content, Datagram};

pub(crate) struct CarrierHost {
    carrier: Carrier,
    engine: Engine,
    lines: Lines,
    sending: Vec<Datagram>,
}

impl CarrierHost {
    pub(crate) const FIRST: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 200)), 5_060);
    pub(crate) const SECOND: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 201)), 5_060);
    const MEDIA: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 202));

    pub(crate) fn new(seed: u64, now: Instant) -> Self {
        let config = CarrierConfig {
            addresses: [Self::FIRST, Self::SECOND],
            media_address: Self::MEDIA,
            media_ports: (0..PORTS).map(|id| MediaPort { id: PortId(id), rtp_port: rtp_port(PortId(id)) }).collect(),
            identity: Identity { node: 0xca, shard: 0 },
            callers: vec!["192.0.2.0/24".parse().unwrap()],
            limits: Limits::default(),
        };
        Self {
            carrier: Carrier::new(config, Box::new(Seeded(seed))),
            engine: Engine::new(engine::Limits { ports: PORTS }, now, Duration::from_secs(1_800_000_000)),
            lines: Lines::default(),
            sending: Vec::new(),
        }
    }

    pub(crate) fn has(address: SocketAddr) -> bool {
        [Self::FIRST.ip(), Self::SECOND.ip(), Self::MEDIA].contains(&address.ip())
    }

    pub(crate) fn hear(&mut self, datagram: Datagram, now: Now) {
        match datagram.content {
            Content::Sip(octets) => {
                let flow = Flow { transport: Transport::Udp, local: datagram.to, remote: datagram.from };
                self.carrier.handle_datagram(flow, &octets, now);
            }
            // Two of its calls that echo each other would send a tone back and forth for ever, and more of it all the time.
            Content::Rtp(packet) if audio::speaker(&packet).is_none() => {}
            Content::Rtp(mut packet) => {
                let port = datagram.to.port().checked_sub(FIRST_RTP_PORT).filter(|offset| offset % 2 == 0);
                if let Some(offset) = port
                    && let Some(transmit) =
                        self.engine.forward(PortId(u32::from(offset / 2)), datagram.from, &mut packet, now.instant)
                    && let Some(transmit) = self.lines.carry(transmit, now.instant)
                {
                    self.sending.extend(audio_datagram(&transmit));
                }
            }
        }
        self.drain(now);
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let line = self.lines.poll_timeout();
        [self.carrier.poll_timeout(), self.engine.poll_timeout(), line].into_iter().flatten().min()
    }

    pub(crate) fn handle_timeout(&mut self, now: Now) {
        self.carrier.handle_timeout(now);
        self.engine.handle_timeout(now.instant);
        self.drain(now);
    }

    pub(crate) fn take_sending(&mut self) -> Vec<Datagram> {
        std::mem::take(&mut self.sending)
    }

    /// Calls and sessions that it still has.
    pub(crate) fn left(&self) -> usize {
        let counts = self.carrier.counts();
        counts.calls + counts.endpoint.sessions
    }

    fn drain(&mut self, now: Now) {
        loop {
            let mut is_idle = true;
            while let Some(output) = self.carrier.poll_output() {
                is_idle = false;
                match output {
                    Output::Transmit(transmit) => {
                        let Flow { local, remote, .. } = transmit.flow;
                        let content = Content::Sip(transmit.payload.to_vec());
                        self.sending.push(Datagram { from: local, to: remote, content });
                    }
                    Output::Media(command) => {
                        self.engine.handle_command(command, now.instant).expect("the carrier knows its ports");
                    }
                    Output::Line(command) => self.lines.handle_command(command),
                    Output::Report(_) => {}
                }
            }
            while let Some(output) = self.engine.poll_output() {
                is_idle = false;
                match output {
                    engine::Output::Transmit(transmit) => {
                        let sent = self.lines.carry(transmit, now.instant);
                        self.sending.extend(sent.and_then(|transmit| audio_datagram(&transmit)));
                    }
                    engine::Output::Event(event) => self.carrier.handle_media_event(event, now),
                }
            }
            while let Some(late) = self.lines.poll_due(now.instant) {
                self.sending.extend(audio_datagram(&late.transmit()));
            }
            if is_idle {
                return;
            }
        }
    }
}

/// What the engine sends. Its reports are left out: no far end of the simulation reads any.
fn audio_datagram(transmit: &engine::Transmit<'_>) -> Option<Datagram> {
    let from = SocketAddr::new(CarrierHost::MEDIA, rtp_port(transmit.port));
    let content = Content::Rtp(transmit.payload.to_vec());
    (transmit.channel == Channel::Rtp).then_some(Datagram { from, to: transmit.to, content })
}

fn rtp_port(port: PortId) -> u16 {
    FIRST_RTP_PORT + 2 * u16::try_from(port.0).unwrap()
}

/// So many that none is used twice in a run.
const PORTS: u32 = 2_000;
const FIRST_RTP_PORT: u16 = 30_000;
