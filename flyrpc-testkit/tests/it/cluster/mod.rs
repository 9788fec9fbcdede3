//! Clusters of real nodes, as a user tests a service of their own on them.

mod checks;
mod failure_report;
mod faults;
mod lifecycle;
mod machines;
mod releases;
mod runtimes;
mod service;
mod start;
mod trace;
