//! Runs test bodies: one run for each seed, on a runtime of its own, with a report of the first failure.
//!
//! | module | what it does |
//! |---|---|
//! | `simulation` | the public entry points |
//! | `seeds` | the seeds of a simulation, in parallel, until the first failure |
//! | `report` | what a failed run prints |
//! | `body` | runs a body once |
//! | `current` | the run of this thread, which networks and clusters use |
//! | `blocking` | the order of blocking tasks |
//! | `tasks`, `census`, `owner` | tasks that outlive the crash of their node |

mod blocking;
mod body;
mod census;
mod current;
mod owner;
mod report;
mod seeds;
mod simulation;
mod tasks;

pub(crate) use self::{
    current::Run,
    owner::Owner,
    tasks::{CountedTask, is_inside_poll, on_crash, poll_as, spawn},
};
pub use self::{
    seeds::{ParseSeedsError, Seeds},
    simulation::{Simulation, TestResult, for_seeds, simulate},
};
