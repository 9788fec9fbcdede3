//! Plain value types that the public API and all modules share.

mod event;
mod key_id;
mod label;
mod metadata;
mod node;
mod node_addr;
mod nodes;
mod peer;
mod region;
mod service_spec;
mod stats;
mod target;
mod trace_context;

pub use self::{
    event::Event,
    key_id::KeyId,
    metadata::Metadata,
    node::{NodeId, NodeInfo, ParseNodeIdError},
    nodes::Nodes,
    peer::{LinkSecurity, NoSupport, Peer, PeerState, Support},
    region::Region,
    service_spec::{Argument, ArgumentSpec, MethodSpec, ServiceSpec},
    stats::{RegionStats, Stats},
    target::Target,
    trace_context::TraceContext,
};
pub(crate) use self::{
    label::{MAX_LABEL, is_label},
    metadata::{MAX_METADATA, MAX_NAMES},
    node_addr::{is_host_ip, is_node_addr},
    nodes::NodeSet,
    service_spec::Signature,
    target::TargetRef,
    trace_context::MAX_STATE,
};
