//! What a node reports about itself when an operator asks: its state, the peers that it knows, and the calls that it
//! serves.

mod compact;
mod method;
mod node;

pub(crate) use self::compact::CompactReport;
pub use self::{
    method::{CallCounts, Latencies, MethodReport, WatchReport},
    node::{NodeReport, PeerReport},
};
