//! The retries of a call after an attempt has failed.

mod state;
mod targets;
#[cfg(test)]
mod tests;

pub(crate) use self::state::{
    AttemptEnd, Dialed, FIRST_ATTEMPT, NoCandidate, Retry, RetryPolicy, Step, Waited,
};
