//! Where a test called an asynchronous method of a cluster.

use std::{fmt::Display, panic::Location};

/// The place of a call, for the panics of its future, whose own place is in the testkit.
#[derive(Debug, Clone, Copy)]
pub(super) struct CallSite(&'static Location<'static>);

impl CallSite {
    #[track_caller]
    pub(super) fn here() -> Self {
        CallSite(Location::caller())
    }

    pub(super) fn panic(self, message: impl Display) -> ! {
        panic!("{message}\ncalled at {}", self.0)
    }
}
