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

/// After this many heartbeats without a pong, and at least [`UNANSWERED`], the link ends because the
/// peer sends but does not read. A heartbeat during which a long body is in flight in either direction
/// does not count, because a pong waits behind the body.
const UNANSWERED_HEARTBEATS: u32 = 2 * SILENT_HEARTBEATS;
const UNANSWERED: Duration = Duration::from_secs(2);

/// Upper bound on the heartbeats without a pong that do not count.
const UNANSWERED_HEARTBEATS_MAX: u32 = 600;

/// At this many bytes received per heartbeat, a body is in flight. Heartbeats and gossip take fewer
/// bytes.
pub(crate) const FLOW: u64 = 512;

/// After this many bytes received since the last pong, the peer must have had an opportunity to send
/// one, because no socket buffers as much.
const FLOW_MAX: u64 = 16 << 20;

/// Counts the heartbeats since the peer last sent a byte, and since it last sent a pong.
#[derive(Debug)]
pub(crate) struct Liveness {
    heartbeat: Duration,
    /// Heartbeats since the last byte.
    silent: u32,
    /// Heartbeats since the last pong, or since the latest other evidence that the peer reads.
    unanswered: u32,
    /// All heartbeats since the last pong.
    since_pong: u32,
    /// The bytes received since the last heartbeat, and since the last pong.
    received: u64,
    received_since_pong: u64,
    /// The number of bytes that the peer reports to have received.
    peer_received: u64,
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
        Liveness {
            heartbeat,
            silent: 0,
            unanswered: 0,
            since_pong: 0,
            received: 0,
            received_since_pong: 0,
            peer_received: 0,
        }
    }

    /// Records that `bytes` bytes were received from the peer.
    pub(crate) fn on_received(&mut self, bytes: usize) -> Option<QuietChange> {
        self.received += bytes as u64;
        let silent = std::mem::take(&mut self.silent);
        (silent >= QUIET_HEARTBEATS).then_some(QuietChange::Recovered)
    }

    /// Whether the peer has sent little since the last heartbeat.
    pub(crate) fn is_idle(&self) -> bool {
        self.received < FLOW
    }

    /// Handles a pong.
    pub(crate) fn on_pong(&mut self) {
        self.unanswered = 0;
        self.since_pong = 0;
        self.received_since_pong = 0;
    }

    /// Records that a write that had to wait for the socket made progress, which shows that the peer
    /// reads.
    pub(crate) fn on_write_progress(&mut self) {
        self.unanswered = 0;
    }

    /// Handles the peer's report that it has received `bytes` on this link.
    pub(crate) fn on_peer_received(&mut self, bytes: u64) {
        if bytes >= self.peer_received + FLOW {
            self.unanswered = 0;
        }
        self.peer_received = self.peer_received.max(bytes);
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
        let received = std::mem::take(&mut self.received);
        self.received_since_pong += received;
        self.since_pong += 1;
        if received < FLOW || self.received_since_pong > FLOW_MAX {
            self.unanswered += 1;
        }
        // A round trip may take many heartbeats, so a minimum time applies too.
        let long = |heartbeats| self.heartbeat.saturating_mul(heartbeats) > UNANSWERED;
        let is_deaf = self.unanswered > UNANSWERED_HEARTBEATS && long(self.unanswered);
        if is_deaf || self.since_pong > UNANSWERED_HEARTBEATS_MAX {
            return Err(LinkError::PongTimeout(self.heartbeat.saturating_mul(self.since_pong)));
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
        assert_eq!(liveness.on_received(10), None);
        assert_eq!(liveness.on_heartbeat().unwrap(), None);
        assert_eq!(liveness.on_heartbeat().unwrap(), Some(QuietChange::BecameQuiet));
        assert_eq!(liveness.on_heartbeat().unwrap(), None);
        assert_eq!(liveness.on_received(10), Some(QuietChange::Recovered));
        assert_eq!(liveness.on_received(10), None);
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
            liveness.on_received(10);
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

    /// Returns the number of heartbeats after which a link ends if `happens` occurs in each of them, and no
    /// pong arrives.
    fn heartbeats_while(happens: impl Fn(&mut Liveness, u32)) -> u32 {
        let mut liveness = Liveness::new(SECOND);
        for count in 1.. {
            happens(&mut liveness, count);
            if liveness.on_heartbeat().is_err() {
                return count;
            }
        }
        unreachable!()
    }

    #[test]
    fn a_peer_whose_pong_waits_behind_a_long_body_is_not_deaf() {
        let slow_line = |liveness: &mut Liveness, _| _ = liveness.on_received(20_000);
        assert!(heartbeats_while(slow_line) > 500);
        // The peer had an opportunity to send a pong.
        let flood = |liveness: &mut Liveness, _| _ = liveness.on_received(1 << 20);
        assert_eq!(heartbeats_while(flood), 16 + UNANSWERED_HEARTBEATS + 1);
    }

    #[test]
    fn a_peer_that_reads_slowly_is_not_deaf() {
        let progress = |liveness: &mut Liveness, _| {
            liveness.on_received(10);
            liveness.on_write_progress();
        };
        assert!(heartbeats_while(progress) > 500);
        let reports = |liveness: &mut Liveness, count| {
            liveness.on_received(10);
            liveness.on_peer_received(u64::from(count) * 20_000);
        };
        assert!(heartbeats_while(reports) > 500);
        let no_progress = |liveness: &mut Liveness, _| {
            liveness.on_received(10);
            liveness.on_peer_received(20_000);
        };
        assert_eq!(heartbeats_while(no_progress), UNANSWERED_HEARTBEATS + 1);
    }

    #[test]
    fn a_pong_restarts_the_count_of_unanswered_pings() {
        let mut liveness = Liveness::new(SECOND);
        for _ in 0..100 {
            liveness.on_received(10);
            liveness.on_pong();
            liveness.on_heartbeat().unwrap();
        }
    }
}
