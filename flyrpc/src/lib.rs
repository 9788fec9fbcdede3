//! Typed calls in a chosen region of a cluster.

mod client;
mod context;
mod env;
mod error;
mod node_id;
mod region;
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
    node_id::{NodeId, NodeInfo, ParseNodeIdError},
    region::Region,
    service::{ArgumentSpec, MethodSpec, Service, ServiceSpec},
    target::Target,
};
