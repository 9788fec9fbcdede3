//! Detects a peer that stopped sending or reading, by the bytes that arrive between heartbeats.
//!
//! Silence is counted in heartbeats that fired, not in elapsed time: a process that was suspended
//! must not conclude from its own late timers that the peer was silent.

use std::time::Duration;

use super::lifecycle::LinkError;

/// After this many heartbeats without a byte from the peer, routing prefers other nodes.
pub(crate) const QUIET_HEARTBEATS: u32 = 2;

/// After this many heartbeats without a byte from the peer, the link ends.
pub(crate) const SILENT_HEARTBEATS: u32 = 5;

/// After this many heartbeats without a pong, and at least [`UNANSWERED`], the link ends: the peer
/// sends but does not read.
const UNANSWERED_HEARTBEATS: u32 = 2 * SILENT_HEARTBEATS;
const UNANSWERED: Duration = Duration::from_secs(2);

/// Counts the heartbeats since the peer last sent a byte, and since it last sent a pong.
#[derive(Debug)]
pub(crate) struct Liveness {
    heartbeat: Duration,
    /// Heartbeats since the last byte.
    silent: u32,
    /// Heartbeats since the last pong.
    unanswered: u32,
}

/// A change in whether routing should prefer other nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum QuietChange {
    BecameQuiet,
    Recovered,
}

impl Liveness {
    /// Starts counting for a peer that has just sent a byte. `heartbeat` is the time between pings.
    pub(crate) fn new(heartbeat: Duration) -> Self {
        Liveness { heartbeat, silent: 0, unanswered: 0 }
    }

    /// Handles bytes received from the peer.
    pub(crate) fn on_received(&mut self) -> Option<QuietChange> {
        let silent = std::mem::take(&mut self.silent);
        (silent >= QUIET_HEARTBEATS).then_some(QuietChange::Recovered)
    }

    /// Handles a pong.
    pub(crate) fn on_pong(&mut self) {
        self.unanswered = 0;
    }

    /// Handles a heartbeat. The caller then sends a ping, unless this returns an error.
    ///
    /// # Errors
    ///
    /// The reason why the link must end.
    pub(crate) fn on_heartbeat(&mut self) -> Result<Option<QuietChange>, LinkError> {
        self.silent += 1;
        if self.silent > SILENT_HEARTBEATS {
            let heartbeat = self.heartbeat;
            return Err(LinkError::HeartbeatTimeout { heartbeats: SILENT_HEARTBEATS, heartbeat });
        }
        self.unanswered += 1;
        // A round trip may take many heartbeats, so a minimum time applies too.
        let unanswered = self.heartbeat.saturating_mul(self.unanswered);
        if self.unanswered > UNANSWERED_HEARTBEATS && unanswered > UNANSWERED {
            return Err(LinkError::PongTimeout(unanswered));
        }
        Ok((self.silent == QUIET_HEARTBEATS).then_some(QuietChange::BecameQuiet))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_peer_is_quiet_after_two_silent_heartbeats_and_recovers_with_a_byte() {
        let mut liveness = Liveness::new(SECOND);
        assert_eq!(liveness.on_heartbeat().unwrap(), None);
        assert_eq!(liveness.on_received(), None);
        assert_eq!(liveness.on_heartbeat().unwrap(), None);
        assert_eq!(liveness.on_heartbeat().unwrap(), Some(QuietChange::BecameQuiet));
        assert_eq!(liveness.on_heartbeat().unwrap(), None);
        assert_eq!(liveness.on_received(), Some(QuietChange::Recovered));
        assert_eq!(liveness.on_received(), None);
    }

    #[test]
    fn a_link_ends_after_five_silent_heartbeats() {
        let mut liveness = Liveness::new(SECOND);
        for _ in 0..SILENT_HEARTBEATS {
            liveness.on_heartbeat().unwrap();
        }
        assert!(matches!(
            liveness.on_heartbeat(),
            Err(LinkError::HeartbeatTimeout { heartbeat: SECOND, .. })
        ));
    }

    /// Returns the number of heartbeats after which a link ends if the peer sends bytes but no pong.
    fn heartbeats_without_pong(heartbeat: Duration) -> u32 {
        let mut liveness = Liveness::new(heartbeat);
        for count in 1.. {
            liveness.on_received();
            if let Err(error) = liveness.on_heartbeat() {
                assert!(matches!(error, LinkError::PongTimeout(_)), "{error}");
                return count;
            }
        }
        unreachable!()
    }

    #[test]
    fn a_link_without_pongs_ends_after_ten_heartbeats_and_two_seconds() {
        assert_eq!(heartbeats_without_pong(SECOND), UNANSWERED_HEARTBEATS + 1);
        assert_eq!(heartbeats_without_pong(Duration::from_millis(100)), 21);
    }

    #[test]
    fn a_pong_restarts_the_count_of_unanswered_pings() {
        let mut liveness = Liveness::new(SECOND);
        for _ in 0..100 {
            liveness.on_received();
            liveness.on_pong();
            liveness.on_heartbeat().unwrap();
        }
    }
}
