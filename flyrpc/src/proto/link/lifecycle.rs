//! The life of a link: open, then draining at either end or both, then ended for one reason.
//!
//! The state is read on every call and changes rarely. It is therefore an atomic set of flags, which
//! are only ever raised, instead of a value behind a lock. With [`sent`](super::sent), this module is
//! the exception to the rule that state machines take `&mut self`.

use std::{
    io,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use crate::{
    codec::bytes::Malformed,
    proto::{seal::NotAuthentic, wire::frame::GoAway},
};

/// Why a link ended.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum LinkError {
    #[error("the peer closed the connection")]
    Closed,
    #[error("the connection failed: {0}")]
    Broken(Arc<io::Error>),
    #[error("the peer sent nothing for {heartbeats} heartbeats of {heartbeat:?}")]
    HeartbeatTimeout { heartbeats: u32, heartbeat: Duration },
    #[error("the peer did not respond to any ping for {0:?}")]
    PongTimeout(Duration),
    #[error("the peer sends but does not read: too much is queued for it")]
    OutboxOverflow,
    #[error("the peer sent a {0}")]
    Malformed(Malformed),
    /// The record was changed, repeated or left out on the way.
    #[error("the peer sent {0}")]
    NotAuthentic(NotAuthentic),
    /// Both ends drained the link, and nothing was left in flight.
    #[error("the link was drained")]
    Drained,
    /// The connection ended before the link was drained, after the peer had announced that it leaves.
    #[error("the peer shut down, and waited for calls in flight only until its drain timeout")]
    PeerLeft,
    #[error("another boot claims the peer's address, and the peer did not answer a ping")]
    AddressTaken,
    #[error("this node was shut down")]
    ShutDown,
    #[error("a task of the link panicked, which is a defect of flyrpc")]
    TaskPanicked,
}

impl From<io::Error> for LinkError {
    fn from(error: io::Error) -> Self {
        LinkError::Broken(Arc::new(error))
    }
}

impl From<NotAuthentic> for LinkError {
    fn from(error: NotAuthentic) -> Self {
        LinkError::NotAuthentic(error)
    }
}

impl From<Malformed> for LinkError {
    fn from(malformed: Malformed) -> Self {
        LinkError::Malformed(malformed)
    }
}

/// This end starts no more requests.
const DRAINING_HERE: u8 = 1;
/// The other end starts no more requests.
const DRAINING_THERE: u8 = 2;
/// The peer announced that it leaves the cluster.
const PEER_LEAVING: u8 = 4;
/// The link has ended, or is about to.
const ENDED: u8 = 8;

/// The state of a link.
#[derive(Debug, Default)]
pub(crate) struct Lifecycle {
    flags: AtomicU8,
    ended: OnceLock<LinkError>,
}

impl Lifecycle {
    /// Returns whether new requests may be sent.
    pub(crate) fn is_open(&self) -> bool {
        !self.has_any(DRAINING_HERE | DRAINING_THERE | ENDED)
    }

    /// Returns whether both ends start no more requests.
    pub(crate) fn is_draining_at_both_ends(&self) -> bool {
        self.flags.load(Ordering::Acquire) & (DRAINING_HERE | DRAINING_THERE)
            == DRAINING_HERE | DRAINING_THERE
    }

    /// Returns whether the other end starts no more requests.
    pub(crate) fn is_draining_there(&self) -> bool {
        self.has_any(DRAINING_THERE)
    }

    /// Returns whether the peer announced that it leaves the cluster.
    pub(crate) fn is_peer_leaving(&self) -> bool {
        self.has_any(PEER_LEAVING)
    }

    /// Drains this end, which starts no more requests. Returns true the first time.
    pub(crate) fn drain(&self) -> bool {
        self.raise(DRAINING_HERE) & DRAINING_HERE == 0
    }

    /// Handles a go-away frame: the peer starts no more requests. Returns whether the frame
    /// changed the state. Each reason changes it at most once.
    pub(crate) fn on_go_away(&self, reason: GoAway) -> bool {
        let flags = match reason {
            GoAway::Replaced => DRAINING_THERE,
            GoAway::Leaving => DRAINING_THERE | PEER_LEAVING,
        };
        self.raise(flags) & flags != flags
    }

    /// Ends the link, unless it has already ended. Returns whether this call ended it.
    pub(crate) fn end(&self, error: LinkError) -> bool {
        let expected = matches!(error, LinkError::Closed | LinkError::Broken(_));
        let leaving = self.raise(ENDED) & PEER_LEAVING != 0 && expected;
        self.ended.set(if leaving { LinkError::PeerLeft } else { error }).is_ok()
    }

    /// Returns why the link ended, if it has.
    pub(crate) fn error(&self) -> Option<&LinkError> {
        self.ended.get()
    }

    fn has_any(&self, flags: u8) -> bool {
        self.flags.load(Ordering::Acquire) & flags != 0
    }

    /// Raises flags, and returns the flags that were raised before.
    fn raise(&self, flags: u8) -> u8 {
        self.flags.fetch_or(flags, Ordering::AcqRel)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_accepts_new_requests_until_either_end_drains() {
        let here = Lifecycle::default();
        assert!(here.is_open());
        assert!(here.drain());
        assert!(!here.drain());
        assert!(!here.is_open() && !here.is_draining_there() && !here.is_draining_at_both_ends());

        let there = Lifecycle::default();
        assert!(there.on_go_away(GoAway::Replaced));
        assert!(!there.is_open() && there.is_draining_there());
        there.drain();
        assert!(there.is_draining_at_both_ends());
    }

    #[test]
    fn each_reason_of_a_go_away_changes_the_state_once() {
        let lifecycle = Lifecycle::default();
        assert!(lifecycle.on_go_away(GoAway::Replaced));
        assert!(!lifecycle.on_go_away(GoAway::Replaced));
        assert!(!lifecycle.is_peer_leaving());
        assert!(lifecycle.on_go_away(GoAway::Leaving));
        assert!(lifecycle.is_peer_leaving());
        assert!(!lifecycle.on_go_away(GoAway::Leaving));
        assert!(!lifecycle.on_go_away(GoAway::Replaced));
    }

    #[test]
    fn a_link_keeps_the_first_reason_that_ended_it() {
        let lifecycle = Lifecycle::default();
        assert!(lifecycle.error().is_none());
        assert!(lifecycle.end(LinkError::OutboxOverflow));
        assert!(!lifecycle.end(LinkError::Closed));
        assert!(matches!(lifecycle.error(), Some(LinkError::OutboxOverflow)));
        assert!(!lifecycle.is_open());
    }

    #[test]
    fn a_connection_that_closes_after_the_peer_announced_its_leave_ends_as_peer_left() {
        let lifecycle = Lifecycle::default();
        lifecycle.on_go_away(GoAway::Leaving);
        lifecycle.end(LinkError::Closed);
        assert!(matches!(lifecycle.error(), Some(LinkError::PeerLeft)));

        let drained = Lifecycle::default();
        drained.on_go_away(GoAway::Leaving);
        drained.end(LinkError::Drained);
        assert!(matches!(drained.error(), Some(LinkError::Drained)));
    }
}
