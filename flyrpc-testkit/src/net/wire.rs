//! What lies between the hosts: who there is, how long messages take, which faults are in the way,
//! and the messages that are under way. Time comes in as a value; nothing here waits.

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
    faults::{Faults, Weather},
    host::{Health, Host, HostId},
    line::{Lines, Turn, Way},
    misuse,
};
use crate::latency::RoundTrips;

pub(super) struct Wire {
    pub(super) seed: u64,
    /// How many bytes each end of a connection buffers in each direction.
    pub(super) buffer: usize,
    start: Instant,
    pub(super) now: Instant,
    /// How many nanoseconds the clock that all hosts' are relative to is ahead of `now`.
    pub(super) clock_base: i128,
    pub(super) hosts: Vec<Host>,
    by_name: BTreeMap<String, HostId>,
    by_ip: BTreeMap<IpAddr, HostId>,
    pub(super) faults: Faults,
    /// Datagrams that a hold keeps back.
    pub(super) held: Vec<Packet>,
    pub(super) lines: Lines,
    /// Tasks to wake once the lock is given back: a waker's code is not ours.
    pub(super) wakes: Vec<Waker>,
    events: BTreeMap<(Instant, u64), Event>,
    /// Numbers events, so that those of one instant happen in the order of their causes.
    scheduled: u64,
    round_trips: RoundTrips,
    regions: Vec<Region>,
    /// Round trips by the numbers of two regions, the greater first.
    delays: Vec<Vec<Duration>>,
}

/// Something that is due.
pub(super) enum Event {
    /// The first message on its way from `from` arrives at the other end.
    Stream {
        conn: ConnId,
        from: Side,
    },
    Datagram(Packet),
    /// A line may be free.
    Line(Way),
}

impl Wire {
    pub(super) fn new(
        seed: u64,
        buffer: usize,
        round_trips: RoundTrips,
        usual: Weather,
        now: Instant,
    ) -> Self {
        Wire {
            seed,
            buffer,
            start: now,
            now,
            clock_base: 0,
            hosts: Vec::new(),
            by_name: BTreeMap::new(),
            by_ip: BTreeMap::new(),
            faults: Faults::new(usual),
            held: Vec::new(),
            lines: Lines::default(),
            wakes: Vec::new(),
            events: BTreeMap::new(),
            scheduled: 0,
            round_trips,
            regions: Vec::new(),
            delays: Vec::new(),
        }
    }

    pub(super) fn host(&mut self, id: HostId) -> &mut Host {
        &mut self.hosts[id.0]
    }

    pub(super) fn region(&self, id: HostId) -> &Region {
        &self.regions[self.hosts[id.0].region]
    }

    /// # Panics
    ///
    /// If the name is taken, or a round trip to another region is unknown.
    pub(super) fn add_host(&mut self, name: String, region: Region) -> HostId {
        assert!(self.find(&name).is_none(), "there is a host `{name}` already");
        let named = self.regions.iter().find(|known| **known == *name);
        assert!(named.is_none(), "host `{name}` has the name of a region: faults could mean both");
        assert!(
            self.find(region.as_str()).is_none(),
            "region `{region}` has the name of a host: faults could mean both"
        );
        let region = self.region_number(region);
        let nth = 1 + self.hosts.iter().filter(|host| host.region == region).count();
        let part = |number: usize| {
            u8::try_from(number).expect("more regions or hosts than addresses can number")
        };
        let ip = Ipv4Addr::new(10, part(region + 1), part(nth >> 8), part(nth & 0xff)).into();
        let id = HostId(self.hosts.len());
        self.by_name.insert(name.clone(), id);
        self.by_ip.insert(ip, id);
        self.hosts.push(Host::new(name, region, ip, self.seed, self.now));
        id
    }

    fn region_number(&mut self, region: Region) -> usize {
        if let Some(known) = self.regions.iter().position(|known| *known == region) {
            return known;
        }
        let delay = |other: &Region| {
            self.round_trips.between(&region, other).unwrap_or_else(|| {
                panic!(
                    "no round trip is known between regions `{other}` and `{region}`: \
                     set it with `.rtt(\"{other}\", \"{region}\", …)`"
                )
            })
        };
        let delays = self.regions.iter().chain([&region]).map(delay).collect();
        self.delays.push(delays);
        self.regions.push(region);
        self.regions.len() - 1
    }

    pub(super) fn find(&self, name: &str) -> Option<HostId> {
        self.by_name.get(name).copied()
    }

    /// # Panics
    ///
    /// If there is no such host.
    pub(super) fn named(&self, name: &str) -> HostId {
        self.find(name).unwrap_or_else(|| panic!("{}", misuse::no_host(self, name)))
    }

    pub(super) fn find_region(&self, name: &str) -> Option<usize> {
        let region = Region::from(name);
        self.regions.iter().position(|known| *known == region)
    }

    pub(super) fn region_name(&self, region: usize) -> &str {
        self.regions[region].as_str()
    }

    /// In the order in which they got their first hosts.
    pub(super) fn regions(&self) -> impl Iterator<Item = &Region> {
        self.regions.iter()
    }

    /// The host that `near` reaches at `ip`.
    pub(super) fn locate(&self, near: HostId, ip: IpAddr) -> Option<HostId> {
        if ip.is_loopback() || ip.is_unspecified() {
            return Some(near);
        }
        self.by_ip.get(&ip).copied()
    }

