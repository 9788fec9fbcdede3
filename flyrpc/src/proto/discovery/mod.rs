//! The sources of a node's first addresses: its seeds, and the addresses that their names resolve to.
//!
//! A state machine without a clock, a resolver or a socket. Times and resolver results are its inputs;
//! names to resolve are its outputs. Discovery does not determine whether a node runs at an address, or
//! which node. A lookup only adds addresses. An address is removed once it has been neither listed nor
//! reached for ten minutes.

mod entry;
mod seeds;

#[cfg(test)]
mod tests;

pub(crate) use self::seeds::Discovery;
