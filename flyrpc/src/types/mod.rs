//! The vocabulary that users and every module share: plain values without behavior of their own.

mod node;
mod peer;
mod region;
mod service_spec;
mod target;

pub(crate) use self::service_spec::Signature;
pub use self::{
    node::{NodeId, NodeInfo, ParseNodeIdError},
    peer::{Event, NoSupport, Peer, PeerState, Support},
    region::Region,
    service_spec::{Argument, ArgumentSpec, MethodSpec, ServiceSpec},
    target::Target,
};
