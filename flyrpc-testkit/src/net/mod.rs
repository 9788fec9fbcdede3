//! The simulated network: hosts in regions, and the paths between them.
//!
//! All of it is one state under one lock. Every message in flight is an event that is due at some
//! instant; one task, the driver, sleeps until the next of them. Nothing is woken, dropped or spawned
//! while the lock is held, because wakers and destructors are other people's code and may call back
//! into this module.

mod checks;
mod clock;
mod connection;
mod core;
mod datagram;
mod endpoint;
mod fabric;
mod fault_event;
mod faults;
mod guard;
mod host;
mod host_api;
mod host_faults;
mod path_faults;
mod resolver;
mod shaper;
mod stream;

use std::{
    fmt,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use flyrpc::Region;
use tokio::{
    runtime,
    sync::Notify,
    time::{Instant, timeout_at},
};

pub use self::guard::FaultGuard;
use self::{
    checks::{assert_bandwidth, assert_share},
    core::Driver,
    fabric::Fabric,
    faults::Conditions,
};
pub(crate) use self::{
    core::Core,
    datagram::SimDatagram,
    host::{Boot, HostId, TaskId},
    host_api::TaskPoll,
    stream::{SimListener, connect},
};
use crate::{
    env::SimEnv,
    latency::{RoundTrips, assert_whole_milliseconds},
};

/// A simulated network. Clones are handles to the same one.
///
/// It runs on the clock, paused or not, of the one tokio runtime that it is used in.
#[derive(Clone)]
pub struct SimNet {
    shared: Arc<Shared>,
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
        let core = Mutex::new(Core::new(fabric));
        SimNet { shared: Arc::new(Shared { core, driver_notify: Notify::new() }) }
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
            Ok(id) => SimEnv::new(Arc::clone(&self.shared), id, Boot(0)),
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
}

impl fmt::Debug for SimNet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let core = self.shared.lock();
        let hosts = core.fabric.hosts.iter().map(|host| (&host.name, host.health));
        f.debug_map().entries(hosts).finish()
    }
}

pub(crate) struct Shared {
    core: Mutex<Core>,
    /// Wakes the driver for an event that is due before the one it waits for.
    driver_notify: Notify,
}

impl Shared {
    /// Locks the state without advancing it to the current time.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Core> {
        // A panic under the lock comes from a failed check of an argument, which changes nothing.
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls `act` with the state advanced to now, and schedules the driver for what follows.
    pub(crate) fn with<R>(self: &Arc<Self>, act: impl FnOnce(&mut Core) -> R) -> R {
        let mut core = self.lock();
        let now = Instant::now();
        core.advance(now);
        let result = act(&mut core);
        // Effects without a delay are complete when this returns.
        core.advance(now);
        let wakes = std::mem::take(&mut core.fabric.pending_wakes);
        let driver = core.driver;
        let next = core.fabric.next_event().map(Driver::Until);
        let earlier = next.filter(|until| driver == Driver::Idle || driver > *until);
        // Outside a runtime no program is left that could see later events.
        let runtime = earlier.and_then(|_| runtime::Handle::try_current().ok());
        if let (Some(until), Some(_)) = (earlier, &runtime) {
            core.driver = until;
        }
        let fault_events = std::mem::take(&mut core.fault_events);
        let listener = core.fault_listener.clone().filter(|_| !fault_events.is_empty());
        drop(core);
        if let Some(listener) = listener {
            fault_events.iter().for_each(|event| listener(event));
        }
        for waker in wakes {
            waker.wake();
        }
        match runtime {
            Some(runtime) if driver == Driver::Idle => {
                runtime.spawn(run_driver(Arc::clone(self)));
            }
            Some(_) => self.driver_notify.notify_one(),
            None => {}
        }
        result
    }

    /// Processes the events that are due, and returns when the next one is.
    fn process_due(&self) -> Option<Instant> {
        let mut core = self.lock();
        core.advance(Instant::now());
        let wakes = std::mem::take(&mut core.fabric.pending_wakes);
        let next = core.fabric.next_event();
        core.driver = next.map_or(Driver::Idle, Driver::Until);
        drop(core);
        for waker in wakes {
            waker.wake();
        }
        next
    }
}

/// Runs until no event is left.
async fn run_driver(shared: Arc<Shared>) {
    while let Some(next) = shared.process_due() {
        // Whether it timed out or was notified, check again.
        let _ = timeout_at(next, shared.driver_notify.notified()).await;
    }
}
