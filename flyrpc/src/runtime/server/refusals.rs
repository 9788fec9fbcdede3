//! Counts refused requests by reason.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use crate::proto::wire::status::Status;

/// The reasons, in the order of [`index_of`].
const REASONS: [&str; 10] = [
    "DRAINING",
    "HELD",
    "OVERLOADED",
    "METHOD_OVERLOADED",
    "MEMORY",
    "NOT_PRIMARY",
    "DENIED",
    "NO_METHOD",
    "ARGUMENTS_TOO_LARGE",
    "OTHER",
];

/// The numbers of refused requests.
#[derive(Debug, Default)]
pub(super) struct Refusals([AtomicU64; REASONS.len()]);

impl Refusals {
    pub(super) fn add(&self, status: &Status) {
        self.0[index_of(status)].fetch_add(1, Relaxed);
    }

    /// Returns the numbers that are not 0.
    pub(super) fn read(&self) -> BTreeMap<&'static str, u64> {
        let counts = REASONS.into_iter().zip(&self.0);
        let counts = counts.map(|(reason, count)| (reason, count.load(Relaxed)));
        counts.filter(|(_, count)| *count > 0).collect()
    }
}

fn index_of(status: &Status) -> usize {
    match status {
        Status::Draining => 0,
        Status::Held => 1,
        Status::Overloaded => 2,
        Status::MethodOverloaded => 3,
        Status::Memory => 4,
        Status::NotPrimary { .. } => 5,
        Status::Denied { .. } => 6,
        Status::NoMethod => 7,
        Status::ArgumentsTooLarge { .. } => 8,
        // Not the statuses of requests that are refused at their admission.
        Status::BadArguments { .. }
        | Status::Expired
        | Status::TimedOut
        | Status::Panicked { .. }
        | Status::ReplyTooLarge { .. }
        | Status::BadReply { .. } => 9,
    }
}
