//! What one call costs the endpoint of a B2BUA: INVITE to BYE, a caller on one side and a callee on the other.
//!
//! Caller, switch and callee are endpoints; only the time inside the switch's is counted. `cargo bench -p tandem-sip`.

#![expect(clippy::print_stdout, reason = "a bench prints its result")]
#![expect(clippy::disallowed_methods, reason = "a bench measures time")]

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tandem_model::Transport;
use tandem_sip::endpoint::{Endpoint, EndpointConfig, Event, Flow, Identity, OutgoingInvite, Output, SessionId};
use tandem_sip::message::{Body, NameAddr, StatusCode, Uri};
use tandem_sip::random::Randomness;

const CALLS: u32 = 20_000;

const SDP: &str = "v=0\r\no=- 3901 3901 IN IP4 192.0.2.7\r\ns=-\r\nc=IN IP4 192.0.2.7\r\nt=0 0\r\n\
    m=audio 40000 RTP/AVP 0 8 101\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=sendrecv\r\n";

struct Xorshift(u64);

impl Randomness for Xorshift {
    fn fill(&mut self, octets: &mut [u8]) {
        for octet in octets {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            *octet = self.0.to_le_bytes()[0];
        }
    }
}

/// The three parties, by their place in `Bench::parties`.
const CALLER: usize = 0;
const SWITCH: usize = 1;
const CALLEE: usize = 2;

struct Bench {
    parties: [Endpoint; 3],
    addresses: [SocketAddr; 3],
    /// In the switch: the other leg.
    peers: HashMap<SessionId, SessionId>,
    now: Instant,
    spent: Duration,
    answered: u32,
}

impl Bench {
    fn flow(&self, from: usize, to: usize) -> Flow {
        Flow { transport: Transport::Udp, local: self.addresses[from], remote: self.addresses[to] }
    }

    /// Lets a party do something, on the clock if it is the switch.
    fn act<T>(&mut self, party: usize, deed: impl FnOnce(&mut Endpoint, Instant) -> T) -> T {
        let began = Instant::now();
        let done = deed(&mut self.parties[party], self.now);
        if party == SWITCH {
            self.spent += began.elapsed();
        }
        done
    }

    fn invite(&mut self, from: usize, to: usize, sdp: Vec<u8>) -> SessionId {
        let flow = self.flow(from, to);
        let text = |text: &str| text.parse::<Uri>().expect("a URI");
        let invite = OutgoingInvite {
            flow,
            request_uri: text("sip:+12025550100@carrier.example.net"),
            routes: Vec::new(),
            from: NameAddr::new(text("sip:+12025550199@switch.example.com")),
            to: NameAddr::new(text("sip:+12025550100@carrier.example.net")),
            headers: Vec::new(),
            credentials: None,
            body: Some(Body::sdp(sdp)),
            max_forwards: 69,
        };
        self.act(from, |endpoint, now| endpoint.invite(invite, now))
    }

    fn pump(&mut self) {
        loop {
            let mut is_idle = true;
            for party in 0..3 {
                while let Some(output) = self.act(party, |endpoint, _| endpoint.poll_output()) {
                    is_idle = false;
                    match output {
                        Output::Transmit(transmit) => {
                            let to = self
                                .addresses
                                .iter()
                                .position(|address| *address == transmit.flow.remote)
                                .expect("the message is for one of us");
                            let flow = self.flow(to, party);
                            self.act(to, |endpoint, now| endpoint.handle_datagram(flow, &transmit.payload, now));
                        }
                        Output::Event(event) => self.hear(party, event),
                    }
                }
            }
            if is_idle {
                return;
            }
        }
    }

    fn hear(&mut self, party: usize, event: Event) {
        match event {
            Event::Invite { session, request } if party == SWITCH => {
                let other = self.invite(SWITCH, CALLEE, request.sdp.unwrap_or_default());
                self.peers.insert(session, other);
                self.peers.insert(other, session);
            }
            Event::Invite { session, .. } => {
                self.act(party, |endpoint, now| {
                    endpoint.progress(session, StatusCode::RINGING, None, now);
                    endpoint.accept(session, Some(Body::sdp(SDP.into())), Vec::new(), now);
                });
            }
            Event::Provisional { session, status, .. } if party == SWITCH => {
                let other = self.peers[&session];
                self.act(party, |endpoint, now| endpoint.progress(other, status, None, now));
            }
            Event::Answered { session, answer } if party == SWITCH => {
                let other = self.peers[&session];
                let body = answer.body.map(Body::sdp);
                self.act(party, |endpoint, now| endpoint.accept(other, body, Vec::new(), now));
            }
            Event::Answered { session, .. } => {
                self.answered += 1;
                self.act(party, |endpoint, now| endpoint.bye(session, None, now));
            }
            Event::Bye { session, .. } if party == SWITCH => {
                let other = self.peers[&session];
                self.act(party, |endpoint, now| endpoint.bye(other, None, now));
            }
            Event::Ended { session, .. } => {
                self.peers.remove(&session);
            }
            Event::Provisional { .. }
            | Event::Bye { .. }
            | Event::Failed { .. }
            | Event::Canceled { .. }
            | Event::Acknowledged { .. }
            | Event::Unacknowledged { .. }
            | Event::AnsweredLate { .. }
            | Event::Reinvite { .. }
            | Event::ReinviteCanceled { .. }
            | Event::ReinviteAnswered { .. }
            | Event::ReinviteFailed { .. }
            | Event::Request { .. }
            | Event::Response { .. } => {}
        }
    }
}

fn main() {
    let endpoint = |node: u16| {
        let config = EndpointConfig::new("Tandem/0.1", Identity { node, shard: 0 });
        Endpoint::new(config, Box::new(Xorshift(u64::from(node) + 1)))
    };
    let address = |last: u8| SocketAddr::from(([192, 0, 2, last], 5060));
    let mut bench = Bench {
        parties: [endpoint(0), endpoint(1), endpoint(2)],
        addresses: [address(1), address(2), address(3)],
        peers: HashMap::new(),
        now: Instant::now(),
        spent: Duration::ZERO,
        answered: 0,
    };
    for _ in 0..CALLS {
        bench.invite(CALLER, SWITCH, SDP.into());
        bench.pump();
        // A thousand calls a second.
        bench.now += Duration::from_millis(1);
        for party in 0..3 {
            bench.act(party, Endpoint::handle_timeout);
        }
        bench.pump();
    }
    assert_eq!(bench.answered, CALLS, "every call was answered");
    let micros = bench.spent.as_secs_f64() * 1e6 / f64::from(CALLS);
    println!("a B2BUA call, INVITE to BYE, without IO and media: {micros:.1} µs");
    println!("left behind by the last 32 s: {:?}", bench.parties[SWITCH].counts());
}
