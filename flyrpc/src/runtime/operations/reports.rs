//! The encoded report of a node, which many may ask for.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use tokio::time::Instant;

use super::report::{Identity, node_report};
use crate::{
    codec,
    error::BodyError,
    proto::wire::state::State,
    runtime::shared::{GossipAge, NodeShared},
    types::{CompactReport, NodeId, NodeReport},
};

/// How long an encoded report is used again. A peer that asks again and again, or does not read the answers, takes neither
/// much time nor much memory, because all answers of this time share their bytes.
const REUSE_FOR: Duration = Duration::from_millis(100);

/// Reports about this node.
pub(crate) struct Reports {
    identity: Identity,
    last: Mutex<Option<Encoded>>,
}

struct Encoded {
    at: Instant,
    /// Which calls the node accepted.
    state: Arc<State>,
    bytes: Bytes,
}

impl Reports {
    pub(crate) fn new(identity: Identity) -> Self {
        Reports { identity, last: Mutex::default() }
    }

    /// Returns the encoded report of a short time ago, unless the node accepts other calls since.
    pub(crate) fn recent(&self, node: &NodeShared) -> Option<Bytes> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let last = last.as_ref()?;
        let is_recent = node.env().now() < last.at + REUSE_FOR;
        let is_same = Arc::ptr_eq(&last.state, &node.server().state());
        (is_recent && is_same).then(|| last.bytes.clone())
    }

    /// Encodes a report about the node as it is now.
    ///
    /// # Errors
    ///
    /// Its types always encode.
    pub(crate) fn encode(
        &self,
        node: &NodeShared,
        gossip: &BTreeMap<NodeId, GossipAge>,
    ) -> Result<Bytes, BodyError> {
        let (at, state) = (node.env().now(), node.server().state());
        let report = CompactReport::from(node_report(node, &self.identity, gossip));
        let mut encoded = Vec::new();
        codec::encode(&report, &mut encoded)?;
        let bytes = Bytes::from(encoded);
        let last = Encoded { at, state, bytes: bytes.clone() };
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(last);
        Ok(bytes)
    }
}

/// Decodes the report of a node.
pub(crate) fn decode_report(encoded: &[u8]) -> Result<NodeReport, BodyError> {
    codec::decode::<CompactReport>(encoded).map(NodeReport::from)
}
