//! The simulated network as programs and tests see it, in virtual time.

mod bandwidth;
mod clocks;
mod cluster;
mod datagrams;
mod hosts;
mod jitter;
mod misuse;
mod partitions;
mod repeatability;
mod streams;
mod suite;
mod support;
