//! The retries of a call after an attempt has failed.

mod state;
mod step;
mod targets;
#[cfg(test)]
mod tests;

pub(crate) use self::{
    state::{FIRST_ATTEMPT, Retry, RetryPolicy},
    step::{AttemptEnd, Dialed, NoCandidate, Step, Waited},
};
