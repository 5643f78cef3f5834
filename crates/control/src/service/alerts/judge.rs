//! When an alert is raised and when it is over: pure logic over what was found, in the time that it is handed.

use std::collections::BTreeMap;
use std::time::Duration;
use tandem_model::{AccountId, AlertRule, Timestamp};

/// Whose alert it would be, by which rule, about what.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Place {
    pub(super) account: AccountId,
    pub(super) rule: AlertRule,
    pub(super) subject: String,
}

/// What was found of a place. What was not measured has none, and changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Beyond the threshold.
    Over,
    /// Neither: an alert stays what it is.
    Between,
    /// Well within it.
    Clear,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Somebody is to be told; it is so since then.
    Raise(Timestamp),
    /// It is over.
    Clear,
}

/// Remembers since when places that are about to change have been found so.
#[derive(Debug, Default)]
pub(super) struct Judge {
    changing: BTreeMap<Place, Timestamp>,
}

impl Judge {
    /// Judges what was found of a place at `now`, where an alert is open or not. Only what is found so again and again for long enough
    /// changes that.
    pub(super) fn judge(
        &mut self,
        place: &Place,
        is_open: bool,
        standing: Standing,
        now: Timestamp,
    ) -> Option<Verdict> {
        let changes = match standing {
            Standing::Over => !is_open,
            Standing::Between => false,
            Standing::Clear => is_open,
        };
        if !changes {
            self.changing.remove(place);
            return None;
        }
        let since = match self.changing.get(place) {
            Some(since) => *since,
            None => {
                self.changing.insert(place.clone(), now);
                now
            }
        };
        let holds = if is_open { clear_for(place.rule) } else { over_for(place.rule) };
        if now.since(since) < holds {
            return None;
        }
        self.changing.remove(place);
        Some(if is_open { Verdict::Clear } else { Verdict::Raise(since) })
    }

    /// Forgets places that are not among these.
    pub(super) fn retain(&mut self, keep: impl Fn(&Place) -> bool) {
        self.changing.retain(|place, _| keep(place));
    }
}

/// For how long a condition must be found before an alert is raised. What is measured over minutes, or counts by itself how long it has
/// been so, has waited already.
const fn over_for(rule: AlertRule) -> Duration {
    match rule {
        AlertRule::TrunkUtilisation | AlertRule::AccountUtilisation => Duration::from_secs(10),
        AlertRule::ProbesFailing
        | AlertRule::SuccessRate
        | AlertRule::CostSpike
        | AlertRule::ProviderErrors
        | AlertRule::JournalBacklog
        | AlertRule::DatabaseAway => Duration::ZERO,
    }
}

/// For how long a condition must be away before an alert is over: what comes back at once was not away.
const fn clear_for(rule: AlertRule) -> Duration {
    match rule {
        AlertRule::TrunkUtilisation
        | AlertRule::AccountUtilisation
        | AlertRule::ProbesFailing
        | AlertRule::JournalBacklog
        | AlertRule::DatabaseAway => Duration::from_secs(30),
        AlertRule::ProviderErrors | AlertRule::SuccessRate => Duration::from_secs(2 * 60),
        AlertRule::CostSpike => Duration::from_secs(5 * 60),
    }
}

/// A share against a threshold in percent: beyond it from above it, well within it below seven eighths of it.
pub(super) fn share_above(part: u64, whole: u64, threshold_percent: u32) -> Standing {
    let (part, mark) = (u128::from(part) * 100, u128::from(whole) * u128::from(threshold_percent));
    if part > mark {
        Standing::Over
    } else if part * 8 < mark * 7 {
        Standing::Clear
    } else {
        Standing::Between
    }
}

