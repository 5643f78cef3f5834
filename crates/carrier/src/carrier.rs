//! The carrier: between datagrams and calls.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use ipnet::IpNet;
use tandem_media::engine;
use tandem_model::Now;
use tandem_sip::endpoint::{self, Endpoint, EndpointConfig, Flow, Identity, InviteSummary, SessionId, Transmit};
use tandem_sip::message::{StatusCode, Uri};
use tandem_sip::random::Randomness;

use crate::call::{Call, Life};
use crate::exchange::{Callers, Exchange};
use crate::line::LineCommand;
use crate::persona::{Address, Behaviour, Persona, UNASSIGNED};
use crate::port::{MediaPort, Ports};
use crate::random::Seeds;
use crate::report::{CallNumber, Ending, Happening, MediaRefusal, Report};
use crate::silence::{Silence, Verdict};
use crate::voice::{self, Voice};

/// What a carrier is told when it is made.
#[derive(Debug, Clone)]
pub struct CarrierConfig {
    /// Where it is called: the first address, where some numbers misbehave, and the second.
    pub addresses: [SocketAddr; 2],
    /// Where its media ports are, as session descriptions name it.
    pub media_address: IpAddr,
    /// Its media ports. A call with audio takes one.
    pub media_ports: Vec<MediaPort>,
    /// What its Call-IDs, tags and Contact are marked with.
    pub identity: Identity,
    /// Who may call, and so where audio may be sent. Datagrams from elsewhere are dropped and counted. It asks nobody for
    /// a password, so this should be no more than loopback and test networks.
    pub callers: Vec<IpNet>,
    /// Bounds.
    pub limits: Limits,
}

/// Bounds of a carrier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Calls at once, ringing and answered. Beyond it an INVITE gets a 503.
    pub calls: usize,
    /// INVITEs that are left unheard at once, and 32 s after. Beyond it they are dropped and counted.
    pub silent_invites: usize,
}

/// What the shell must do.
#[derive(Debug)]
pub enum Output {
    /// Send this.
    Transmit(Transmit),
    /// Hand this to the media engine that has the carrier's ports.
    Media(engine::Command),
    /// Hand this to the [`Lines`](crate::Lines) of these ports, in order with what the engine is told.
    Line(LineCommand),
    /// Log this.
    Report(Report),
}

/// How much there is at this moment, and what was turned away since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Calls that have not made their last report.
    pub calls: usize,
    /// INVITEs that are left unheard, or were within the last 32 s.
    pub silent_invites: usize,
    /// Media ports that are not in the pool.
    pub media_ports: usize,
    /// What the endpoint holds.
    pub endpoint: endpoint::Counts,
    /// Since the start: what the endpoint dropped.
    pub endpoint_drops: endpoint::Drops,
    /// Since the start: datagrams from addresses that may not call.
    pub strangers: u64,
    /// Since the start: calls refused because of [`Limits::calls`].
    pub refused_full: u64,
    /// Since the start: calls refused because all media ports were in use.
    pub refused_no_port: u64,
    /// Since the start: INVITEs dropped because of [`Limits::silent_invites`].
    pub dropped_silent: u64,
}

/// The simulated carrier.
pub struct Carrier {
    first_address: SocketAddr,
    media_address: IpAddr,
    limits: Limits,
    exchange: Exchange,
    ports: Ports,
    silence: Silence,
    calls: BTreeMap<CallNumber, Call>,
    /// The calls whose session the endpoint still has.
    sessions: BTreeMap<SessionId, CallNumber>,
    /// `poll_timeout` of each call.
    deadlines: BTreeSet<(Instant, CallNumber)>,
    last_call: u64,
    turned_away: TurnedAway,
}

#[derive(Debug, Default)]
struct TurnedAway {
    strangers: u64,
    full: u64,
    no_port: u64,
    silent: u64,
}

