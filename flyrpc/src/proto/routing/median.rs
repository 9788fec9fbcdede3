//! A streaming estimate of the median latency of a method.
//!
//! Frugal streaming (Ma, Muthukrishnan and Sandler, *Frugal Streaming for Estimating Quantiles*, 2013) keeps
//! one number, and moves it up or down by one step with each sample. The steps are multiplicative here,
//! because latencies range from microseconds to minutes. The first steps are large, and become smaller whenever
//! the direction changes (Kesten, *Accelerated Stochastic Approximation*, 1958), so that the estimate converges
//! within tens of samples.

use std::sync::atomic::{AtomicU64, Ordering};

/// The bits of an `f32` that double its value if they are added to its representation. Within one octave, the
/// representation is linear in the value, which approximates the logarithm well enough for a step.
const OCTAVE: u32 = 1 << 23;

/// The number of changes of direction after which the steps become no smaller. The last step is 1.1 %.
const SETTLED: u32 = 64;

/// Set beside the number of changes if the last step went up.
const UP: u32 = 1 << 31;

/// Added to both latencies of a ratio, in microseconds. Differences of less than this are noise of the
/// scheduler, and must not divert calls from a node.
const NOISE: f32 = 500.0;

/// The median latency of a method in one region.
///
/// Calls update it concurrently without a lock. A sample that is lost because of this has no effect on the
/// median.
#[derive(Debug, Default)]
pub(crate) struct Median {
    /// The representation of the estimate, an `f32` in microseconds, in the high half. In the low half, the
    /// number of changes of direction, from 1 to [`SETTLED`], and until then the last direction.
    estimate: AtomicU64,
}

impl Median {
    /// Adds the latency of a reply, in microseconds. Returns its ratio to the median before it.
    #[inline(always)]
    pub(crate) fn observe(&self, latency: u64) -> f32 {
        // At least 1, because the representation of 0 is no positive power of 2.
        let sample = latency.max(1) as f32;
        let state = self.estimate.load(Ordering::Relaxed);
        let (estimate, count) = ((state >> 32) as u32, state as u32);
        if count != SETTLED {
            return self.observe_early(sample, estimate, count);
        }
        let step = OCTAVE / SETTLED;
        // Positive numbers are in the same order as their representations.
        let up = sample.to_bits() > estimate;
        let next = if up { estimate + step } else { estimate - step };
        self.store(next, SETTLED);
        ratio(sample, f32::from_bits(estimate))
    }

    #[cold]
    fn observe_early(&self, sample: f32, estimate: u32, count: u32) -> f32 {
        if count == 0 {
            self.store(sample.to_bits(), 1);
            return 1.0;
        }
        let (changes, was_up) = (count & !UP, count & UP);
        let up = if sample.to_bits() > estimate { UP } else { 0 };
        let changes = if up == was_up { changes } else { changes + 1 };
        let step = (OCTAVE / changes).min(sample.to_bits().abs_diff(estimate));
        let next = if up == UP { estimate + step } else { estimate - step };
        self.store(next, if changes == SETTLED { SETTLED } else { changes | up });
        ratio(sample, f32::from_bits(estimate))
    }

    /// Returns the ratio of a time, in microseconds, to the median. Returns `None` before the first sample.
    pub(crate) fn ratio_of(&self, time: u64) -> Option<f32> {
        match self.estimate.load(Ordering::Relaxed) {
            0 => None,
            state => Some(ratio(time as f32, f32::from_bits((state >> 32) as u32))),
        }
    }

    #[inline(always)]
    fn store(&self, estimate: u32, count: u32) {
        self.estimate.store(u64::from(estimate) << 32 | u64::from(count), Ordering::Relaxed);
    }
}

#[inline(always)]
fn ratio(latency: f32, median: f32) -> f32 {
    (latency + NOISE) / (median + NOISE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::routing::reservoir::mix;

    /// Adds `count` latencies that are distributed evenly in `range`, and returns the estimate.
    fn observe(median: &Median, count: u64, range: std::ops::Range<u64>) -> f32 {
        for turn in 0..count {
            let width = range.end - range.start;
            median.observe(range.start + mix(turn, count) % width);
        }
        f32::from_bits((median.estimate.load(Ordering::Relaxed) >> 32) as u32)
    }

    #[track_caller]
    fn assert_near(estimate: f32, expected: f32, tolerance: f32) {
        let off = (estimate / expected - 1.0).abs();
        assert!(off <= tolerance, "{estimate} instead of {expected}");
    }

    #[test]
    fn the_estimate_converges_within_tens_of_samples_and_stays() {
        for scale in [1, 100, 100_000] {
            let median = Median::default();
            let range = 10 * scale..30 * scale;
            assert_near(observe(&median, 40, range.clone()), 20.0 * scale as f32, 0.2);
            assert_near(observe(&median, 10_000, range), 20.0 * scale as f32, 0.15);
        }
    }

    #[test]
    fn a_first_sample_that_is_far_off_is_corrected() {
        let median = Median::default();
        median.observe(10_000_000);
        assert_near(observe(&median, 60, 900..1_100), 1_000.0, 0.1);
    }

    #[test]
    fn the_estimate_follows_a_method_that_becomes_slower() {
        let median = Median::default();
        observe(&median, 1_000, 900..1_100);
        assert_near(observe(&median, 200, 1_900..2_100), 2_000.0, 0.1);
    }

    #[test]
    fn a_few_slow_calls_do_not_move_the_estimate() {
        let median = Median::default();
        for turn in 0..2_000 {
            median.observe(if turn % 10 == 0 { 1_000_000 } else { 1_000 });
        }
        assert_near(observe(&median, 0, 0..1), 1_000.0, 0.02);
    }

    #[test]
    fn a_ratio_ignores_differences_of_less_than_the_noise_of_the_scheduler() {
        let median = Median::default();
        assert_eq!(median.ratio_of(1_000_000), None);
        observe(&median, 100, 60..61);
        assert!(median.ratio_of(200).unwrap() < 1.3, "{median:?}");
        observe(&median, 2_000, 10_000..10_001);
        let ratio = median.ratio_of(100_000).unwrap();
        assert!((9.0..10.0).contains(&ratio), "{ratio}");
    }

    #[test]
    fn any_latency_is_a_sample() {
        let median = Median::default();
        for latency in [0, u64::MAX, 0, 0, 1, u64::MAX].repeat(50) {
            assert!(median.observe(latency).is_finite());
        }
        for _ in 0..100_000 {
            median.observe(0);
        }
        for _ in 0..100_000 {
            assert!(median.observe(u64::MAX).is_finite());
        }
    }
}
