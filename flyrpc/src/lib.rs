//! Typed calls in a chosen region of a cluster.

mod client;
#[allow(dead_code)]
mod config;
mod context;
#[allow(dead_code)]
mod discovery;
mod env;
mod error;
#[allow(dead_code, unused_imports)]
mod membership;
mod node_id;
mod region;
mod server;
mod service;
mod target;
mod wire;

#[doc(hidden)]
pub mod __private;

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
