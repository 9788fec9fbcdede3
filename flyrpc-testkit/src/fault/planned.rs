//! Schedules of faults.

use std::{fmt, time::Duration, vec};

use super::kind::Fault;

/// A [`Fault`] with its times.
///
/// Displays as a line such as `at 1.5s for 3s: partition iad <> hkg`.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedFault {
    /// When the fault starts, counted from the start of the schedule.
    pub at: Duration,
    /// How long the fault lasts. For a shutdown, how long the node stays down.
    pub lasts: Duration,
    /// The fault.
    pub fault: Fault,
}

/// Faults with their times, which [`SimCluster::run_schedule`](crate::SimCluster::run_schedule) injects and ends.
///
/// Faults may overlap. Displays as a list with a line for each fault.
///
/// ```
/// use std::time::Duration;
/// use flyrpc_testkit::{Fault, Schedule};
///
/// let schedule = Schedule::new()
///     .with(Duration::from_secs(1), Duration::from_secs(30), Fault::Crash { node: "iad-0".into() })
///     .with(Duration::from_secs(5), Duration::from_secs(2), Fault::Freeze { node: "iad-1".into() });
/// let text = "at 1s for 30s: crash iad-0\nat 5s for 2s: freeze iad-1\n";
/// assert_eq!(schedule.to_string(), text);
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Schedule {
    faults: Vec<PlannedFault>,
}

impl Schedule {
    /// Creates a schedule without faults.
    pub fn new() -> Self {
        Schedule::default()
    }

    /// Adds a fault that starts `at` this time and lasts this long.
    #[must_use]
    pub fn with(mut self, at: Duration, lasts: Duration, fault: Fault) -> Self {
        self.extend([PlannedFault { at, lasts, fault }]);
        self
    }

    /// Returns the faults in the order in which they start.
    pub fn faults(&self) -> &[PlannedFault] {
        &self.faults
    }

    /// Returns when the last fault ends. Zero if there is none.
    pub fn end(&self) -> Duration {
        let ends = self.faults.iter().map(|planned| planned.at.saturating_add(planned.lasts));
        ends.max().unwrap_or_default()
    }
}

impl Extend<PlannedFault> for Schedule {
    fn extend<I: IntoIterator<Item = PlannedFault>>(&mut self, faults: I) {
        self.faults.extend(faults);
        self.faults.sort_by_key(|planned| planned.at);
    }
}

impl FromIterator<PlannedFault> for Schedule {
    fn from_iter<I: IntoIterator<Item = PlannedFault>>(faults: I) -> Self {
        let mut schedule = Schedule::new();
        schedule.extend(faults);
        schedule
    }
}

impl IntoIterator for Schedule {
    type Item = PlannedFault;
    type IntoIter = vec::IntoIter<PlannedFault>;

    fn into_iter(self) -> Self::IntoIter {
        self.faults.into_iter()
    }
}

impl fmt::Display for PlannedFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let PlannedFault { at, lasts, fault } = self;
        let [at, lasts] = [at, lasts].map(|time| match time {
            // Its debug format is in nanoseconds.
            &Duration::ZERO => "0s".to_owned(),
            time => format!("{time:?}"),
        });
        write!(f, "at {at} for {lasts}: {fault}")
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.faults.iter().try_for_each(|planned| writeln!(f, "{planned}"))
    }
}
