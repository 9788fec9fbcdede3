//! The state machines of one link, without its socket and its tasks.

pub(crate) mod batch;
pub(crate) mod clock;
pub(crate) mod outbox;
