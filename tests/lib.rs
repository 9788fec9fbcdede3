//! Code that several targets of this package share: randomized fault testing, the encoding of
//! frames, and an environment whose connections a test opens. The tests are in `it/` (behavior) and `ui/` (diagnostics).

pub mod chaos;
pub mod connect_env;
pub mod frames;
