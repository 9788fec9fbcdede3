//! What all contenders do for a call: the very same functions.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

/// Upper-cases `text`.
pub(crate) fn upcase(text: &str) -> String {
    text.to_uppercase()
}

/// Takes time, but no processor.
pub(crate) async fn pause(micros: u32) {
    tokio::time::sleep(Duration::from_micros(micros.into())).await;
}

/// Takes a processor, and does not let go of it.
pub(crate) fn burn(micros: u32) {
    let (start, time) = (Instant::now(), Duration::from_micros(micros.into()));
    let mut spun = 0_u64;
    while start.elapsed() < time {
        spun = black_box(spun.wrapping_add(1));
    }
}
