//! Code that several targets of this package share: randomized fault testing, the encoding of
//! frames, the order of replays, an environment that a test controls, and the memory of processes. The tests are in `it/`
//! (behavior) and `ui/` (diagnostics).

pub mod chaos;
pub mod frames;
pub mod hooked_env;
pub mod process_memory;
pub mod replay_order;
