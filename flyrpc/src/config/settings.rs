//! [`Config`], the settings of a node, and their defaults.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use super::{
    keyring::Keyring,
    label::to_label,
    seed::{DEFAULT_PORT, Seed},
};
use crate::types::Region;

/// The default memory for bodies: a multiple of the maximum size of a body, and a minimum in bytes.
const BODIES: usize = 8;
const BODY_MEMORY: usize = 256 << 20;

/// The settings of one node.
///
/// [`Config::default`] does not read environment variables. [`Config::from_env`] replaces the defaults
/// of settings whose variables are set. `docs/settings.md` lists the variables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Config {
    /// The cluster that the node belongs to. Nodes of different clusters ignore one another, even if
    /// they can connect. 1 to 64 bytes. Default: `local`. Use a different cluster for each
    /// application, and for each of its stages.
    pub(crate) cluster: String,
    /// The name of the node, in its id and in messages. 1 to 64 bytes. Default: the host name. Two
    /// nodes may have the same name, but distinct names make logs easier to read.
    pub(crate) name: String,
    /// The version of the application, which other nodes show. Up to 64 bytes. Default: none, which is empty.
    pub(crate) version: String,
    /// The region where the node runs. 1 to 64 bytes. Default: [`Region::LOCAL`]. It can be any name on
    /// which all nodes agree, and is usually a provider's code.
    pub(crate) region: Region,
    /// The region that serves calls to the primary. The default is none, which means [`Region::LOCAL`].
    /// On Fly.io, it must be set. It must be the same on all nodes, because a node with a different
    /// setting refuses such calls.
    pub(crate) primary_region: Option<Region>,
    /// The address to listen on, for links over TCP and gossip over UDP. Port 0 selects a free port.
    /// Default: none; see [`Config::listen_at`]. Choose an address that only other nodes can reach.
    pub(crate) listen: Option<SocketAddr>,
    /// A host name and port to look up at start. The address found there becomes `listen`.
    pub(crate) listen_name: Option<String>,
    /// The address where other nodes reach this node. Port 0 stands for the listening port. Default:
    /// none; see [`Config::advertise_at`]. Set it if other nodes cannot use the listening address, because
    /// of address translation or because the node listens on every interface.
    pub(crate) advertise: Option<SocketAddr>,
    /// The seeds, where the node looks for other nodes. Default: none, which starts a cluster of one node
    /// that others may join. A name that resolves to all nodes is best. Without such a name, use two or
    /// three nodes that are always up.
    pub(crate) seeds: Vec<Seed>,
    /// Whether to join the cluster without accepting calls until the node is released. Default: no. For a
    /// node that must warm up or pass a health check first.
    pub(crate) hold: bool,
    /// Whether to serve nothing, regardless of the services given. Default: no, unless
    /// `RELEASE_COMMAND` is set. For a process that is too short-lived to be called.
    pub(crate) client_only: bool,
    /// The time that a drain waits for running calls, up to 24 h. Default: 4 s, because Fly.io kills a
    /// machine 5 s after the signal. Choose a little less than the time until the process is killed, and more
    /// than the longest call that matters.
    pub(crate) drain_timeout: Duration,
    /// Upper bound on the body of a call or a reply, in bytes, up to `u32::MAX`. Default: 32 MiB. Larger
    /// bodies cost memory at both ends, multiplied by the calls in flight.
    pub(crate) max_body: usize,
    /// Upper bound on the bytes of bodies that the node holds for other nodes. The default is none; see
    /// [`Config::body_memory`].
    pub(crate) max_body_memory: Option<usize>,
    /// Upper bound on the calls of other nodes that execute here concurrently. Further calls are refused.
    /// Default: 8192, which is far more than a healthy service has, but few enough to hold in memory.
    /// Choose it by the resources that a call holds, such as memory or a database connection.
    pub(crate) max_in_flight: usize,
    /// The interval of pings on a link, 10 ms to 1 h. After 2 intervals without receiving anything,
    /// other nodes are preferred; after 5, the link is closed. Default: 1 s. A shorter interval detects a
    /// frozen node sooner, but also closes links that are only stalled.
    pub(crate) heartbeat: Duration,
    /// The secret of the cluster. The default is none, which is enough only if the node listens on loopback, or
    /// is [`insecure`](Config::insecure).
    pub(crate) secret: Option<Keyring>,
    /// Whether everything that can reach the node may call it. Default: no. With a secret, the node accepts nodes
    /// without the secret in addition to those with it.
    pub(crate) insecure: bool,
    /// The Fly.io machine that this node runs on. Default: none; see [`Config::from_env`].
    pub(crate) fly: Option<FlyMachine>,
}

