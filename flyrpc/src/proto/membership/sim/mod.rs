//! A cluster in virtual time: the membership of every node, and a network between the nodes. Equal
//! seeds give equal runs.
//!
//! Used by the unit tests of the membership and, through the feature `unstable`, by the program
//! that simulates clusters of thousands of nodes. The only simulated links are those to seeds,
//! which are dialed again when they break. Nodes of a real cluster also learn from other links that
//! open or break.

#![cfg_attr(
    not(feature = "unstable"),
    allow(
        dead_code,
        unreachable_pub,
        unused_imports,
        reason = "public under the feature `unstable`"
    )
)]

mod drive;
mod host;
mod ledger;
mod network;
mod queue;
#[cfg(test)]
mod record;
mod simulation;
#[cfg(test)]
mod testing;
mod traffic;

pub use self::{
    ledger::{Boot, Ledger},
    network::Network,
    simulation::Sim,
    traffic::Traffic,
};
#[cfg(test)]
pub(super) use self::{network::addr, testing::secs};
