//! Clusters of real nodes on a simulated network.

mod always;
mod builder;
mod call_site;
mod faults;
mod invariants;
mod lifecycle;
mod release;
mod rollout;
mod settle;
mod sim_cluster;

pub use self::{
    builder::SimClusterBuilder,
    release::{Release, SimNode},
    rollout::Rollout,
    sim_cluster::SimCluster,
};
