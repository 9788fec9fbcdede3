//! One simulated machine: its address, ports and tasks, and whether it runs.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    io,
    net::{IpAddr, SocketAddr},
    task::Waker,
};

use tokio::{task::AbortHandle, time::Instant};

use super::{clock::Clock, connection::ConnId, datagram::Socket, faults::FaultId};
use crate::rng::Rng;

/// The ports given out for port 0, and to connections' near ends: IANA's dynamic range.
const FIRST_FREE_PORT: u16 = 49_152;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct HostId(pub(super) usize);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Health {
    Running,
    Frozen,
    Crashed,
}

pub(super) struct Host {
    pub(super) name: String,
    /// Which of the wire's regions.
    pub(super) region: usize,
    pub(super) ip: IpAddr,
    /// How often the host was restarted. What an earlier boot left behind no longer acts.
    pub(super) boot: u64,
    pub(super) health: Health,
    /// What keeps it frozen; empty unless it is.
    pub(super) freezes: BTreeSet<FaultId>,
    pub(super) clock: Clock,
    /// Apart from what the host's programs draw from, and from each other, so that a fault changes
    /// nothing else.
    pub(super) loss: Rng,
    pub(super) jitter: Rng,
    pub(super) listeners: BTreeMap<u16, Backlog>,
    pub(super) sockets: BTreeMap<u16, Socket>,
    pub(super) tasks: Tasks,
    next_port: u16,
}

/// What a listener took a port for: connections to accept.
pub(super) struct Backlog {
    pub(super) at: IpAddr,
    pub(super) ready: VecDeque<ConnId>,
    pub(super) accepting: Option<Waker>,
}

#[derive(Default)]
pub(crate) struct Tasks {
    next: u64,
    running: BTreeMap<u64, AbortHandle>,
    /// Tasks that were woken while the host was frozen, in the order of their first waking.
    parked: Vec<(u64, Waker)>,
}

impl Backlog {
    pub(super) fn new(at: IpAddr) -> Self {
        Backlog { at, ready: VecDeque::new(), accepting: None }
    }
}

impl Host {
    pub(super) fn new(name: String, region: usize, ip: IpAddr, seed: u64, now: Instant) -> Self {
        Host {
            loss: Rng::new(!seed, &name, 0),
            jitter: Rng::new(!seed, &name, 1),
            name,
            region,
            ip,
            boot: 0,
            health: Health::Running,
            freezes: BTreeSet::new(),
            clock: Clock::new(now),
            listeners: BTreeMap::new(),
            sockets: BTreeMap::new(),
            tasks: Tasks::default(),
            next_port: FIRST_FREE_PORT,
        }
    }

    /// Starts anew after a crash.
    pub(super) fn restart(&mut self) {
        self.boot += 1;
        self.health = Health::Running;
        self.next_port = FIRST_FREE_PORT;
    }

    /// Whether this is still the boot that `boot` counts, and it has not crashed.
    pub(super) fn lives(&self, boot: u64) -> bool {
        self.boot == boot && self.health != Health::Crashed
    }

    /// Chooses the port for a binding at `at`.
    pub(super) fn port_for(
        &mut self,
        at: SocketAddr,
        taken: impl Fn(&Host, u16) -> bool,
    ) -> io::Result<u16> {
        let ip = at.ip();
        if !(ip.is_unspecified() || ip.is_loopback() || ip == self.ip) {
            let message = format!("host `{}` has the address {}, not {ip}", self.name, self.ip);
            return Err(io::Error::new(io::ErrorKind::AddrNotAvailable, message));
        }
        if at.port() == 0 {
            return self.free_port(taken);
        }
        if taken(self, at.port()) {
            let message = format!("port {} of host `{}` is taken", at.port(), self.name);
            return Err(io::Error::new(io::ErrorKind::AddrInUse, message));
        }
        Ok(at.port())
    }

    /// The next port that is not `taken`, in rising order and then from the start again.
    pub(super) fn free_port(&mut self, taken: impl Fn(&Host, u16) -> bool) -> io::Result<u16> {
        for _ in FIRST_FREE_PORT..=u16::MAX {
            let port = self.next_port;
            self.next_port = port.checked_add(1).unwrap_or(FIRST_FREE_PORT);
            if !taken(self, port) {
                return Ok(port);
            }
        }
        let message = format!("host `{}` has no free port", self.name);
        Err(io::Error::new(io::ErrorKind::AddrInUse, message))
    }

    /// The backlog that a connection to `to` joins.
    pub(super) fn listener(&mut self, to: SocketAddr) -> Option<&mut Backlog> {
        self.listeners.get_mut(&to.port()).filter(|backlog| reaches(backlog.at, to.ip()))
    }
}

/// Whether what is sent to `ip` reaches what is bound at `at`.
pub(super) fn reaches(at: IpAddr, ip: IpAddr) -> bool {
    at.is_unspecified() || at == ip
}

impl Tasks {
    pub(crate) fn reserve(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    pub(crate) fn insert(&mut self, id: u64, handle: AbortHandle) {
        self.running.insert(id, handle);
    }

    pub(crate) fn remove(&mut self, id: u64) {
        self.running.remove(&id);
        self.parked.retain(|(parked, _)| *parked != id);
    }

    /// Keeps `waker` until the host is resumed.
    pub(super) fn park(&mut self, id: u64, waker: Waker) {
        match self.parked.iter_mut().find(|(parked, _)| *parked == id) {
            Some((_, kept)) => *kept = waker,
            None => self.parked.push((id, waker)),
        }
    }

    pub(super) fn unpark(&mut self) -> impl Iterator<Item = Waker> + use<'_> {
        self.parked.drain(..).map(|(_, waker)| waker)
    }

    /// Forgets all tasks and returns the means of ending them.
    pub(super) fn take(&mut self) -> Vec<AbortHandle> {
        self.parked.clear();
        std::mem::take(&mut self.running).into_values().collect()
    }
}
