//! Faults as data: values that describe faults, schedules of them, and random schedules.

mod active;
mod kind;
mod planned;
mod random;
mod run;
#[cfg(feature = "proptest")]
pub mod strategy;

pub use self::{
    active::ActiveFault,
    kind::{Fault, FaultKind},
    planned::{PlannedFault, Schedule},
    random::RandomFaults,
};
