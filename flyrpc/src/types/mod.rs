//! Plain value types that the public API and all modules share.

mod event;
mod key_id;
mod label;
mod metadata;
mod node;
mod node_addr;
mod nodes;
mod operation;
mod peer;
mod region;
mod report;
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
    operation::{NodeAction, RelayTarget},
    peer::{LinkSecurity, NoSupport, Peer, PeerState, Support},
    region::Region,
    report::{CallCounts, Latencies, MethodReport, NodeReport, PeerReport, WatchReport},
    service_spec::{Argument, ArgumentSpec, MethodSpec, ServiceSpec},
    stats::{GossipStats, HandlerStats, LinkStats, RegionStats, Stats},
    target::Target,
    trace_context::TraceContext,
};
pub(crate) use self::{
    label::{MAX_LABEL, is_label},
    metadata::{MAX_METADATA, MAX_NAMES},
    node_addr::{is_host_ip, is_node_addr},
    nodes::NodeSet,
    operation::RelayedCall,
    report::CompactReport,
    service_spec::Signature,
    target::TargetRef,
    trace_context::MAX_STATE,
};
