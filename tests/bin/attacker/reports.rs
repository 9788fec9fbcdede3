//! What has happened at all nodes, and the checks of it.

use crate::{
    Result,
    node::{NodeProcess, Report},
};

/// Whether all figures are within their bounds so far.
pub(crate) struct Checks(pub(crate) bool);

impl Checks {
    /// Prints and checks a figure.
    pub(crate) fn check(&mut self, what: &str, value: f64, at_most: f64) {
        let verdict = if value <= at_most { "ok" } else { "MISSED" };
        println!("{what:<38} {value:>10.2}   at most {at_most:>8.2}  {verdict}");
        self.0 &= value <= at_most;
    }
}

/// The reports of all nodes at one time.
pub(crate) struct Reports(Vec<Report>);

impl Reports {
    pub(crate) fn collect(nodes: &mut [NodeProcess]) -> Result<Self> {
        nodes.iter_mut().map(NodeProcess::report).collect::<Result<_>>().map(Reports)
    }

    pub(crate) fn sum(&self, field: fn(&Report) -> u64) -> u64 {
        self.0.iter().map(field).sum()
    }

    /// The processor time of all nodes.
    pub(crate) fn cpu_micros_since(&self, before: &Reports) -> f64 {
        let micros = |reports: &Reports| reports.sum(|report| report.cpu_micros);
        (micros(self) - micros(before)) as f64
    }

    /// The largest increase of the open files of a node.
    pub(crate) fn most_files_more_than(&self, before: &Reports) -> u64 {
        self.largest_increase(before, |report| report.files, |report| report.files)
    }

    /// The largest increase of the memory of a node, at its peak, in KiB.
    pub(crate) fn most_memory_more_than(&self, before: &Reports) -> u64 {
        self.largest_increase(before, |report| report.memory_kib, |report| report.peak_memory_kib)
    }

    fn largest_increase(
        &self,
        before: &Reports,
        from: fn(&Report) -> u64,
        to: fn(&Report) -> u64,
    ) -> u64 {
        let pairs = self.0.iter().zip(&before.0);
        pairs.map(|(now, before)| to(now).saturating_sub(from(before))).max().unwrap_or(0)
    }
}
