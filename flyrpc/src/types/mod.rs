//! Plain value types that the public API and all modules share.

mod event;
mod node;
mod peer;
mod region;
mod service_spec;
mod target;

pub(crate) use self::service_spec::Signature;
pub use self::{
    event::Event,
    node::{NodeId, NodeInfo, ParseNodeIdError},
    peer::{NoSupport, Peer, PeerState, Support},
    region::Region,
    service_spec::{Argument, ArgumentSpec, MethodSpec, ServiceSpec},
    target::Target,
};
