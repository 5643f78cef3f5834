use crate::{AccountId, CallDirection, CallStatus, HangupCause, HealthStatus, LegMedia, TrunkId};
use std::collections::BTreeMap;
use std::time::Duration;

/// What a switch has counted since its process began: sums that only grow, so that whoever reads them now and then misses nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Calls that are over, by who began them and their final status.
    pub calls: BTreeMap<(CallDirection, CallStatus), u64>,
    /// INVITEs that were refused before a call began.
    pub refused_invites: BTreeMap<RefusedPeer, u64>,
    /// Orders of the API that no call came of, by the code of the refusal.
    pub refused_orders: BTreeMap<&'static str, u64>,
    trunks: BTreeMap<TrunkId, TrunkTraffic>,
    /// Of trunks beyond [`Self::MAX_TRUNKS`], and of those that were removed while they had calls.
    others: TrunkTraffic,
    /// Of calls straight to a SIP address.
    direct: TrunkTraffic,
}

/// Who was refused, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RefusedPeer {
    /// No trunk names its address.
    pub is_stranger: bool,
    /// What it was answered with.
    pub sip_status: u16,
}

/// Whose numbers they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TrunkPlace {
    /// One trunk's.
    Trunk(TrunkId),
    /// Those of all trunks that are not counted one by one.
    Others,
    /// Those of calls over no trunk.
    Direct,
}

/// What was counted at one trunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrunkTraffic {
    /// Legs of those who called us over it.
    pub inbound: LegTraffic,
    /// Legs to those whom we called over it.
    pub outbound: LegTraffic,
    /// From our INVITE to the first 18x, or to the answer where none came before.
    pub setup_delay: Histogram,
    /// From a caller's INVITE to our 200; the ringing of whoever is called for them is part of it.
    pub answer_delay: Histogram,
    /// Of legs in both directions, counted when their port is closed.
    pub media: MediaTraffic,
}

/// What came of legs in one direction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LegTraffic {
    /// Those that were answered, counted at the answer.
    pub answered: u64,
    /// Those that ended without an answer, by cause.
    pub unanswered: BTreeMap<HangupCause, u64>,
    /// How long the answered ones that are over were up, together, in microseconds.
    pub connected_us: u64,
}

/// Media of legs that are over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaTraffic {
    /// Valid RTP packets from the far end.
    pub packets_received: u64,
    /// RTP packets to the far end.
    pub packets_sent: u64,
    /// Packets of the far end that never came.
    pub packets_lost: u64,
    /// Interarrival jitter (RFC 3550 A.8), one value a leg: that at its end.
    pub jitter: Histogram,
}

/// How often values fell under each of some bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram {
    bounds: &'static [Duration],
    /// One place for each bound, and one for what is above all of them.
    counts: Vec<u64>,
    sum: Duration,
}

/// What a trunk carries now, of what it may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrunkLoad {
    /// Which.
    pub id: TrunkId,
    /// Whose.
    pub account_id: AccountId,
    /// Its name.
    pub name: String,
    /// Calls, with those that something else carries.
    pub active: u32,
    /// Calls that it may carry at once.
    pub max: u32,
    /// How it is, as far as it is watched.
    pub health: HealthStatus,
    /// Whether calls can go out over it: as it is configured, by its health and by its circuit.
    pub takes_calls: bool,
    /// Probes in a row without a good answer; `None` when it is not probed by itself.
    pub failed_probes: Option<u32>,
}

/// What an account carries now, of what it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountLoad {
    /// Which.
    pub id: AccountId,
    /// Calls, with those that something else carries.
    pub active: u32,
    /// Calls that it may have at once.
    pub max: u32,
}

impl Traffic {
    /// How many trunks are counted one by one; those beyond it are counted together. Each is some 40 series of whoever stores them,
    /// and a store of the usual size takes a few hundred thousand.
    pub const MAX_TRUNKS: usize = 1_000;

    /// From now on these are the trunks there are. Those that were counted one by one go on to be, others follow as there is room.
    pub fn set_trunks(&mut self, ids: impl Iterator<Item = TrunkId> + Clone) {
        let mut before = std::mem::take(&mut self.trunks);
        self.trunks = ids.clone().filter_map(|id| Some((id, before.remove(&id)?))).collect();
        for id in ids {
            if self.trunks.len() >= Self::MAX_TRUNKS {
                break;
            }
            self.trunks.entry(id).or_default();
        }
    }

