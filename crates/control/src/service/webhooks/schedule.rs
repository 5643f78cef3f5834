//! When a delivery is tried again.

use std::time::Duration;
use tandem_model::Timestamp;
use tandem_store::DeliveryEnd;

/// What comes of the attempt of this number, from 1, that failed at `now`. `jitter` is drawn at random, from 0 to 1: what failed together is
/// not tried again together. A receiver may ask for more time, but not for more than an hour.
pub(super) fn after_failure(
    attempt: u32,
    now: Timestamp,
    give_up_at: Timestamp,
    asked: Option<Duration>,
    jitter: f64,
) -> DeliveryEnd {
    if now >= give_up_at {
        return DeliveryEnd::Dead;
    }
    let place = usize::try_from(attempt.saturating_sub(1)).unwrap_or(usize::MAX);
    let pause = PAUSES.get(place).or(PAUSES.last()).copied().unwrap_or_default();
    let pause = pause.mul_f64(1.0 + JITTER * jitter.clamp(0.0, 1.0));
    let asked = asked.unwrap_or_default().min(LONGEST_ASKED);
    // The last attempt is at the very end.
    DeliveryEnd::Again(now.saturating_add(pause.max(asked)).min(give_up_at))
}

const fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(minutes * 60)
}

/// Between two attempts: seconds for what was restarted, hours for what somebody must mend. The last one repeats.
const PAUSES: [Duration; 11] = [
    Duration::from_secs(5),
    Duration::from_secs(30),
    minutes(2),
    minutes(5),
    minutes(15),
    minutes(30),
    minutes(60),
    minutes(2 * 60),
    minutes(4 * 60),
    minutes(8 * 60),
    minutes(12 * 60),
];
/// A pause is longer by up to this share.
const JITTER: f64 = 0.2;
const LONGEST_ASKED: Duration = minutes(60);

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 24 * 60 * 60;

    fn second(second: u64) -> Timestamp {
        Timestamp::from_unix_micros(0).saturating_add(Duration::from_secs(second))
    }

    #[test]
    fn pauses_grow_and_the_last_attempt_is_at_the_end_of_three_days() {
        for jitter in [0.0, 0.5, 1.0] {
            let (end, mut now, mut attempts, mut pauses) = (second(3 * DAY), second(0), 0, Vec::new());
            loop {
                attempts += 1;
                match after_failure(attempts, now, end, None, jitter) {
                    DeliveryEnd::Again(due) => {
                        pauses.push(due.since(now));
                        now = due;
                    }
                    DeliveryEnd::Dead => break,
                    DeliveryEnd::Delivered => unreachable!("it failed"),
                }
            }
            assert_eq!(now, end, "given up at the end, not before");
            assert!((14..=18).contains(&attempts), "{attempts}");
            assert!(pauses[..10].windows(2).all(|pair| pair[0] < pair[1]), "{pauses:?}");
            assert_eq!(pauses[0], Duration::from_secs(5).mul_f64(1.0 + 0.2 * jitter));
        }
    }

    #[test]
    fn a_receiver_may_ask_for_an_hour() {
        let again = |asked| after_failure(1, second(0), second(3 * DAY), Some(Duration::from_secs(asked)), 0.0);
        assert_eq!(again(1), DeliveryEnd::Again(second(5)));
        assert_eq!(again(90), DeliveryEnd::Again(second(90)));
        assert_eq!(again(1_000_000), DeliveryEnd::Again(second(3_600)));
    }
}
