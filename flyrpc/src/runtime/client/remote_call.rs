//! The parameters of a call to other nodes.

use super::{call::Call, record::AttemptRecorder};
use crate::runtime::shared::NodeShared;

/// A call to other nodes.
pub(super) struct RemoteCall<'a, 'r, R> {
    pub(super) node: &'a NodeShared,
    pub(super) call: &'a Call,
    pub(super) request: &'a R,
    pub(super) recorder: &'a AttemptRecorder<'r>,
}

impl<R> Clone for RemoteCall<'_, '_, R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R> Copy for RemoteCall<'_, '_, R> {}
