use super::samples::{Audio, Samples};
use crate::route::{NextHop, RoutedTrunk};
use std::collections::VecDeque;
use std::time::{Duration, Instant};
use tandem_model::{
    AccountId, BreakerState, HealthReason, HealthReport, HealthSpan, HealthStatus, MeasuredHealth, Now, Timestamp,
    TrunkHealth, TrunkId,
};
use tandem_sip::message::Host;

/// Judges the probes of one trunk.
///
/// One lost probe changes nothing: it takes two in a row to leave routing, and two answers in a row to come back. Who leaves again
/// and again stays away longer each time, so that a line that comes and goes does not drag calls along.
#[derive(Debug)]
pub(crate) struct Watch {
    trunk: TrunkId,
    account: AccountId,
    target: Target,
    /// `None` when it is never probed by itself: then what a person finds by probing is shown, and routing does not care.
    interval: Option<Duration>,
    status: HealthStatus,
    reason: HealthReason,
    since: Timestamp,
    /// Probes in a row without a good answer.
    failures: u32,
    /// Probes in a row with one.
    successes: u32,
    /// Probes that began before the last one that counted had ended do not count: they saw the same moment.
    counted_until: Instant,
    checked_at: Option<Timestamp>,
    /// Until when it stays away, once it has left.
    away_until: Option<Instant>,
    /// When it left, within [`FLAP_WINDOW`]; at most [`MAX_LEAVINGS`].
    leavings: VecDeque<Instant>,
    call_got_through: Option<Instant>,
    samples: Samples,
    audio: Audio,
    span_began: Timestamp,
    /// The span before, until it is reported.
    ended: Option<HealthSpan>,
    reported: Option<Instant>,
}

/// Where probes of a trunk go.
#[derive(Debug, PartialEq, Eq)]
struct Target {
    domain: Host,
    next_hop: NextHop,
}

impl Target {
    fn of(entry: &RoutedTrunk) -> Self {
        Self { domain: entry.domain.clone(), next_hop: entry.next_hop.clone() }
    }
}

/// How a probe ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Evidence {
    /// Answered.
    Alive {
        /// In microseconds.
        latency_us: u64,
    },
    /// Answered with 503: it takes no calls.
    TakesNoCalls {
        /// In microseconds.
        latency_us: u64,
    },
    /// Not answered in time, or with 408, which says the same of who is behind.
    Silent,
    /// The network refused it.
    NotSent,
    /// The name does not resolve.
    Unresolvable,
    /// No way leads there as the trunk is configured.
    Unroutable,
}

/// When the next probe goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// After this time, or a little sooner: probes of many trunks are spread.
    Usual(Duration),
    /// After this time, for the last one has left a doubt.
    InDoubt(Duration),
}

impl Watch {
    pub(crate) fn new(entry: &RoutedTrunk, now: Now) -> Self {
        Self {
            trunk: entry.trunk.id,
            account: entry.trunk.account_id,
            target: Target::of(entry),
            interval: entry.trunk.options_interval(),
            status: HealthStatus::Unknown,
            reason: HealthReason::NotProbed,
            since: now.utc,
            failures: 0,
            successes: 0,
            counted_until: now.instant,
            checked_at: None,
            away_until: None,
            leavings: VecDeque::new(),
            call_got_through: None,
            samples: Samples::default(),
            audio: Audio::default(),
            span_began: now.utc,
            ended: None,
            reported: None,
        }
    }

    pub(crate) fn is_of(&self, entry: &RoutedTrunk) -> bool {
        self.target == Target::of(entry)
    }

    pub(crate) const fn set_interval(&mut self, interval: Option<Duration>) {
        self.interval = interval;
    }

    /// Its health, if that keeps calls away.
    pub(crate) fn sick(&self) -> Option<(HealthStatus, HealthReason)> {
        (self.interval.is_some() && !self.status.is_routable()).then_some((self.status, self.reason))
    }

    pub(crate) const fn call_got_through(&mut self, now: Instant) {
        self.call_got_through = Some(now);
    }

    pub(crate) fn note_audio(&mut self, heard: u64, lost: u64, now: Instant) {
        self.audio.note(heard, lost, now);
    }

