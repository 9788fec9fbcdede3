//! Randomized fault testing. A seed determines a cluster, calls and faults ([`Plan`]). [`run`]
//! executes them in virtual time and checks flyrpc's guarantees.

mod addresses;
mod balancer;
mod bounds;
mod checks;
mod explain;
mod guests;
mod ledger;
mod limits;
mod plan;
mod rng;
mod run;
mod scenario;
mod secrets;
mod service;

pub use self::{
    plan::Plan,
    run::{Report, run},
};
