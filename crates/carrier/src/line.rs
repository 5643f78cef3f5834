//! The lines between media ports and those who call, which lose and delay what some numbers say.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tandem_media::engine::{Channel, PortId, Transmit};

use crate::random::Seeds;

/// What a bad line does to the packets that a media port sends, RTP and RTCP alike.
///
/// Each packet meets its fate without regard to the others. They may overtake each other, as where a network has several ways. On a
/// line that keeps packets of 20 ms in order, transit times fall by at most 20 ms from one to the next, so that 30 ms of jitter would
/// be bursts: every fourth packet late by 60 ms, and the three after it right behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Impairment {
    /// How many of 10,000 packets are lost, on average.
    pub loss_basis_points: u16,
    /// Packets are late by less than this, each time being as likely as any other.
    pub delay_below: Duration,
}

/// What the carrier wants of [`Lines`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineCommand {
    /// What this port sends from here on meets faults, which are drawn from the seed.
    Impair {
        /// The port.
        port: PortId,
        /// Which faults.
        impairment: Impairment,
        /// A new one for each call.
        seed: u64,
    },
    /// What this port sends from here on meets none. What is on its way arrives as it would have.
    Restore {
        /// The port.
        port: PortId,
    },
}

/// The lines of all media ports of the carrier: what the media engine sends goes through them.
///
/// Without IO and without a clock, as the engine: the shell gives packets and time, and sends what comes out.
#[derive(Debug, Default)]
pub struct Lines {
    impaired: BTreeMap<PortId, Faults>,
    /// By when they arrive, and by the order in which they were sent where that is the same.
    on_their_way: BTreeMap<(Instant, u64), Datagram>,
    /// Packets that were delayed so far, which tells apart those that arrive at the same time.
    delayed: u64,
    /// Packets that were lost so far, to faults and to [`MAX_ON_THEIR_WAY`].
    lost: u64,
}

/// A packet that has come through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Datagram {
    /// The port whose socket sends it.
    pub port: PortId,
    /// Which socket of the port.
    pub channel: Channel,
    /// Where to.
    pub to: SocketAddr,
    /// The whole datagram.
    pub payload: Vec<u8>,
}

impl Datagram {
    /// What to send.
    pub fn transmit(&self) -> Transmit<'_> {
        Transmit { port: self.port, channel: self.channel, to: self.to, payload: &self.payload }
    }
}

#[derive(Debug)]
struct Faults {
    impairment: Impairment,
    random: Seeds,
}

/// What becomes of a packet.
enum Fate {
    Lost,
    LateBy(Duration),
}

impl Lines {
    /// Changes the line of a port.
    pub fn handle_command(&mut self, command: LineCommand) {
        match command {
            LineCommand::Impair { port, impairment, seed } => {
                self.impaired.insert(port, Faults { impairment, random: Seeds::seeded(seed) });
            }
            LineCommand::Restore { port } => {
                self.impaired.remove(&port);
            }
        }
    }

    /// Takes what a port sends at `now`. It comes back if it is to be sent at once, as everything on a good line; else it is lost, or
    /// comes out of [`Self::poll_due`] later.
    pub fn carry<'a>(&mut self, packet: Transmit<'a>, now: Instant) -> Option<Transmit<'a>> {
        let Some(faults) = self.impaired.get_mut(&packet.port) else { return Some(packet) };
        match faults.next() {
            Fate::LateBy(delay) if self.on_their_way.len() < MAX_ON_THEIR_WAY => {
                let Transmit { port, channel, to, payload } = packet;
                let datagram = Datagram { port, channel, to, payload: payload.to_vec() };
                self.delayed += 1;
                self.on_their_way.insert((now + delay, self.delayed), datagram);
            }
            Fate::LateBy(_) | Fate::Lost => self.lost += 1,
        }
        None
    }

    /// When [`Self::poll_due`] has something.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.on_their_way.first_key_value().map(|((due, _), _)| *due)
    }

    /// The next packet to send now. Drain it after each deadline.
    pub fn poll_due(&mut self, now: Instant) -> Option<Datagram> {
        let next = self.on_their_way.first_entry()?;
        (next.key().0 <= now).then(|| next.remove())
    }

    /// How many ports have a bad line.
    pub fn impaired(&self) -> usize {
        self.impaired.len()
    }

    /// How many packets are on their way.
    pub fn on_their_way(&self) -> usize {
        self.on_their_way.len()
    }

    /// How many packets were lost so far.
    pub fn lost(&self) -> u64 {
        self.lost
    }
}

impl Faults {
    /// Draws twice for each packet, so that whether one is lost does not change when others arrive.
    fn next(&mut self) -> Fate {
        let is_lost = self.random.below(10_000) < u64::from(self.impairment.loss_basis_points);
        let micros = u64::try_from(self.impairment.delay_below.as_micros()).unwrap_or(u64::MAX);
        let late_by = Duration::from_micros(self.random.below(micros));
        if is_lost { Fate::Lost } else { Fate::LateBy(late_by) }
    }
}

