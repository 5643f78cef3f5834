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
