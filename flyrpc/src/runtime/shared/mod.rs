//! State shared by all parts of a running node: its identity, its services, and its view of the
//! cluster.

mod command;
mod counters;
mod handle;
mod node_shared;
mod peer_key;
mod peer_snapshot;
mod published;
mod supervise;
mod turns;
mod visitors;

pub(crate) use self::{
    command::{Command, GossipAge},
    counters::RareCounts,
    handle::{Handle, NodeInUse, NodeRef},
    node_shared::{NodeShared, SharedConfig},
    peer_key::PeerKey,
    peer_snapshot::PeerSnapshot,
    turns::{QueueKey, Turn},
    visitors::MAX_VISITORS,
};
