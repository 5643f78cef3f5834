//! What the protocol demands of our side, seen on the wire.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::wire::Sip;

/// Everything that came to our side and left it.
#[derive(Default)]
pub(crate) struct Signalling {
    /// INVITEs of ours, by branch.
    sent: BTreeMap<String, Sent>,
    /// INVITEs that came, by their peer and branch.
    came: BTreeMap<(SocketAddr, String), Came>,
    /// ACKs that this turn owes: for which Call-ID and CSeq number, and with which tag.
    owed: BTreeSet<(String, u32, String)>,
    /// When a dialog was answered, and when its first BYE passed, by Call-ID.
    pub(crate) answered: BTreeMap<String, Instant>,
    pub(crate) hung_up: BTreeMap<String, Instant>,
    process: u64,
    faults: Vec<String>,
}

struct Sent {
    to: SocketAddr,
    process: u64,
    /// A provisional response has come.
    is_heard: bool,
    /// Its transaction may be over: it is not to be expected that anything more is done about it.
    dead_after: Option<Instant>,
    /// The first final response: when, and its code.
    decided: Option<(Instant, u16)>,
}

struct Came {
    process: u64,
    call_id: String,
    /// The code and tag of the final response.
    decided: Option<(u16, String)>,
}

impl Signalling {
    pub(crate) fn process_began(&mut self, number: u64) {
        self.process = number;
        self.owed.clear();
    }

    /// The network refused what was sent there: what waits on it has failed.
    pub(crate) fn refused(&mut self, to: SocketAddr, now: Instant) {
        for sent in self.sent.values_mut().filter(|sent| sent.to == to && sent.decided.is_none()) {
            sent.dead_after = Some(now);
        }
    }

    /// A message came.
    pub(crate) fn came(&mut self, from: SocketAddr, sip: Sip<'_>, now: Instant) {
        match (sip.status(), sip.method()) {
            (Some(status), "INVITE") => self.answer_came(status, sip, now),
            (None, "INVITE") => {
                let key = (from, sip.branch().to_owned());
                let (process, call_id) = (self.process, sip.call_id().to_owned());
                self.came.entry(key).or_insert(Came { process, call_id, decided: None });
            }
            (None, "BYE") => {
                self.hung_up.entry(sip.call_id().to_owned()).or_insert(now);
            }
            (Some(_) | None, _) => {}
        }
    }

    fn answer_came(&mut self, status: u16, sip: Sip<'_>, now: Instant) {
        let process = self.process;
        let Some(sent) = self.sent.get_mut(sip.branch()).filter(|sent| sent.process == process) else { return };
        let is_known = sent.dead_after.is_none_or(|dead| now < dead);
        if status < 200 {
            if sent.decided.is_none() && !std::mem::replace(&mut sent.is_heard, true) && is_known {
                // It may ring for ever now.
                sent.dead_after = None;
            }
            return;
        }
        if !is_known {
            return;
        }
        let (_, first) = *sent.decided.get_or_insert((now, status));
        if (first < 300) == (status < 300) {
            self.owed.insert((sip.call_id().to_owned(), sip.cseq(), sip.to_tag().to_owned()));
            sent.dead_after = sent.dead_after.or(Some(now + TRANSACTION_TIME));
        }
        if status < 300 {
            self.answered.entry(sip.call_id().to_owned()).or_insert(now);
        }
    }

    /// A message left.
    pub(crate) fn left(&mut self, to: SocketAddr, sip: Sip<'_>, now: Instant) {
        match (sip.status(), sip.method()) {
            (None, "INVITE") => {
                let sent = Sent {
                    to,
                    process: self.process,
                    is_heard: false,
                    dead_after: Some(now + TRANSACTION_TIME),
                    decided: None,
                };
                self.sent.entry(sip.branch().to_owned()).or_insert(sent);
            }
            (None, "ACK") => {
                self.owed.remove(&(sip.call_id().to_owned(), sip.cseq(), sip.to_tag().to_owned()));
            }
            (None, "CANCEL") => self.cancel_left(sip, now),
            (None, "BYE") => {
                self.hung_up.entry(sip.call_id().to_owned()).or_insert(now);
            }
            (Some(status), "INVITE") if status >= 200 => self.answer_left(to, status, sip, now),
            (Some(_) | None, _) => {}
        }
    }

    fn cancel_left(&mut self, sip: Sip<'_>, now: Instant) {
        let process = self.process;
        let Some(sent) = self.sent.get_mut(sip.branch()) else {
            // The process before this one may have died after it had written the INVITE down, and before it sent it.
            if process > 1 {
                return;
            }
            return self.faults.push(format!("a CANCEL of an INVITE that never left: {}", sip.call_id()));
        };
        // An INVITE of an earlier process is taken to ring.
        if sent.process == process && !sent.is_heard {
            let fault = format!("a CANCEL before any provisional response: {}", sip.call_id());
            self.faults.push(fault);
        }
        if sent.decided.is_none() {
            sent.dead_after =
                Some(sent.dead_after.map_or(now + TRANSACTION_TIME, |dead| dead.min(now + TRANSACTION_TIME)));
        }
    }

    fn answer_left(&mut self, to: SocketAddr, status: u16, sip: Sip<'_>, now: Instant) {
        let Some(came) = self.came.get_mut(&(to, sip.branch().to_owned())) else {
            return self.faults.push(format!("an answer to an INVITE that never came: {}", sip.first_line()));
        };
        let answer = (status, sip.to_tag().to_owned());
        // Nothing is kept of a stranger: each of their copies gets an answer of its own, and another once they are known.
        let is_same = |first: &(u16, String)| *first == answer || first.0 == FORBIDDEN;
        if came.decided.as_ref().is_some_and(|first| !is_same(first)) && came.process == self.process {
            let fault = format!("two answers to one INVITE of {}: {:?}, then {answer:?}", came.call_id, came.decided);
            self.faults.push(fault);
        }
        came.decided.get_or_insert(answer);
        if status < 300 {
            self.answered.entry(sip.call_id().to_owned()).or_insert(now);
        }
    }

    /// The turn is over, and all of it has left.
    pub(crate) fn turn_is_over(&mut self) {
        for (call_id, cseq, _) in std::mem::take(&mut self.owed) {
            self.faults.push(format!("a final answer of {call_id}, CSeq {cseq}, got no ACK"));
        }
    }

    /// Nothing more comes.
    pub(crate) fn finish(&mut self, last_crash: Option<u64>) {
        for came in self.came.values() {
            let survived = last_crash.is_none_or(|process| came.process > process);
            if came.decided.is_none() && survived {
                self.faults.push(format!("an INVITE of {} got no final answer", came.call_id));
            }
        }
    }

    pub(crate) fn take_faults(&mut self) -> Vec<String> {
        std::mem::take(&mut self.faults)
    }
}

const FORBIDDEN: u16 = 403;
/// 64 × T1, less what it takes to be sure.
const TRANSACTION_TIME: Duration = Duration::from_millis(31_900);
