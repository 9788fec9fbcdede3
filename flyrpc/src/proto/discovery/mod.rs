//! Where a node's first addresses come from: its seeds, and the addresses that their names resolve
//! to.
//!
//! A state machine without a clock, a resolver or a socket: time and resolver results come in, names
//! to resolve come out. Discovery does not decide whether a node lives at an address, or which. Names
//! only ever add addresses; an address is removed once it has been neither listed nor reached for ten
//! minutes.

mod entry;
mod seeds;

#[cfg(test)]
mod tests;

pub(crate) use self::seeds::Discovery;
