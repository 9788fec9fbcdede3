//! Log lines for the membership, which has no logging of its own.

use crate::proto::membership::Diagnostic;

/// Logs a diagnostic of the membership.
pub(super) fn log(diagnostic: &Diagnostic) {
    match diagnostic {
        Diagnostic::DatagramIgnored(reason) => tracing::trace!(?reason, "datagram ignored"),
        Diagnostic::StepRefused(error) => tracing::debug!(%error, "gossip step refused"),
        Diagnostic::AddressReclaimed { bump } => {
            tracing::debug!(bump, "another boot held this node's address; identity renewed");
        }
        Diagnostic::Rejoined { bump } => {
            tracing::debug!(bump, "other members held this node down; identity renewed");
        }
        Diagnostic::SecondAddress(node) => {
            tracing::debug!(?node, "a boot that is listed claims a second address");
        }
    }
}
