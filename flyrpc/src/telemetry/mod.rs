//! What a node reports about itself.

mod observer;

pub use self::observer::{Attempt, Observed, Observer, Outcome};