    /// Where a trunk is counted; `None` is a call over no trunk.
    #[must_use]
    pub fn place(&self, trunk: Option<TrunkId>) -> TrunkPlace {
        match trunk {
            None => TrunkPlace::Direct,
            Some(id) if self.trunks.contains_key(&id) => TrunkPlace::Trunk(id),
            Some(_) => TrunkPlace::Others,
        }
    }

    /// Each place with its numbers.
    pub fn places(&self) -> impl Iterator<Item = (TrunkPlace, &TrunkTraffic)> {
        let trunks = self.trunks.iter().map(|(id, traffic)| (TrunkPlace::Trunk(*id), traffic));
        trunks.chain([(TrunkPlace::Others, &self.others), (TrunkPlace::Direct, &self.direct)])
    }

    fn trunk(&mut self, trunk: Option<TrunkId>) -> &mut TrunkTraffic {
        match trunk {
            None => &mut self.direct,
            Some(id) => self.trunks.get_mut(&id).unwrap_or(&mut self.others),
        }
    }

    fn leg(&mut self, trunk: Option<TrunkId>, direction: CallDirection) -> &mut LegTraffic {
        let trunk = self.trunk(trunk);
        match direction {
            CallDirection::Inbound => &mut trunk.inbound,
            CallDirection::Outbound | CallDirection::Bidirectional => &mut trunk.outbound,
        }
    }

    /// A leg to or from a far end was answered.
    pub fn leg_answered(&mut self, trunk: Option<TrunkId>, direction: CallDirection) {
        add(&mut self.leg(trunk, direction).answered, 1);
    }

    /// A leg is over that was up for so long; `None` when it was not answered.
    pub fn leg_ended(
        &mut self,
        trunk: Option<TrunkId>,
        direction: CallDirection,
        cause: HangupCause,
        connected: Option<Duration>,
    ) {
        let leg = self.leg(trunk, direction);
        match connected {
            Some(connected) => {
                add(&mut leg.connected_us, u64::try_from(connected.as_micros()).unwrap_or(u64::MAX));
            }
            None => add(leg.unanswered.entry(cause).or_default(), 1),
        }
    }

    /// The far end of an INVITE of ours rings, or has answered without ringing, after so long.
    pub fn set_up(&mut self, trunk: Option<TrunkId>, delay: Duration) {
        self.trunk(trunk).setup_delay.observe(delay);
    }

    /// A caller is answered, so long after their INVITE.
    pub fn caller_answered(&mut self, trunk: Option<TrunkId>, delay: Duration) {
        self.trunk(trunk).answer_delay.observe(delay);
    }

    /// The port of a leg is closed.
    pub fn media_ended(&mut self, trunk: Option<TrunkId>, counted: &LegMedia) {
        let media = &mut self.trunk(trunk).media;
        add(&mut media.packets_received, counted.packets_received);
        add(&mut media.packets_sent, counted.packets_sent);
        add(&mut media.packets_lost, counted.packets_lost.and_then(|lost| lost.try_into().ok()).unwrap_or(0));
        if let Some(jitter_us) = counted.jitter_us {
            media.jitter.observe(Duration::from_micros(jitter_us));
        }
    }

    /// A call is over.
    pub fn call_ended(&mut self, direction: CallDirection, status: CallStatus) {
        add(self.calls.entry((direction, status)).or_default(), 1);
    }

    /// An INVITE was refused before a call began.
    pub fn invite_refused(&mut self, peer: RefusedPeer) {
        add(self.refused_invites.entry(peer).or_default(), 1);
    }

    /// An order was refused; by the code of the refusal.
    pub fn order_refused(&mut self, code: &'static str) {
        add(self.refused_orders.entry(code).or_default(), 1);
    }
}

impl Default for TrunkTraffic {
    fn default() -> Self {
        Self {
            inbound: LegTraffic::default(),
            outbound: LegTraffic::default(),
            setup_delay: Histogram::new(SETUP_DELAYS),
            answer_delay: Histogram::new(ANSWER_DELAYS),
            media: MediaTraffic {
                packets_received: 0,
                packets_sent: 0,
                packets_lost: 0,
                jitter: Histogram::new(JITTERS),
            },
        }
    }
}

impl Histogram {
    /// An empty one. The bounds must rise.
    #[must_use]
    pub fn new(bounds: &'static [Duration]) -> Self {
        debug_assert!(bounds.is_sorted(), "the bounds of a histogram rise");
        Self { bounds, counts: vec![0; bounds.len() + 1], sum: Duration::ZERO }
    }

