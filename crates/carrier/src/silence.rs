//! INVITEs that are left unheard for a while.
//!
//! An endpoint answers an INVITE with a 100 after 200 ms by itself (RFC 3261 §17.2.1). To be silent for longer, the
//! datagram is kept away from it. Once the time is over the endpoint gets the first copy; what repeats it from then on
//! passes, so that the endpoint can absorb it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tandem_sip::endpoint::Flow;
use tandem_sip::message::{Message, Method};

use crate::persona::{Address, Persona};

/// The INVITEs that are left unheard now, and those that were and may still be repeated.
#[derive(Debug)]
pub(crate) struct Silence {
    limit: usize,
    invites: BTreeMap<Transaction, Stage>,
    /// An entry for each of `invites`.
    deadlines: BTreeSet<(Instant, Transaction)>,
}

/// What is to become of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The endpoint gets it.
    Pass,
    /// It is not heard: kept for later, or a repeat or a CANCEL of what was kept.
    Unheard,
    /// It was to be kept, but there are as many as may be. Not heard either.
    Full,
}

/// An INVITE transaction by the caller's address and its branch (RFC 3261 §17.2.3); without a branch, by Call-ID and
/// number of CSeq.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Transaction {
    remote: SocketAddr,
    name: String,
}

#[derive(Debug)]
enum Stage {
    Unheard {
        flow: Flow,
        invite: Vec<u8>,
    },
    /// The endpoint has it.
    Released,
}

impl Silence {
    /// At most `limit` INVITEs are remembered.
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, invites: BTreeMap::new(), deadlines: BTreeSet::new() }
    }

    /// Judges a datagram that came to `address`, and keeps it if need be.
    pub(crate) fn judge(&mut self, flow: Flow, octets: &[u8], address: Address, now: Instant) -> Verdict {
        let is_invite = octets.starts_with(b"INVITE ");
        if !is_invite && (self.invites.is_empty() || !octets.starts_with(b"CANCEL ")) {
            return Verdict::Pass; // parsed by the endpoint alone
        }
        let Ok(message) = Message::parse(octets) else { return Verdict::Pass };
        let transaction = Transaction::of(&flow, &message);
        match self.invites.get(&transaction) {
            Some(Stage::Unheard { .. }) => return Verdict::Unheard,
            Some(Stage::Released) => return Verdict::Pass,
            None => {}
        }
        let silence = silence_of(&message, address);
        if silence.is_zero() {
            return Verdict::Pass;
        }
        if self.invites.len() >= self.limit {
            return Verdict::Full;
        }
        self.deadlines.insert((now + silence, transaction.clone()));
        self.invites.insert(transaction, Stage::Unheard { flow, invite: octets.to_vec() });
        Verdict::Unheard
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.deadlines.first().map(|(due, _)| *due)
    }

    /// The next INVITE whose silence is over. To be called until there is none.
    pub(crate) fn release(&mut self, now: Instant) -> Option<(Flow, Vec<u8>)> {
        while self.poll_timeout().is_some_and(|due| due <= now) {
            let (due, transaction) = self.deadlines.pop_first()?;
            let stage = self.invites.get_mut(&transaction)?;
            match std::mem::replace(stage, Stage::Released) {
                Stage::Unheard { flow, invite } => {
                    self.deadlines.insert((due + REPEATS_LAST, transaction));
                    return Some((flow, invite));
                }
                Stage::Released => {
                    self.invites.remove(&transaction);
                }
            }
        }
        None
    }

    /// How many INVITEs are left unheard or remembered.
    pub(crate) fn len(&self) -> usize {
        self.invites.len()
    }
}

impl Transaction {
    fn of(flow: &Flow, message: &Message<'_>) -> Self {
        let name = match message.branch() {
            Some(branch) => branch.to_owned(),
            None => format!("{} {}", message.call_id(), message.cseq().number),
        };
        Self { remote: flow.remote, name }
    }
}

/// How long the number called leaves a new INVITE unheard. Within a dialog nobody is silent.
fn silence_of(message: &Message<'_>, address: Address) -> Duration {
    if message.method() != Method::Invite || message.to_tag().is_some() {
        return Duration::ZERO;
    }
    let persona = message.request_uri().and_then(|uri| Persona::of(&uri));
    persona.map_or(Duration::ZERO, |persona| persona.behaviour(address).silence)
}

/// A caller repeats an INVITE for 64 × T1 (timer B, RFC 3261 §17.1.1.2).
const REPEATS_LAST: Duration = Duration::from_secs(32);

#[cfg(test)]
mod tests {
    use tandem_model::Transport;

    use super::*;

