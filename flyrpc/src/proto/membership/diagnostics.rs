//! Occurrences in the membership other than its events, for logs and telemetry.

use std::collections::VecDeque;

use super::envelope::Rejected;
use crate::types::NodeInfo;

/// Maximum number of diagnostics kept for a caller that does not poll them. Beyond it, the oldest
/// is dropped.
const CAPACITY: usize = 32;

/// Totals since the start, for telemetry.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    /// Datagrams ignored because they are not gossip of this cluster and version.
    pub(crate) foreign: u64,
    /// Open datagrams, if this node accepts only sealed ones.
    pub(crate) not_sealed: u64,
    /// Datagrams that were sealed with a key that this node does not hold.
    pub(crate) unknown_key: u64,
    /// Sealed datagrams that were changed, or belong to another cluster with the same secret.
    pub(crate) not_authentic: u64,
    /// Sealed datagrams that were received before, or came much too late.
    pub(crate) replayed: u64,
    /// Datagrams that were ignored. They were malformed, came from this node itself or from a stranger,
    /// asked for too much, or came from an unknown member when there was no room for more.
    pub(crate) ignored: u64,
    /// Steps that foca refused.
    pub(crate) errors: u64,
    /// Number of times this node had to renew its identity.
    pub(crate) renewals: u64,
}

/// An occurrence that is worth logging.
#[derive(Debug)]
pub(crate) enum Diagnostic {
    /// A datagram was ignored.
    DatagramIgnored(Rejected),
    /// foca refused a step.
    StepRefused(foca::Error),
    /// Another boot held this node's address, so this node renewed its identity.
    AddressReclaimed {
        /// Number of times the identity has been renewed.
        bump: u32,
    },
    /// Other members considered this node down, so this node renewed its identity.
    Rejoined {
        /// Number of times the identity has been renewed.
        bump: u32,
    },
    /// A boot that is listed claims a second address.
    SecondAddress(NodeInfo),
}

/// Counts diagnostics, and queues them for the caller.
#[derive(Debug, Default)]
pub(super) struct Diagnostics {
    counters: Counters,
    queue: VecDeque<Diagnostic>,
}

impl Diagnostics {
    pub(super) fn counters(&self) -> Counters {
        self.counters
    }

    pub(super) fn push(&mut self, diagnostic: Diagnostic) {
        match &diagnostic {
            Diagnostic::DatagramIgnored(Rejected::Foreign | Rejected::Cluster) => {
                self.counters.foreign += 1;
            }
            Diagnostic::DatagramIgnored(Rejected::NotSealed) => self.counters.not_sealed += 1,
            Diagnostic::DatagramIgnored(Rejected::UnknownKey(_)) => self.counters.unknown_key += 1,
            Diagnostic::DatagramIgnored(Rejected::NotAuthentic) => self.counters.not_authentic += 1,
            Diagnostic::DatagramIgnored(Rejected::Replayed) => self.counters.replayed += 1,
            Diagnostic::DatagramIgnored(
                Rejected::Field | Rejected::Malformed | Rejected::Stranger | Rejected::Excessive,
            ) => {
                self.counters.ignored += 1;
            }
            Diagnostic::StepRefused(_) => self.counters.errors += 1,
            Diagnostic::AddressReclaimed { .. } | Diagnostic::Rejoined { .. } => {
                self.counters.renewals += 1;
            }
            Diagnostic::SecondAddress(_) => {}
        }
        if self.queue.len() == CAPACITY {
            self.queue.pop_front();
        }
        self.queue.push_back(diagnostic);
    }

    pub(super) fn pop(&mut self) -> Option<Diagnostic> {
        self.queue.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn diagnostics_that_are_not_polled_are_counted_and_bounded() {
        let mut diagnostics = Diagnostics::default();
        let ignored = [Rejected::Foreign, Rejected::Malformed, Rejected::Cluster, Rejected::Field];
        ignored.into_iter().cycle().take(100).for_each(|reason| {
            diagnostics.push(Diagnostic::DatagramIgnored(reason));
        });
        diagnostics.push(Diagnostic::Rejoined { bump: 1 });
        let counters = Counters { foreign: 50, ignored: 50, renewals: 1, ..Counters::default() };
        assert_eq!(diagnostics.counters(), counters);
        let kept: Vec<_> = std::iter::from_fn(|| diagnostics.pop()).collect();
        assert_eq!(kept.len(), CAPACITY);
        assert!(matches!(kept.last(), Some(Diagnostic::Rejoined { bump: 1 })));
    }
}
