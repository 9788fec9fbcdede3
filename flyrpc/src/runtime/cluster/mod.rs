//! The cluster task, which alone decides which nodes are known. It drives the membership and
//! discovery, opens links, and publishes the view of the cluster that calls read.
//!
//! Every input that changes the view arrives at the [`actor`] as a message, and is handled without
//! waiting. Slow operations (dialing, resolving a name, a call to a peer) run in their own tasks
//! and report back. So a hung or hostile peer does not delay the others.
//!
//! The actor and its handlers for links ([`link_events`]) and gossip ([`membership_events`]) decide. [`tasks`] and [`sockets`] wait on
//! their behalf, and [`snapshot`] publishes. The other files hold the values that the actor owns:
//! the peers and when to dial them, the sync schedule, readiness, and so on.

mod accept;
mod actor;
mod conflicts;
mod dial;
mod gossip_log;
mod gossip_watch;
mod inputs;
mod internal_service;
mod leaving;
mod link_events;
mod links;
mod local_hello;
mod membership_events;
mod message;
mod peer;
mod peer_table;
mod primaries;
mod readiness;
mod seed_events;
mod snapshot;
mod sockets;
mod sync;
mod sync_turns;
mod tasks;

pub(crate) use self::{
    actor::{ClusterParams, start},
    internal_service::{
        InternalClient, InternalHandler, InternalRequest, InternalResponse, ServeInternal,
    },
    sockets::Sockets,
};
