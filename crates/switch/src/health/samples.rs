use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The last probes of a trunk: which had an answer, and how soon.
#[derive(Debug, Default)]
pub(super) struct Samples {
    /// Oldest first; `None` is a probe without an answer. At most [`MAX_SAMPLES`].
    probes: VecDeque<Option<u64>>,
    smoothed_us: Option<u64>,
}

impl Samples {
    pub(super) fn push(&mut self, latency_us: Option<u64>) {
        if self.probes.len() >= MAX_SAMPLES {
            self.probes.pop_front();
        }
        self.probes.push_back(latency_us);
        if let Some(latest) = latency_us {
            let smoothed = self
                .smoothed_us
                .map_or(latest, |smoothed| smoothed.saturating_mul(SMOOTHING - 1).saturating_add(latest) / SMOOTHING);
            self.smoothed_us = Some(smoothed);
        }
    }

    /// Begins anew: what was lost while the trunk was away says nothing of how it is now that it is back.
    pub(super) fn forget_losses(&mut self) {
        self.probes.retain(Option::is_some);
    }

    /// The round trip in microseconds, smoothed exponentially.
    pub(super) const fn smoothed_us(&self) -> Option<u64> {
        self.smoothed_us
    }

    /// The round trip in microseconds that 95 of 100 are not above (nearest rank).
    pub(super) fn p95_us(&self) -> Option<u64> {
        let mut latencies: Vec<u64> = self.probes.iter().flatten().copied().collect();
        latencies.sort_unstable();
        let rank = (latencies.len() * 95).div_ceil(100);
        latencies.get(rank.checked_sub(1)?).copied()
    }

    /// Unanswered probes of the last [`LOSS_WINDOW`], in percent times 100; `None` while there were too few to tell.
    pub(super) fn loss_basis_points(&self) -> Option<u16> {
        let last = self.probes.iter().rev().take(LOSS_WINDOW);
        let lost = last.clone().filter(|probe| probe.is_none()).count();
        let all = last.count();
        (all >= FEWEST_PROBES).then(|| basis_points(lost, all))
    }
}

/// The audio of calls that ended within [`AUDIO_WINDOW`], in spans of [`AUDIO_SPAN`].
#[derive(Debug, Default)]
pub(super) struct Audio {
    spans: VecDeque<AudioSpan>,
}

#[derive(Debug)]
struct AudioSpan {
    began: Instant,
    heard: u64,
    lost: u64,
}

impl Audio {
    pub(super) fn note(&mut self, heard: u64, lost: u64, now: Instant) {
        self.expire(now);
        match self.spans.back_mut() {
            Some(span) if now.saturating_duration_since(span.began) < AUDIO_SPAN => {
                span.heard = span.heard.saturating_add(heard);
                span.lost = span.lost.saturating_add(lost);
            }
            Some(_) | None => self.spans.push_back(AudioSpan { began: now, heard, lost }),
        }
    }

    /// Packets lost, in percent times 100, each call by the weight of its packets; `None` when too few were due to tell.
    pub(super) fn loss_basis_points(&self, now: Instant) -> Option<u16> {
        let recent = self.spans.iter().filter(|span| now.saturating_duration_since(span.began) < AUDIO_WINDOW);
        let (heard, lost) = recent.fold((0_u64, 0_u64), |(heard, lost), span| {
            (heard.saturating_add(span.heard), lost.saturating_add(span.lost))
        });
        let all = usize::try_from(heard.saturating_add(lost)).unwrap_or(usize::MAX);
        let lost = usize::try_from(lost).unwrap_or(usize::MAX);
        (all >= FEWEST_PACKETS).then(|| basis_points(lost, all))
    }

    fn expire(&mut self, now: Instant) {
        while self.spans.front().is_some_and(|span| now.saturating_duration_since(span.began) >= AUDIO_WINDOW) {
            self.spans.pop_front();
        }
    }
}

fn basis_points(part: usize, all: usize) -> u16 {
    let points =
        u64::try_from(part).unwrap_or(u64::MAX).saturating_mul(10_000) / u64::try_from(all.max(1)).unwrap_or(1);
    u16::try_from(points.min(10_000)).unwrap_or(10_000)
}

/// Probes kept of each trunk: half an hour of them at the default interval.
const MAX_SAMPLES: usize = 64;
/// Probes by which loss is told: one of them is 5 percent.
const LOSS_WINDOW: usize = 20;
/// With fewer probes one that is lost would be more than 10 percent.
const FEWEST_PROBES: usize = 10;
/// A new round trip counts a quarter, the rest is what was known.
const SMOOTHING: u64 = 4;
/// How long the audio of a call tells of its trunk.
const AUDIO_WINDOW: Duration = Duration::from_secs(300);
/// Calls are added up over so long, so that a busy trunk needs no more memory than a quiet one.
const AUDIO_SPAN: Duration = Duration::from_secs(30);
/// One second of audio: with less, one packet would be more than 2 percent.
const FEWEST_PACKETS: usize = 50;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_round_trip_is_smoothed_and_its_tail_is_told() {
        let mut samples = Samples::default();
        assert_eq!((samples.smoothed_us(), samples.p95_us()), (None, None));
        samples.push(Some(1_000));
        assert_eq!((samples.smoothed_us(), samples.p95_us()), (Some(1_000), Some(1_000)));
        samples.push(Some(5_000));
        assert_eq!(samples.smoothed_us(), Some(2_000));
        for latency in 1..=100 {
            samples.push(Some(latency));
        }
        // The last 64 are 37 to 100.
        assert_eq!(samples.p95_us(), Some(97));
    }

    #[test]
    fn loss_of_probes_is_told_once_there_are_enough() {
        let mut samples = Samples::default();
        (0..9).for_each(|_| samples.push(None));
        assert_eq!(samples.loss_basis_points(), None);
        samples.push(Some(1));
        assert_eq!(samples.loss_basis_points(), Some(9_000));
        (0..19).for_each(|_| samples.push(Some(1)));
        assert_eq!(samples.loss_basis_points(), Some(0));
        samples.push(None);
        assert_eq!(samples.loss_basis_points(), Some(500));
        samples.forget_losses();
        assert_eq!(samples.loss_basis_points(), Some(0));
    }

    #[test]
    fn audio_is_weighed_by_its_packets_and_forgotten_after_five_minutes() {
        let start = crate::route::tests::instant();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut audio = Audio::default();
        audio.note(0, 0, at(0));
        assert_eq!(audio.loss_basis_points(at(0)), None, "nothing was measured");
        audio.note(900, 100, at(1));
        audio.note(9_000, 0, at(200));
        assert_eq!(audio.loss_basis_points(at(200)), Some(100));
        assert_eq!(audio.loss_basis_points(at(300)), Some(0));
        assert_eq!(audio.loss_basis_points(at(500)), None);
        (0..10_000).for_each(|second| audio.note(1, 0, at(500 + second)));
        assert!(audio.spans.len() <= 11, "{}", audio.spans.len());
    }
}
