//! Logs the diagnostics of the membership, which does no logging itself.

use crate::proto::membership::Diagnostic;

/// Logs a diagnostic of the membership.
pub(super) fn log(diagnostic: &Diagnostic) {
    match diagnostic {
        Diagnostic::DatagramIgnored(reason) => tracing::trace!(?reason, "gossip datagram ignored"),
        Diagnostic::StepRefused(error) => tracing::debug!(%error, "gossip step refused"),
        Diagnostic::AddressReclaimed { bump } => {
            tracing::debug!(
                bump,
                "another boot was listed at this node's address; identity renewed"
            );
        }
        Diagnostic::Rejoined { bump } => {
            tracing::debug!(bump, "other members listed this node as down; identity renewed");
        }
        Diagnostic::SecondAddress(node) => {
            tracing::debug!(?node, "a known boot claims a second address");
        }
    }
}
