//! [`ByStatus`]: one metric for each status.

use std::sync::OnceLock;

use crate::telemetry::status::CallStatus;

/// A metric for each status. Each is registered when it is used for the first time.
#[derive(Debug)]
pub(super) struct ByStatus<T>([OnceLock<T>; CallStatus::COUNT]);

impl<T> Default for ByStatus<T> {
    fn default() -> Self {
        ByStatus(std::array::from_fn(|_| OnceLock::new()))
    }
}

impl<T> ByStatus<T> {
    pub(super) fn get(&self, status: CallStatus) -> Option<&T> {
        self.0[status.index()].get()
    }

    pub(super) fn get_or_create(&self, status: CallStatus, create: impl FnOnce() -> T) -> &T {
        self.0[status.index()].get_or_init(create)
    }
}
