//! The functions that the handlers of all contenders call.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

/// An item of a list, with fields of several types.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) id: u64,
    pub(crate) name: String,
    pub(crate) city: String,
    pub(crate) age: u32,
    pub(crate) balance: f64,
    pub(crate) active: bool,
    pub(crate) referrer: Option<u64>,
    pub(crate) scores: Vec<u32>,
}

impl Record {
    /// Creates a record whose values depend on `id`.
    pub(crate) fn new(id: usize) -> Self {
        let number = id as u64;
        Record {
            id: number * 7919,
            name: format!("Customer Number {id}"),
            city: ["Hong Kong", "Ashburn", "Amsterdam", "Rio de Janeiro"][id % 4].to_owned(),
            age: 18 + id as u32 % 60,
            balance: number as f64 * 12.25,
            active: !id.is_multiple_of(3),
            referrer: (!id.is_multiple_of(2)).then_some(number * 31),
            scores: (0..4).map(|score| id as u32 * score % 1000).collect(),
        }
    }
}

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
