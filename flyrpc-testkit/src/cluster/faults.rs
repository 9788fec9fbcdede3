//! The network and the machines under the nodes. Every method of [`SimNet`] is available here; those
//! that stop or start programs also update the state of the node on the machine.

use std::{net::IpAddr, time::Duration};

use flyrpc::Region;

use super::sim_cluster::{NodeState, SimCluster};
use crate::net::{FaultGuard, SimEnv, SimNet};

/// Faults between places. A place is the name of a node or of another host, or of a region for all
/// hosts in it. Where both places may be the same region, the fault is on the paths between its hosts.
/// A host always reaches itself.
///
/// # Panics
///
/// All of these panic if a name is neither a host's nor a region's with hosts, and those that
/// start a fault if both names are the same host's.
impl SimCluster {
    /// Drops all messages between two places, in both directions.
    ///
    /// Bytes written to streams stay with their sender, as do those in flight that would arrive
    /// during the partition; both are sent once it has healed. Datagrams are lost.
    ///
    /// # Panics
    ///
    /// If both places are the same. `partition("iad-0", "iad")` isolates a node from its region.
    #[track_caller]
    pub fn partition(&self, a: impl AsRef<str>, b: impl AsRef<str>) -> FaultGuard {
        self.shared.net.partition(a, b)
    }

    /// Drops all messages from one place to another, and leaves the other direction open.
    ///
    /// # Panics
    ///
    /// If both places are the same.
    #[track_caller]
    pub fn partition_one_way(&self, from: impl AsRef<str>, to: impl AsRef<str>) -> FaultGuard {
        self.shared.net.partition_one_way(from, to)
    }

    /// Holds messages between two places, datagrams included, until the guard is dropped, which
    /// releases them.
    ///
    /// # Panics
    ///
    /// If both places are the same.
    #[track_caller]
    pub fn hold(&self, a: impl AsRef<str>, b: impl AsRef<str>) -> FaultGuard {
        self.shared.net.hold(a, b)
    }

    /// Adds `extra` to the delay of each direction between two places, so twice that to a round trip.
    ///
    /// # Panics
    ///
    /// If `extra` is not a whole number of milliseconds.
    #[track_caller]
    pub fn slow(&self, a: impl AsRef<str>, b: impl AsRef<str>, extra: Duration) -> FaultGuard {
        self.shared.net.slow(a, b, extra)
    }

    /// Delays each message between two places, in either direction, by 0 to `up_to` more, a whole
    /// number of milliseconds that follows from the seed. Streams keep their order, datagrams can
    /// overtake each other. The bounds of several of these add up.
    ///
    /// # Panics
    ///
    /// If `up_to` is not a whole number of milliseconds.
    #[track_caller]
    pub fn jitter(&self, a: impl AsRef<str>, b: impl AsRef<str>, up_to: Duration) -> FaultGuard {
        self.shared.net.jitter(a, b, up_to)
    }

    /// Loses this share of the datagrams between two places, 0 for none and 1 for all; which ones
    /// follows from the seed. Streams lose nothing.
    ///
    /// # Panics
    ///
    /// If `share` is not between 0 and 1.
    #[track_caller]
    pub fn lose(&self, a: impl AsRef<str>, b: impl AsRef<str>, share: f64) -> FaultGuard {
        self.shared.net.lose(a, b, share)
    }

    /// Drops the messages of streams between two places, and lets datagrams pass, as a firewall does
    /// that filters TCP. Connections hang, and so do attempts to connect. What was written arrives once
    /// the fault has ended.
    #[track_caller]
    pub fn filter_tcp(&self, a: impl AsRef<str>, b: impl AsRef<str>) -> FaultGuard {
        self.shared.net.filter_tcp(a, b)
    }

    /// Limits the bandwidth of each path from a host to another between two places, as
    /// [`SimClusterBuilder::bandwidth`](crate::SimClusterBuilder::bandwidth) does; the lowest of
    /// several limits applies.
    ///
    /// # Panics
    ///
    /// If `bytes_per_second` is 0.
    #[track_caller]
    pub fn throttle(
        &self,
        a: impl AsRef<str>,
        b: impl AsRef<str>,
        bytes_per_second: u64,
    ) -> FaultGuard {
        self.shared.net.throttle(a, b, bytes_per_second)
    }

