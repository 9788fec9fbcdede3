//! Simulated multi-region clusters for testing services built with flyrpc.

mod env;
mod latency;
mod net;
mod rng;
mod task;

pub use self::{
    env::SimEnv,
    latency::RoundTrips,
    net::{FaultGuard, SimNet, SimNetBuilder},
};