    #[test]
    fn an_invite_and_its_repeats_are_unheard_until_the_silence_is_over() {
        let (mut silence, start) = (Silence::new(8), start());
        let invite = request("INVITE", "0109", "z9hG4bKa", "");
        assert_eq!(silence.judge(flow(1), &invite, Address::First, start), Verdict::Unheard);
        assert_eq!(silence.judge(flow(1), &invite, Address::First, start + secs(4)), Verdict::Unheard);
        assert_eq!(silence.release(start + Duration::from_millis(7_999)), None);

        assert_eq!(silence.poll_timeout(), Some(start + secs(8)));
        assert_eq!(silence.release(start + secs(8)), Some((flow(1), invite.clone())));
        assert_eq!(silence.release(start + secs(8)), None);
        assert_eq!(silence.judge(flow(1), &invite, Address::First, start + secs(9)), Verdict::Pass);
    }

    #[test]
    fn a_cancel_is_as_unheard_as_its_invite() {
        let (mut silence, start) = (Silence::new(8), start());
        let cancel = request("CANCEL", "0109", "z9hG4bKa", "");
        assert_eq!(silence.judge(flow(1), &cancel, Address::First, start), Verdict::Pass);
        silence.judge(flow(1), &request("INVITE", "0109", "z9hG4bKa", ""), Address::First, start);
        assert_eq!(silence.judge(flow(1), &cancel, Address::First, start + secs(1)), Verdict::Unheard);
        assert_eq!(silence.judge(flow(2), &cancel, Address::First, start + secs(1)), Verdict::Pass);

        silence.release(start + secs(8));
        assert_eq!(silence.judge(flow(1), &cancel, Address::First, start + secs(9)), Verdict::Pass);
    }

    #[test]
    fn what_is_not_a_new_invite_to_a_silent_number_passes() {
        let (mut silence, start) = (Silence::new(8), start());
        for octets in [
            request("INVITE", "0100", "z9hG4bKa", ""),
            request("INVITE", "0109", "z9hG4bKb", ";tag=dialog"),
            request("OPTIONS", "0109", "z9hG4bKc", ""),
            b"INVITE nonsense".to_vec(),
        ] {
            assert_eq!(silence.judge(flow(1), &octets, Address::First, start), Verdict::Pass);
        }
        let invite = request("INVITE", "0109", "z9hG4bKa", "");
        assert_eq!(silence.judge(flow(1), &invite, Address::Second, start), Verdict::Pass);
        assert_eq!(silence.len(), 0);
    }

    #[test]
    fn invites_are_forgotten_once_they_are_no_longer_repeated() {
        let (mut silence, start) = (Silence::new(1), start());
        silence.judge(flow(1), &request("INVITE", "0109", "z9hG4bKa", ""), Address::First, start);
        let other = request("INVITE", "0109", "z9hG4bKb", "");
        assert_eq!(silence.judge(flow(1), &other, Address::First, start), Verdict::Full);
        assert!(silence.release(start + secs(8)).is_some());
        assert_eq!(silence.len(), 1);
        assert_eq!(silence.release(start + secs(40)), None);
        assert_eq!(silence.len(), 0);
        assert_eq!(silence.poll_timeout(), None);
    }

    #[test]
    fn a_late_wake_up_releases_everything_that_is_due() {
        let (mut silence, start) = (Silence::new(8), start());
        let branches = ["z9hG4bKa", "z9hG4bKb", "z9hG4bKc"];
        for branch in branches {
            silence.judge(flow(1), &request("INVITE", "0109", branch, ""), Address::First, start);
        }
        let released = std::iter::from_fn(|| silence.release(start + secs(100))).count();
        assert_eq!(released, 3);
        assert_eq!(silence.len(), 0);
    }

    fn request(method: &str, number: &str, branch: &str, to_tag: &str) -> Vec<u8> {
        format!(
            "{method} sip:+1202555{number}@127.0.0.2:5080 SIP/2.0\r\n\
             Via: SIP/2.0/UDP 127.0.0.1:5060;branch={branch}\r\n\
             Max-Forwards: 70\r\n\
             From: <sip:caller@127.0.0.1>;tag=1\r\n\
             To: <sip:+1202555{number}@127.0.0.2:5080>{to_tag}\r\n\
             Call-ID: {branch}@127.0.0.1\r\n\
             CSeq: 1 {method}\r\n\
             Contact: <sip:caller@127.0.0.1:5060>\r\n\
             Content-Length: 0\r\n\r\n"
        )
        .into_bytes()
    }

    fn flow(port: u16) -> Flow {
        let local = "127.0.0.2:5080".parse().unwrap();
        Flow { transport: Transport::Udp, local, remote: SocketAddr::new("127.0.0.1".parse().unwrap(), port) }
    }

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "there is no other way to make a first Instant; from there time is virtual"
    )]
    fn start() -> Instant {
        Instant::now()
    }
}
