//! A streaming estimate of a percentile of a method's latency, for the delay of hedged calls.
//!
//! The estimate moves by a multiplicative step with each sample: up by the share of calls that should be below it,
//! down by the share that should be above it, so that both movements cancel out at the percentile (Robbins and Monro,
//! *A Stochastic Approximation Method*, 1951). The steps become smaller with the number of samples, down to a least
//! step, so that the estimate follows a method that changes.

use std::time::Duration;

/// The number of samples before which the estimate is not used.
const MIN_SAMPLES: u32 = 20;

/// The number of samples after which the steps become no smaller.
const SETTLED: u32 = 100;

/// The first and the last step of the logarithm of the estimate.
const FIRST_STEP: f64 = 1.0;
const LAST_STEP: f64 = 0.05;

/// The estimate of one percentile.
#[derive(Debug)]
pub(crate) struct Percentile {
    /// From 0 to 1.
    share: f64,
    /// The natural logarithm of the estimate in microseconds.
    log: f64,
    /// The number of samples, up to [`SETTLED`].
    samples: u32,
}

impl Percentile {
    /// Creates the estimate of the latency within which this percentage of calls return.
    pub(crate) fn new(percent: u8) -> Self {
        Percentile { share: f64::from(percent) / 100.0, log: 0.0, samples: 0 }
    }

    /// Returns the estimate, or `None` after too few samples.
    pub(crate) fn get(&self) -> Option<Duration> {
        let micros = || Duration::from_micros(self.log.exp() as u64);
        (self.samples >= MIN_SAMPLES).then(micros)
    }

    /// Adds the latency of a call.
    pub(crate) fn observe(&mut self, latency: Duration) {
        let log = (latency.as_micros().max(1) as f64).ln();
        if self.samples == 0 {
            self.log = log;
        }
        self.step(log > self.log);
    }

    /// Adds a call that has taken longer than the estimate and whose latency is not known.
    pub(crate) fn observe_longer(&mut self) {
        self.step(true);
    }

    fn step(&mut self, up: bool) {
        self.samples = (self.samples + 1).min(SETTLED);
        let step = (FIRST_STEP / f64::from(self.samples).sqrt()).max(LAST_STEP);
        self.log += if up { step * self.share } else { -step * (1.0 - self.share) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::routing::reservoir::mix;

    /// The share of evenly distributed latencies from 1 to 101 ms that are longer than the estimate after `count` of
    /// them.
    fn longer(percent: u8, count: u64, seed: u64) -> f64 {
        let mut percentile = Percentile::new(percent);
        for turn in 0..count {
            percentile.observe(Duration::from_micros(1_000 + mix(seed, turn + 1) % 100_000));
        }
        let estimate = percentile.get().unwrap();
        1.0 - (estimate.as_secs_f64() * 1e3 - 1.0) / 100.0
    }

    #[test]
    fn the_estimate_comes_near_the_percentile_within_a_hundred_calls() {
        for seed in 0..20 {
            assert!((-0.25..=0.25).contains(&longer(95, 1_000, seed)), "{seed}");
            assert!((0.3..0.7).contains(&longer(50, 1_000, seed)), "{seed}");
        }
        let mean = (0..50).map(|seed| longer(95, 500, seed)).sum::<f64>() / 50.0;
        assert!((0.02..0.08).contains(&mean), "{mean}");
    }

    #[test]
    fn the_estimate_is_used_after_twenty_calls() {
        let mut percentile = Percentile::new(95);
        for _ in 0..MIN_SAMPLES - 1 {
            percentile.observe(Duration::from_millis(5));
            assert_eq!(percentile.get(), None);
        }
        percentile.observe(Duration::from_millis(5));
        let estimate = percentile.get().unwrap();
        assert!(
            estimate > Duration::from_millis(1) && estimate < Duration::from_millis(9),
            "{estimate:?}"
        );
    }

    #[test]
    fn the_estimate_follows_a_method_that_changes_also_if_only_hedges_are_seen() {
        let mut percentile = Percentile::new(95);
        (0..1_000).for_each(|_| percentile.observe(Duration::from_millis(10)));
        let before = percentile.get().unwrap();
        (0..100).for_each(|_| percentile.observe_longer());
        assert!(percentile.get().unwrap() > 10 * before);
        (0..5_000).for_each(|_| percentile.observe(Duration::from_millis(10)));
        assert!(percentile.get().unwrap() < 2 * before);
    }

    #[test]
    fn any_latency_is_a_sample() {
        let mut percentile = Percentile::new(99);
        for latency in [Duration::ZERO, Duration::MAX].repeat(100) {
            percentile.observe(latency);
        }
        assert!(percentile.get().is_some());
        (0..100_000).for_each(|_| percentile.observe_longer());
        assert!(percentile.get().is_some());
    }
}
