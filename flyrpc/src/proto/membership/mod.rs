//! Which nodes are up: SWIM, by way of foca, as a state machine without clock, sockets or tasks.
//!
//! Datagrams, the time and a seed come in; datagrams and [`Event`]s come out. The code that drives it
//! also syncs [`MemberState`]s with peers over links: on joining, while alone, and periodically,
//! because gossip alone does not give every node every member. The membership does not look for
//! seeds, open links, or know whether a member supports anything.
//!
//! Where it differs from bare foca:
//!
//! - [`Event`]s are about boots of nodes, each listed once; a renewed identity of a boot makes none.
//! - Each timer has its slot, so that nothing a peer sends makes timers pile up (`timers`).
//! - A suspect receives the suspicion until it refutes, and then the suspicion ends. foca leaves
//!   that to gossip, and reports even a suspect that refuted as down: it renews its identity for
//!   nothing.
//! - When this node stalls (a frozen process, a suspended machine) its clock stops, so that the
//!   members do not appear to have been silent (`clock`).
//! - It recovers from partitions with few renewals (`reconcile`).

mod clock;
mod diagnostics;
mod digest;
mod driver;
mod effects;
mod envelope;
mod identity;
mod member_state;
mod members;
mod reconcile;
mod settings;
mod timers;

#[cfg(any(test, feature = "unstable"))]
pub(crate) mod sim;
#[cfg(test)]
mod tests;

pub(crate) use self::{
    diagnostics::Diagnostic, driver::Membership, member_state::MemberState, members::Event,
    settings::Settings,
};
