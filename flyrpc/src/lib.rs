//! Typed calls in a chosen region of a cluster.

mod client;
mod cluster;
mod config;
mod context;
mod discovery;
mod encoding;
mod env;
mod error;
mod hub;
mod link;
mod membership;
mod node;
mod node_id;
mod peers;
mod region;
mod routing;
mod server;
mod service;
mod target;
mod wire;

#[doc(hidden)]
pub mod __private;

/// Macro docs to come.
pub use flyrpc_macros::fly_rpc;

pub use self::{
    client::{Client, Routed},
    context::{Context, context},
    env::{BoxStream, Datagram, Env, Listener, StreamWriter, TokioEnv},
    error::{BodyError, Known, Refusal, RpcError, StartError, Unsupported},
    node::{Node, NodeBuilder},
    node_id::{NodeId, NodeInfo, ParseNodeIdError},
    peers::{Event, NoSupport, Peer, PeerState, Support},
    region::Region,
    service::{ArgumentSpec, MethodSpec, Service, ServiceSpec},
    target::Target,
};

/// The programs in the README compile and run.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