    /// A probe that began then has come to an end.
    pub(crate) fn handle_probe(&mut self, began: Instant, evidence: Evidence, now: Now) {
        self.checked_at = Some(now.utc);
        let (latency_us, failure) = match evidence {
            Evidence::Alive { latency_us } => (Some(latency_us), None),
            Evidence::TakesNoCalls { latency_us } => {
                (Some(latency_us), Some((HealthStatus::Unhealthy, HealthReason::ServiceUnavailable)))
            }
            Evidence::Silent => (None, Some((HealthStatus::Unhealthy, HealthReason::NoAnswer))),
            Evidence::NotSent => (None, Some((HealthStatus::Unhealthy, HealthReason::TransportError))),
            Evidence::Unresolvable => (None, Some((HealthStatus::Error, HealthReason::Unresolvable))),
            Evidence::Unroutable => (None, Some((HealthStatus::Error, HealthReason::Unroutable))),
        };
        self.samples.push(latency_us);
        if began < self.counted_until {
            return;
        }
        self.counted_until = now.instant;
        match failure {
            None => {
                self.failures = 0;
                self.successes = self.successes.saturating_add(1);
                self.judge_success(now);
            }
            Some((status, reason)) => {
                self.successes = 0;
                self.failures = self.failures.saturating_add(1);
                self.judge_failure(status, reason, now);
            }
        }
    }

    fn judge_success(&mut self, now: Now) {
        if !self.status.is_routable() {
            let is_early = self.away_until.is_some_and(|until| now.instant < until);
            if self.successes < self.needed(SUCCESSES_TO_RETURN) || is_early {
                return;
            }
            self.away_until = None;
            self.samples.forget_losses();
        }
        self.grade(now);
    }

    fn judge_failure(&mut self, status: HealthStatus, reason: HealthReason, now: Now) {
        if !self.status.is_routable() {
            return self.change(status, reason, now);
        }
        if self.failures < self.needed(FAILURES_TO_LEAVE) {
            if self.status != HealthStatus::Unknown {
                self.grade(now);
            }
            return;
        }
        // Some carriers answer calls and let OPTIONS lie; who takes calls at this very time is not to be called dead.
        if reason == HealthReason::NoAnswer && self.calls_get_through(now.instant) {
            return self.change(HealthStatus::Degraded, HealthReason::ProbesLost, now);
        }
        self.leavings.push_back(now.instant);
        self.leavings.retain(|left| now.instant.saturating_duration_since(*left) < FLAP_WINDOW);
        while self.leavings.len() > MAX_LEAVINGS {
            self.leavings.pop_front();
        }
        self.away_until = self.interval.map(|interval| now.instant + hold(interval, self.leavings.len()));
        self.change(status, reason, now);
    }

    /// How many in a row are needed. Where nobody probes again by itself, the last probe is all there is.
    const fn needed(&self, usual: u32) -> u32 {
        if self.interval.is_some() { usual } else { 1 }
    }

    fn calls_get_through(&self, now: Instant) -> bool {
        let (Some(at), Some(interval)) = (self.call_got_through, self.interval) else { return false };
        now.saturating_duration_since(at) < interval
    }

    /// Healthy or degraded, each by marks of its own, so that a value near a mark does not change it with every probe.
    fn grade(&mut self, now: Now) {
        let marks = if self.status == HealthStatus::Degraded { &BETTER_BELOW } else { &WORSE_FROM };
        let reaches = |value: Option<u16>, mark: u16| value.is_some_and(|value| value >= mark);
        let audio = self.audio.loss_basis_points(now.instant);
        let (status, reason) = if reaches(audio, marks.audio_basis_points) {
            (HealthStatus::Degraded, HealthReason::AudioLost)
        } else if reaches(self.samples.loss_basis_points(), marks.probes_basis_points) {
            (HealthStatus::Degraded, HealthReason::ProbesLost)
        } else if self.samples.smoothed_us().is_some_and(|latency| latency >= marks.latency_us) {
            (HealthStatus::Degraded, HealthReason::SlowAnswers)
        } else {
            (HealthStatus::Healthy, HealthReason::Answers)
        };
        self.change(status, reason, now);
    }

