//! The public handle of the simulated network, which adds hosts and injects faults.

use std::{fmt, net::IpAddr, sync::Arc, time::Duration};

use flyrpc::Region;
use tokio::time::Instant;

use super::{
    boot::HostBoot,
    checks::{assert_bandwidth, assert_share},
    env::SimEnv,
    shared::Shared,
    state::{Boot, Conditions, Core, Fabric, FaultEvent, Sent},
};
use crate::latency::{RoundTrips, assert_whole_milliseconds};

/// A simulated network. Clones are handles to the same network.
///
/// It uses the clock, paused or not, of the tokio runtime in which it is used. Use it in one runtime
/// only.
#[derive(Clone)]
pub struct SimNet {
    pub(super) shared: Arc<Shared>,
}

/// The settings of a simulated network. Created by [`SimNet::builder`].
#[derive(Debug, Clone)]
pub struct SimNetBuilder {
    seed: u64,
    buffer: usize,
    round_trips: RoundTrips,
    baseline: Conditions,
}

impl SimNetBuilder {
    /// Sets the seed, from which all randomness derives. Equal seeds give equal runs. The default is 0.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Sets the round trip between two regions, or within one region if both are the same.
    /// [`RoundTrips`] lists the defaults.
    ///
    /// # Panics
    ///
    /// If `round_trip` is not a whole number of milliseconds.
    #[track_caller]
    pub fn rtt(mut self, a: impl Into<Region>, b: impl Into<Region>, round_trip: Duration) -> Self {
        self.round_trips.set(a, b, round_trip);
        self
    }

    /// Replaces all round trips.
    pub fn round_trips(mut self, round_trips: RoundTrips) -> Self {
        self.round_trips = round_trips;
        self
    }

    /// Delays each message between different hosts by an additional random time from 0 to `up_to`, in
    /// whole milliseconds. The seed determines the times. Messages on a stream stay in order; datagrams
    /// can be reordered. The default is 0. [`SimNet::jitter`] adds to it.
    ///
    /// # Panics
    ///
    /// If `up_to` is not a whole number of milliseconds.
    #[track_caller]
    pub fn jitter(mut self, up_to: Duration) -> Self {
        assert_whole_milliseconds(up_to);
        self.baseline.jitter = up_to;
        self
    }

    /// Drops this share of the datagrams between different hosts: 0 is none, 1 is all. The seed
    /// determines which datagrams are lost. The default is 0. [`SimNet::lose`] drops a share of the
    /// remaining datagrams.
    ///
    /// # Panics
    ///
    /// If `share` is not between 0 and 1.
    #[track_caller]
    pub fn loss(mut self, share: f64) -> Self {
        assert_share(share);
        self.baseline.loss = share;
        self
    }

    /// Limits the bandwidth of each path from one host to another, in bytes per second. Each direction
    /// has its own limit. The default is unlimited. [`SimNet::throttle`] can reduce it.
    ///
    /// The streams and datagrams of a path take turns. A stream transmits a segment of at most 16 KiB
    /// per turn, and less at a low bandwidth, so that a turn takes at most 50 ms. A message arrives when
    /// its last byte arrives, rounded up to a whole millisecond. A datagram that is queued for longer
    /// than a second is lost.
    ///
    /// # Panics
    ///
    /// If `bytes_per_second` is 0.
    #[track_caller]
    pub fn bandwidth(mut self, bytes_per_second: u64) -> Self {
        assert_bandwidth(bytes_per_second);
        self.baseline.bandwidth = Some(bytes_per_second);
        self
    }

    /// Sets the size of a socket's buffers in bytes. The default is 256 KiB. Each endpoint of a stream
    /// buffers at most this many unsent bytes, and at most 128 KiB of them unless its program
    /// [sets](flyrpc::StreamWriter::set_low_water) another limit. The bytes that are in flight to it or
    /// unread have the same limit as the buffer. A datagram socket buffers at most this many unread
    /// bytes. A stream therefore carries at most this many bytes per delay of one direction.
    ///
    /// # Panics
    ///
    /// If `bytes` is 0.
    #[track_caller]
    pub fn socket_buffer(mut self, bytes: usize) -> Self {
        assert!(bytes > 0, "the socket buffer must not be 0 bytes");
        self.buffer = bytes;
        self
    }

    /// Creates the network, without hosts.
    pub fn build(self) -> SimNet {
        let SimNetBuilder { seed, buffer, round_trips, baseline } = self;
        let fabric = Fabric::new(seed, buffer, round_trips, baseline, Instant::now());
        SimNet { shared: Arc::new(Shared::new(Core::new(fabric))) }
    }
}

