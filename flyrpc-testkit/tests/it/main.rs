//! Tests of the simulated network and of clusters, through the testkit's public API.

mod bandwidth;
mod checks;
mod clocks;
mod cluster;
mod datagrams;
mod disk;
mod env_contract;
mod hosts;
#[cfg(feature = "http")]
mod http;
mod jitter;
#[cfg(feature = "logs")]
mod logs;
mod partitions;
mod repeatability;
mod runs;
mod streams;
mod support;
mod tap;
