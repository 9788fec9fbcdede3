//! Reports to the cluster task from the tasks that it started.

use std::net::SocketAddr;

use super::internal_service::Exchange;
use crate::{
    error::RpcError,
    runtime::link::{DialError, Handshaken},
    types::NodeInfo,
};

/// The outcome of a slow operation. Large values are boxed, because a channel keeps room for dozens of messages.
pub(super) enum Message {
    /// An attempt to dial this address ended.
    Dialed(SocketAddr, Result<Box<Handshaken>, DialError>),
    /// A connection from another node finished its handshake.
    Accepted(Box<Handshaken>),
    /// The lookup of this name ended.
    Resolved(String, Result<Vec<SocketAddr>, String>),
    /// A ping of this node, whose address another boot claims, has ended. Contains whether the node
    /// answered.
    Questioned(NodeInfo, bool),
    /// A membership sync with this node ended.
    Synced(NodeInfo, Result<Exchange, RpcError>),
}
