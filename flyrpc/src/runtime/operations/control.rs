//! Changes which calls a node accepts.

use crate::{runtime::shared::NodeShared, types::NodeAction};

/// Performs an action of an operator on this node.
pub(crate) fn control(node: &NodeShared, action: NodeAction) {
    tracing::info!(parent: node.span(), %action, "an operator changes which calls this node accepts");
    node.change_state(|state| match action {
        NodeAction::Accept => state.accepting = true,
        NodeAction::Hold => state.accepting = false,
        NodeAction::Drain => state.draining = true,
    });
}
