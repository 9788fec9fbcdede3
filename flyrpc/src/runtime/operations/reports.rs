//! The encoded reports of a node, which many may ask for.

use std::{
    collections::BTreeMap,
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};
use tokio::time::Instant;

use super::{
    error::error_info,
    report::{Identity, node_report, watch_report},
};
use crate::{
    codec,
    error::{BodyError, ErrorInfo},
    proto::{routing::AttemptFailure, wire::state::State},
    runtime::shared::{GossipAge, NodeShared},
    service::INTERNAL_SERVICE,
    types::{CompactReport, NodeId, NodeReport, WatchReport},
};

/// How long an encoded report is used again. A peer that asks again and again, or does not read the answers, takes neither
/// much time nor much memory, because all answers of this time share their bytes.
const REUSE_FOR: Duration = Duration::from_millis(100);

/// Reports about this node.
pub(crate) struct Reports {
    identity: Identity,
    status: Mutex<Option<Encoded>>,
    watch: Mutex<Option<Encoded>>,
    /// Held while a status is made, which takes long in a large cluster.
    making: tokio::sync::Mutex<()>,
}

struct Encoded {
    at: Instant,
    /// Which calls the node accepted.
    state: Arc<State>,
    /// The version of its view of the cluster.
    version: u64,
    bytes: Bytes,
}

impl Reports {
    pub(crate) fn new(identity: Identity) -> Self {
        Reports {
            identity,
            status: Mutex::default(),
            watch: Mutex::default(),
            making: tokio::sync::Mutex::default(),
        }
    }

    /// Returns an encoded report about the node and its peers, or that of a short time ago.
    ///
    /// # Errors
    ///
    /// Its types always encode.
    pub(crate) async fn status(
        &self,
        node: &NodeShared,
        gossip: impl Future<Output = BTreeMap<NodeId, GossipAge>>,
    ) -> Result<Bytes, BodyError> {
        let _one_at_a_time = self.making.lock().await;
        if let Some(recent) = recent(&self.status, node) {
            return Ok(recent);
        }
        let gossip = gossip.await;
        let (state, version) = (node.server().state(), node.version());
        let report = CompactReport::from(node_report(node, &self.identity, &gossip));
        encode(&self.status, node, (state, version), &report)
    }

    /// Returns an encoded report about the calls that the node serves, or that of a short time ago. The node records them
    /// for another minute.
    ///
    /// # Errors
    ///
    /// Its types always encode.
    pub(crate) fn watch(&self, node: &Arc<NodeShared>) -> Result<Bytes, BodyError> {
        if let Some(recent) = recent(&self.watch, node) {
            return Ok(recent);
        }
        let of = (node.server().state(), node.version());
        encode(&self.watch, node, of, &watch_report(node))
    }
}

/// Returns the report of a short time ago, unless the node accepts other calls since, or has learned something.
fn recent(last: &Mutex<Option<Encoded>>, node: &NodeShared) -> Option<Bytes> {
    let last = last.lock().unwrap_or_else(PoisonError::into_inner);
    let last = last.as_ref()?;
    let is_recent = node.env().now() < last.at + REUSE_FOR;
    let is_same = Arc::ptr_eq(&last.state, &node.server().state());
    let is_same = is_same && last.version == node.version();
    (is_recent && is_same).then(|| last.bytes.clone())
}

fn encode(
    last: &Mutex<Option<Encoded>>,
    node: &NodeShared,
    (state, version): (Arc<State>, u64),
    report: &impl Serialize,
) -> Result<Bytes, BodyError> {
    let mut encoded = Vec::new();
    codec::encode(report, &mut encoded)?;
    let bytes = Bytes::from(encoded);
    let encoded = Encoded { at: node.env().now(), state, version, bytes: bytes.clone() };
    *last.lock().unwrap_or_else(PoisonError::into_inner) = Some(encoded);
    Ok(bytes)
}

/// Decodes the report of a node about itself and its peers.
pub(crate) fn decode_report(encoded: &[u8]) -> Result<NodeReport, ErrorInfo> {
    decode::<CompactReport>("status", encoded).map(NodeReport::from)
}

/// Decodes the report of a node about the calls that it serves.
pub(crate) fn decode_watch(encoded: &[u8]) -> Result<WatchReport, ErrorInfo> {
    decode("watch", encoded)
}

fn decode<T: DeserializeOwned>(method: &str, encoded: &[u8]) -> Result<T, ErrorInfo> {
    codec::decode(encoded).map_err(|source| {
        let failure = AttemptFailure::BadReply { encoded: true, source };
        error_info(INTERNAL_SERVICE, method, None, failure)
    })
}
