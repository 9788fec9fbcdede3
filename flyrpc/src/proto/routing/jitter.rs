//! Jitter: spreads retries of many nodes and calls, so that they do not repeat in step.

use std::time::Duration;

/// Returns `pause` multiplied by a factor between 3/4 and 5/4, which `random` determines.
pub(crate) fn jittered(pause: Duration, random: u64) -> Duration {
    pause.mul_f64(0.75 + (random % 1024) as f64 / 2048.0)
}
