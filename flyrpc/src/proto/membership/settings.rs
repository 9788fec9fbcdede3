//! The timings of the gossip, and how they grow with the cluster.

use std::{
    num::{NonZeroU8, NonZeroUsize},
    time::Duration,
};

use foca::{Config, PeriodicParams};

/// How a node gossips. The defaults suit clusters that span the world: they were chosen in
/// simulations of 10 regions with 1 % loss. The program `large_clusters` shows what comes of them.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// The cluster's name, at most 64 bytes.
    pub(crate) cluster: String,
    /// The version of the links' protocol, told to the others.
    pub(crate) protocol: u32,
    /// How often a member is probed. Keep it above `probe_rtt` and two of the longest round trips:
    /// 1 s gave 1,608 needless rejoins in 5 minutes at 1,000 nodes.
    pub(crate) probe_period: Duration,
    /// How long a probe may take before others are asked to probe too.
    pub(crate) probe_rtt: Duration,
    /// How many others are asked to.
    pub(crate) indirect_probes: usize,
    /// How long a suspect of a cluster of up to ten has to refute; times log10 of the nodes beyond.
    pub(crate) suspicion: Duration,
    /// How often news is passed on, if there is any.
    pub(crate) gossip_period: Duration,
    /// To how many members.
    pub(crate) gossip_fanout: usize,
    /// How often one random member is asked for members.
    pub(crate) announce_period: Duration,
    /// How often members held down are called, in case they are back.
    pub(crate) recall_period: Duration,
    /// How many of them.
    pub(crate) recall_fanout: usize,
    /// How long a member that went down is remembered. Until then old news cannot revive it.
    pub(crate) keep_down: Duration,
    /// The size of a datagram, in bytes; held between 1,000 and 60,000.
    pub(crate) max_datagram: usize,
    /// How many members are known at most, those down included. Further ones are ignored.
    pub(crate) max_members: usize,
}

impl Settings {
    /// The default settings for the cluster called `cluster`.
    pub(crate) fn new(cluster: impl Into<String>) -> Self {
        Settings {
            cluster: cluster.into(),
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

    /// foca's configuration in a cluster of `nodes`, `overhead` bytes of each datagram being taken.
    pub(super) fn config(&self, nodes: usize, overhead: usize) -> Config {
        Config {
            probe_period: sane(self.probe_period),
            probe_rtt: sane(self.probe_rtt),
            num_indirect_probes: at_least_one(self.indirect_probes),
            max_transmissions: max_transmissions(nodes),
            suspect_to_down_after: self.suspicion_among(nodes),
            remove_down_after: Some(sane(self.keep_down)),
            max_packet_size: at_least_one(self.max_datagram.clamp(1000, 60_000) - overhead),
            notify_down_members: true,
            periodic_announce: periodic(self.announce_period, 1),
            periodic_announce_to_down_members: periodic(self.recall_period, self.recall_fanout),
            periodic_gossip: periodic(self.gossip_period, self.gossip_fanout),
        }
    }

    /// How long a suspect has to refute in a cluster of `nodes`.
    pub(super) fn suspicion_among(&self, nodes: usize) -> Duration {
        sane(self.suspicion).mul_f64((nodes as f64).log10().max(1.0))
    }
}

/// How often each piece of news is passed on in a cluster of `nodes`.
fn max_transmissions(nodes: usize) -> NonZeroU8 {
    let times = (4.0 * (nodes as f64 + 1.0).log10()).ceil();
    // A float saturates when it becomes an integer.
    NonZeroU8::new(times as u8).unwrap_or(NonZeroU8::MIN)
}

fn periodic(period: Duration, members: usize) -> Option<PeriodicParams> {
    Some(PeriodicParams { frequency: sane(period), num_members: at_least_one(members) })
}

/// A timer that fires at once would fire for ever, and one without bounds overflows.
fn sane(period: Duration) -> Duration {
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
    fn senseless_settings_do_not_spin_or_overflow() {
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