impl Carrier {
    /// A carrier without calls.
    pub fn new(config: CarrierConfig, mut random: Box<dyn Randomness>) -> Self {
        let seeds = Seeds::new(random.as_mut());
        Self {
            first_address: config.addresses[0],
            media_address: config.media_address,
            limits: config.limits,
            exchange: Exchange {
                endpoint: Endpoint::new(EndpointConfig::new(USER_AGENT, config.identity), random),
                outputs: VecDeque::new(),
                seeds,
                callers: Callers::new(config.callers),
            },
            ports: Ports::new(config.media_ports),
            silence: Silence::new(config.limits.silent_invites),
            calls: BTreeMap::new(),
            sessions: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            last_call: 0,
            turned_away: TurnedAway::default(),
        }
    }

    /// Takes one SIP message: a datagram, or what the framing cut out of a stream.
    pub fn handle_datagram(&mut self, flow: Flow, octets: &[u8], now: Now) {
        if !self.exchange.callers.admit(flow.remote.ip()) {
            self.turned_away.strangers += 1;
            return;
        }
        match self.silence.judge(flow, octets, self.address(&flow), now.instant) {
            Verdict::Pass => {
                self.exchange.endpoint.handle_datagram(flow, octets, now.instant);
                self.drain_endpoint(now);
            }
            Verdict::Unheard => {}
            Verdict::Full => self.turned_away.silent += 1,
        }
    }

    /// The flow is broken.
    pub fn handle_transport_error(&mut self, flow: &Flow, now: Now) {
        self.exchange.endpoint.handle_transport_error(flow, now.instant);
        self.drain_endpoint(now);
    }

    /// Whether a call depends on that connection.
    pub fn uses_stream(&self, flow: &Flow) -> bool {
        self.exchange.endpoint.uses_stream(flow)
    }

    /// Takes an event of the media engine whose tag the carrier gave.
    pub fn handle_media_event(&mut self, event: engine::Event, now: Now) {
        match event {
            engine::Event::FirstPacket { tag, .. } => self.report(CallNumber(tag), Happening::AudioArrived, now),
            engine::Event::Digit { tag, digit, .. } => self.report(CallNumber(tag), Happening::Digit(digit), now),
            engine::Event::Closed { tag, stats, .. } => {
                self.with_call(CallNumber(tag), |call, exchange| call.port_closed(&stats, exchange, now));
            }
            engine::Event::Latched { .. }
            | engine::Event::DigitsSent { .. }
            | engine::Event::Heard { .. }
            | engine::Event::RtpTimeout { .. } => {}
        }
        self.drain_endpoint(now);
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Now) {
        while let Some((flow, invite)) = self.silence.release(now.instant) {
            self.exchange.endpoint.handle_datagram(flow, &invite, now.instant);
            self.drain_endpoint(now);
        }
        self.exchange.endpoint.handle_timeout(now.instant);
        self.drain_endpoint(now);
        while let Some((due, number)) = self.deadlines.first().copied()
            && due <= now.instant
        {
            self.with_call(number, |call, exchange| {
                call.handle_timeout(exchange, now);
                Life::On
            });
            self.drain_endpoint(now);
        }
    }

