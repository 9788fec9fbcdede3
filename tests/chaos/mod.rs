//! Randomized fault testing: a seed decides on a cluster, on calls and on faults ([`Plan`]); [`run`]
//! carries that out in virtual time and checks what flyrpc promises.

mod checks;
mod dice;
mod explain;
mod ledger;
mod plan;
mod run;
mod service;

pub use self::{
    plan::Plan,
    run::{Report, run},
};
