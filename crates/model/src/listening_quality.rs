//! How good what was heard of a call is likely to sound: the E-model (ITU-T G.107) with what was measured.

use crate::{Codec, LegMedia, LegRecord};

impl LegRecord {
    /// The listening quality of what came from the far end, as a mean opinion score from 1 to 4.41 in steps of a hundredth. `None` where it
    /// never answered or too little audio came, where nobody counted what was lost, and of other codecs than G.711.
    ///
    /// It is that of G.711 (G.113 Appendix I: Ie 0) at a receiver that conceals single lost packets (Bpl 25.1). Delay is no part of it, as in
    /// MOS-LQ of RFC 3611 §4.7.5.
    #[must_use]
    pub fn listening_quality(&self) -> Option<f64> {
        self.answered_at?;
        match self.codec? {
            Codec::Pcmu | Codec::Pcma => g711_quality(self.media.as_ref()?),
            Codec::G722 | Codec::G729 | Codec::Opus => None,
        }
    }
}

fn g711_quality(media: &LegMedia) -> Option<f64> {
    let received = whole(media.packets_received)?;
    if received < LEAST_PACKETS {
        return None;
    }
    // Repeats are no packets that were gained.
    let lost = whole(u64::try_from(media.packets_lost?.max(0)).ok()?)?;
    let lost_percent = 100.0 * lost / (received + lost);
    let impairment = 95.0 * lost_percent / (lost_percent + PACKET_LOSS_ROBUSTNESS);
    let hundredths = (score(BEST_RATING - impairment) * 100.0).round();
    Some(hundredths / 100.0)
}

/// The mean opinion score of a rating (G.107 Annex B).
fn score(rating: f64) -> f64 {
    let rating = rating.clamp(0.0, 100.0);
    (1.0 + 0.035 * rating + 7e-6 * rating * (rating - 60.0) * (100.0 - rating)).max(1.0)
}

/// More packets than a call of years has are none.
fn whole(packets: u64) -> Option<f64> {
    u32::try_from(packets).ok().map(f64::from)
}

/// The rating with nothing but the defaults of G.107.
const BEST_RATING: f64 = 93.2;
/// Bpl of G.711 with concealment (G.113 Appendix I, table I.4).
const PACKET_LOSS_ROBUSTNESS: f64 = 25.1;
/// Half a second of audio.
const LEAST_PACKETS: f64 = 25.0;

#[cfg(test)]
mod tests {
    use super::*;

    fn quality(packets_received: u64, packets_lost: Option<i64>) -> Option<f64> {
        g711_quality(&LegMedia { packets_received, packets_lost, ..LegMedia::default() })
    }

    #[test]
    fn loss_is_what_makes_it_worse() {
        assert_eq!(quality(100, Some(0)), Some(4.41), "the best that G.711 can be");
        assert_eq!(quality(100, Some(-3)), Some(4.41));
        // 1 percent: R 89.6; 5 percent: R 77.4; 20 percent: R 51.1.
        assert_eq!(quality(99, Some(1)), Some(4.33));
        assert_eq!(quality(95, Some(5)), Some(3.92));
        assert_eq!(quality(80, Some(20)), Some(2.63));
        assert!(quality(25, Some(1_000_000)).unwrap() < 1.5);
    }

    #[test]
    fn what_was_not_measured_has_no_score() {
        assert_eq!(quality(100, None), None);
        assert_eq!(quality(24, Some(0)), None);
        assert_eq!(quality(u64::MAX, Some(0)), None);
    }
}
