//! The state that connections and datagrams act on: hosts, delays and faults of paths, shapers, and
//! scheduled events. It takes the time as an argument and never waits.

use std::{
    task::Waker,
    time::{Duration, SystemTime},
};

use flyrpc::Region;
use tokio::time::Instant;

use super::{
    clock::{self, Clock},
    event_queue::{Event, EventQueue},
    faults::{Conditions, Faults},
    host::Host,
    ids::{HostId, Path},
    listener::Listener,
    path_rngs::{PathRngs, Use},
    sent::Sent,
    shaper::Shapers,
    topology::Topology,
};
use crate::latency::RoundTrips;

/// The time on the wall clock of every host at the start, since the Unix epoch: 2026-01-01 00:00:00 UTC.
const WALL_CLOCK_START: Duration = Duration::from_secs(1_767_225_600);

pub(crate) struct Fabric {
    pub(crate) seed: u64,
    /// How many bytes each endpoint of a connection buffers in each direction.
    pub(crate) buffer: usize,
    start: Instant,
    pub(crate) now: Instant,
    /// How many nanoseconds the network's clock is ahead of `now`. All hosts' clocks are relative to the
    /// network's clock.
    clock_base: i128,
    pub(crate) topology: Topology,
    pub(crate) hosts: Vec<Host>,
    pub(crate) faults: Faults,
    pub(crate) path_rngs: PathRngs,
    pub(crate) shapers: Shapers,
    pub(crate) events: EventQueue,
    pub(crate) tap: Listener<Sent>,
    /// Wakers to call after the lock is released, since wakers run foreign code.
    pub(crate) pending_wakes: Vec<Waker>,
}

impl Fabric {
    pub(crate) fn new(
        seed: u64,
        buffer: usize,
        round_trips: RoundTrips,
        baseline: Conditions,
        now: Instant,
    ) -> Self {
        Fabric {
            seed,
            buffer,
            start: now,
            now,
            clock_base: 0,
            topology: Topology::new(round_trips),
            hosts: Vec::new(),
            faults: Faults::new(baseline),
            path_rngs: PathRngs::new(seed),
            shapers: Shapers::default(),
            events: EventQueue::default(),
            tap: Listener::default(),
            pending_wakes: Vec::new(),
        }
    }

    /// Adds a host.
    ///
    /// # Errors
    ///
    /// Returns the panic message if the name is taken or the round trip to another region is unknown.
    pub(crate) fn add_host(&mut self, name: String, region: Region) -> Result<HostId, String> {
        let id = self.topology.add_host(name, region)?;
        self.hosts.push(Host::new(self.topology.host(id).clone(), self.now));
        Ok(id)
    }

    pub(crate) fn host(&mut self, id: HostId) -> &mut Host {
        &mut self.hosts[id.0]
    }

    pub(crate) fn conditions(&self, path: Path) -> Conditions {
        self.faults.conditions(&self.topology, path)
    }

    /// Returns the conditions for a message of a stream sent now, or `None` if the path is cut, held or
    /// filtered.
    pub(crate) fn open_path(&self, path: Path) -> Option<Conditions> {
        let conditions = self.conditions(path);
        (conditions.is_open() && !conditions.tcp_filtered).then_some(conditions)
    }

    /// Transmits a message of `bytes` bytes, and returns when it arrives. If bandwidth is limited, the
    /// path's shaper must be free. Draws a random number if the path has jitter.
    pub(crate) fn transmit(
        &mut self,
        path: Path,
        conditions: &Conditions,
        bytes: usize,
    ) -> Instant {
        let mut delay = self.topology.base_delay(path) + conditions.extra_delay;
        if !conditions.jitter.is_zero() {
            let most = conditions.jitter.as_millis() as u64;
            delay += Duration::from_millis(
                self.path_rngs.of(Use::Jitter, path, &self.topology).up_to(most),
            );
        }
        let Some(bandwidth) = conditions.bandwidth else { return self.now + delay };
        let free_at = self.shapers.transmit(path, bytes as u64, bandwidth, self.now);
        self.events.schedule(free_at, Event::ShaperFree(path));
        self.whole_milliseconds(free_at) + delay
    }

    /// Returns whether a message sent now must be queued.
    pub(crate) fn is_busy(&self, path: Path, conditions: &Conditions) -> bool {
        conditions.bandwidth.is_some() && self.shapers.is_busy(path, self.now)
    }

    /// Rounds `at` up to an instant that is a whole number of milliseconds after the start.
    fn whole_milliseconds(&self, at: Instant) -> Instant {
        let nanos = at.duration_since(self.start).as_nanos();
        self.start + clock::duration(nanos.next_multiple_of(1_000_000))
    }

    /// Removes and returns the next event that is due by `now`, and sets the current time to its due
    /// time. The effects of an event start at its due time, even if the clock has jumped past it.
    pub(crate) fn take_due(&mut self, now: Instant) -> Option<Event> {
        let (at, event) = self.events.take_due(now)?;
        self.now = at;
        Some(event)
    }

    pub(crate) fn wake(&mut self, waker: &mut Option<Waker>) {
        self.pending_wakes.extend(waker.take());
    }

    /// Frees the shapers whose bandwidth has changed, and returns their paths.
    pub(crate) fn free_changed_shapers(&mut self) -> Vec<Path> {
        let mut shapers = std::mem::take(&mut self.shapers);
        let changed = shapers.free_changed(self.now, |path| self.conditions(path).bandwidth);
        self.shapers = shapers;
        changed
    }

    /// Returns the time on a host's wall clock, which can be set back.
    pub(crate) fn read_wall_clock(&self, id: HostId, now: Instant) -> SystemTime {
        let nanos = self.hosts[id.0].clock.offset(now);
        let time = WALL_CLOCK_START + now.saturating_duration_since(self.start);
        let by = clock::duration(nanos.unsigned_abs());
        SystemTime::UNIX_EPOCH + if nanos < 0 { time.saturating_sub(by) } else { time + by }
    }

    /// Returns the time on a host's clock.
    pub(crate) fn read_clock(&self, id: HostId, now: Instant) -> Instant {
        self.hosts[id.0].clock.read(now, self.clock_base)
    }

    /// Updates a host's clock without setting any clock back; see [`clock`].
    pub(crate) fn update_clock<R>(
        &mut self,
        id: HostId,
        update: impl FnOnce(&mut Clock, Instant) -> R,
    ) -> R {
        let clock = &mut self.hosts[id.0].clock;
        let before = clock.offset(self.now);
        let result = update(clock, self.now);
        self.clock_base += (before - clock.offset(self.now)).max(0);
        result
    }
}
