//! The targets of flyrpc.

use super::ratio;
use crate::figures::Figures;

/// A target for one figure or ratio.
pub(super) struct Target {
    /// The name of a ratio or a figure, as in the printed lines.
    pub(super) name: &'static str,
    pub(super) limit: Limit,
}

#[derive(Clone, Copy)]
pub(super) enum Limit {
    AtLeast(f64),
    AtMost(f64),
}

use Limit::{AtLeast, AtMost};

/// The measured value of a target.
pub(super) struct Outcome {
    pub(super) median: f64,
    pub(super) min: f64,
    pub(super) max: f64,
    pub(super) unit: &'static str,
}

impl Target {
    const fn new(name: &'static str, limit: Limit) -> Self {
        Target { name, limit }
    }

    /// Returns the measured value, or `None` if it was not measured.
    pub(super) fn outcome(&self, figures: &Figures) -> Option<Outcome> {
        if let Some(ratio) = ratio(figures, self.name) {
            return Some(Outcome {
                median: ratio.median,
                min: ratio.min,
                max: ratio.max,
                unit: "×",
            });
        }
        let figure = figures.get(self.name)?;
        let (median, min, max) = (figure.median(), figure.min(), figure.max());
        Some(Outcome { median, min, max, unit: figure.unit })
    }
}

impl Limit {
    pub(super) fn is_met(self, value: f64) -> bool {
        match self {
            AtLeast(least) => value >= least * (1.0 - ROUNDING),
            AtMost(most) => value <= most * (1.0 + ROUNDING),
        }
    }
}

/// Relative tolerance: a value that is printed as the limit meets the target.
const ROUNDING: f64 = 0.0005;

pub(super) const ALL: &[Target] = &[
    Target::new("instructions-64-callers-client-flyrpc", AtMost(4500.0)),
    Target::new("instructions-64-callers-server-flyrpc", AtMost(5000.0)),
    Target::new("instructions-pair-64-inline-server", AtMost(2500.0)),
    Target::new("instructions-local-short-circuit-more-than-direct", AtMost(800.0)),
    Target::new("throughput-16-callers-3B-flyrpc-over-tarpc", AtLeast(2.5)),
    Target::new("throughput-64-callers-3B-flyrpc-over-tarpc", AtLeast(4.0)),
    Target::new("throughput-256-callers-3B-flyrpc-over-tarpc", AtLeast(4.0)),
    Target::new("throughput-64-callers-3B-flyrpc-over-raw-batched", AtLeast(0.6)),
    Target::new("throughput-256-callers-3B-flyrpc-over-raw-batched", AtLeast(0.5)),
    Target::new("throughput-16-callers-3B-flyrpc-over-tonic", AtLeast(4.0)),
    Target::new("throughput-64-callers-3B-flyrpc-over-tonic", AtLeast(6.0)),
    Target::new("throughput-256-callers-3B-flyrpc-over-tonic", AtLeast(6.0)),
    Target::new("cpu-64-callers-3B-flyrpc-over-raw-batched", AtMost(2.0)),
    Target::new("cpu-64-callers-3B-flyrpc-over-tarpc", AtMost(0.5)),
    Target::new("latency-p50-one-core-flyrpc-over-raw", AtMost(1.15)),
    Target::new("latency-p50-one-core-flyrpc-over-tarpc", AtMost(1.0)),
    Target::new("latency-p50-two-cores-flyrpc-over-raw", AtMost(1.2)),
    Target::new("latency-p50-two-cores-flyrpc-over-tarpc", AtMost(1.0)),
    Target::new("echo-throughput-64KiB-flyrpc-over-raw", AtLeast(0.9)),
    Target::new("echo-throughput-64KiB-flyrpc-over-tarpc", AtLeast(2.0)),
    Target::new("echo-throughput-1MiB-flyrpc-over-raw", AtLeast(0.8)),
    Target::new("echo-throughput-1MiB-flyrpc-over-tarpc", AtLeast(2.0)),
    Target::new("echo-throughput-1MiB-flyrpc-over-tonic", AtLeast(2.0)),
    Target::new("echo-throughput-16MiB-flyrpc-over-tonic", AtLeast(1.5)),
    Target::new("echo-throughput-1000-records-flyrpc-over-tarpc", AtLeast(1.0)),
    Target::new("echo-throughput-1000-records-flyrpc-over-tonic", AtLeast(1.0)),
    Target::new("beside-cpu-bound-p99-flyrpc-over-tarpc", AtMost(1.0)),
    Target::new("cpu-bound-80us-throughput-flyrpc-over-tarpc", AtLeast(1.0)),
    Target::new("cpu-bound-80us-throughput-chosen-over-task-flyrpc", AtLeast(0.9)),
    Target::new("small-call-p50-beside-16MiB-over-alone-flyrpc", AtMost(3.0)),
    Target::new("local-short-circuit-more-than-direct", AtMost(100.0)),
    Target::new("allocations-local-short-circuit-more-than-direct", AtMost(1.0)),
    Target::new("pick-10000-nodes-churning", AtMost(100.0)),
    Target::new("pick-nearest-10000-nodes", AtMost(100.0)),
    // Of many picks, a few allocations are those of the measurement.
    Target::new("allocations-pick-10000-nodes", AtMost(0.001)),
    Target::new("instructions-pair-64-refused-share-of-inline-server", AtMost(0.25)),
    Target::new("wire-both-flyrpc", AtMost(38.0)),
    Target::new("wire-both-flyrpc-over-tarpc", AtMost(0.5)),
    Target::new("memory-idle-link-flyrpc", AtMost(20.0 * 1024.0)),
    Target::new("memory-waiting-call-flyrpc", AtMost(2048.0)),
    Target::new("sealed-throughput-64-callers-3B-flyrpc-sealed-over-flyrpc", AtLeast(0.85)),
    Target::new("sealed-cpu-64-callers-3B-flyrpc-sealed-over-flyrpc", AtMost(1.15)),
    Target::new("sealed-latency-p50-one-core-flyrpc-sealed-over-flyrpc", AtMost(1.1)),
    Target::new("memory-idle-link-flyrpc-sealed", AtMost(22.0 * 1024.0)),
    Target::new("wire-both-flyrpc-sealed", AtMost(38.0 + 36.0)),
    Target::new("wire-both-sealed-more-than-open", AtMost(36.0)),
    Target::new("wire-64-callers-both-sealed-more-than-open", AtMost(4.0)),
    Target::new("sealed-throughput-64KiB-flyrpc-sealed-over-flyrpc", AtLeast(0.6)),
    Target::new("sealed-throughput-1MiB-flyrpc-sealed-over-flyrpc", AtLeast(0.5)),
    Target::new("sealed-throughput-64KiB-flyrpc-sealed-over-tonic-tls", AtLeast(1.2)),
    Target::new("sealed-throughput-1MiB-flyrpc-sealed-over-tonic-tls", AtLeast(1.2)),
    Target::new("sealed-throughput-64-callers-3B-flyrpc-sealed-over-tonic-tls", AtLeast(1.2)),
    Target::new("first-call-both-flyrpc-over-tonic", AtMost(1.0)),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workloads;

    #[test]
    fn every_target_of_a_ratio_names_a_comparison_that_is_made() {
        let comparisons = || workloads::ALL.iter().flat_map(|workload| (workload.comparisons)());
        for target in ALL.iter().filter(|target| target.name.contains("-over-")) {
            let made = comparisons().any(|comparison| comparison.name == target.name);
            assert!(made, "{}", target.name);
        }
    }
}
