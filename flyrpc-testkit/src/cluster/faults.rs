//! Faults of the network and of the machines under the nodes. Every method of [`SimNet`] is available
//! here. The methods that stop or start programs also update the state of the node on the machine.

use std::{net::IpAddr, time::Duration};

use flyrpc::Region;

use super::sim_cluster::{NodeState, SimCluster};
use crate::net::{Barrier, FaultGuard, Sent, SimEnv, SimNet};

/// Faults between two scopes. A scope is the name of a node, of another host, or of a region, which
/// stands for all its hosts. If a method allows the same region for both scopes, the fault applies to
/// the paths between the hosts of that region. A host always reaches itself.
///
/// # Panics
///
/// All methods that take scopes panic if a name is neither a host nor a region with hosts. Methods
/// that start a fault also panic if both scopes are the same host.
impl SimCluster {
    /// Blocks all messages between two scopes, in both directions.
    ///
    /// Stream bytes written during the partition are buffered at the sender. Stream bytes in flight
    /// that would arrive during the partition return to the sender's buffer. Both are sent once the
    /// partition has healed. Datagrams are lost.
    ///
    /// # Panics
    ///
    /// If both scopes are the same. `partition("iad-0", "iad")` isolates a node from its region.
    #[track_caller]
    pub fn partition(&self, a: impl AsRef<str>, b: impl AsRef<str>) -> FaultGuard {
        self.shared.net.partition(a, b)
    }

    /// Blocks all messages from one scope to another, and leaves the other direction open.
    ///
    /// # Panics
    ///
    /// If both scopes are the same.
    #[track_caller]
    pub fn partition_one_way(&self, from: impl AsRef<str>, to: impl AsRef<str>) -> FaultGuard {
        self.shared.net.partition_one_way(from, to)
    }

    /// Holds all messages between two scopes, including datagrams, until the guard is dropped.
    /// Dropping it releases the messages.
    ///
    /// # Panics
    ///
    /// If both scopes are the same.
    #[track_caller]
    pub fn hold(&self, a: impl AsRef<str>, b: impl AsRef<str>) -> FaultGuard {
        self.shared.net.hold(a, b)
    }

    /// Adds `extra` to the delay of each direction between two scopes. A round trip takes twice
    /// `extra` longer.
    ///
    /// # Panics
    ///
    /// If `extra` is not a whole number of milliseconds.
    #[track_caller]
    pub fn slow(&self, a: impl AsRef<str>, b: impl AsRef<str>, extra: Duration) -> FaultGuard {
        self.shared.net.slow(a, b, extra)
    }

    /// Delays each message between two scopes, in either direction, by an additional random time from
    /// 0 to `up_to`, in whole milliseconds. The seed determines the times. Messages on a stream stay
    /// in order; datagrams can be reordered. If several jitters apply, their bounds add up.
    ///
    /// # Panics
    ///
    /// If `up_to` is not a whole number of milliseconds.
    #[track_caller]
    pub fn jitter(&self, a: impl AsRef<str>, b: impl AsRef<str>, up_to: Duration) -> FaultGuard {
        self.shared.net.jitter(a, b, up_to)
    }

    /// Drops this share of the datagrams between two scopes: 0 is none, 1 is all. The seed determines
    /// which datagrams are lost. Streams lose nothing.
    ///
    /// # Panics
    ///
    /// If `share` is not between 0 and 1.
    #[track_caller]
    pub fn lose(&self, a: impl AsRef<str>, b: impl AsRef<str>, share: f64) -> FaultGuard {
        self.shared.net.lose(a, b, share)
    }

    /// Drops the messages of streams between two scopes and lets datagrams pass, like a firewall that
    /// filters TCP. Connections and connection attempts hang. Bytes written during the fault arrive once
    /// it has ended.
    #[track_caller]
    pub fn filter_tcp(&self, a: impl AsRef<str>, b: impl AsRef<str>) -> FaultGuard {
        self.shared.net.filter_tcp(a, b)
    }

    /// Limits the bandwidth, in bytes per second, of each path between a host of one scope and a host
    /// of the other, as [`SimClusterBuilder::bandwidth`](crate::SimClusterBuilder::bandwidth) does. If
    /// several limits apply to a path, the lowest is used.
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

    /// Ends every fault that was started between exactly these two scopes, in either order, whether or
    /// not `keep` was called on its guard.
    #[track_caller]
    pub fn heal(&self, a: impl AsRef<str>, b: impl AsRef<str>) {
        self.shared.net.heal(a, b);
    }

    /// Ends every hold that was started between exactly these two scopes, in either order, whether or
    /// not `keep` was called on its guard. Other faults between them continue.
    #[track_caller]
    pub fn release(&self, a: impl AsRef<str>, b: impl AsRef<str>) {
        self.shared.net.release(a, b);
    }

