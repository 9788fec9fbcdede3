//! Protocol decisions as values and state machines: no tasks, no sockets, no locks, no clock.
//!
//! Everything here receives the time and its inputs as arguments and returns what to do; `runtime`
//! drives it. Imports from `codec`, `config`, `error` and `types` only.

pub(crate) mod discovery;
pub(crate) mod link;
pub(crate) mod membership;
pub(crate) mod routing;
pub(crate) mod wire;
