//! Gossip timings, and how they scale with the size of the cluster.

use std::{
    num::{NonZeroU8, NonZeroUsize},
    time::Duration,
};

use foca::{Config, PeriodicParams};

use crate::{config::Sealing, proto::seal::replay::Salt};

/// Gossip settings. The defaults are for clusters that span the world. They were chosen in
/// simulations of 10 regions with 1 % loss, which the program `large_clusters` repeats.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// The cluster's name, at most 64 bytes long.
    pub(crate) cluster: String,
    /// How datagrams are sealed.
    pub(crate) sealing: GossipSealing,
    /// The version of the link protocol, which gossip announces.
    pub(crate) protocol: u32,
    /// The interval between probes. Keep it above `probe_rtt` plus two of the longest round trips.
    /// At 1 s, 1,000 nodes had 1,608 needless rejoins in 5 minutes.
    pub(crate) probe_period: Duration,
    /// How long to wait for the response to a probe before asking other members to probe the target
    /// too.
    pub(crate) probe_rtt: Duration,
    /// The number of other members that are asked to probe.
    pub(crate) indirect_probes: usize,
    /// How long a suspect has to refute in a cluster of up to ten nodes. In larger clusters, the
    /// time is multiplied by log10 of the number of nodes.
    pub(crate) suspicion: Duration,
    /// The interval between rounds of gossip, if there are updates to send.
    pub(crate) gossip_period: Duration,
    /// The number of members that receive updates in each round.
    pub(crate) gossip_fanout: usize,
    /// The interval at which one random member is asked for the members that it knows.
    pub(crate) announce_period: Duration,
    /// The interval at which members that are considered down are contacted, in case they are back
    /// up.
    pub(crate) recall_period: Duration,
    /// The number of members contacted in each such interval.
    pub(crate) recall_fanout: usize,
    /// How long a member that went down is remembered. While it is remembered, an outdated update
    /// cannot revive it.
    pub(crate) keep_down: Duration,
    /// Maximum size of a datagram in bytes, clamped to between 1,000 and 60,000.
    pub(crate) max_datagram: usize,
    /// Maximum number of members that are tracked, including members that are down. Further members
    /// are ignored.
    pub(crate) max_members: usize,
}

/// How the datagrams of one boot are sealed.
#[derive(Debug, Clone)]
pub(crate) struct GossipSealing {
    /// Which datagrams are sent and accepted.
    pub(crate) mode: Sealing,
    /// Random bytes of the boot. They must never repeat if datagrams are sealed.
    pub(crate) salt: Salt,
}

impl Settings {
    /// Returns the default settings for the cluster named `cluster`.
    pub(crate) fn new(cluster: impl Into<String>) -> Self {
        Settings {
            cluster: cluster.into(),
            sealing: GossipSealing { mode: Sealing::Open, salt: Salt::default() },
            protocol: 1,
            probe_period: Duration::from_secs(2),
            probe_rtt: Duration::from_millis(700),
            indirect_probes: 3,
            suspicion: Duration::from_secs(3),
            gossip_period: Duration::from_millis(500),
            gossip_fanout: 4,
            announce_period: Duration::from_secs(30),
            recall_period: Duration::from_secs(30),
            recall_fanout: 2,
            keep_down: Duration::from_secs(3600),
            max_datagram: 1200,
            max_members: 10_000,
        }
    }

    /// Returns foca's configuration for a cluster of `nodes`, with `overhead` bytes of each
    /// datagram reserved.
    pub(super) fn config(&self, nodes: usize, overhead: usize) -> Config {
        Config {
            probe_period: clamp_period(self.probe_period),
            probe_rtt: clamp_period(self.probe_rtt),
            num_indirect_probes: at_least_one(self.indirect_probes),
            max_transmissions: max_transmissions(nodes),
            suspect_to_down_after: self.suspicion_among(nodes),
            remove_down_after: Some(clamp_period(self.keep_down)),
            max_packet_size: at_least_one(self.max_datagram.clamp(1000, 60_000) - overhead),
            notify_down_members: true,
            periodic_announce: periodic(self.announce_period, 1),
            periodic_announce_to_down_members: periodic(self.recall_period, self.recall_fanout),
            periodic_gossip: periodic(self.gossip_period, self.gossip_fanout),
        }
    }

    /// How long a suspect has to refute in a cluster of `nodes`.
    pub(super) fn suspicion_among(&self, nodes: usize) -> Duration {
        clamp_period(self.suspicion).mul_f64((nodes as f64).log10().max(1.0))
    }
}

/// Number of times each update is transmitted in a cluster of `nodes`.
fn max_transmissions(nodes: usize) -> NonZeroU8 {
    let times = (4.0 * (nodes as f64 + 1.0).log10()).ceil();
    // The cast saturates.
    NonZeroU8::new(times as u8).unwrap_or(NonZeroU8::MIN)
}

fn periodic(period: Duration, members: usize) -> Option<PeriodicParams> {
    Some(PeriodicParams { frequency: clamp_period(period), num_members: at_least_one(members) })
}

/// Clamps a period to between 1 ms and 30 days. A timer with no period would fire continuously, and
/// a period without an upper bound would overflow.
fn clamp_period(period: Duration) -> Duration {
    period.clamp(Duration::from_millis(1), Duration::from_secs(30 * 24 * 3600))
}

fn at_least_one(n: usize) -> NonZeroUsize {
    NonZeroUsize::new(n).unwrap_or(NonZeroUsize::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(nodes: usize, suspicion: f64, transmissions: u8) {
        let config = Settings::new("app").config(nodes, 0);
        let suspected = config.suspect_to_down_after.as_secs_f64();
        assert!((suspected - suspicion).abs() < 1e-6, "{nodes} nodes: {suspected} s");
        assert_eq!(config.max_transmissions.get(), transmissions, "{nodes} nodes");
    }

    #[test]
    fn suspicion_and_transmissions_grow_with_the_cluster() {
        check(0, 3.0, 1);
        check(1, 3.0, 2);
        check(10, 3.0, 5);
        check(100, 6.0, 9);
        check(1_000, 9.0, 13);
        check(usize::MAX, 3.0 * (usize::MAX as f64).log10(), 78);
    }

    #[test]
    fn extreme_settings_do_not_spin_or_overflow() {
        let settings = Settings {
            probe_period: Duration::ZERO,
            suspicion: Duration::MAX,
            keep_down: Duration::MAX,
            gossip_fanout: 0,
            max_datagram: 0,
            ..Settings::new("app")
        };
        let config = settings.config(usize::MAX, 70);
        assert_eq!(config.probe_period, Duration::from_millis(1));
        assert_eq!(config.max_packet_size.get(), 930);
    }
}