    /// When [`Self::handle_timeout`] must be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let script = self.deadlines.first().map(|(due, _)| *due);
        [script, self.silence.poll_timeout(), self.exchange.endpoint.poll_timeout()].into_iter().flatten().min()
    }

    /// The next thing to do. Drain it after each call of another method.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.exchange.outputs.pop_front()
    }

    /// How much there is.
    pub fn counts(&self) -> Counts {
        Counts {
            calls: self.calls.len(),
            silent_invites: self.silence.len(),
            media_ports: self.ports.in_use(),
            endpoint: self.exchange.endpoint.counts(),
            endpoint_drops: self.exchange.endpoint.drops(),
            strangers: self.turned_away.strangers,
            refused_full: self.turned_away.full,
            refused_no_port: self.turned_away.no_port,
            dropped_silent: self.turned_away.silent,
        }
    }

    fn drain_endpoint(&mut self, now: Now) {
        while let Some(output) = self.exchange.endpoint.poll_output() {
            match output {
                endpoint::Output::Transmit(transmit) => self.exchange.outputs.push_back(Output::Transmit(transmit)),
                endpoint::Output::Event(event) => self.handle_event(event, now),
            }
        }
    }

    fn handle_event(&mut self, event: endpoint::Event, now: Now) {
        match event {
            endpoint::Event::Invite { session, request } => self.invited(session, &request, now),
            endpoint::Event::Acknowledged { session, body } => {
                self.with_session(session, |call, exchange| {
                    call.acknowledged(body.as_deref(), exchange, now);
                    Life::On
                });
            }
            endpoint::Event::Reinvite { session, body } => {
                self.with_session(session, |call, exchange| {
                    call.reinvited(body.as_deref(), exchange, now);
                    Life::On
                });
            }
            endpoint::Event::Ended { session, ending } => {
                self.with_session(session, |call, exchange| call.session_ended(ending, exchange, now));
                self.sessions.remove(&session);
            }
            // `Ended` follows, and says the same.
            endpoint::Event::Canceled { .. } | endpoint::Event::Unacknowledged { .. } | endpoint::Event::Bye { .. } => {
            }
            // A re-INVITE is answered at once, too early to be canceled.
            endpoint::Event::ReinviteCanceled { .. } => {}
            // It places no calls, sends no requests and asks for none.
            endpoint::Event::Provisional { .. }
            | endpoint::Event::Answered { .. }
            | endpoint::Event::AnsweredLate { .. }
            | endpoint::Event::Failed { .. }
            | endpoint::Event::ReinviteAnswered { .. }
            | endpoint::Event::ReinviteFailed { .. }
            | endpoint::Event::Request { .. }
            | endpoint::Event::Response { .. } => {}
        }
    }

    fn invited(&mut self, session: SessionId, request: &InviteSummary, now: Now) {
        self.last_call += 1;
        let number = CallNumber(self.last_call);
        let address = self.address(&request.flow);
        let seen = Happening::Seen {
            called: party(&request.request_uri),
            from: party(&request.from.uri),
            sip_call_id: request.call_id.clone(),
            remote: request.flow.remote,
            address,
        };
        self.exchange.report(number, seen, now);

        let behaviour = Persona::of(&request.request_uri).map_or(&UNASSIGNED, |persona| persona.behaviour(address));
        match self.admit(behaviour, request) {
            Ok(voice) => {
                let call = Call::new(number, session, behaviour.script, voice, now);
                self.deadlines.extend(call.poll_timeout().map(|due| (due, number)));
                self.sessions.insert(session, number);
                self.calls.insert(number, call);
                self.with_call(number, |call, exchange| {
                    call.handle_timeout(exchange, now);
                    Life::On
                });
            }
            Err(refusal) => self.turn_away(number, session, refusal, now),
        }
    }

    /// Finds out whether there is room for a call, and prepares its audio.
    fn admit(&mut self, behaviour: &Behaviour, request: &InviteSummary) -> Result<Option<Voice>, Refusal> {
        if self.calls.len() >= self.limits.calls {
            return Err(Refusal::Full);
        }
        if !behaviour.has_audio() {
            return Ok(None);
        }
        let port = self.ports.take().ok_or(Refusal::NoPort)?;
        // Half the range, so that it is a positive number also to a peer that reads it as signed.
        let local = voice::local_media(self.media_address, port, self.exchange.seeds.next() >> 1);
        let caller = request.flow.remote.ip();
        match Voice::negotiate(port, local, caller, request.sdp.as_deref(), &self.exchange.callers) {
            Ok(voice) => Ok(Some(voice.over(behaviour.line))),
            Err(refusal) => {
                self.ports.give_back(port);
                Err(Refusal::Media(refusal))
            }
        }
    }

    /// Refuses a call that never takes a place.
    fn turn_away(&mut self, number: CallNumber, session: SessionId, refusal: Refusal, now: Now) {
        let status = match refusal {
            Refusal::Full => {
                self.turned_away.full += 1;
                StatusCode::SERVICE_UNAVAILABLE
            }
            Refusal::NoPort => {
                self.turned_away.no_port += 1;
                StatusCode::SERVICE_UNAVAILABLE
            }
            Refusal::Media(refusal) => {
                self.exchange.report(number, Happening::MediaRefused(refusal), now);
                StatusCode::NOT_ACCEPTABLE_HERE
            }
        };
        self.exchange.endpoint.reject(session, status, Vec::new(), now.instant);
        self.exchange.report(number, Happening::Refused(status), now);
        let ended = Happening::Ended { ending: Ending::Refused, answered_for: None, heard: None };
        self.exchange.report(number, ended, now);
    }

    fn report(&mut self, number: CallNumber, happening: Happening, now: Now) {
        if self.calls.contains_key(&number) {
            self.exchange.report(number, happening, now);
        }
    }

    fn with_session(&mut self, session: SessionId, act: impl FnOnce(&mut Call, &mut Exchange) -> Life) {
        if let Some(number) = self.sessions.get(&session).copied() {
            self.with_call(number, act);
        }
    }

    /// Lets a call do something, and keeps the index of deadlines and the pool of ports in step with it.
    fn with_call(&mut self, number: CallNumber, act: impl FnOnce(&mut Call, &mut Exchange) -> Life) {
        let Some(call) = self.calls.get_mut(&number) else { return };
        let before = call.poll_timeout();
        let life = act(call, &mut self.exchange);
        let after = match life {
            Life::On => call.poll_timeout(),
            Life::Over => None,
        };
        if before != after {
            if let Some(due) = before {
                self.deadlines.remove(&(due, number));
            }
            self.deadlines.extend(after.map(|due| (due, number)));
        }
        if life == Life::Over
            && let Some(call) = self.calls.remove(&number)
        {
            self.sessions.remove(&call.session());
            if let Some(voice) = call.voice() {
                self.ports.give_back(voice.port());
            }
        }
    }

    /// Which address was asked.
    fn address(&self, flow: &Flow) -> Address {
        if flow.local == self.first_address { Address::First } else { Address::Second }
    }
}

