//! Randomized fault testing, shared by several targets of this package. The tests are in `it/`
//! (behavior) and `ui/` (diagnostics).

pub mod chaos;
