//! What follows when an attempt of a call fails.

mod state;
#[cfg(test)]
mod tests;

pub(crate) use self::state::{
    AttemptEnd, Dialed, FIRST_ATTEMPT, NoCandidate, Retry, RetryPolicy, Step,
};