    /// Ends every fault that was set between exactly these two places, in either order, whether its
    /// guard was kept or not.
    #[track_caller]
    pub fn heal(&self, a: impl AsRef<str>, b: impl AsRef<str>) {
        self.shared.net.heal(a, b);
    }

    /// Ends every hold that was set between exactly these two places, in either order, whether its
    /// guard was kept or not. Other faults between them stay.
    #[track_caller]
    pub fn release(&self, a: impl AsRef<str>, b: impl AsRef<str>) {
        self.shared.net.release(a, b);
    }

    /// Ends every fault between places. Machines stay crashed or frozen, and clocks as they are.
    pub fn heal_all(&self) {
        self.shared.net.heal_all();
    }
}

/// Faults of machines: the host of a node, or one that was added with
/// [`add_host`](SimCluster::add_host).
///
/// # Panics
///
/// All of these panic if there is no host of that name; the message lists the hosts.
impl SimCluster {
    /// Crashes a machine with the node or other programs on it, whether they run or not. The other
    /// ends of its connections see a reset; attempts to connect to it get no response. It lasts until
    /// [`restart`](Self::restart) restarts it with its node, or
    /// [`restart_machine`](Self::restart_machine) without.
    ///
    /// [`crash`](Self::crash) ends the process of a node only. This is [`SimNet::crash`].
    #[track_caller]
    pub fn crash_machine(&self, host: impl AsRef<str>) {
        let host = host.as_ref();
        self.shared.net.crash(host);
        self.mark_crashed(host);
    }

    /// Restarts a machine without its node, and returns the environment of the new boot, for programs
    /// of the test's own. Programs that still run there crash first. Until something listens there,
    /// attempts to connect are refused. Its clock is not reset.
    ///
    /// [`restart`](Self::restart) restarts the machine and its node. This is [`SimNet::restart`].
    #[track_caller]
    pub fn restart_machine(&self, host: impl AsRef<str>) -> SimEnv {
        let host = host.as_ref();
        let env = self.shared.net.restart(host);
        self.mark_crashed(host);
        env
    }

    /// Kills the programs on a machine, and leaves the machine up: attempts to connect are refused.
    ///
    /// For a node that is up, this is [`crash`](Self::crash), which unlike this panics for a node that
    /// is down, and for hosts without a node.
    #[track_caller]
    pub fn kill(&self, host: impl AsRef<str>) {
        let host = host.as_ref();
        self.shared.net.kill(host);
        self.mark_crashed(host);
    }

    /// Freezes a machine until the guard is dropped: its tasks are not polled. Its kernel keeps
    /// running, so it accepts connections, and buffers incoming data until its buffers are full. With
    /// several freezes, it resumes when the last of them ends. A crashed machine stays crashed.
    ///
    /// Only tasks spawned through the machine's environment freeze, as those of a [`Node`] are, not
    /// those that a service spawns with `tokio::spawn`, nor the test's own.
    ///
    /// [`Node`]: flyrpc::Node
    #[track_caller]
    pub fn frozen(&self, host: impl AsRef<str>) -> FaultGuard {
        self.shared.net.frozen(host)
    }

    /// Freezes a machine as [`frozen`](Self::frozen) does, until [`resume`](Self::resume).
    #[track_caller]
    pub fn freeze(&self, host: impl AsRef<str>) {
        self.shared.net.freeze(host);
    }

    /// Resumes a frozen machine and ends all its freezes. Timers that expired meanwhile fire at once.
    #[track_caller]
    pub fn resume(&self, host: impl AsRef<str>) {
        self.shared.net.resume(host);
    }

    /// Moves a machine's clock ahead by `by` until the guard is dropped. Several of these, and of
    /// [`skewed_behind`](Self::skewed_behind), add up. Timers are not affected.
    #[track_caller]
    pub fn skewed_ahead(&self, host: impl AsRef<str>, by: Duration) -> FaultGuard {
        self.shared.net.skewed_ahead(host, by)
    }