    /// Counts a value in.
    pub fn observe(&mut self, value: Duration) {
        let place = self.bounds.partition_point(|bound| *bound < value);
        if let Some(count) = self.counts.get_mut(place) {
            add(count, 1);
        }
        self.sum = self.sum.saturating_add(value);
    }

    /// For each bound, how many values were no greater.
    pub fn cumulative(&self) -> impl Iterator<Item = (Duration, u64)> {
        let mut below = 0_u64;
        self.bounds.iter().zip(&self.counts).map(move |(bound, count)| {
            below = below.saturating_add(*count);
            (*bound, below)
        })
    }

    /// How many values there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// All values together.
    #[must_use]
    pub const fn sum(&self) -> Duration {
        self.sum
    }
}

/// A counter that would overflow stays where it is: nothing that is counted here comes that often.
fn add(counter: &mut u64, more: u64) {
    *counter = counter.saturating_add(more);
}

/// A good carrier rings within one to three seconds; calls abroad take up to twelve, and at thirty callers have given up.
const SETUP_DELAYS: &[Duration] = &[
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(3),
    Duration::from_secs(5),
    Duration::from_secs(8),
    Duration::from_secs(12),
    Duration::from_secs(20),
    Duration::from_secs(30),
];

/// What answers by itself does so within milliseconds, people within half a minute; by default they are given a minute.
const ANSWER_DELAYS: &[Duration] = &[
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(25),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(10),
    Duration::from_secs(20),
    Duration::from_secs(30),
    Duration::from_secs(60),
];

/// A packet is 20 ms; a receiver buffers 20 to 60 ms, and what comes later than that is lost to the ear.
const JITTERS: &[Duration] = &[
    Duration::from_millis(1),
    Duration::from_millis(2),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(20),
    Duration::from_millis(30),
    Duration::from_millis(60),
    Duration::from_millis(100),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Timestamp;

    fn trunk(number: u16) -> TrunkId {
        let mut bits = [0; 10];
        bits[8..].copy_from_slice(&number.to_be_bytes());
        TrunkId::new(Timestamp::from_unix_micros(1_000), bits)
    }

    #[test]
    fn a_value_on_a_bound_counts_under_it() {
        let mut histogram = Histogram::new(JITTERS);
        for millis in [1, 2, 3, 99, 100, 101] {
            histogram.observe(Duration::from_millis(millis));
        }
        let below: Vec<u64> = histogram.cumulative().map(|(_, below)| below).collect();
        assert_eq!(below, [1, 2, 3, 3, 3, 3, 3, 5]);
        assert_eq!((histogram.count(), histogram.sum()), (6, Duration::from_millis(306)));
    }

    #[test]
    fn trunks_beyond_the_limit_are_counted_together() {
        let mut traffic = Traffic::default();
        let most = u16::try_from(Traffic::MAX_TRUNKS).unwrap();
        traffic.set_trunks((0..=most).map(trunk));
        for id in [trunk(0), trunk(most), trunk(most + 1)] {
            traffic.leg_answered(Some(id), CallDirection::Outbound);
        }
        traffic.leg_answered(None, CallDirection::Outbound);
        assert_eq!(traffic.places().count(), Traffic::MAX_TRUNKS + 2);
        let answered = |place| traffic.places().find(|(at, _)| *at == place).unwrap().1.outbound.answered;
        assert_eq!(answered(traffic.place(Some(trunk(0)))), 1);
        assert_eq!(traffic.place(Some(trunk(most))), TrunkPlace::Others);
        assert_eq!((answered(TrunkPlace::Others), answered(TrunkPlace::Direct)), (2, 1));
    }

    #[test]
    fn a_trunk_keeps_its_place_until_it_is_removed() {
        let mut traffic = Traffic::default();
        traffic.set_trunks([trunk(5)].into_iter());
        traffic.leg_ended(Some(trunk(5)), CallDirection::Inbound, HangupCause::UserBusy, None);
        // Older ones come in, more than there is room for.
        traffic.set_trunks((0..2_000).map(trunk));
        assert_eq!(traffic.place(Some(trunk(5))), TrunkPlace::Trunk(trunk(5)));
        let kept = traffic.places().find(|(at, _)| *at == TrunkPlace::Trunk(trunk(5))).unwrap().1;
        assert_eq!(kept.inbound.unanswered, BTreeMap::from([(HangupCause::UserBusy, 1)]));
        traffic.set_trunks([trunk(6)].into_iter());
        assert_eq!(traffic.place(Some(trunk(5))), TrunkPlace::Others);
    }
}
