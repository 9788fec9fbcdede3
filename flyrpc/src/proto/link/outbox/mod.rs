//! The queue of a link: frames in order, and long bodies, which are cut into chunks.

mod queue;
#[cfg(test)]
mod tests;

pub(crate) use self::queue::{GivenUp, Offset, Outbox, Room};