    /// Ends every fault between scopes. Crashed or frozen machines and wrong clocks are not affected.
    pub fn heal_all(&self) {
        self.shared.net.heal_all();
    }
}

/// Faults of machines. A machine is the host of a node, or a host that was added with
/// [`add_host`](SimCluster::add_host).
///
/// # Panics
///
/// All these methods panic if there is no host with that name. The message lists the hosts.
impl SimCluster {
    /// Crashes a machine, including the node or other programs on it, if any are running. The other
    /// ends of its connections see a reset. Attempts to connect to the machine get no response. It
    /// stays crashed until [`restart`](Self::restart) restarts it with its node, or
    /// [`restart_machine`](Self::restart_machine) restarts it without its node.
    ///
    /// To crash only the process of a node, use [`crash`](Self::crash). The equivalent on the network
    /// is [`SimNet::crash`].
    #[track_caller]
    pub fn crash_machine(&self, host: impl AsRef<str>) {
        let host = host.as_ref();
        self.shared.net.crash(host);
        self.mark_crashed(host);
    }

    /// Restarts a machine without its node, and returns the environment of the new boot, in which the
    /// test can start its own programs. Programs that are still running on the machine crash first.
    /// Attempts to connect are refused until a program listens. The machine's clock is not reset.
    ///
    /// To restart the machine with its node, use [`restart`](Self::restart). The equivalent on the
    /// network is [`SimNet::restart`].
    #[track_caller]
    pub fn restart_machine(&self, host: impl AsRef<str>) -> SimEnv {
        let host = host.as_ref();
        let env = self.shared.net.restart(host);
        self.mark_crashed(host);
        env
    }

    /// Kills the programs on a machine, and leaves the machine up. Attempts to connect are refused.
    ///
    /// For a node that is up, this is the same as [`crash`](Self::crash). Unlike `crash`, it does not
    /// panic if the node is down or the host has no node.
    #[track_caller]
    pub fn kill(&self, host: impl AsRef<str>) {
        let host = host.as_ref();
        self.shared.net.kill(host);
        self.mark_crashed(host);
    }

    /// Freezes a machine until the guard is dropped. Its tasks are not polled. Its kernel keeps
    /// running: it accepts connections, and buffers incoming data until its buffers are full. If
    /// several freezes overlap, the machine resumes when the last of them ends. A crashed machine
    /// stays crashed.
    ///
    /// The tasks of the machine freeze: those of its [`Node`], of its environment and of [`flyrpc::spawn`], and futures under
    /// `Context::scope`. Other tasks of `tokio::spawn` and the test's own tasks keep running.
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

    /// Resumes a frozen machine and ends all its freezes. Timers that expired during the freeze fire immediately.
    #[track_caller]
    pub fn resume(&self, host: impl AsRef<str>) {
        self.shared.net.resume(host);
    }

    /// Moves a machine's clock ahead by `by` until the guard is dropped. Skews add up, including those of
    /// [`skewed_behind`](Self::skewed_behind). Timers are not affected.
    #[track_caller]
    pub fn skewed_ahead(&self, host: impl AsRef<str>, by: Duration) -> FaultGuard {
        self.shared.net.skewed_ahead(host, by)
    }

    /// Moves a machine's clock back by `by`, relative to all other clocks, until the guard is dropped.
    /// Skews add up, including those of [`skewed_ahead`](Self::skewed_ahead). Timers are not affected.
    ///
    /// Clocks of programs are monotonic, so all other clocks are set ahead instead. The same happens
    /// when a clock that was ahead is corrected.
    #[track_caller]
    pub fn skewed_behind(&self, host: impl AsRef<str>, by: Duration) -> FaultGuard {
        self.shared.net.skewed_behind(host, by)
    }

    /// Sets a machine's clock to `by` ahead of the correct time, and discards earlier skews and
    /// accumulated drift. [`Duration::ZERO`] corrects the clock. Timers are not affected.
    #[track_caller]
    pub fn skew_ahead(&self, host: impl AsRef<str>, by: Duration) {
        self.shared.net.skew_ahead(host, by);
    }

    /// Sets a machine's clock to `by` behind the correct time, and discards earlier skews and
    /// accumulated drift. Timers are not affected. Clocks of programs are monotonic, so all other
    /// clocks are set ahead instead.
    #[track_caller]
    pub fn skew_behind(&self, host: impl AsRef<str>, by: Duration) {
        self.shared.net.skew_behind(host, by);
    }

