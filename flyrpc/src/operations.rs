//! Asking a running cluster: what the command `flyrpc` and the status page are built on.
//!
//! A [`Visitor`] connects to one node, without becoming a member of its cluster. A program that runs a node asks through
//! the node: [`Node::status_of`](crate::Node::status_of) and [`Node::watch`](crate::Node::watch). Both return what a node
//! reports about itself.
//!
//! The nodes answer with methods of their internal service, which also answers nodes of other versions. Nodes of version
//! 0.1 do not answer.

pub use crate::{
    runtime::visitor::{VisitError, VisitOptions, Visitor},
    types::{
        CallCounts, Latencies, MethodReport, NodeAction, NodeReport, PeerReport, RelayTarget,
        WatchReport,
    },
};
