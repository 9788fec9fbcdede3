//! The state between the hosts: names and addresses, delays, faults on the paths, and the messages in
//! flight. Takes the time as a value and never waits.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    task::Waker,
    time::Duration,
};

use flyrpc::Region;
use tokio::time::Instant;

use super::{
    clock,
    connection::{ConnId, Side},
    datagram::Packet,
    faults::{Conditions, Faults},
    host::{Health, Host, HostId},
    shaper::{Path, QueuedSend, Shapers},
};
use crate::latency::RoundTrips;

pub(super) struct Fabric {
    pub(super) seed: u64,
    /// How many bytes each end of a connection buffers in each direction.
    pub(super) buffer: usize,
    start: Instant,
    pub(super) now: Instant,
    /// How many nanoseconds the network's clock, the base of all hosts' clocks, is ahead of `now`.
    pub(super) clock_base: i128,
    pub(super) hosts: Vec<Host>,
    by_name: BTreeMap<String, HostId>,
    by_ip: BTreeMap<IpAddr, HostId>,
    pub(super) faults: Faults,
    /// Datagrams delayed by a hold.
    pub(super) held: Vec<Packet>,
    pub(super) shapers: Shapers,
    /// Wakers to call once the lock is released: they run other people's code.
    pub(super) pending_wakes: Vec<Waker>,
    events: BTreeMap<(Instant, EventSeq), Event>,
    last_event: EventSeq,
    round_trips: RoundTrips,
    regions: Vec<Region>,
    /// Round trips by the indices of two regions, the greater first.
    delays: Vec<Vec<Duration>>,
}

/// An index into the fabric's regions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RegionIndex(usize);

/// Orders the events of one instant by the order of their causes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct EventSeq(u64);

/// An event that is due at some instant.
pub(super) enum Event {
    /// The first message in flight from `from` arrives at the other end.
    StreamArrival {
        conn: ConnId,
        from: Side,
    },
    DatagramArrival(Packet),
    /// A shaper may be free.
    ShaperFree(Path),
}