    /// Makes a machine's clock run fast, or slow if negative, until the guard is dropped. A drift of
    /// 200 parts per million adds 0.2 ms in each second. The clock continues from its current time, and
    /// keeps the accumulated offset when the drift ends. Several drifts add up. Timers are not affected.
    ///
    /// # Panics
    ///
    /// If the clock would run backward. A drift of −1,000,000 stops it.
    #[track_caller]
    pub fn drifting(&self, host: impl AsRef<str>, parts_per_million: i64) -> FaultGuard {
        self.shared.net.drifting(host, parts_per_million)
    }

    /// Makes a machine's clock run fast, or slow if negative, from now on. Replaces all earlier drifts;
    /// see [`drifting`](Self::drifting). A drift of 0 ends drifting, and the clock keeps the
    /// accumulated offset until [`skew_ahead`](Self::skew_ahead) sets it.
    ///
    /// # Panics
    ///
    /// If the clock would run backward. A drift of −1,000,000 stops it.
    #[track_caller]
    pub fn drift(&self, host: impl AsRef<str>, parts_per_million: i64) {
        self.shared.net.drift(host, parts_per_million);
    }

    /// Stops the handlers of a node at [`flyrpc::barrier`] with this name, until the returned barrier is dropped. It
    /// applies to all boots of the node, and replaces an earlier one with the same name.
    ///
    /// ```
    /// # use flyrpc_testkit::SimCluster;
    /// # async fn check(cluster: &SimCluster, call: impl Future<Output = ()> + Send + 'static) {
    /// let committed = cluster.barrier("iad-0", "committed");
    /// tokio::spawn(call);
    /// committed.reached().await; // a handler on iad-0 waits at `flyrpc::barrier("committed")`
    /// cluster.crash("iad-0"); // after the commit, before the reply
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// If there is no such node.
    #[track_caller]
    pub fn barrier(&self, host: impl AsRef<str>, name: &str) -> Barrier {
        self.shared.net.barrier(host, name)
    }

    /// Marks the node on a machine as crashed, if the machine has a node and it is up.
    fn mark_crashed(&self, host: &str) {
        // Drops the earlier state outside the lock: dropping the last handle of a node stops it.
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
    /// Returns the network that the cluster runs on. A clone of it outlives the cluster.
    ///
    /// [`SimNet::crash`] and [`SimNet::restart`] do not update the state of the node on the machine. Use
    /// [`crash_machine`](Self::crash_machine) and [`restart_machine`](Self::restart_machine) instead.
    pub fn net(&self) -> &SimNet {
        &self.shared.net
    }

    /// Adds a host that is not a node of the cluster, and returns the environment for its programs. The
    /// host gets the next free address of its region. To add a node, use [`add_node`](Self::add_node).
    ///
    /// # Panics
    ///
    /// If a host or a region already has the name, or if the round trip to the region of an earlier
    /// host is unknown.
    #[track_caller]
    pub fn add_host(&self, name: impl Into<String>, region: impl Into<Region>) -> SimEnv {
        self.shared.net.add_host(name, region)
    }

    /// Makes `name` resolve to `addrs`, replacing its earlier addresses. If `addrs` is empty, lookups of
    /// `name` fail. The names of nodes resolve to their addresses by default.
    pub fn set_name(&self, name: impl Into<String>, addrs: impl IntoIterator<Item = IpAddr>) {
        self.shared.net.set_name(name, addrs);
    }

    /// Calls `tap` for every write to a stream and every datagram from now on, at the time when it is sent. Replaces
    /// an earlier tap. [`SimNet::tap`] describes it.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/guide/preamble.rs"));
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), RpcError> {
    /// use std::sync::{Arc, atomic::{AtomicUsize, Ordering}};
    ///
    /// let cluster = cluster().await;
    /// let found = Arc::new(AtomicUsize::new(0));
    /// cluster.tap({
    ///     let found = Arc::clone(&found);
    ///     move |sent| {
    ///         let has_marker = sent.bytes.windows(6).any(|bytes| bytes == b"marker");
    ///         found.fetch_add(usize::from(has_marker), Ordering::Relaxed);
    ///     }
    /// });
    ///
    /// let strings: StringsClient = cluster.node("hkg-0").client();
    /// strings.on_primary().upcase("marker".into()).await?;
    /// assert_eq!(found.load(Ordering::Relaxed), 1); // without a secret, arguments can be read on the wire
    /// # Ok(())
    /// # }
    /// ```
    pub fn tap(&self, tap: impl Fn(&Sent) + Send + Sync + 'static) {
        self.shared.net.tap(tap);
    }

    /// Returns the number of connections. A connection counts from its first packet until both
    /// endpoints are closed and none of its messages is in flight.
    pub fn connections(&self) -> usize {
        self.shared.net.connections()
    }
}
