//! The simulated network: hosts in regions, and the ways between them.
//!
//! All of it is one state under one lock. Every message under way is an event that is due at some
//! instant; one task sleeps until the next of them. Nothing is woken, dropped or spawned while the
//! lock is held, because wakers and destructors are other people's code and may come back here.

mod clock;
mod connection;
mod core;
mod datagram;
mod end;
mod faults;
mod guard;
mod host;
mod host_faults;
mod line;
mod misuse;
mod names;
mod news;
mod stream;
mod view;
mod way_faults;
mod wire;

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
pub(crate) use self::{
    core::Core,
    datagram::SimDatagram,
    host::HostId,
    stream::{SimListener, connect},
    view::Admission,
};
use self::{
    core::Driver,
    faults::{Weather, assert_share},
    wire::Wire,
};
use crate::{
    env::SimEnv,
    latency::{RoundTrips, assert_whole_milliseconds},
};

/// A simulated network. Clones are handles to the same one.
///
/// It lives on tokio's clock, paused or not, of the one runtime that it is used in.
#[derive(Clone)]
pub struct SimNet {
    shared: Arc<Shared>,
}

/// Settles what a simulated network is like before there is anything in it.
#[derive(Debug, Clone)]
pub struct SimNetBuilder {
    seed: u64,
    buffer: usize,
    round_trips: RoundTrips,
    usual: Weather,
}

impl SimNetBuilder {
    /// Where all randomness comes from: equal seeds give equal runs. 0 unless set.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Sets the round trip between two regions, or within one. [`RoundTrips`] has the defaults.
    ///
    /// # Panics
    ///
    /// If `round_trip` is not a whole number of milliseconds.
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
    pub fn jitter(mut self, up_to: Duration) -> Self {
        assert_whole_milliseconds(up_to);
        self.usual.jitter = up_to;
        self
    }

    /// Loses that share of the datagrams between different hosts, 0 for none and 1 for all; which
    /// ones follows from the seed. 0 unless set. [`SimNet::lose`] loses some of the rest.
    ///
    /// # Panics
    ///
    /// If `share` is not between 0 and 1.
    pub fn loss(mut self, share: f64) -> Self {
        assert_share(share);
        self.usual.loss = share;
        self
    }

    /// Limits the bandwidth of each way from a host to another, each direction for itself. All
    /// streams and datagrams of a way take turns, streams with up to 16 KiB at a time, or a
    /// twentieth of a second's worth if that is less. A message arrives when the last of its bytes
    /// does, at the next whole millisecond. A datagram that would have to wait for longer than a
    /// second is lost. Bandwidth is unlimited unless set; [`SimNet::throttle`] can lessen it.
    ///
    /// # Panics
    ///
    /// If `bytes_per_second` is 0.
    pub fn bandwidth(mut self, bytes_per_second: u64) -> Self {
        line::assert_some(bytes_per_second);
        self.usual.bandwidth = Some(bytes_per_second);
        self
    }

    /// How many bytes a socket buffers, 256 KiB unless set: for a stream, of what it has not sent
    /// yet, and again of what is in flight to it or not read yet; for datagrams, of what is not
    /// read yet. A stream carries at most this much in the time of one way.
    ///
    /// # Panics
    ///
    /// If `bytes` is 0.
    pub fn socket_buffer(mut self, bytes: usize) -> Self {
        assert!(bytes > 0, "a stream cannot move without any buffer");
        self.buffer = bytes;
        self
    }

    /// Makes the network, with no hosts yet.
    pub fn build(self) -> SimNet {
        let SimNetBuilder { seed, buffer, round_trips, usual } = self;
        let wire = Wire::new(seed, buffer, round_trips, usual, Instant::now());
        let core = Mutex::new(Core::new(wire));
        SimNet { shared: Arc::new(Shared { core, sooner: Notify::new() }) }
    }
}

