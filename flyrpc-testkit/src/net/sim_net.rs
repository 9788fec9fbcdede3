//! The simulated network, to add hosts to and to inject faults in.

use std::{fmt, net::IpAddr, sync::Arc, time::Duration};

use flyrpc::Region;
use tokio::time::Instant;

use super::{
    boot::HostBoot,
    checks::{assert_bandwidth, assert_share},
    env::SimEnv,
    shared::Shared,
    state::{Boot, Conditions, Core, Fabric, FaultEvent},
};
use crate::latency::{RoundTrips, assert_whole_milliseconds};

/// A simulated network. Clones are handles to the same one.
///
/// It runs on the clock, paused or not, of the one tokio runtime that it is used in.
#[derive(Clone)]
pub struct SimNet {
    pub(super) shared: Arc<Shared>,
}

/// Settings of a simulated network. Made by [`SimNet::builder`].
#[derive(Debug, Clone)]
pub struct SimNetBuilder {
    seed: u64,
    buffer: usize,
    round_trips: RoundTrips,
    baseline: Conditions,
}

impl SimNetBuilder {
    /// The source of all randomness: equal seeds give equal runs. 0 unless set.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Sets the round trip between two regions, or within one. [`RoundTrips`] has the defaults.
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

    /// Delays each message between different hosts by 0 to `up_to` more, a whole number of
    /// milliseconds that follows from the seed. Streams keep their order, datagrams can overtake
    /// each other. 0 unless set. [`SimNet::jitter`] adds to it.
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

    /// Loses this share of the datagrams between different hosts, 0 for none and 1 for all; which
    /// ones follows from the seed. 0 unless set. [`SimNet::lose`] loses some of the rest.
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

    /// Limits the bandwidth of each path from a host to another, separately for each direction. All
    /// streams and datagrams of a path take turns, streams with up to 16 KiB at a time, or as much as
    /// takes a twentieth of a second if that is less. A message arrives when its last byte does, at
    /// the next whole millisecond. A datagram that would be queued for longer than a second is lost.
    /// Bandwidth is unlimited unless set; [`SimNet::throttle`] can reduce it.
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

    /// How many bytes a socket buffers, 256 KiB unless set: for a stream, unsent bytes, and as many
    /// again in flight to it or unread; for datagrams, unread bytes. A stream carries at most this
    /// much in the delay of one direction.
    ///
    /// # Panics
    ///
    /// If `bytes` is 0.
    #[track_caller]
    pub fn socket_buffer(mut self, bytes: usize) -> Self {
        assert!(bytes > 0, "a stream cannot move without any buffer");
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
    /// A network with default settings.
    pub fn builder() -> SimNetBuilder {
        SimNetBuilder {
            seed: 0,
            buffer: 256 * 1024,
            round_trips: RoundTrips::default(),
            baseline: Conditions::default(),
        }
    }

    /// Adds a host, with the next free address of its region, and returns the environment for the
    /// programs on it.
    ///
    /// # Panics
    ///
    /// If the name is taken by a host or a region, or the round trip to the region of an earlier
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

    /// Makes `name` resolve to `addrs`, in place of its earlier addresses. With no addresses, lookups
    /// fail. The names of hosts resolve to their addresses without this.
    pub fn set_name(&self, name: impl Into<String>, addrs: impl IntoIterator<Item = IpAddr>) {
        let (name, addrs) = (name.into(), addrs.into_iter().collect());
        self.shared.with(|core| core.resolver.set(name, addrs));
    }

    /// The number of connections, each from its first packet until both endpoints are closed and no
    /// message of it is in flight. 0 once all programs have ended and their messages have arrived.
    pub fn connections(&self) -> usize {
        self.shared.with(|core| core.connection_count())
    }

    /// Calls `listener` for every fault from now on, instead of an earlier listener: after the fault
    /// has taken effect, before any task that it wakes has run, and without a lock held.
    pub(crate) fn on_fault(&self, listener: impl Fn(&FaultEvent) + Send + Sync + 'static) {
        self.shared.with(|core| core.fault_events.set_listener(Arc::new(listener)));
    }
}

impl fmt::Debug for SimNet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let core = self.shared.lock();
        let hosts = core.fabric.hosts.iter().map(|host| (&host.info.name, host.health));
        f.debug_map().entries(hosts).finish()
    }
}
