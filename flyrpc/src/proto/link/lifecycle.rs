//! From open, through draining at either end, to the one reason that ended the link.
//!
//! Read on every call and changed rarely, so it is a set of flags that are only ever raised, in an
//! atomic, rather than a value behind a lock. With [`sent`](super::sent) it is the exception to the
//! rule that state machines take `&mut self`.

use std::{
    io,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use crate::{codec::bytes::Malformed, proto::wire::frame::GoAway};

/// Why a link ended.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum LinkError {
    #[error("the peer closed the connection")]
    Closed,
    #[error("the connection broke: {0}")]
    Broken(Arc<io::Error>),
    #[error("the peer was silent for {heartbeats} heartbeats of {heartbeat:?}")]
    HeartbeatTimeout { heartbeats: u32, heartbeat: Duration },
    #[error("the peer answered no ping for {0:?}")]
    PongTimeout(Duration),
    #[error("the peer sends but does not read what it is sent")]
    OutboxOverflow,
    #[error("the peer sent a {0}")]
    Malformed(Malformed),
    /// Both ends drained it, and nothing was left in flight.
    #[error("the link was drained")]
    Drained,
    /// It ended with calls in flight after the peer had announced that it leaves.
    #[error(
        "the node was shut down, which waits for calls no longer than its drain timeout allows"
    )]
    PeerLeft,
    #[error("this node was shut down")]
    ShutDown,
}

impl From<io::Error> for LinkError {
    fn from(error: io::Error) -> Self {
        LinkError::Broken(Arc::new(error))
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

/// How far a link has come.
#[derive(Debug, Default)]
pub(crate) struct Lifecycle {
    flags: AtomicU8,
    ended: OnceLock<LinkError>,
}

impl Lifecycle {
    /// Whether new requests may be sent.
    pub(crate) fn is_open(&self) -> bool {
        !self.has_any(DRAINING_HERE | DRAINING_THERE) && self.ended.get().is_none()
    }

    /// Whether both ends start no more requests.
    pub(crate) fn is_draining_at_both_ends(&self) -> bool {
        self.flags.load(Ordering::Acquire) & (DRAINING_HERE | DRAINING_THERE)
            == DRAINING_HERE | DRAINING_THERE
    }

    /// Whether the other end starts no more requests.
    pub(crate) fn is_draining_there(&self) -> bool {
        self.has_any(DRAINING_THERE)
    }

    /// Starts no more requests from this end. True the first time.
    pub(crate) fn drain(&self) -> bool {
        self.raise(DRAINING_HERE) & DRAINING_HERE == 0
    }

    /// The peer starts no more requests. Returns whether that is news: once for either reason.
    pub(crate) fn on_go_away(&self, reason: GoAway) -> bool {
        let flags = match reason {
            GoAway::Replaced => DRAINING_THERE,
            GoAway::Leaving => DRAINING_THERE | PEER_LEAVING,
        };
        self.raise(flags) & flags != flags
    }

    /// Ends the link, once. Returns false if it had ended before, for another reason.
    pub(crate) fn end(&self, error: LinkError) -> bool {
        let expected = matches!(error, LinkError::Closed | LinkError::Broken(_));
        let leaving = expected && self.has_any(PEER_LEAVING);
        self.ended.set(if leaving { LinkError::PeerLeft } else { error }).is_ok()
    }

    /// Why the link ended, if it has.
    pub(crate) fn error(&self) -> Option<&LinkError> {
        self.ended.get()
    }

    fn has_any(&self, flags: u8) -> bool {
        self.flags.load(Ordering::Acquire) & flags != 0
    }

    /// Raises flags, and returns those that were up before.
    fn raise(&self, flags: u8) -> u8 {
        self.flags.fetch_or(flags, Ordering::AcqRel)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_takes_new_requests_until_either_end_drains() {
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
    fn a_goodbye_is_news_once_for_either_reason() {
        let lifecycle = Lifecycle::default();
        assert!(lifecycle.on_go_away(GoAway::Replaced));
        assert!(!lifecycle.on_go_away(GoAway::Replaced));
        assert!(lifecycle.on_go_away(GoAway::Leaving));
        assert!(!lifecycle.on_go_away(GoAway::Leaving));
        assert!(!lifecycle.on_go_away(GoAway::Replaced));
    }

    #[test]
    fn the_first_reason_ends_a_link() {
        let lifecycle = Lifecycle::default();
        assert!(lifecycle.error().is_none());
        assert!(lifecycle.end(LinkError::OutboxOverflow));
        assert!(!lifecycle.end(LinkError::Closed));
        assert!(matches!(lifecycle.error(), Some(LinkError::OutboxOverflow)));
        assert!(!lifecycle.is_open());
    }

    #[test]
    fn a_connection_that_closes_after_a_leave_was_left_by_its_peer() {
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
