//! Protocol decisions as values and state machines: no tasks, no sockets, no locks, no clock.
//!
//! Each type receives the time and its inputs as arguments and returns the actions to take; `runtime`
//! drives it. Modules here import from `codec`, `config`, `error` and `types` only.

pub(crate) mod discovery;
pub(crate) mod link;
pub(crate) mod membership;
pub(crate) mod routing;
pub(crate) mod seal;
pub(crate) mod wire;