/// A share that must not be below a threshold in percent: well within it once a fifth of the way from there to all is made up.
pub(super) fn share_below(part: u64, whole: u64, threshold_percent: u32) -> Standing {
    let (part, whole, threshold) = (u128::from(part) * 100, u128::from(whole), u128::from(threshold_percent));
    let better = threshold + 100_u128.saturating_sub(threshold) / 5;
    if part < whole * threshold {
        Standing::Over
    } else if part >= whole * better {
        Standing::Clear
    } else {
        Standing::Between
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(rule: AlertRule) -> Place {
        Place { account: AccountId::from_uuid(uuid::Uuid::from_u128(1)), rule, subject: "trunks/1".to_owned() }
    }

    fn second(second: u64) -> Timestamp {
        Timestamp::from_unix_micros(0).saturating_add(Duration::from_secs(second))
    }

    /// Runs standings ten seconds apart, `None` for what was not measured; gives what became of it, and when.
    fn run(rule: AlertRule, found: &[Option<Standing>]) -> Vec<(u64, Verdict)> {
        let (mut judge, mut is_open, mut verdicts) = (Judge::default(), false, Vec::new());
        for (at, standing) in (0_u64..).step_by(10).zip(found) {
            let Some(standing) = *standing else { continue };
            let verdict = judge.judge(&place(rule), is_open, standing, second(at));
            if let Some(verdict) = verdict {
                is_open = matches!(verdict, Verdict::Raise(_));
                verdicts.push((at, verdict));
            }
        }
        verdicts
    }

    #[test]
    fn what_stays_is_raised_once_and_is_over_once() {
        use Standing::{Between, Clear, Over};
        let found = [Clear, Over, Over, Over, Between, Over, Clear, Clear, Clear, Clear, Clear];
        assert_eq!(
            run(AlertRule::TrunkUtilisation, &found.map(Some)),
            [(20, Verdict::Raise(second(10))), (90, Verdict::Clear)]
        );
    }

    #[test]
    fn a_moment_is_no_alert() {
        use Standing::{Clear, Over};
        let found = [Over, Clear].repeat(50);
        assert_eq!(run(AlertRule::AccountUtilisation, &found.into_iter().map(Some).collect::<Vec<_>>()), []);
    }

    #[test]
    fn shares_leave_room_between_their_marks() {
        assert_eq!(share_above(8, 10, 80), Standing::Between, "80 % is not above 80 %");
        assert_eq!(share_above(81, 100, 80), Standing::Over);
        assert_eq!(share_above(7, 10, 80), Standing::Between);
        assert_eq!(share_above(69, 100, 80), Standing::Clear);
        assert_eq!(share_above(1, 1, 99), Standing::Over);
        assert_eq!(share_below(49, 100, 50), Standing::Over);
        assert_eq!(share_below(50, 100, 50), Standing::Between);
        assert_eq!(share_below(60, 100, 50), Standing::Clear);
        assert_eq!(share_below(u64::MAX, u64::MAX, 100), Standing::Clear);
    }

    /// Numbers that are the same in each run.
    fn draws(seed: u64) -> impl FnMut(u64) -> u64 {
        let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        move |below| {
            // xorshift64 by Marsaglia.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % below
        }
    }

    #[test]
    fn whatever_is_not_measured_changes_nothing_of_what_is_found_when() {
        for seed in 1..=300 {
            let mut draw = draws(seed);
            let rule = AlertRule::ALL[usize::try_from(draw(8)).unwrap()];
            let found: Vec<Option<Standing>> = (0..200)
                .map(|_| match draw(4) {
                    0 => None,
                    1 => Some(Standing::Over),
                    2 => Some(Standing::Between),
                    _ => Some(Standing::Clear),
                })
                .collect();
            let verdicts = run(rule, &found);
            for (at, _) in &verdicts {
                assert!(found[usize::try_from(*at / 10).unwrap()].is_some(), "seed {seed}: changed by nothing");
            }
            for pair in verdicts.windows(2) {
                let raised = |verdict| matches!(verdict, Verdict::Raise(_));
                assert_ne!(raised(pair[0].1), raised(pair[1].1), "seed {seed}: raised twice, or over twice");
            }
        }
    }

    #[test]
    fn a_value_that_dances_around_its_threshold_raises_one_alert() {
        for seed in 1..=300 {
            let mut draw = draws(seed);
            // Between the mark below which it is over and the top: around the threshold, and never well within it.
            let found: Vec<_> = (0..300).map(|_| Some(share_above(70 + draw(31), 100, 80))).collect();
            assert!(run(AlertRule::TrunkUtilisation, &found).len() <= 1, "seed {seed}");
        }
    }
}
