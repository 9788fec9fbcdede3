//! Tests of the simulated network and of clusters, through the testkit's public API.

mod bandwidth;
mod checks;
mod clocks;
mod cluster;
mod datagrams;
mod env_contract;
mod hosts;
mod jitter;
mod partitions;
mod repeatability;
mod runs;
mod streams;
mod support;
mod tap;
