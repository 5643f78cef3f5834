use tandem_model::Money;
use tandem_store::Sums;

/// Figures of what was added up, as `docs/statistics.md` defines them. What nothing was measured of is `None`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Figures {
    pub(crate) sums: Sums,
    /// Whether it is about attempts rather than calls: as soon as a trunk is asked for.
    pub(crate) of_attempts: bool,
    /// What trunks cost by the month, for their share of the time; `None` where it belongs to no part of the calls.
    pub(crate) monthly_cost: Option<Money>,
}

impl Figures {
    /// Answer-seizure ratio (ITU-T E.411): answered attempts of those that were answered or ended.
    pub(crate) fn asr_percent(&self) -> Option<f64> {
        percent(self.sums.attempts_answered, self.seizures())
    }

    /// Network effectiveness ratio (ITU-T E.425): as the answer-seizure ratio, with those that reached a callee who did not answer.
    pub(crate) fn ner_percent(&self) -> Option<f64> {
        percent(self.sums.attempts_effective, self.seizures())
    }

    /// Average call duration: how long answered attempts were connected, in seconds.
    pub(crate) fn acd_seconds(&self) -> Option<f64> {
        let sums = &self.sums;
        mean(sums.attempts_ms, sums.attempts_timed).map(|millis| rounded(millis / 1_000.0, 3))
    }

    /// Post-dial delay: from the INVITE until it rings or is answered, in milliseconds.
    pub(crate) fn pdd_ms(&self) -> Option<f64> {
        mean(self.sums.rung_us, self.sums.rung).map(|micros| rounded(micros / 1_000.0, 3))
    }

    /// Mean opinion score: how good what came from the far ends is likely to sound.
    pub(crate) fn mos(&self) -> Option<f64> {
        mean(self.sums.heard_mos_millis, self.sums.heard).map(|millis| rounded(millis / 1_000.0, 3))
    }

    /// Mean of the scores that clients gave.
    pub(crate) fn quality_score_average(&self) -> Option<f64> {
        mean(self.sums.scores_millis, self.sums.scores).map(|millis| rounded(millis / 1_000.0, 3))
    }

    /// How long callers talked, in minutes.
    pub(crate) fn minutes(&self) -> f64 {
        let millis = if self.of_attempts { self.sums.attempts_ms } else { self.sums.calls_ms };
        rounded(float(millis) / 60_000.0, 3)
    }

    /// Answered calls of those that were answered or ended.
    pub(crate) fn answer_rate_percent(&self) -> Option<f64> {
        let sums = &self.sums;
        percent(sums.calls_answered, sums.calls_answered.saturating_add(sums.calls_failed))
    }

    /// How long answered calls were connected, in seconds.
    pub(crate) fn average_duration_seconds(&self) -> Option<f64> {
        mean(self.sums.calls_ms, self.sums.calls_timed).map(|millis| rounded(millis / 1_000.0, 3))
    }

    /// What calls cost by the minute.
    pub(crate) const fn call_cost(&self) -> Money {
        Money::from_micros(if self.of_attempts { self.sums.attempts_cost_micros } else { self.sums.calls_cost_micros })
    }

    /// With what trunks cost by the month.
    pub(crate) fn total_cost(&self) -> Money {
        let monthly = self.monthly_cost.unwrap_or(Money::ZERO);
        Money::from_micros(self.call_cost().micros().saturating_add(monthly.micros()))
    }

    const fn seizures(&self) -> i64 {
        self.sums.attempts_answered.saturating_add(self.sums.attempts_failed)
    }
}

fn percent(part: i64, whole: i64) -> Option<f64> {
    mean(part, whole).map(|share| rounded(share * 100.0, 2))
}

fn mean(sum: i64, count: i64) -> Option<f64> {
    (count > 0).then(|| float(sum) / float(count))
}

/// So many decimals, so that answers are short.
fn rounded(value: f64, decimals: i32) -> f64 {
    let scale = 10_f64.powi(decimals);
    (value * scale).round() / scale
}

/// Counts and sums that occur are below 2^53, where a float is exact.
#[expect(clippy::cast_precision_loss, reason = "figures are shown with a few decimals")]
const fn float(value: i64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(sums: Sums) -> Figures {
        Figures { sums, of_attempts: true, monthly_cost: None }
    }

    #[test]
    fn nothing_is_made_up_of_nothing() {
        let none = figures(Sums { attempts: 3, calls: 3, ..Sums::default() });
        assert_eq!(
            [
                none.asr_percent(),
                none.ner_percent(),
                none.acd_seconds(),
                none.pdd_ms(),
                none.mos(),
                none.quality_score_average()
            ],
            [None; 6]
        );
        assert_eq!((none.minutes(), none.call_cost(), none.total_cost()), (0.0, Money::ZERO, Money::ZERO));
    }

    #[test]
    fn what_still_goes_on_counts_neither_way_until_it_is_answered() {
        let some = figures(Sums {
            attempts: 10,
            attempts_answered: 4,
            attempts_failed: 2,
            attempts_effective: 5,
            attempts_timed: 3,
            attempts_ms: 90_500,
            attempts_cost_micros: 7,
            rung: 4,
            rung_us: 5_000_000,
            scores: 3,
            scores_millis: 13_000,
            heard: 2,
            heard_mos_millis: 8_330,
            ..Sums::default()
        });
        assert_eq!(some.asr_percent(), Some(66.67));
        assert_eq!(some.ner_percent(), Some(83.33));
        assert_eq!(some.acd_seconds(), Some(30.167));
        assert_eq!(some.pdd_ms(), Some(1_250.0));
        assert_eq!((some.mos(), some.quality_score_average()), (Some(4.165), Some(4.333)));
        assert_eq!(some.minutes(), 1.508);
        let monthly = Figures { monthly_cost: Some(Money::from_micros(3)), ..some };
        assert_eq!(monthly.total_cost(), Money::from_micros(10));
    }
}
