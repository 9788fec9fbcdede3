//! The functions that the handlers of all contenders call.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

/// Upper-cases `text`.
pub(crate) fn upcase(text: &str) -> String {
    text.to_uppercase()
}

/// Sleeps for `micros` microseconds, and uses no CPU time.
pub(crate) async fn pause(micros: u32) {
    tokio::time::sleep(Duration::from_micros(micros.into())).await;
}

/// Occupies a core for `micros` microseconds without yielding.
pub(crate) fn burn(micros: u32) {
    let (start, time) = (Instant::now(), Duration::from_micros(micros.into()));
    let mut spun = 0_u64;
    while start.elapsed() < time {
        spun = black_box(spun.wrapping_add(1));
    }
}