    /// Moves a machine's clock back by `by`, relative to all others, until the guard is dropped.
    /// Several of these, and of [`skewed_ahead`](Self::skewed_ahead), add up. Timers are not affected.
    ///
    /// No clock of a program runs backwards, so all other clocks are set ahead instead. The same
    /// happens when a clock that was ahead is corrected.
    #[track_caller]
    pub fn skewed_behind(&self, host: impl AsRef<str>, by: Duration) -> FaultGuard {
        self.shared.net.skewed_behind(host, by)
    }

    /// Sets a machine's clock ahead of the correct time by `by`, and discards earlier skews and
    /// accumulated drift. [`Duration::ZERO`] corrects it. Timers are not affected.
    #[track_caller]
    pub fn skew_ahead(&self, host: impl AsRef<str>, by: Duration) {
        self.shared.net.skew_ahead(host, by);
    }

    /// Sets a machine's clock behind the correct time by `by`, and discards earlier skews and
    /// accumulated drift. Timers are not affected. No clock of a program runs backwards, so all other
    /// clocks are set ahead instead.
    #[track_caller]
    pub fn skew_behind(&self, host: impl AsRef<str>, by: Duration) {
        self.shared.net.skew_behind(host, by);
    }

    /// Makes a machine's clock run fast, or slow if negative, until the guard is dropped: 200 parts
    /// per million are 0.2 ms in each second. The clock continues from its current time, and keeps
    /// the accumulated offset when the drift ends. Several drifts add up. Timers are not affected.
    ///
    /// # Panics
    ///
    /// If the clock would run backwards; at −1,000,000 it stops.
    #[track_caller]
    pub fn drifting(&self, host: impl AsRef<str>, parts_per_million: i64) -> FaultGuard {
        self.shared.net.drifting(host, parts_per_million)
    }

    /// Makes a machine's clock run fast, or slow if negative, from now on, instead of any earlier
    /// drift; see [`drifting`](Self::drifting). 0 ends it: the clock keeps the accumulated offset,
    /// until [`skew_ahead`](Self::skew_ahead) sets it.
    ///
    /// # Panics
    ///
    /// If the clock would run backwards; at −1,000,000 it stops.
    #[track_caller]
    pub fn drift(&self, host: impl AsRef<str>, parts_per_million: i64) {
        self.shared.net.drift(host, parts_per_million);
    }

    /// Marks the node on a machine, if there is one and it is up, as crashed.
    fn mark_crashed(&self, host: &str) {
        // Drops the earlier state outside the lock: with the last handle of a node, it stops.
        let _earlier = self.try_with_member(host, |member| match member.state {
            NodeState::Down(_) => None,
            NodeState::Running(_) | NodeState::Other => {
                Some(std::mem::replace(&mut member.state, NodeState::Down("has crashed")))
            }
        });
    }
}

/// The network under the nodes.
impl SimCluster {
    /// The network that the cluster runs on. A clone of it outlives the cluster.
    ///
    /// [`SimNet::crash`] and [`SimNet::restart`] are machine-level, and do not update the state of the
    /// node on the machine: use [`crash_machine`](Self::crash_machine) and
    /// [`restart_machine`](Self::restart_machine).
    pub fn net(&self) -> &SimNet {
        &self.shared.net
    }

    /// Adds a host that is not a node of the cluster, with the next free address of its region, and
    /// returns the environment for the programs on it. [`add_node`](Self::add_node) adds a node.
    ///
    /// # Panics
    ///
    /// If the name is taken by a host or a region, or the round trip to the region of an earlier
    /// host is unknown.
    #[track_caller]
    pub fn add_host(&self, name: impl Into<String>, region: impl Into<Region>) -> SimEnv {
        self.shared.net.add_host(name, region)
    }

    /// Makes `name` resolve to `addrs`, in place of its earlier addresses. With no addresses, lookups
    /// fail. The names of nodes resolve to their addresses without this.
    pub fn set_name(&self, name: impl Into<String>, addrs: impl IntoIterator<Item = IpAddr>) {
        self.shared.net.set_name(name, addrs);
    }

    /// The number of connections, each from its first packet until both endpoints are closed and no
    /// message of it is in flight.
    pub fn connections(&self) -> usize {
        self.shared.net.connections()
    }
}
