//! Randomized fault testing. A seed determines a cluster, calls and faults ([`Plan`]). [`run`]
//! executes them in virtual time and checks flyrpc's guarantees.

mod addresses;
mod attempts;
mod balancer;
mod bounds;
mod budget;
mod checks;
mod explain;
mod faults;
mod guests;
mod ledger;
mod limits;
mod misbehavior;
mod plan;
mod rng;
mod run;
mod scenario;
mod secrets;
mod service;

pub use self::{
    attempts::{Attempt, AttemptEnd},
    budget::over_budget,
    plan::Plan,
    run::{Report, run},
};
