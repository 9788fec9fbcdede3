//! Clusters of real nodes, as a user tests a service of their own on them.

mod failing;
mod faults;
mod lifecycle;
mod machines;
mod misuse;
mod releases;
mod runtimes;
mod service;
mod start;
mod trace;