    fn change(&mut self, status: HealthStatus, reason: HealthReason, now: Now) {
        if self.status != status {
            self.end_span(now);
            self.since = now.utc;
            self.status = status;
        }
        self.reason = reason;
    }

    fn end_span(&mut self, now: Now) {
        // A span that has not been reported yet when the next one ends was shorter than a probe, and no news either.
        self.ended = self.span(now).or(self.ended);
        self.span_began = now.utc;
    }

    /// The span until now. What nobody watches has none: between two probes by hand anything may have been.
    fn span(&self, now: Now) -> Option<HealthSpan> {
        (self.status != HealthStatus::Unknown && self.interval.is_some()).then(|| HealthSpan {
            began_at: self.span_began,
            until: now.utc.max(self.span_began),
            status: self.status,
            reason: self.reason,
            latency_us: self.samples.smoothed_us(),
            loss_basis_points: self.loss_basis_points(now.instant),
        })
    }

    fn loss_basis_points(&self, now: Instant) -> Option<u16> {
        self.audio.loss_basis_points(now).or_else(|| self.samples.loss_basis_points())
    }

    fn health(&self, now: Instant) -> TrunkHealth {
        TrunkHealth {
            status: self.status,
            checked_at: self.checked_at,
            latency_us: self.samples.smoothed_us(),
            loss_basis_points: self.loss_basis_points(now),
        }
    }

    pub(crate) fn measured(&self, breaker: BreakerState, breaker_until: Option<Timestamp>, now: Now) -> MeasuredHealth {
        MeasuredHealth {
            health: self.health(now.instant),
            reason: self.reason,
            since: self.since,
            latency_p95_us: self.samples.p95_us(),
            probe_loss_basis_points: self.samples.loss_basis_points(),
            audio_loss_basis_points: self.audio.loss_basis_points(now.instant),
            breaker,
            breaker_until,
        }
    }

    /// Probes in a row without a good answer; `None` when it is never probed by itself.
    pub(crate) const fn failed_probes(&self) -> Option<u32> {
        match self.interval {
            Some(_) => Some(self.failures),
            None => None,
        }
    }

    /// What is to be kept: when the status changed, and else once a minute.
    pub(crate) fn take_report(&mut self, now: Now) -> Option<HealthReport> {
        if now.utc.since(self.span_began) >= LONGEST_SPAN {
            self.end_span(now);
        }
        let is_due = self.reported.is_none_or(|at| now.instant.saturating_duration_since(at) >= REPORT_EVERY);
        if !is_due && self.ended.is_none() {
            return None;
        }
        self.reported = Some(now.instant);
        let spans = self.ended.take().into_iter().chain(self.span(now)).collect();
        Some(HealthReport { trunk_id: self.trunk, account_id: self.account, health: self.health(now.instant), spans })
    }

    /// How far off the next probe is; `None` when there is none.
    pub(crate) fn pace(&self, now: Instant) -> Option<Pace> {
        let interval = self.interval?;
        let is_away = !self.status.is_routable();
        Some(if !is_away && (1..FAILURES_TO_LEAVE).contains(&self.failures) {
            Pace::InDoubt((interval / 4).min(LONGEST_DOUBT))
        } else if is_away && self.successes > 0 && self.away_until.is_none_or(|until| until <= now + interval / 2) {
            Pace::InDoubt(interval / 2)
        } else {
            Pace::Usual(interval)
        })
    }

    /// How long a probe may take: two of them and the time between fit into an interval, so that a trunk that is gone is out of
    /// routing within two.
    pub(crate) fn patience(&self) -> Option<Duration> {
        self.interval.map(|interval| (interval / 4).clamp(SHORTEST_PATIENCE, LONGEST_PATIENCE))
    }
}

/// How long a trunk stays away that has left so many times within [`FLAP_WINDOW`]: an interval, then twice as long each time.
fn hold(interval: Duration, leavings: usize) -> Duration {
    let doublings = u32::try_from(leavings.saturating_sub(1)).unwrap_or(u32::MAX);
    let times = 1_u32.checked_shl(doublings).unwrap_or(u32::MAX);
    interval.saturating_mul(times).min(LONGEST_HOLD.max(interval))
}