impl SimNet {
    /// Returns a builder with default settings.
    pub fn builder() -> SimNetBuilder {
        SimNetBuilder {
            seed: 0,
            buffer: 256 * 1024,
            round_trips: RoundTrips::default(),
            baseline: Conditions::default(),
        }
    }

    /// Adds a host, and returns the environment for its programs. The host gets the next free address
    /// of its region.
    ///
    /// # Panics
    ///
    /// If a host or a region already has the name, or if the round trip to the region of an earlier
    /// host is unknown.
    #[track_caller]
    pub fn add_host(&self, name: impl Into<String>, region: impl Into<Region>) -> SimEnv {
        let (name, region) = (name.into(), region.into());
        let added = self.shared.with(|core| core.fabric.add_host(name, region));
        match added {
            Ok(id) => SimEnv::new(HostBoot::new(&self.shared, id, Boot(0))),
            Err(message) => panic!("{message}"),
        }
    }

    /// Makes `name` resolve to `addrs`, replacing its earlier addresses. If `addrs` is empty, lookups of
    /// `name` fail. The names of hosts resolve to their addresses by default.
    pub fn set_name(&self, name: impl Into<String>, addrs: impl IntoIterator<Item = IpAddr>) {
        let (name, addrs) = (name.into(), addrs.into_iter().collect());
        self.shared.with(|core| core.resolver.set(name, addrs));
    }

    /// Returns the number of connections. A connection counts from its first packet until both
    /// endpoints are closed and none of its messages is in flight. The number is 0 once all programs
    /// have ended and their messages have arrived.
    pub fn connections(&self) -> usize {
        self.shared.with(|core| core.connection_count())
    }

    /// Calls `tap` for every write to a stream and every datagram from now on, at the time when it is sent. A test can
    /// check what is on the wire, or record it. Replaces an earlier tap.
    ///
    /// A write is reported once, when the sender's socket accepts it, even if it is never transmitted, for example
    /// because of a partition. A datagram is reported even if it is lost, unless no host has the address to which it
    /// is sent. Messages without data, such as those that open and close connections, are not reported. On one thread,
    /// equal seeds give equal reports.
    ///
    /// The tap runs within the sender's write, before any task that the write wakes, and without a lock of the network
    /// held. It can use the network, but must not call nodes, since the sender may hold its own locks. It must not
    /// block or panic. If it holds a handle of the network or of a cluster, neither is ever freed.
    ///
    /// ```
    /// use std::sync::{Arc, Mutex};
    /// use flyrpc::Env;
    /// use flyrpc_testkit::{SimNet, Via};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> std::io::Result<()> {
    /// let net = SimNet::builder().build();
    /// let (iad, hkg) = (net.add_host("iad-0", "iad"), net.add_host("hkg-0", "hkg"));
    /// let sent = Arc::new(Mutex::new(Vec::new()));
    /// net.tap({
    ///     let sent = Arc::clone(&sent);
    ///     move |message| sent.lock().unwrap().push(message.clone())
    /// });
    ///
    /// let socket = iad.datagram(iad.addr(4100)).await?;
    /// socket.send(b"hello", hkg.addr(4100)).await?;
    /// let sent = sent.lock().unwrap();
    /// assert_eq!((sent[0].from, sent[0].to), (iad.addr(4100), hkg.addr(4100)));
    /// assert_eq!((sent[0].via, &sent[0].bytes[..]), (Via::Datagram, &b"hello"[..]));
    /// # Ok(())
    /// # }
    /// ```
    pub fn tap(&self, tap: impl Fn(&Sent) + Send + Sync + 'static) {
        let _earlier = self.shared.with(|core| core.fabric.tap.set(Arc::new(tap)));
    }

    /// Calls `listener` for every fault from now on. Replaces an earlier listener. The listener runs
    /// after the fault has taken effect, before any task that the fault wakes, and without a lock held.
    pub(crate) fn on_fault(&self, listener: impl Fn(&FaultEvent) + Send + Sync + 'static) {
        let _earlier = self.shared.with(|core| core.fault_events.set(Arc::new(listener)));
    }
}

impl fmt::Debug for SimNet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let core = self.shared.lock();
        let hosts = core.fabric.hosts.iter().map(|host| (&host.info.name, host.health));
        f.debug_map().entries(hosts).finish()
    }
}
