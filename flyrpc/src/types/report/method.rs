//! [`WatchReport`].

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use crate::types::NodeInfo;

/// The number of buckets of a histogram in each doubling of the latency.
const PER_OCTAVE: f64 = 4.0;

/// The upper bound of the first bucket, in nanoseconds.
const FIRST: f64 = 1_000.0;

/// The number of buckets: enough for latencies of up to 4 minutes. Longer ones count in the last bucket.
const BUCKETS: usize = 112;

/// The calls that a node serves, by method.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct WatchReport {
    /// The node.
    pub node: NodeInfo,
    /// The time for which the node has been recording, in seconds. It starts to record when it is asked, and stops a
    /// minute after the last time.
    pub recording: f64,
    /// Its methods, in the order of its services.
    pub methods: Vec<MethodReport>,
}

/// The calls of one method.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MethodReport {
    /// The service's name on the wire.
    pub service: String,
    /// The method's name on the wire.
    pub method: String,
    /// The number of calls whose handlers are running.
    pub in_flight: u64,
    /// The calls that have ended while the node recorded, including the node's own calls, and the requests that it has
    /// refused.
    pub counts: CallCounts,
}

/// Calls by status and by latency. The difference of two readings describes the calls in between.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CallCounts {
    /// The calls by status: `OK`, `ERR`, `CANCELLED`, or the kind of an error such as `PANICKED`.
    pub by_status: BTreeMap<String, u64>,
    /// The time that the handlers took. Refused requests have none.
    pub latencies: Latencies,
}

impl CallCounts {
    /// The number of calls.
    pub fn calls(&self) -> u64 {
        total(self.by_status.values())
    }

    /// The number of calls that failed. A call whose value is an `Err` has not failed, nor has a canceled one.
    pub fn errors(&self) -> u64 {
        let is_error = |status: &str| !matches!(status, "OK" | "ERR" | "CANCELLED");
        let errors = self.by_status.iter().filter(|(status, _)| is_error(status));
        total(errors.map(|(_, count)| count))
    }

    /// Returns the calls since `earlier`, a reading of the same counts. If the node has restarted its recording in the
    /// meantime, returns all calls.
    #[must_use]
    pub fn since(&self, earlier: &CallCounts) -> CallCounts {
        let before = |status: &str| earlier.by_status.get(status).copied().unwrap_or(0);
        if earlier.by_status.keys().any(|status| self.by_status.get(status) < Some(&before(status)))
        {
            return self.clone();
        }
        let by_status = self.by_status.iter().map(|(name, count)| (name, count - before(name)));
        CallCounts {
            by_status: by_status
                .filter(|(_, count)| *count > 0)
                .map(|(name, count)| (name.clone(), count))
                .collect(),
            latencies: self.latencies.since(&earlier.latencies),
        }
    }

    /// Adds other calls, for example those of another node.
    pub fn add(&mut self, other: &CallCounts) {
        for (status, count) in &other.by_status {
            let sum = self.by_status.entry(status.clone()).or_default();
            *sum = sum.saturating_add(*count);
        }
        self.latencies.add(&other.latencies);
    }
}

/// A histogram of latencies. Each bucket is 19 % wider than the one before, so a quantile is at most 19 % too high.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "Vec<u64>", into = "Vec<u64>")]
pub struct Latencies {
    /// The numbers of calls in the buckets, without the empty ones at the end.
    buckets: Vec<u64>,
}

impl From<Vec<u64>> for Latencies {
    fn from(mut buckets: Vec<u64>) -> Self {
        buckets.truncate(BUCKETS);
        buckets.shrink_to_fit();
        Latencies { buckets }
    }
}

impl From<Latencies> for Vec<u64> {
    fn from(latencies: Latencies) -> Self {
        latencies.buckets
    }
}

impl Latencies {
    /// The number of buckets.
    pub(crate) const BUCKETS: usize = BUCKETS;

    /// Returns the bucket of a latency.
    pub(crate) fn bucket(latency: Duration) -> usize {
        let octaves = (latency.as_nanos() as f64 / FIRST).log2();
        // Casts of floats saturate, so a latency of zero is in the first bucket.
        let bucket = (octaves * PER_OCTAVE).ceil() as usize;
        bucket.min(BUCKETS - 1)
    }