impl Fabric {
    pub(super) fn new(
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
            hosts: Vec::new(),
            by_name: BTreeMap::new(),
            by_ip: BTreeMap::new(),
            faults: Faults::new(baseline),
            held: Vec::new(),
            shapers: Shapers::default(),
            pending_wakes: Vec::new(),
            events: BTreeMap::new(),
            last_event: EventSeq(0),
            round_trips,
            regions: Vec::new(),
            delays: Vec::new(),
        }
    }

    pub(super) fn host(&mut self, id: HostId) -> &mut Host {
        &mut self.hosts[id.0]
    }

    pub(super) fn region(&self, id: HostId) -> &Region {
        &self.regions[self.hosts[id.0].region.0]
    }

    /// # Errors
    ///
    /// Why it cannot be added: the name is taken, or the round trip to another region is unknown.
    pub(super) fn add_host(&mut self, name: String, region: Region) -> Result<HostId, String> {
        if self.find_host(&name).is_some() {
            return Err(format!("there is a host `{name}` already"));
        }
        if self.regions.iter().any(|known| *known == *name) {
            return Err(format!("host `{name}` has the name of a region: faults could mean both"));
        }
        if self.find_host(region.as_str()).is_some() {
            return Err(format!(
                "region `{region}` has the name of a host: faults could mean both"
            ));
        }
        let region = self.intern_region(region)?;
        let nth = 1 + self.hosts.iter().filter(|host| host.region == region).count();
        let part = |number: usize| {
            u8::try_from(number)
                .map_err(|_| "more regions or hosts than there are simulated addresses".to_owned())
        };
        let octets = [10, part(region.0 + 1)?, part(nth >> 8)?, part(nth & 0xff)?];
        let ip = Ipv4Addr::from(octets).into();
        let id = HostId(self.hosts.len());
        self.by_name.insert(name.clone(), id);
        self.by_ip.insert(ip, id);
        self.hosts.push(Host::new(name, region, ip, self.seed, self.now));
        Ok(id)
    }

    fn intern_region(&mut self, region: Region) -> Result<RegionIndex, String> {
        if let Some(known) = self.find_region(region.as_str()) {
            return Ok(known);
        }
        let delay = |other: &Region| {
            self.round_trips.between(&region, other).ok_or_else(|| {
                format!(
                    "no round trip is known between regions `{other}` and `{region}`: \
                     set it with `.rtt(\"{other}\", \"{region}\", …)`"
                )
            })
        };
        let delays = self.regions.iter().chain([&region]).map(delay).collect::<Result<_, _>>()?;
        self.delays.push(delays);
        self.regions.push(region);
        Ok(RegionIndex(self.regions.len() - 1))
    }

    pub(super) fn find_host(&self, name: &str) -> Option<HostId> {
        self.by_name.get(name).copied()
    }

    pub(super) fn find_region(&self, name: &str) -> Option<RegionIndex> {
        let region = Region::from(name);
        self.regions.iter().position(|known| *known == region).map(RegionIndex)
    }

    pub(super) fn region_name(&self, region: RegionIndex) -> &str {
        self.regions[region.0].as_str()
    }

    /// All regions, in the order of their first hosts.
    pub(super) fn regions(&self) -> impl Iterator<Item = &Region> {
        self.regions.iter()
    }

    /// The host that `from` reaches at `ip`.
    pub(super) fn locate(&self, from: HostId, ip: IpAddr) -> Option<HostId> {
        if ip.is_loopback() || ip.is_unspecified() {
            return Some(from);
        }
        self.by_ip.get(&ip).copied()
    }

    /// The delay of one direction without faults. If the round trip is an odd number of milliseconds,
    /// the extra one falls to one direction: from the region, or within a region the host, that
    /// sorts first.
    fn base_delay(&self, path: Path) -> Duration {
        if path.from == path.to {
            return Duration::ZERO;
        }
        let region = |host: HostId| self.hosts[host.0].region.0;
        let (a, b) = (region(path.from), region(path.to));
        let round_trip = self.delays[a.max(b)][a.min(b)].as_millis() as u64;
        let longer = if a == b { path.from < path.to } else { self.regions[a] < self.regions[b] };
        Duration::from_millis(if longer { round_trip.div_ceil(2) } else { round_trip / 2 })
    }

    pub(super) fn conditions(&self, path: Path) -> Conditions {
        self.faults.conditions(self, path)
    }

    /// The conditions for a message sent now, or `None` while the path is cut or held.
    pub(super) fn open_path(&self, path: Path) -> Option<Conditions> {
        Some(self.conditions(path)).filter(Conditions::is_open)
    }

    /// Transmits a message of that many bytes, and returns when it arrives. If bandwidth is limited,
    /// the path's shaper must be free. Draws a random number if there is jitter.
    pub(super) fn transmit(
        &mut self,
        path: Path,
        conditions: &Conditions,
        bytes: usize,
    ) -> Instant {
        let mut delay = self.base_delay(path) + conditions.extra_delay;
        if !conditions.jitter.is_zero() {
            let most = conditions.jitter.as_millis() as u64;
            delay += Duration::from_millis(self.host(path.from).jitter_rng.up_to(most));
        }
        let Some(bandwidth) = conditions.bandwidth else { return self.now + delay };
        let free_at = self.shapers.transmit(path, bytes as u64, bandwidth, self.now);
        self.schedule(free_at, Event::ShaperFree(path));
        self.whole_milliseconds(free_at) + delay
    }

    /// Whether a message sent now has to be queued.
    pub(super) fn is_busy(&self, path: Path, conditions: &Conditions) -> bool {
        conditions.bandwidth.is_some() && self.shapers.is_busy(path, self.now)
    }

    /// The first instant from `at` on that is a whole number of milliseconds after the start.
    fn whole_milliseconds(&self, at: Instant) -> Instant {
        let nanos = at.duration_since(self.start).as_nanos();
        self.start + clock::duration(nanos.next_multiple_of(1_000_000))
    }

    pub(super) fn schedule(&mut self, at: Instant, event: Event) {
        self.last_event = EventSeq(self.last_event.0 + 1);
        self.events.insert((at, self.last_event), event);
    }

    pub(super) fn next_event(&self) -> Option<Instant> {
        self.events.first_key_value().map(|((at, _), _)| *at)
    }

    pub(super) fn take_due(&mut self, now: Instant) -> Option<Event> {
        let first = self.events.first_entry().filter(|first| first.key().0 <= now)?;
        let ((at, _), event) = first.remove_entry();
        // The effects of an event start when it was due, even if the clock has jumped past that.
        self.now = at;
        Some(event)
    }

    pub(super) fn wake(&mut self, waker: &mut Option<Waker>) {
        self.pending_wakes.extend(waker.take());
    }

    pub(super) fn send_datagram(&mut self, packet: Packet) {
        let conditions = self.conditions(packet.path());
        let lost =
            conditions.loss > 0.0 && self.host(packet.from_host).loss_rng.chance(conditions.loss);
        if !lost {
            self.forward_datagram(packet, &conditions);
        }
    }

    fn forward_datagram(&mut self, packet: Packet, conditions: &Conditions) {
        if conditions.cut {
            return;
        }
        let path = packet.path();
        if conditions.held {
            self.held.push(packet);
        } else if self.is_busy(path, conditions) {
            self.shapers.enqueue(path, QueuedSend::Datagram { packet, since: self.now });
        } else {
            self.transmit_datagram(packet, conditions);
        }
    }

    fn transmit_datagram(&mut self, packet: Packet, conditions: &Conditions) {
        let at = self.transmit(packet.path(), conditions, packet.data.len());
        self.schedule(at, Event::DatagramArrival(packet));
    }

    /// Sends a datagram that was queued for its shaper.
    pub(super) fn send_queued_datagram(&mut self, packet: Packet) {
        let conditions = self.conditions(packet.path());
        if conditions.is_open() {
            self.transmit_datagram(packet, &conditions);
        } else {
            self.forward_datagram(packet, &conditions);
        }
    }

    pub(super) fn deliver_datagram(&mut self, packet: Packet) {
        let conditions = self.conditions(packet.path());
        if conditions.cut {
            return;
        }
        if conditions.held {
            self.held.push(packet);
            return;
        }
        let Packet { to_host, from, to, data, .. } = packet;
        let host = self.host(to_host);
        if host.health == Health::Crashed {
            return;
        }
        let socket = host.sockets.get_mut(&to.port());
        if let Some(socket) = socket.filter(|socket| socket.accepts(to.ip())) {
            let wakers = socket.push(data, from);
            self.pending_wakes.extend(wakers);
        }
    }

    /// Sends the datagrams that are no longer held.
    pub(super) fn release_held(&mut self) {
        for packet in std::mem::take(&mut self.held) {
            let conditions = self.conditions(packet.path());
            self.forward_datagram(packet, &conditions);
        }
    }

    /// Frees the shapers whose bandwidth has changed, and returns their paths.
    pub(super) fn free_changed_shapers(&mut self) -> Vec<Path> {
        let mut shapers = std::mem::take(&mut self.shapers);
        let changed = shapers.free_changed(self.now, |path| self.conditions(path).bandwidth);
        self.shapers = shapers;
        changed
    }

    /// The source address of packets from a socket of `host` bound to `port`, when sent to `to`.
    pub(super) fn source(&self, host: HostId, to: IpAddr, port: u16) -> SocketAddr {
        let ip = if to.is_loopback() || to.is_unspecified() { to } else { self.hosts[host.0].ip };
        SocketAddr::new(ip, port)
    }
}
