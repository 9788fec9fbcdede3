//! One simulated machine: its address, ports and tasks, and whether it is running.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    task::Waker,
};

use tokio::{task::AbortHandle, time::Instant};

use super::{
    clock::Clock,
    ids::{Boot, ConnId, FaultId, TaskId},
    socket::{Socket, binding_accepts},
    topology::HostInfo,
};

/// The first port for bindings to port 0 and for outgoing connections: the start of IANA's dynamic range.
const FIRST_EPHEMERAL_PORT: u16 = 49_152;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Health {
    Running,
    Frozen,
    Crashed,
}

pub(crate) struct Host {
    pub(crate) info: Arc<HostInfo>,
    pub(crate) boot: Boot,
    pub(crate) health: Health,
    /// The faults that keep the host frozen. Empty if it is not frozen.
    pub(crate) freezes: BTreeSet<FaultId>,
    pub(crate) clock: Clock,
    pub(crate) listeners: BTreeMap<u16, Backlog>,
    pub(crate) sockets: BTreeMap<u16, Socket>,
    pub(crate) tasks: HostTasks,
    next_port: u16,
}

/// A listener's queue of connections that are ready to be accepted.
pub(crate) struct Backlog {
    pub(crate) at: IpAddr,
    pub(crate) ready: VecDeque<ConnId>,
    pub(crate) accept_waker: Option<Waker>,
}

#[derive(Default)]
pub(crate) struct HostTasks {
    last_id: u64,
    running: BTreeMap<TaskId, AbortHandle>,
    /// The wakers of futures of this host in tasks of somebody else.
    guests: BTreeMap<TaskId, Waker>,
    /// Tasks that were woken while the host was frozen, in the order in which they were first woken.
    parked: Vec<(TaskId, Waker)>,
}

impl Backlog {
    pub(crate) fn new(at: IpAddr) -> Self {
        Backlog { at, ready: VecDeque::new(), accept_waker: None }
    }
}

impl Host {
    pub(crate) fn new(info: Arc<HostInfo>, now: Instant) -> Self {
        Host {
            info,
            boot: Boot(0),
            health: Health::Running,
            freezes: BTreeSet::new(),
            clock: Clock::new(now),
            listeners: BTreeMap::new(),
            sockets: BTreeMap::new(),
            tasks: HostTasks::default(),
            next_port: FIRST_EPHEMERAL_PORT,
        }
    }

    /// Starts the next boot after a crash.
    pub(crate) fn restart(&mut self) {
        self.boot = Boot(self.boot.0 + 1);
        self.health = Health::Running;
        self.next_port = FIRST_EPHEMERAL_PORT;
    }

    /// Returns whether `boot` is the current boot and has not crashed.
    pub(crate) fn is_running(&self, boot: Boot) -> bool {
        self.boot == boot && self.health != Health::Crashed
    }

    /// Returns the port for a binding at `at`.
    pub(crate) fn port_for(
        &mut self,
        at: SocketAddr,
        taken: impl Fn(&Host, u16) -> bool,
    ) -> io::Result<u16> {
        let ip = at.ip();
        if !(ip.is_unspecified() || ip.is_loopback() || ip == self.info.ip) {
            let HostInfo { name, ip: host_ip, .. } = &*self.info;
            let message = format!("host `{name}` has the address {host_ip}, not {ip}");
            return Err(io::Error::new(io::ErrorKind::AddrNotAvailable, message));
        }
        if at.port() == 0 {
            return self.ephemeral_port(taken);
        }
        if taken(self, at.port()) {
            let message =
                format!("port {} of host `{}` is already in use", at.port(), self.info.name);
            return Err(io::Error::new(io::ErrorKind::AddrInUse, message));
        }
        Ok(at.port())
    }

    /// Returns the next port that is not `taken`, in ascending order with wraparound.
    pub(crate) fn ephemeral_port(&mut self, taken: impl Fn(&Host, u16) -> bool) -> io::Result<u16> {
        for _ in FIRST_EPHEMERAL_PORT..=u16::MAX {
            let port = self.next_port;
            self.next_port = port.checked_add(1).unwrap_or(FIRST_EPHEMERAL_PORT);
            if !taken(self, port) {
                return Ok(port);
            }
        }
        let message = format!("host `{}` has no free port", self.info.name);
        Err(io::Error::new(io::ErrorKind::AddrInUse, message))
    }

    /// Returns the backlog of the listener for connections to `to`, if there is one.
    pub(crate) fn listener(&mut self, to: SocketAddr) -> Option<&mut Backlog> {
        self.listeners.get_mut(&to.port()).filter(|backlog| binding_accepts(backlog.at, to.ip()))
    }
}

impl HostTasks {
    pub(crate) fn next_id(&mut self) -> TaskId {
        self.last_id += 1;
        TaskId(self.last_id)
    }

    pub(crate) fn insert(&mut self, id: TaskId, handle: AbortHandle) {
        self.running.insert(id, handle);
    }

    pub(crate) fn remove(&mut self, id: TaskId) {
        self.running.remove(&id);
        self.guests.remove(&id);
        self.parked.retain(|(parked, _)| *parked != id);
    }

    /// Stores `waker` for a crash of the host.
    pub(crate) fn set_guest(&mut self, id: TaskId, waker: Waker) {
        self.guests.insert(id, waker);
    }

    /// Stores `waker` until the host is resumed.
    pub(crate) fn park(&mut self, id: TaskId, waker: Waker) {
        match self.parked.iter_mut().find(|(parked, _)| *parked == id) {
            Some((_, kept)) => *kept = waker,
            None => self.parked.push((id, waker)),
        }
    }

    pub(crate) fn unpark(&mut self) -> impl Iterator<Item = Waker> + use<'_> {
        self.parked.drain(..).map(|(_, waker)| waker)
    }

    /// Removes all tasks, and returns their abort handles and the wakers of guests.
    pub(crate) fn take(&mut self) -> (Vec<AbortHandle>, Vec<Waker>) {
        self.parked.clear();
        let tasks = std::mem::take(&mut self.running).into_values().collect();
        (tasks, std::mem::take(&mut self.guests).into_values().collect())
    }
}