    /// Returns the latency that this part of the calls does not exceed, or `None` if there are no calls. `part` is from 0
    /// to 1: 0.99 for the 99th percentile.
    pub fn quantile(&self, part: f64) -> Option<Duration> {
        let calls = total(&self.buckets);
        let rank = ((calls as f64 * part).ceil() as u64).max(1);
        let mut below = 0_u64;
        let bucket = self.buckets.iter().position(|count| {
            below = below.saturating_add(*count);
            below >= rank
        })?;
        Some(Duration::from_nanos((FIRST * (bucket as f64 / PER_OCTAVE).exp2()) as u64))
    }

    fn since(&self, earlier: &Latencies) -> Latencies {
        let before = earlier.buckets.iter().copied().chain(std::iter::repeat(0));
        let counts = self.buckets.iter().zip(before);
        Latencies::from_buckets(counts.map(|(now, before)| now.saturating_sub(before)))
    }

    fn add(&mut self, other: &Latencies) {
        self.buckets.resize(self.buckets.len().max(other.buckets.len()), 0);
        for (count, added) in self.buckets.iter_mut().zip(&other.buckets) {
            *count = count.saturating_add(*added);
        }
    }

    /// Creates a histogram from the numbers of calls in all buckets.
    pub(crate) fn from_buckets(buckets: impl IntoIterator<Item = u64>) -> Self {
        let mut buckets: Vec<u64> = buckets.into_iter().collect();
        while buckets.last() == Some(&0) {
            buckets.pop();
        }
        Latencies { buckets }
    }
}

/// Adds numbers that another node has sent, so that their sum may be too large.
fn total<'a>(counts: impl IntoIterator<Item = &'a u64>) -> u64 {
    counts.into_iter().fold(0, |sum, count| sum.saturating_add(*count))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(status: &str, millis: &[u64]) -> CallCounts {
        let mut buckets = vec![0; BUCKETS];
        for millis in millis {
            buckets[Latencies::bucket(Duration::from_millis(*millis))] += 1;
        }
        CallCounts {
            by_status: [(status.to_owned(), millis.len() as u64)].into(),
            latencies: Latencies::from_buckets(buckets),
        }
    }

    #[test]
    fn a_quantile_is_at_most_19_percent_too_high() {
        for nanos in (0..40).map(|power| 3_u64.pow(power / 2) * 1_000) {
            let exact = Duration::from_nanos(nanos);
            let buckets = (0..BUCKETS).map(|at| u64::from(at == Latencies::bucket(exact)));
            let quantile = Latencies::from_buckets(buckets).quantile(0.5).unwrap();
            let ratio = quantile.as_secs_f64() / exact.as_secs_f64();
            let is_beyond = exact > Duration::from_secs(226);
            assert!(is_beyond || (0.999..1.19).contains(&ratio), "{exact:?}: {quantile:?}");
        }
        let mixed = counts("OK", &[1, 1, 1, 1, 1, 1, 1, 1, 1, 100]).latencies;
        assert!(mixed.quantile(0.9).unwrap() < Duration::from_millis(2));
        assert!(mixed.quantile(0.99).unwrap() > Duration::from_millis(99));
        assert_eq!(Latencies::default().quantile(0.5), None);
        assert_eq!(Latencies::bucket(Duration::ZERO), 0);
        assert_eq!(Latencies::bucket(Duration::MAX), BUCKETS - 1);
    }

    #[test]
    fn the_difference_of_two_readings_describes_the_calls_in_between() {
        let earlier = counts("OK", &[5; 10]);
        let mut later = earlier.clone();
        later.add(&counts("PANICKED", &[50, 50]));
        assert_eq!(later.since(&earlier), counts("PANICKED", &[50, 50]));
        assert_eq!((later.calls(), later.errors()), (12, 2));
        assert_eq!(earlier.since(&later), earlier, "the recording was restarted");
    }

    #[test]
    fn numbers_of_another_node_do_not_overflow() {
        let mut counts = CallCounts {
            by_status: [("OK".to_owned(), u64::MAX), ("PANICKED".to_owned(), 1)].into(),
            latencies: Latencies::from_buckets([u64::MAX, 1]),
        };
        counts.add(&counts.clone());
        assert_eq!((counts.calls(), counts.errors()), (u64::MAX, 2));
        assert!(counts.latencies.quantile(1.0).is_some());
    }
}
