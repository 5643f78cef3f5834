//! Two endpoints and a network between them that loses, repeats and reorders, from a seed.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::lab::{PEER, SDP, Seeded, US, address, start, uri};
use tandem_model::Transport;
use tandem_sip::endpoint::{
    Counts, Ending, Endpoint, EndpointConfig, Event, Flow, Identity, OutgoingInvite, Output, SessionId,
};
use tandem_sip::message::{Body, NameAddr, StatusCode};

/// What the network does to a datagram, in percent.
#[derive(Clone, Copy)]
pub(crate) struct Weather {
    pub(crate) loss: u64,
    pub(crate) repeat: u64,
}

/// What a user does at some moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Deed {
    Ring,
    Accept,
    Reject,
    Cancel,
    Hangup,
    Hold,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Happening {
    Arrival { to: usize, payload: Vec<u8> },
    Deed { of: usize, session: SessionId, deed: Deed },
}

struct Side {
    endpoint: Endpoint,
    flow: Flow,
    /// What is known of each session: how it ended, once it has.
    sessions: BTreeMap<SessionId, Option<Ending>>,
    /// A line for each event.
    log: Vec<String>,
}

pub(crate) struct Network {
    sides: [Side; 2],
    now: Instant,
    queue: BinaryHeap<Reverse<(Instant, u64, Happening)>>,
    serial: u64,
    random: Seeded,
    weather: Weather,
}

impl Network {
    pub(crate) fn new(seed: u64, weather: Weather) -> Self {
        let side = |local: &str, remote: &str, node| Side {
            endpoint: Endpoint::new(
                EndpointConfig::new("Tandem", Identity { node, shard: 0 }),
                Box::new(Seeded(seed ^ u64::from(node) << 32)),
            ),
            flow: Flow { transport: Transport::Udp, local: address(local), remote: address(remote) },
            sessions: BTreeMap::new(),
            log: Vec::new(),
        };
        Self {
            sides: [side(US, PEER, 1), side(PEER, US, 2)],
            now: start(),
            queue: BinaryHeap::new(),
            serial: 0,
            random: Seeded(seed),
            weather,
        }
    }

    fn at(&mut self, delay_ms: u64, happening: Happening) {
        self.serial += 1;
        self.queue.push(Reverse((self.now + Duration::from_millis(delay_ms), self.serial, happening)));
    }

    /// One side calls the other, and everybody acts at random from there on.
    pub(crate) fn call(&mut self, caller: usize) {
        let offer = self.random.below(10) > 0;
        let side = &mut self.sides[caller];
        let invite = OutgoingInvite {
            flow: side.flow,
            request_uri: uri("sip:callee@example.net"),
            routes: Vec::new(),
            from: NameAddr::new(uri("sip:caller@example.org")),
            to: NameAddr::new(uri("sip:callee@example.net")),
            headers: Vec::new(),
            credentials: None,
            body: offer.then(|| Body::sdp(SDP.into())),
            max_forwards: 70,
        };
        let session = side.endpoint.invite(invite, self.now);
        side.sessions.insert(session, None);
        if self.random.below(3) == 0 {
            let after = self.random.below(6_000);
            self.at(after, Happening::Deed { of: caller, session, deed: Deed::Cancel });
        }
        // Whoever rings or talks for ever is ended, as a switch would.
        self.at(90_000, Happening::Deed { of: caller, session, deed: Deed::Cancel });
        self.at(200_000, Happening::Deed { of: caller, session, deed: Deed::Hangup });
    }

