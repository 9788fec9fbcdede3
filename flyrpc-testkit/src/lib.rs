//! Simulated multi-region clusters for testing services built with flyrpc.

mod latency;
mod rng;

pub use self::latency::RoundTrips;
