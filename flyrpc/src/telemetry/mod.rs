//! Reports of a node about its calls, links and peers.

mod caught;
mod observer;
mod observers;
mod served;

pub(crate) use self::{caught::CaughtObserver, observers::Observers};
pub use self::{
    observer::{Attempt, Called, Observed, Observer, Outcome},
    served::{ServeOutcome, Served},
};
