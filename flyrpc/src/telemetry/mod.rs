//! What a node reports about its calls, links and peers.

mod observer;

pub use self::observer::{Attempt, Observed, Observer, Outcome};