/// Who a URI means, fit for a log: without password, parameters and headers.
fn party(uri: &Uri) -> String {
    match uri {
        // As escaped, so that no line break gets into the log.
        Uri::Sip(sip) => match &sip.user {
            Some(user) => format!("{}@{}", user.as_str(), sip.host),
            None => sip.host.to_string(),
        },
        Uri::Tel(tel) => tel.number.to_string(),
        Uri::Other(other) => format!("{}:…", other.scheme()),
    }
}

/// Why a call takes no place.
enum Refusal {
    Full,
    NoPort,
    Media(MediaRefusal),
}

impl Default for Limits {
    fn default() -> Self {
        Self { calls: MAX_CALLS, silent_invites: MAX_SILENT_INVITES }
    }
}

impl fmt::Debug for Carrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Carrier").field("calls", &self.calls).field("ports", &self.ports).finish_non_exhaustive()
    }
}

/// Default of [`Limits::calls`]: more than the media ports of a demo; the rest may ring.
pub const MAX_CALLS: usize = 8_192;

/// Default of [`Limits::silent_invites`]: 25 a second, and at 64 KiB for the largest message 64 MiB.
pub const MAX_SILENT_INVITES: usize = 1_024;

/// In User-Agent and Server.
const USER_AGENT: &str = "Tandem simulated carrier";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_names_a_party_without_its_password() {
        for (uri, named) in [
            ("sip:+12025550100:secret@127.0.0.2:5080;user=phone?subject=x", "+12025550100@127.0.0.2"),
            ("sip:a%0Db@127.0.0.2", "a%0Db@127.0.0.2"),
            ("sip:127.0.0.2", "127.0.0.2"),
            ("tel:+1-202-555-0100;phone-context=x", "+1-202-555-0100"),
            ("mailto:someone@example.com", "mailto:…"),
        ] {
            assert_eq!(party(&Uri::parse(uri.as_bytes()).unwrap()), named);
        }
    }
}