impl SimNet {
    /// Starts to describe a network.
    pub fn builder() -> SimNetBuilder {
        SimNetBuilder {
            seed: 0,
            buffer: 256 * 1024,
            round_trips: RoundTrips::default(),
            usual: Weather::default(),
        }
    }

    /// Adds a host, with the next free address of its region. What runs on it is told its
    /// environment, which this returns.
    ///
    /// # Panics
    ///
    /// If the name is taken by a host or a region, or the round trip to the region of an earlier
    /// host is unknown.
    pub fn add_host(&self, name: impl Into<String>, region: impl Into<Region>) -> SimEnv {
        let (name, region) = (name.into(), region.into());
        let id = self.shared.with(|core| core.wire.add_host(name, region));
        SimEnv::new(Arc::clone(&self.shared), id, 0)
    }

    /// Lets `name` resolve to `addrs` instead of what it resolved to before; to none of them, and
    /// looking it up fails. The names of hosts resolve to their addresses without this.
    pub fn set_name(&self, name: impl Into<String>, addrs: impl IntoIterator<Item = IpAddr>) {
        let (name, addrs) = (name.into(), addrs.into_iter().collect());
        self.shared.with(|core| core.names.set(name, addrs));
    }

    /// How many connections there are: each from its first packet until both its ends are closed and
    /// nothing of it is under way any more. 0 once all programs have ended and what they sent has
    /// arrived.
    pub fn connections(&self) -> usize {
        self.shared.with(|core| core.connections())
    }
}

impl fmt::Debug for SimNet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let core = self.shared.lock();
        let hosts = core.wire.hosts.iter().map(|host| (&host.name, host.health));
        f.debug_map().entries(hosts).finish()
    }
}

pub(crate) struct Shared {
    core: Mutex<Core>,
    /// Tells the driver that an event is due before the one that it waits for.
    sooner: Notify,
}

impl Shared {
    /// Looks at the state without letting time pass in it.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Core> {
        // A panic under the lock is a failed lookup of a test's own, which changes nothing.
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Acts on the state as it is now, and sees to it that what follows happens in time.
    pub(crate) fn with<R>(self: &Arc<Self>, act: impl FnOnce(&mut Core) -> R) -> R {
        let mut core = self.lock();
        let now = Instant::now();
        core.advance(now);
        let result = act(&mut core);
        // What takes no time has happened when this returns.
        core.advance(now);
        let wakes = std::mem::take(&mut core.wire.wakes);
        let waits = core.driver;
        let sooner = core.wire.next_event().map(Driver::Until);
        let sooner = sooner.filter(|until| waits == Driver::Idle || waits > *until);
        // Outside a runtime there is nobody left to see what would follow.
        let runtime = sooner.and_then(|_| runtime::Handle::try_current().ok());
        if let (Some(until), Some(_)) = (sooner, &runtime) {
            core.driver = until;
        }
        let news = std::mem::take(&mut core.news);
        let listener = if news.is_empty() { None } else { core.listener.clone() };
        drop(core);
        for (news, listen) in news.iter().zip(listener.iter().cycle()) {
            listen(news);
        }
        for waker in wakes {
            waker.wake();
        }
        match runtime {
            Some(runtime) if waits == Driver::Idle => {
                runtime.spawn(drive(Arc::clone(self)));
            }
            Some(_) => self.sooner.notify_one(),
            None => {}
        }
        result
    }

    /// Lets happen what is due, and tells when the next event is, if any.
    fn turn(&self) -> Option<Instant> {
        let mut core = self.lock();
        core.advance(Instant::now());
        let wakes = std::mem::take(&mut core.wire.wakes);
        let next = core.wire.next_event();
        core.driver = next.map_or(Driver::Idle, Driver::Until);
        drop(core);
        for waker in wakes {
            waker.wake();
        }
        next
    }
}

/// Runs as long as anything is under way.
async fn drive(shared: Arc<Shared>) {
    while let Some(next) = shared.turn() {
        // Either way it is time to look again.
        let _ = timeout_at(next, shared.sooner.notified()).await;
    }
}
