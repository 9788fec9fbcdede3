//! Tests of clusters of real nodes, as a user would use them to test a service.

mod checks;
mod failure_report;
mod faults;
mod lifecycle;
mod machines;
mod releases;
mod runtimes;
mod schedules;
mod secrets;
mod service;
mod start;
mod trace;
