//! SWIM failure detection and membership, built on foca, as a state machine without a clock, sockets or
//! tasks.
//!
//! Inputs are datagrams, the time and a random seed. Outputs are datagrams and [`Event`]s. The caller
//! also syncs [`MemberState`]s with peers over links: when the node joins, while it is alone, and
//! periodically, because gossip alone does not give every node every member. The membership does not
//! discover seeds or open links, and does not know which services a member supports.
//!
//! Differences from plain foca:
//!
//! - [`Event`]s describe boots of nodes, and each boot is listed once. Renewing the identity of a boot
//!   causes no event.
//! - Each timer has a slot, so peers cannot make timers accumulate (`timers`).
//! - A suspect is notified of the suspicion repeatedly until it refutes, and then the suspicion ends.
//!   foca leaves the notification to gossip. It also declares a suspect down after the suspect has
//!   refuted, which makes the suspect renew its identity needlessly.
//! - Peers cannot control this node. It ignores gossip from nodes that are neither members nor linked,
//!   and answers requests for members at a bounded rate (`intake`). It renews its identity at most once
//!   per second (`limits`), and rejects an identity that claims far more renewals than the known one.
//! - While this node is stalled (a frozen process, a suspended machine), its clock stops, so that the
//!   other members do not appear to have been silent (`clock`).
//! - It recovers from partitions with few identity renewals (`reconcile`).

mod clock;
mod diagnostics;
mod digest;
mod driver;
mod effects;
mod envelope;
mod identity;
mod intake;
mod limits;
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
    diagnostics::Diagnostic,
    driver::Membership,
    envelope::Channel,
    member_state::MemberState,
    members::Event,
    settings::{GossipSealing, Settings},
};