impl Impairment {
    /// 5 % of loss, and 30 ms of jitter.
    ///
    /// Interarrival jitter (RFC 3550 §6.4.1) is the mean of |D|, the difference of the transit times of two packets that arrive one after
    /// the other. Of two times that are drawn evenly from 0 to w, the mean difference is w/3: a width of 90 ms for 30 ms, if packets were
    /// compared in the order in which they were sent. They are compared in that of their arrival. The next to arrive tends to be one sent
    /// much sooner or later, the more so the closer packets are to each other on the scale of w: of packets sent every 20 ms, a
    /// simulation finds a mean of 0.36 w, where one of 84 ms gives 30 ms.
    ///
    /// The estimator has a memory of 16 packets, so what it says at any one moment is off by some 4 ms, and seldom by more than 12.
    pub const BAD: Self = Self { loss_basis_points: 500, delay_below: Duration::from_millis(84) };
}

/// How many packets may be on their way: of 256 ports that each send one every 20 ms, with reports, 84 ms hold less than 1,536. What is
/// more is lost, as on any line that is full.
pub const MAX_ON_THEIR_WAY: usize = 4_096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_good_line_passes_everything_on_at_once() {
        let (mut lines, now) = (Lines::default(), start());
        lines.handle_command(bad(PortId(1)));
        assert_eq!(lines.carry(packet(PortId(0), &[7]), now), Some(packet(PortId(0), &[7])));
        assert_eq!((lines.on_their_way(), lines.lost()), (0, 0));
    }

    #[test]
    fn what_is_late_arrives_when_it_is_due_even_once_the_line_is_good_again() {
        let (mut lines, sent) = (Lines::default(), start());
        lines.handle_command(LineCommand::Impair {
            port: PortId(1),
            impairment: Impairment { loss_basis_points: 0, ..Impairment::BAD },
            seed: 1,
        });
        assert_eq!(lines.carry(packet(PortId(1), &[7]), sent), None);
        lines.handle_command(LineCommand::Restore { port: PortId(1) });
        let due = lines.poll_timeout().unwrap();
        assert!(due < sent + Impairment::BAD.delay_below, "{:?}", due - sent);
        assert_eq!(lines.poll_due(due.checked_sub(Duration::from_nanos(1)).unwrap()), None);
        assert_eq!(lines.poll_due(due).map(|datagram| (datagram.port, datagram.payload)), Some((PortId(1), vec![7])));
        assert_eq!((lines.poll_due(due), lines.impaired(), lines.lost()), (None, 0, 0));
        assert!(lines.carry(packet(PortId(1), &[8]), due).is_some());
    }

    #[test]
    fn the_same_seed_has_the_same_faults_and_another_has_others() {
        let arrivals = |seed| {
            let (mut lines, start) = (Lines::default(), start());
            lines.handle_command(LineCommand::Impair { port: PortId(1), impairment: Impairment::BAD, seed });
            for number in 0..100 {
                let _ = lines.carry(packet(PortId(1), &[number]), start);
            }
            let end = start + Impairment::BAD.delay_below;
            let order = std::iter::from_fn(|| lines.poll_due(end)).map(|datagram| datagram.payload);
            order.collect::<Vec<_>>()
        };
        assert_eq!(arrivals(1), arrivals(1));
        assert_ne!(arrivals(1), arrivals(2));
    }

    #[test]
    fn in_the_long_run_one_packet_of_twenty_is_lost_and_the_others_are_late_by_half_of_the_most() {
        const PACKETS: u32 = 100_000;
        let (mut lines, now) = (Lines::default(), start());
        lines.handle_command(bad(PortId(1)));
        let mut late = Duration::ZERO;
        for _ in 0..PACKETS {
            assert_eq!(lines.carry(packet(PortId(1), &[]), now), None);
            if let Some(due) = lines.poll_timeout() {
                late += due - now;
                assert!(lines.poll_due(due).is_some());
            }
        }
        // Three deviations, each the root of 100,000 × 0.05 × 0.95.
        assert!((4_793..=5_207).contains(&lines.lost()), "{} were lost", lines.lost());
        let mean = late / (PACKETS - u32::try_from(lines.lost()).unwrap());
        assert!((41_700..=42_300).contains(&mean.as_micros()), "{mean:?}");
    }

    #[test]
    fn what_a_line_has_no_room_for_is_lost() {
        let (mut lines, now) = (Lines::default(), start());
        lines.handle_command(bad(PortId(1)));
        for _ in 0..2 * MAX_ON_THEIR_WAY {
            assert_eq!(lines.carry(packet(PortId(1), &[]), now), None);
        }
        assert_eq!(lines.on_their_way(), MAX_ON_THEIR_WAY);
        assert_eq!(lines.lost(), u64::try_from(MAX_ON_THEIR_WAY).unwrap());
    }

    fn bad(port: PortId) -> LineCommand {
        LineCommand::Impair { port, impairment: Impairment::BAD, seed: 1 }
    }

    fn packet(port: PortId, payload: &[u8]) -> Transmit<'_> {
        Transmit { port, channel: Channel::Rtp, to: "127.0.0.1:30000".parse().unwrap(), payload }
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "there is no other way to make a first Instant; from there time is virtual"
    )]
    fn start() -> Instant {
        Instant::now()
    }
}
