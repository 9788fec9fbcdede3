//! Reports of a node about its calls, links and peers.

mod observer;

pub use self::observer::{Attempt, Observed, Observer, Outcome};
