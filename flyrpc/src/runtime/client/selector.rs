//! The options of a call that its client sets.

use std::{sync::Arc, time::Duration};

use super::each_call::EachCall;
use crate::{
    error::BodyError,
    proto::wire::request_fields::{self, NO_FIELDS},
    types::{MAX_METADATA, MAX_NAMES, Metadata, NodeId, Region, TargetRef},
};

/// Selects the target of a client's calls.
#[derive(Debug, Clone)]
pub(super) enum Selector {
    /// The target that the method's attributes imply: the primary, or else the nearest node.
    Default,
    Region(Region),
    Primary,
    Node(NodeId),
}

impl Selector {
    /// Returns the target of a call. `primary_only` is whether its method runs only on primary
    /// nodes.
    pub(super) fn target<'a>(
        &'a self,
        primary_only: bool,
        primary_region: &'a Region,
    ) -> TargetRef<'a> {
        match self {
            Selector::Region(region) => TargetRef::Region(region),
            Selector::Node(id) => TargetRef::Node(id),
            Selector::Default if !primary_only => TargetRef::Nearest,
            Selector::Primary | Selector::Default => TargetRef::Primary(primary_region),
        }
    }
}

/// The metadata that a client sends with its calls.
#[derive(Debug)]
pub(super) struct CallMetadata {
    /// For calls that run in process.
    pub(super) metadata: Arc<Metadata>,
    /// As a field of requests.
    encoded: Box<[u8]>,
    /// Why it cannot be sent, if it is too long.
    pub(super) error: Option<BodyError>,
}

impl CallMetadata {
    /// Returns this metadata with another value of `name`.
    pub(super) fn with(this: Option<&Self>, name: &str, value: &str) -> Self {
        let mut metadata = this.map_or_else(Metadata::default, |this| (*this.metadata).clone());
        metadata.set(name, value);
        CallMetadata {
            encoded: request_fields::encode(Some(&metadata), None),
            error: too_long(&metadata),
            metadata: Arc::new(metadata),
        }
    }
}

/// Returns an error if the metadata is too long to be sent.
fn too_long(metadata: &Metadata) -> Option<BodyError> {
    let (size, names) = (metadata.size(), metadata.len());
    if size > MAX_METADATA {
        let why = format_args!("its names and values have {size} bytes, more than {MAX_METADATA}");
        return Some(BodyError::new("metadata", why));
    }
    let why = format_args!("it has {names} names, more than {MAX_NAMES}");
    (names > MAX_NAMES).then(|| BodyError::new("metadata", why))
}

/// Returns the encoded optional fields of a request with this metadata.
#[inline]
pub(super) fn fields(metadata: Option<&CallMetadata>) -> &[u8] {
    metadata.map_or(NO_FIELDS, |metadata| &metadata.encoded)
}

/// The options that a client sets for its calls. The method's attributes determine those that are
/// not set.
#[derive(Debug, Clone)]
pub(super) struct CallOptions {
    pub(super) selector: Selector,
    /// The further targets, in the order in which they are tried. `None` if there are none.
    pub(super) further: Option<Arc<[Selector]>>,
    pub(super) timeout: Option<Duration>,
    pub(super) wait: Option<Duration>,
    /// Sent with the call, if there is any.
    // One pointer, because every call moves its options.
    pub(super) metadata: Option<Arc<CallMetadata>>,
    /// Set if the call is one of those that a stream of [`Replies`](super::Replies) makes.
    pub(super) each: Option<Arc<EachCall>>,
}
