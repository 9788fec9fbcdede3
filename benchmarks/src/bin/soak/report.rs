//! The resources that idle processes hold, and their growth.

use std::fmt;

/// Upper bound on the growth of resident memory, in KiB.
const MAX_GROWTH_KIB: i64 = 5 << 10;

/// The resources that one process holds.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    pub(crate) name: String,
    pub(crate) resident_kib: i64,
    pub(crate) descriptors: usize,
    pub(crate) tasks: usize,
}

/// The samples of all stable nodes, taken at one time.
#[derive(Debug, Default)]
pub(crate) struct Report {
    samples: Vec<Sample>,
}

/// The differences between two reports.
#[derive(Debug)]
pub(crate) struct Growth {
    resident_kib: i64,
    descriptors: i64,
    tasks: i64,
}

impl Sample {
    /// Returns the smaller of each of the figures of two samples.
    pub(crate) fn min(self, other: Sample) -> Sample {
        Sample {
            name: self.name,
            resident_kib: self.resident_kib.min(other.resident_kib),
            descriptors: self.descriptors.min(other.descriptors),
            tasks: self.tasks.min(other.tasks),
        }
    }
}

impl Report {
    pub(crate) fn add(&mut self, sample: Sample) {
        self.samples.push(sample);
    }

    /// Returns the largest growth of any node, for each figure.
    pub(crate) fn growth_since(&self, before: &Report) -> Growth {
        let largest = |figure: fn(&Sample) -> i64| {
            let pairs = self.samples.iter().zip(&before.samples);
            pairs.map(|(after, before)| figure(after) - figure(before)).max().unwrap_or_default()
        };
        Growth {
            resident_kib: largest(|sample| sample.resident_kib),
            descriptors: largest(|sample| sample.descriptors as i64),
            tasks: largest(|sample| sample.tasks as i64),
        }
    }
}

impl Growth {
    pub(crate) fn is_acceptable(&self) -> bool {
        self.resident_kib <= MAX_GROWTH_KIB && self.descriptors <= 0 && self.tasks <= 0
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Sample { name, resident_kib, descriptors, tasks } in &self.samples {
            let mib = *resident_kib as f64 / 1024.0;
            writeln!(f, "  {name}: {mib:.1} MiB, {descriptors} descriptors, {tasks} tasks")?;
        }
        Ok(())
    }
}

impl fmt::Display for Growth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = self.resident_kib as f64 / 1024.0;
        let Growth { descriptors, tasks, .. } = self;
        let verdict = if self.is_acceptable() { "acceptable" } else { "NOT ACCEPTABLE" };
        write!(
            f,
            "largest growth: {mib:+.1} MiB, {descriptors:+} descriptors, {tasks:+} tasks: {verdict}"
        )
    }
}