    /// The delay of one way without faults. Of a round trip's odd millisecond, one direction has
    /// all: the one from the region, or within a region the host, that comes first.
    fn one_way(&self, from: HostId, to: HostId) -> Duration {
        if from == to {
            return Duration::ZERO;
        }
        let (a, b) = (self.hosts[from.0].region, self.hosts[to.0].region);
        let round_trip = self.delays[a.max(b)][a.min(b)].as_millis() as u64;
        let first = if a == b { from < to } else { self.regions[a] < self.regions[b] };
        Duration::from_millis(if first { round_trip.div_ceil(2) } else { round_trip / 2 })
    }

    /// What a message meets that sets out now, or nothing if it cannot arrive for now.
    pub(super) fn passage(&self, from: HostId, to: HostId) -> Option<Weather> {
        let weather = self.faults.between(self, from, to);
        weather.is_open().then_some(weather)
    }

    /// Sends a message of that many bytes on its way, and returns when it arrives. Its line must be
    /// free, if bandwidth is limited. Chance has a part in this if there is jitter.
    pub(super) fn set_out(&mut self, way: Way, weather: &Weather, bytes: usize) -> Instant {
        let mut delay = self.one_way(way.0, way.1) + weather.extra;
        if !weather.jitter.is_zero() {
            let most = weather.jitter.as_millis() as u64;
            delay += Duration::from_millis(self.host(way.0).jitter.up_to(most));
        }
        let Some(bandwidth) = weather.bandwidth else { return self.now + delay };
        let free_at = self.lines.occupy(way, bytes as u64, bandwidth, self.now);
        self.schedule(free_at, Event::Line(way));
        self.whole_milliseconds(free_at) + delay
    }

    /// Whether what sets out now has to wait for its turn.
    pub(super) fn is_busy(&self, way: Way, weather: &Weather) -> bool {
        weather.bandwidth.is_some() && self.lines.is_busy(way, self.now)
    }

    /// The first instant from `at` on that is a whole number of milliseconds after the start.
    fn whole_milliseconds(&self, at: Instant) -> Instant {
        let nanos = at.duration_since(self.start).as_nanos();
        self.start + clock::duration(nanos.next_multiple_of(1_000_000))
    }

    pub(super) fn schedule(&mut self, at: Instant, event: Event) {
        self.scheduled += 1;
        self.events.insert((at, self.scheduled), event);
    }

    pub(super) fn next_event(&self) -> Option<Instant> {
        self.events.first_key_value().map(|((at, _), _)| *at)
    }

    pub(super) fn take_due(&mut self, now: Instant) -> Option<Event> {
        let first = self.events.first_entry().filter(|first| first.key().0 <= now)?;
        let ((at, _), event) = first.remove_entry();
        // What an event causes starts when it was due, even if the clock jumped past that.
        self.now = at;
        Some(event)
    }

    pub(super) fn wake(&mut self, waker: &mut Option<Waker>) {
        self.wakes.extend(waker.take());
    }

    pub(super) fn send_datagram(&mut self, packet: Packet) {
        let weather = self.faults.between(self, packet.from_host, packet.to_host);
        let lost = weather.loss > 0.0 && self.host(packet.from_host).loss.chance(weather.loss);
        if !lost {
            self.forward(packet, &weather);
        }
    }

    fn forward(&mut self, packet: Packet, weather: &Weather) {
        let way = (packet.from_host, packet.to_host);
        if weather.cut {
            return;
        }
        if weather.held {
            self.held.push(packet);
        } else if self.is_busy(way, weather) {
            self.lines.wait(way, Turn::Datagram { packet, since: self.now });
        } else {
            self.launch(packet, weather);
        }
    }

    fn launch(&mut self, packet: Packet, weather: &Weather) {
        let at = self.set_out((packet.from_host, packet.to_host), weather, packet.data.len());
        self.schedule(at, Event::Datagram(packet));
    }

    /// Sends a datagram whose turn it is.
    pub(super) fn take_turn(&mut self, packet: Packet) {
        let weather = self.faults.between(self, packet.from_host, packet.to_host);
        if weather.is_open() {
            self.launch(packet, &weather);
        } else {
            self.forward(packet, &weather);
        }
    }

    pub(super) fn deliver_datagram(&mut self, packet: Packet) {
        let weather = self.faults.between(self, packet.from_host, packet.to_host);
        if weather.cut {
            return;
        }
        if weather.held {
            self.held.push(packet);
            return;
        }
        let Packet { to_host, from, to, data, .. } = packet;
        let host = self.host(to_host);
        if host.health == Health::Crashed {
            return;
        }
        if let Some(socket) = host.sockets.get_mut(&to.port()).filter(|s| s.takes(to.ip())) {
            let wakes = socket.push(data, from);
            self.wakes.extend(wakes);
        }
    }

    /// Lets go the datagrams that nothing holds any longer.
    pub(super) fn release(&mut self) {
        for packet in std::mem::take(&mut self.held) {
            let weather = self.faults.between(self, packet.from_host, packet.to_host);
            self.forward(packet, &weather);
        }
    }

    /// The lines whose bandwidth changed, free for whoever waits for them.
    pub(super) fn free_changed_lines(&mut self) -> Vec<Way> {
        let mut lines = std::mem::take(&mut self.lines);
        let bandwidth = |way: Way| self.faults.between(self, way.0, way.1).bandwidth;
        let changed = lines.free_changed(self.now, bandwidth);
        self.lines = lines;
        changed
    }

    /// Where packets from a socket of `host` bound at `at` come from, if sent to `to`.
    pub(super) fn source(&self, host: HostId, to: IpAddr, port: u16) -> SocketAddr {
        let ip = if to.is_loopback() || to.is_unspecified() { to } else { self.hosts[host.0].ip };
        SocketAddr::new(ip, port)
    }
}
