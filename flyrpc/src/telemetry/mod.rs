//! Reports of a node about its calls, links and peers.

mod caught;
mod observer;

pub(crate) use self::caught::CaughtObserver;
pub use self::observer::{Attempt, Observed, Observer, Outcome};
