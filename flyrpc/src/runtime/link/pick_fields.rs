//! [`PickFields`]: the fields of a link that picks read.

use std::sync::{Arc, atomic::AtomicBool};

use super::compat_cache::CompatCache;
use crate::proto::{link::lifecycle::Lifecycle, wire::state::State};

/// The fields of a link that picks read, in one cache line. A call draws two of many links, so each line that it reads
/// is usually not in the cache.
#[derive(Debug)]
#[repr(align(64))]
pub(super) struct PickFields {
    pub(super) lifecycle: Lifecycle,
    pub(super) compats: Arc<CompatCache>,
    /// Whether calls have to wait for room in the outbox.
    pub(super) congested: AtomicBool,
    /// Whether the peer's state excludes calls of some service, which calls check before they read the state.
    pub(super) restricted: AtomicBool,
    /// Whether the peer has been silent for so long that calls prefer other nodes.
    pub(super) quiet: AtomicBool,
}

const _: () = assert!(size_of::<PickFields>() == 64);

impl PickFields {
    pub(super) fn new(compats: Arc<CompatCache>, state: &State) -> Self {
        PickFields {
            lifecycle: Lifecycle::default(),
            compats,
            congested: AtomicBool::new(false),
            restricted: AtomicBool::new(state.is_restricted()),
            quiet: AtomicBool::new(false),
        }
    }
}