/// From where on, or down to where, a trunk is degraded.
struct Marks {
    latency_us: u64,
    probes_basis_points: u16,
    audio_basis_points: u16,
}

/// A trunk becomes degraded: half a second to an OPTIONS is felt at call set-up, one probe in five is no accident, and of one lost
/// packet in twenty G.711 suffers audibly.
const WORSE_FROM: Marks = Marks { latency_us: 500_000, probes_basis_points: 2_000, audio_basis_points: 500 };
/// It is healthy again below these.
const BETTER_BELOW: Marks = Marks { latency_us: 300_000, probes_basis_points: 1_000, audio_basis_points: 200 };
/// One probe may be lost on any network.
const FAILURES_TO_LEAVE: u32 = 2;
/// One answer may come from a peer that is about to fall over again.
const SUCCESSES_TO_RETURN: u32 = 2;
/// How long a departure is remembered.
const FLAP_WINDOW: Duration = Duration::from_secs(1_800);
/// Departures remembered: by then the longest hold is long reached.
const MAX_LEAVINGS: usize = 16;
/// A trunk that comes and goes is tried again at least this often; or at its interval, if that is longer.
const LONGEST_HOLD: Duration = Duration::from_secs(300);
/// The probe after a lost one goes out at most so late.
const LONGEST_DOUBT: Duration = Duration::from_secs(2);
/// The other side of the world is 300 ms away.
const SHORTEST_PATIENCE: Duration = Duration::from_millis(300);
/// Who has not answered an OPTIONS and its resends by now would not take a call either: an INVITE waits as long.
const LONGEST_PATIENCE: Duration = Duration::from_secs(4);
/// A trunk whose health does not change is written down this often.
const REPORT_EVERY: Duration = Duration::from_secs(60);
/// The history has a row an hour, with the numbers of that hour's end.
const LONGEST_SPAN: Duration = Duration::from_secs(3_600);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;
    use std::sync::LazyLock;
    use tandem_model::Trunk;

    const ALIVE: Evidence = Evidence::Alive { latency_us: 1_000 };

    fn at_ms(millis: u64) -> Now {
        static START: LazyLock<Instant> = LazyLock::new(crate::route::tests::instant);
        let span = Duration::from_millis(millis);
        Now { instant: *START + span, utc: crate::route::tests::EPOCH.saturating_add(span) }
    }

    fn entry(interval: u64) -> RoutedTrunk {
        let advanced = json!({"options_interval": interval});
        let advanced_config = advanced.as_object().cloned().unwrap_or_default();
        RoutedTrunk::new(Trunk { advanced_config, ..crate::route::tests::trunk(1, 1) }).unwrap()
    }

    /// A watch, and the time in milliseconds.
    struct Rig {
        watch: Watch,
        now: u64,
    }

    impl Rig {
        fn new(interval: u64) -> Self {
            Self { watch: Watch::new(&entry(interval), at_ms(0)), now: 0 }
        }

        /// Probes as the scheduler would, once: waits as long as it is told to, and sees what the probe finds.
        fn probe(&mut self, evidence: Evidence) -> HealthStatus {
            let wait = match self.watch.pace(at_ms(self.now).instant) {
                Some(Pace::Usual(span) | Pace::InDoubt(span)) => u64::try_from(span.as_millis()).unwrap(),
                None => 1,
            };
            self.now += wait;
            let began = at_ms(self.now).instant;
            if evidence == Evidence::Silent {
                self.now += self.watch.patience().map_or(4_000, |span| u64::try_from(span.as_millis()).unwrap());
            }
            self.watch.handle_probe(began, evidence, at_ms(self.now));
            self.watch.status
        }
    }

    #[test]
    fn a_trunk_that_falls_silent_is_out_within_two_intervals_and_back_within_two() {
        for interval in [1, 2, 10, 30, 600] {
            let mut rig = Rig::new(interval);
            assert_eq!(rig.probe(ALIVE), HealthStatus::Healthy);
            // It falls silent the moment after it has answered, and is back the moment after a probe was lost.
            let silent = rig.now;
            assert_eq!(rig.probe(Evidence::Silent), HealthStatus::Healthy);
            assert_eq!(rig.probe(Evidence::Silent), HealthStatus::Unhealthy);
            assert!(rig.now - silent <= 2_000 * interval, "{interval} s: out after {} ms", rig.now - silent);
            let back = rig.now;
            assert_eq!(rig.probe(ALIVE), HealthStatus::Unhealthy);
            assert_eq!(rig.probe(ALIVE), HealthStatus::Healthy);
            assert!(rig.now - back <= 2_000 * interval, "{interval} s: back after {} ms", rig.now - back);
        }
    }

    #[test]
    fn one_lost_probe_in_a_while_changes_nothing() {
        let mut rig = Rig::new(30);
        rig.probe(ALIVE);
        for _ in 0..20 {
            assert_eq!(rig.probe(Evidence::Silent), HealthStatus::Healthy);
            (0..12).for_each(|_| assert_eq!(rig.probe(ALIVE), HealthStatus::Healthy));
        }
        assert_eq!(rig.watch.leavings.len(), 0);
    }

    #[test]
    fn a_503_is_no_sign_of_health_and_neither_is_a_name_that_does_not_resolve() {
        for (evidence, status, reason) in [
            (Evidence::TakesNoCalls { latency_us: 1 }, HealthStatus::Unhealthy, HealthReason::ServiceUnavailable),
            (Evidence::NotSent, HealthStatus::Unhealthy, HealthReason::TransportError),
            (Evidence::Unresolvable, HealthStatus::Error, HealthReason::Unresolvable),
            (Evidence::Unroutable, HealthStatus::Error, HealthReason::Unroutable),
        ] {
            let mut rig = Rig::new(30);
            rig.probe(evidence);
            assert_eq!(rig.watch.sick(), None);
            rig.probe(evidence);
            assert_eq!(rig.watch.sick(), Some((status, reason)));
        }
    }

    #[test]
    fn whoever_takes_calls_is_not_dead_though_its_probes_are_lost() {
        let mut rig = Rig::new(30);
        rig.probe(ALIVE);
        rig.probe(Evidence::Silent);
        rig.watch.call_got_through(at_ms(rig.now).instant);
        assert_eq!(rig.probe(Evidence::Silent), HealthStatus::Degraded);
        assert_eq!(rig.watch.sick(), None);
        // Without calls it is not known any more that they would get through.
        rig.probe(Evidence::Silent);
        assert_eq!(rig.probe(Evidence::Silent), HealthStatus::Unhealthy);
    }

    #[test]
    fn a_slow_trunk_is_degraded_until_it_is_clearly_faster() {
        let mut rig = Rig::new(30);
        let slow = |latency_us| Evidence::Alive { latency_us };
        assert_eq!(rig.probe(slow(600_000)), HealthStatus::Degraded);
        (0..20).for_each(|_| assert_eq!(rig.probe(slow(400_000)), HealthStatus::Degraded));
        for _ in 0..20 {
            rig.probe(slow(250_000));
        }
        assert_eq!(rig.watch.status, HealthStatus::Healthy);
        (0..20).for_each(|_| assert_eq!(rig.probe(slow(400_000)), HealthStatus::Healthy));
    }

    #[test]
    fn audio_that_loses_packets_degrades_its_trunk_for_as_long_as_it_is_recent() {
        let mut rig = Rig::new(30);
        rig.probe(ALIVE);
        rig.watch.note_audio(900, 100, at_ms(rig.now).instant);
        assert_eq!(rig.probe(ALIVE), HealthStatus::Degraded);
        let measured = rig.watch.measured(BreakerState::Closed, None, at_ms(rig.now));
        assert_eq!((measured.reason, measured.health.loss_basis_points), (HealthReason::AudioLost, Some(1_000)));
        for _ in 0..12 {
            rig.probe(ALIVE);
        }
        assert_eq!(rig.watch.status, HealthStatus::Healthy);
    }

    #[test]
    fn what_is_never_probed_by_itself_shows_what_was_found_last_and_keeps_no_call_away() {
        let mut rig = Rig::new(0);
        assert_eq!(rig.probe(ALIVE), HealthStatus::Healthy);
        assert_eq!(rig.probe(Evidence::Silent), HealthStatus::Unhealthy);
        assert_eq!((rig.watch.sick(), rig.watch.pace(at_ms(0).instant)), (None, None));
        assert_eq!(rig.watch.take_report(at_ms(rig.now)).unwrap().spans, []);
    }

    #[test]
    fn probes_of_one_moment_count_once() {
        let mut rig = Rig::new(30);
        rig.probe(ALIVE);
        let began = at_ms(rig.now + 1).instant;
        for _ in 0..8 {
            rig.watch.handle_probe(began, Evidence::Silent, at_ms(rig.now + 4_001));
        }
        assert_eq!(rig.watch.status, HealthStatus::Healthy);
    }

    #[test]
    fn a_report_is_made_at_each_change_and_else_once_a_minute() {
        let mut rig = Rig::new(10);
        let mut reports = Vec::new();
        for second in 0..720 {
            rig.probe(if (300..330).contains(&second) { Evidence::Silent } else { ALIVE });
            reports.extend(rig.watch.take_report(at_ms(rig.now)));
        }
        let minutes = usize::try_from(rig.now / 60_000).unwrap();
        assert!((minutes..minutes + 6).contains(&reports.len()), "{} reports in {minutes} minutes", reports.len());
        // Spans follow each other without a gap, and none is longer than an hour.
        let mut spans: Vec<HealthSpan> = Vec::new();
        for span in reports.into_iter().flat_map(|report| report.spans) {
            match spans.last_mut() {
                Some(last) if last.began_at == span.began_at => *last = span,
                Some(_) | None => spans.push(span),
            }
        }
        assert!(spans.windows(2).all(|pair| pair[0].until == pair[1].began_at), "{spans:#?}");
        assert!(spans.iter().all(|span| span.until.since(span.began_at) <= LONGEST_SPAN + Duration::from_secs(30)));
        let unwell = spans.iter().filter(|span| span.status == HealthStatus::Unhealthy).count();
        assert_eq!(unwell, 1, "{spans:#?}");
    }

    #[derive(Debug, Clone, Copy)]
    enum Happening {
        Probe(Evidence),
        Call,
        Audio { heard: u64, lost: u64 },
    }

    fn happening() -> impl Strategy<Value = Happening> {
        prop_oneof![
            4 => Just(Happening::Probe(ALIVE)),
            4 => Just(Happening::Probe(Evidence::Silent)),
            1 => Just(Happening::Probe(Evidence::TakesNoCalls { latency_us: 5 })),
            1 => Just(Happening::Probe(Evidence::Unresolvable)),
            1 => Just(Happening::Call),
            1 => (0_u64..1_000, 0_u64..1_000).prop_map(|(heard, lost)| Happening::Audio { heard, lost }),
        ]
    }

    proptest! {
        /// Whatever happens at whatever time, probes by hand included: who leaves stays away for the hold time, which grows.
        #[test]
        fn nothing_flaps_routing_faster_than_the_hold_time(
            interval in 1_u64..120,
            happenings in proptest::collection::vec((0_u64..20_000, happening()), 1..400),
        ) {
            let mut rig = Rig::new(interval);
            let (mut left, mut leavings): (Option<Instant>, Vec<Instant>) = (None, Vec::new());
            for (wait, happening) in happenings {
                let began = at_ms(rig.now).instant;
                rig.now += wait;
                let now = at_ms(rig.now);
                match happening {
                    Happening::Probe(evidence) => rig.watch.handle_probe(began, evidence, now),
                    Happening::Call => rig.watch.call_got_through(now.instant),
                    Happening::Audio { heard, lost } => rig.watch.note_audio(heard, lost, now.instant),
                }
                match (left, rig.watch.sick().is_some()) {
                    (None, true) => {
                        left = Some(now.instant);
                        leavings.push(now.instant);
                    }
                    (Some(since), false) => {
                        let recent = leavings.iter().filter(|at| since.duration_since(**at) < FLAP_WINDOW).count();
                        let least = hold(Duration::from_secs(interval), recent.min(MAX_LEAVINGS));
                        prop_assert!(now.instant.duration_since(since) >= least);
                        prop_assert!(least >= Duration::from_secs(interval));
                        left = None;
                    }
                    (None, false) | (Some(_), true) => {}
                }
            }
        }
    }
}
