//! Code that several targets of this package share: randomized fault testing, and the encoding of
//! frames. The tests are in `it/` (behavior) and `ui/` (diagnostics).

pub mod chaos;
pub mod frames;
