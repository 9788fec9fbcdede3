//! Randomized fault testing, which several targets of this package share. The tests are in `it/`
//! (behavior) and `ui/` (diagnostics).

pub mod chaos;
