//! The parameters of the attempts of a call.

use super::{call::Call, record::AttemptRecorder};
use crate::runtime::shared::NodeShared;

/// A call, and the target of its next attempt.
pub(super) struct RemoteCall<'a, 'r, R> {
    pub(super) node: &'a NodeShared,
    pub(super) call: &'a Call,
    pub(super) request: &'a R,
    pub(super) recorder: &'a AttemptRecorder<'r>,
    /// The position of the target among those of the call.
    pub(super) target: usize,
}

impl<R> Clone for RemoteCall<'_, '_, R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R> Copy for RemoteCall<'_, '_, R> {}