    pub(crate) fn run(&mut self) {
        loop {
            self.drain();
            let timers = self.sides.iter().filter_map(|side| side.endpoint.poll_timeout()).min();
            let queued = self.queue.peek().map(|Reverse((at, ..))| *at);
            let Some(next) = timers.into_iter().chain(queued).min() else { return };
            assert!(next < start() + Duration::from_secs(3_600), "it never ends: {:?}", self.counts());
            self.now = self.now.max(next);
            for side in &mut self.sides {
                side.endpoint.handle_timeout(self.now);
            }
            self.drain();
            while self.queue.peek().is_some_and(|Reverse((at, ..))| *at <= self.now) {
                if let Some(Reverse((_, _, happening))) = self.queue.pop() {
                    self.happen(happening);
                }
            }
        }
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Arrival { to, payload } => {
                let side = &mut self.sides[to];
                side.endpoint.handle_datagram(side.flow, &payload, self.now);
            }
            Happening::Deed { of, session, deed } => self.act(of, session, deed),
        }
        self.drain();
    }

    fn act(&mut self, of: usize, session: SessionId, deed: Deed) {
        let now = self.now;
        let endpoint = &mut self.sides[of].endpoint;
        let sdp = || Some(Body::sdp(SDP.into()));
        match deed {
            Deed::Ring => endpoint.progress(session, StatusCode::RINGING, None, now),
            Deed::Accept => endpoint.accept(session, sdp(), Vec::new(), now),
            Deed::Reject => endpoint.reject(session, StatusCode::BUSY_HERE, Vec::new(), now),
            Deed::Cancel => endpoint.cancel(session, None, now),
            Deed::Hangup => endpoint.bye(session, None, now),
            Deed::Hold => drop(endpoint.reinvite(session, sdp(), now)),
        }
    }

    fn drain(&mut self) {
        for of in 0..2 {
            while let Some(output) = self.sides[of].endpoint.poll_output() {
                match output {
                    Output::Transmit(transmit) => {
                        assert_eq!(transmit.flow, self.sides[of].flow);
                        self.carry(1 - of, &transmit.payload);
                    }
                    Output::Event(event) => self.hear(of, &event),
                }
            }
        }
    }

    fn carry(&mut self, to: usize, payload: &Arc<[u8]>) {
        let copies = 1 + u64::from(self.random.below(100) < self.weather.repeat);
        for _ in 0..copies {
            if self.random.below(100) >= self.weather.loss {
                let delay = 5 + self.random.below(60);
                self.at(delay, Happening::Arrival { to, payload: payload.to_vec() });
            }
        }
    }

    fn hear(&mut self, of: usize, event: &Event) {
        self.sides[of].log.push(format!("{} {event:?}", (self.now - start()).as_millis()));
        match event {
            Event::Invite { session, .. } => {
                self.sides[of].sessions.insert(*session, None);
                let delay = self.random.below(3_000);
                let deed = [Deed::Accept, Deed::Accept, Deed::Accept, Deed::Reject, Deed::Ring][self.choice(5)];
                if self.random.below(2) == 0 {
                    let early = self.random.below(delay + 1);
                    self.at(early, Happening::Deed { of, session: *session, deed: Deed::Ring });
                }
                self.at(delay, Happening::Deed { of, session: *session, deed });
                // Who only rings gives up, who answers hangs up, in the end.
                self.at(100_000, Happening::Deed { of, session: *session, deed: Deed::Reject });
                self.at(220_000, Happening::Deed { of, session: *session, deed: Deed::Hangup });
                if self.random.below(2) == 0 {
                    let after = self.random.below(8_000);
                    self.at(after, Happening::Deed { of, session: *session, deed: Deed::Hangup });
                }
            }
            Event::Answered { session, answer } => {
                if answer.needs_ack {
                    self.sides[of].endpoint.ack(*session, Some(Body::sdp(SDP.into())));
                }
                let after = self.random.below(9_000);
                self.at(after, Happening::Deed { of, session: *session, deed: Deed::Hangup });
                self.maybe_hold(of, *session);
            }
            Event::Acknowledged { session, .. } => self.maybe_hold(of, *session),
            Event::Reinvite { session, .. } => {
                if self.random.below(4) > 0 {
                    self.sides[of].endpoint.answer_reinvite(*session, Some(Body::sdp(SDP.into())), self.now);
                } else {
                    self.sides[of].endpoint.reject_reinvite(*session, StatusCode::NOT_ACCEPTABLE_HERE, self.now);
                }
            }
            Event::ReinviteFailed { session, glare_retry: Some(pause), .. } => {
                let pause = u64::try_from(pause.as_millis()).unwrap();
                self.at(pause, Happening::Deed { of, session: *session, deed: Deed::Hold });
            }
            Event::Ended { session, ending } => {
                let before = self.sides[of].sessions.insert(*session, Some(*ending));
                assert_eq!(before, Some(None), "a session ends once, after it began");
            }
            Event::Provisional { session, .. }
            | Event::Failed { session, .. }
            | Event::Unacknowledged { session }
            | Event::AnsweredLate { session }
            | Event::Canceled { session, .. }
            | Event::ReinviteCanceled { session }
            | Event::ReinviteAnswered { session, .. }
            | Event::ReinviteFailed { session, .. }
            | Event::Bye { session, .. } => {
                assert_eq!(self.sides[of].sessions.get(session), Some(&None), "nothing comes after Ended");
            }
            Event::Request { .. } | Event::Response { .. } => panic!("{event:?}"),
        }
    }

    fn maybe_hold(&mut self, of: usize, session: SessionId) {
        if self.random.below(3) == 0 {
            let after = self.random.below(4_000);
            self.at(after, Happening::Deed { of, session, deed: Deed::Hold });
        }
    }

    fn choice(&mut self, among: u64) -> usize {
        usize::try_from(self.random.below(among)).unwrap()
    }

    pub(crate) fn counts(&self) -> [Counts; 2] {
        [self.sides[0].endpoint.counts(), self.sides[1].endpoint.counts()]
    }

    /// How the sessions of a side ended.
    pub(crate) fn endings(&self, side: usize) -> Vec<Option<Ending>> {
        self.sides[side].sessions.values().copied().collect()
    }

    pub(crate) fn log(&self) -> &[String] {
        &self.sides[0].log
    }
}