/// The properties of a Fly.io machine that no other setting contains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FlyMachine {
    /// The machine's address in its organization's private network, from `FLY_PRIVATE_IP`.
    pub(crate) private_ip: Option<IpAddr>,
}

/// Which peers a node accepts.
#[derive(Debug, Clone)]
pub(crate) enum Sealing {
    /// Nothing is sealed.
    Open,
    /// Links and gossip are sealed with peers that hold the secret, and open with others.
    Permissive(Keyring),
    /// Only peers that hold the secret are accepted.
    Sealed(Keyring),
}

impl Sealing {
    /// The keys of the node, if it has any.
    pub(crate) fn keyring(&self) -> Option<&Keyring> {
        match self {
            Sealing::Open => None,
            Sealing::Permissive(keyring) | Sealing::Sealed(keyring) => Some(keyring),
        }
    }

    /// Whether peers without the secret are accepted.
    pub(crate) fn accepts_open(&self) -> bool {
        !matches!(self, Sealing::Sealed(_))
    }
}

impl Config {
    /// Which peers the node accepts.
    pub(crate) fn sealing(&self) -> Sealing {
        match self.secret.clone() {
            None => Sealing::Open,
            Some(keyring) if self.insecure => Sealing::Permissive(keyring),
            Some(keyring) => Sealing::Sealed(keyring),
        }
    }

    /// The region that serves calls to the primary.
    pub(crate) fn primary(&self) -> Region {
        self.primary_region.clone().unwrap_or(Region::LOCAL)
    }

    /// Returns the upper bound on the bytes of bodies that the node holds for other nodes. Without a
    /// setting, the memory is enough for 8 bodies of the maximum size, and at least 256 MiB.
    pub(crate) fn body_memory(&self) -> usize {
        self.max_body_memory
            .unwrap_or_else(|| self.max_body.saturating_mul(BODIES).max(BODY_MEMORY))
    }

    /// The address to listen on: the setting if there is one; otherwise, on Fly.io, the machine's private
    /// address and [`DEFAULT_PORT`]; otherwise loopback and a free port. A node that serves nothing and
    /// has no such setting uses a free port, so that it can run beside a node that serves.
    pub(crate) fn listen_at(&self, serves: bool) -> SocketAddr {
        if let Some(addr) = self.listen {
            return addr;
        }
        match self.private_ip() {
            Some(ip) if serves && !self.client_only => SocketAddr::new(ip, DEFAULT_PORT),
            Some(ip) => SocketAddr::new(ip, 0),
            None => SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        }
    }

    /// Returns the address at which other nodes reach a node that listens on `bound`: the setting if
    /// there is one, otherwise `bound`. [`validate`](Config::validate) requires the setting of a node
    /// that listens on every interface.
    pub(crate) fn advertise_at(&self, bound: SocketAddr) -> SocketAddr {
        match self.advertise {
            Some(addr) if addr.port() == 0 => SocketAddr::new(addr.ip(), bound.port()),
            Some(addr) => addr,
            None => bound,
        }
    }

    /// The machine's private address on Fly.io.
    pub(super) fn private_ip(&self) -> Option<IpAddr> {
        self.fly.as_ref()?.private_ip
    }
}

impl Default for Config {
    fn default() -> Self {
        Config {
            cluster: "local".to_owned(),
            name: host_name(),
            version: String::new(),
            region: Region::LOCAL,
            primary_region: None,
            listen: None,
            listen_name: None,
            advertise: None,
            seeds: Vec::new(),
            hold: false,
            client_only: false,
            drain_timeout: Duration::from_secs(4),
            max_body: 32 * 1024 * 1024,
            max_body_memory: None,
            max_in_flight: 8192,
            heartbeat: Duration::from_secs(1),
            secret: None,
            insecure: false,
            fly: None,
        }
    }
}

fn host_name() -> String {
    to_label(&hostname::get().unwrap_or_default().to_string_lossy())
}
