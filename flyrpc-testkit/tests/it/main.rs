//! The simulated network and clusters on it, as users of the testkit see them.

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
mod streams;
mod support;
