//! What far ends do, drawn from the seed call by call.

use std::time::{Duration, Instant};

use tandem_lab::setup::Seeded;

use crate::description::{Codecs, Mode};
use crate::node::Own;

/// What a far end does in a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// A provisional answer; with a description if `describes`.
    Progress {
        code: u16,
        describes: bool,
    },
    /// 200, with a description if `describes`.
    Answer {
        describes: bool,
    },
    /// A final answer.
    Reject {
        code: u16,
        retry_after: Option<u32>,
    },
    /// 401 or 407 to an INVITE without credentials; else what would have been done without it.
    Challenge {
        code: u16,
    },
    Bye,
    Cancel,
    /// A re-INVITE in this mode; without an offer of its own if not `offers`. `moves` to another media port.
    Reinvite {
        mode: Mode,
        offers: bool,
        moves: bool,
    },
    /// A packet of audio.
    Speak,
}

/// How a far end takes calls, in per cent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Habits {
    pub(crate) answers: u64,
    pub(crate) challenges: u64,
    pub(crate) codecs: Codecs,
    pub(crate) place: MediaPlace,
    /// Whether calls of it may be over by themselves only after long, so that the other side has to hang up.
    pub(crate) is_patient: bool,
    pub(crate) odd_media: u64,
}

/// Where a far end has its audio.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MediaPlace {
    /// Each call has a host of its own, as behind a carrier's media gateways.
    OwnHost,
    /// Where its signalling is.
    SignallingHost,
    /// Behind a NAT: it names an address of its own network, and sends from its signalling host.
    BehindNat,
    /// Its descriptions name an address of the other family; it sends from its signalling host.
    OtherFamily,
}

/// Whether a far end listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hearing {
    Awake,
    /// What comes waits until it wakes.
    Asleep,
    /// What comes is lost.
    Dead,
    /// What comes is refused by its host.
    Unreachable,
}

impl Habits {
    pub(crate) fn draw(random: &mut Seeded, own: Own) -> Self {
        let place = match random.below(8) {
            // A port that is taken again at once may be latched to by who has not heard yet that their call is over: a far end that
            // has all its calls at one host cannot be told from another call of it.
            _ if own.has_few_ports() => MediaPlace::OwnHost,
            0 => MediaPlace::SignallingHost,
            1 => MediaPlace::BehindNat,
            2 if own.has_v6 => MediaPlace::OtherFamily,
            _ => MediaPlace::OwnHost,
        };
        let codecs = match random.below(4) {
            0 => Codecs::Mu,
            1 => Codecs::A,
            _ => Codecs::Either,
        };
        Self {
            answers: 40 + random.below(60),
            challenges: if random.below(4) == 0 { 70 } else { 3 },
            codecs,
            place,
            is_patient: random.below(3) == 0,
            odd_media: random.below(15),
        }
    }

    /// What it does after an INVITE, by milliseconds from then.
    pub(crate) fn take_call(&self, random: &mut Seeded) -> Vec<(u64, Act)> {
        let mut acts = Vec::new();
        if random.below(100) < self.challenges {
            acts.push((random.below(300), Act::Challenge { code: [401, 407][pick(random, 2)] }));
        }
        let mut at = 300 + random.below(2_000);
        for _ in 0..random.below(3) {
            acts.push((
                at,
                Act::Progress { code: 180 + 3 * u16::from(random.below(2) == 0), describes: random.below(2) == 0 },
            ));
            at += random.below(3_000);
        }
        if random.below(100) < self.answers {
            // Often at a full second, at which the other side gives up or hangs up too.
            let at = if random.below(2) == 0 { at } else { at.next_multiple_of(1_000) };
            acts.push((at, Act::Answer { describes: random.below(20) > 0 }));
        } else if random.below(4) > 0 {
            let code = FAILURES[pick(random, FAILURES.len())];
            acts.push((at, Act::Reject { code, retry_after: (random.below(2) == 0).then_some(3) }));
        }
        // Nobody rings for ever, whatever is lost on the way.
        acts.push((LONGEST_RINGING_MS + random.below(30_000), Act::Reject { code: 480, retry_after: None }));
        acts
    }

    /// What it does in a call that is up.
    pub(crate) fn talk(&self, random: &mut Seeded) -> Vec<(u64, Act)> {
        let mut acts = Vec::new();
        let mut at = 0;
        while random.below(3) == 0 {
            at += 1_000 + random.below(6_000);
            let mode = [Mode::Both, Mode::OnlySpeaks, Mode::Neither, Mode::Nowhere, Mode::OnlyHears][pick(random, 5)];
            let (offers, moves) = (random.below(4) > 0, random.below(3) == 0);
            acts.push((at, Act::Reinvite { mode, offers, moves }));
            if mode != Mode::Both && random.below(4) > 0 {
                at += 1_000 + random.below(5_000);
                acts.push((at, Act::Reinvite { mode: Mode::Both, offers: true, moves: false }));
            }
        }
        let patience = if self.is_patient && random.below(2) == 0 { PATIENCE_MS } else { 0 };
        acts.push((patience + 1_000 * (1 + random.below(25)), Act::Bye));
        acts
    }

    /// In which mode, and with which codecs, it describes itself in its next call.
    pub(crate) fn describe(&self, random: &mut Seeded) -> (Mode, Codecs) {
        if random.below(100) >= self.odd_media {
            return (Mode::Both, self.codecs);
        }
        match random.below(4) {
            0 => (Mode::Both, Codecs::Foreign),
            1 => (Mode::OnlySpeaks, self.codecs),
            2 => (Mode::Neither, self.codecs),
            _ => (Mode::OnlyHears, self.codecs),
        }
    }
}

/// When a far end is not awake; empty for most.
pub(crate) fn sleep(random: &mut Seeded, start: Instant, span_ms: u64) -> Vec<(Instant, Hearing)> {
    let hearing = match random.below(10) {
        0 => Hearing::Dead,
        1 => Hearing::Unreachable,
        2 | 3 => Hearing::Asleep,
        _ => return Vec::new(),
    };
    let mut changes = Vec::new();
    let mut at = random.below(span_ms / 2);
    while at < span_ms {
        changes.push((start + Duration::from_millis(at), hearing));
        at += 1_000 + random.below(15_000);
        changes.push((start + Duration::from_millis(at), Hearing::Awake));
        at += 5_000 + random.below(60_000);
    }
    changes
}

pub(crate) fn pick(random: &mut Seeded, of: usize) -> usize {
    usize::try_from(random.below(u64::try_from(of).unwrap())).unwrap()
}

const FAILURES: [u16; 14] = [302, 403, 404, 408, 480, 484, 486, 488, 500, 502, 503, 503, 600, 603];
const LONGEST_RINGING_MS: u64 = 90_000;
/// Of a far end that leaves it to others to hang up.
const PATIENCE_MS: u64 = 150_000;
