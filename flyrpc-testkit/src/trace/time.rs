//! The times of a trace.

use std::time::Duration;

/// The time of an event. The sequence number orders events that occur at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Stamp {
    pub(super) seq: u64,
    pub(super) at: Duration,
}

/// Formats a time in milliseconds, with as many decimals as needed. Virtual time usually needs none.
pub(crate) fn millis(time: Duration) -> String {
    let (whole, nanos) = (time.as_millis(), time.subsec_nanos() % 1_000_000);
    if nanos == 0 {
        return format!("{whole} ms");
    }
    let decimals = format!("{nanos:06}");
    format!("{whole}.{} ms", decimals.trim_end_matches('0'))
}
