//! Helpers for most tests: a small service, simulated clusters that serve it, and logs.

mod cluster;
mod event_log;
mod log;
mod panics;
mod probe;
pub(crate) mod process;
pub(crate) mod recorder;

use std::time::Duration;

pub(crate) use flyrpc_tests::hooked_env::HookedEnv;
pub(crate) use tokio::time::sleep;

pub(crate) use self::{
    cluster::{
        PORT, iad_and_hkg, node_names, node_on, peer_named, probe_cluster, probe_release,
        wait_until,
    },
    event_log::EventLog,
    log::Log,
    panics::{ThreadPanics, count_panics, panics_in_flyrpc},
    probe::{ContextSeen, Counts, ProbeClient, Prober, ServeProbe, prober},
};

pub(crate) const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

pub(crate) const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}
