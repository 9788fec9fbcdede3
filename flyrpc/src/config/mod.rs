//! The settings of a node: their defaults, the environment variables they are read from, and what
//! values they may have. The only module that reads the environment, which it does when asked to.

mod check;
mod seed;
mod vars;

use std::{
    ffi::OsString,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use self::seed::DEFAULT_PORT;
pub(crate) use self::{check::parse_seeds, seed::Seed};
use crate::{error::StartError, types::Region};

/// How to run one node.
///
/// [`Config::default`] never reads the environment; [`Config::from_env`] is that, filled from it.
///
#[doc = include_str!("../docs/variables.md")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Config {
    /// The cluster to belong to: nodes of different clusters never mix, though they reach each
    /// other. 1 to 64 bytes. Default: `local`. Give each application, and each stage of it, its own.
    pub(crate) cluster: String,
    /// What this node is called, in its id and in messages. 1 to 64 bytes. Default: the host name.
    /// Two nodes may have one name, but whoever reads the logs is better off if they do not.
    pub(crate) name: String,
    /// Where this node runs. 1 to 64 bytes. Default: [`Region::LOCAL`]. Any names will do that all
    /// nodes agree on; providers' codes are usual.
    pub(crate) region: Region,
    /// The region where calls aimed at the primary run. Default: none, which is
    /// [`Region::LOCAL`], save on Fly.io, where it must be given. The same on all nodes: one that
    /// disagrees refuses such calls.
    pub(crate) primary_region: Option<Region>,
    /// Where to listen, for links by TCP and for gossip by UDP; port 0 takes a free one. Default:
    /// none, which is as [`Config::listen_at`] says. Choose an address that other nodes reach and
    /// strangers do not.
    pub(crate) listen: Option<SocketAddr>,
    /// Where other nodes reach this one; port 0 is the port that it listens at. Default: none,
    /// which is as [`Config::advertise_at`] says. Give it where that is not the address listened
    /// at, as behind address translation or where listening on every interface.
    pub(crate) advertise: Option<SocketAddr>,
    /// Where to find other nodes. Default: none, which makes a cluster of one; others may still
    /// join it. A name that resolves to all nodes is best, else two or three nodes that are
    /// always up.
    pub(crate) seeds: Vec<Seed>,
    /// Whether to join without serving until told to accept calls. Default: no. For a node that
    /// must warm up or be found healthy first.
    pub(crate) hold: bool,
    /// Whether to serve nothing, whatever services were given. Default: no, save where
    /// `RELEASE_COMMAND` is set. For a process that lives too briefly to be worth calling.
    pub(crate) client_only: bool,
    /// How long a drain waits for running calls, up to 24 h. Default: 4 s, as Fly.io kills a
    /// machine 5 s after the signal. Choose a little less than the time until the process is
    /// killed, and more than the longest call that matters.
    pub(crate) drain_timeout: Duration,
    /// The largest body of a call or a reply, in bytes, up to `u32::MAX`. Default: 32 MiB. Larger
    /// bodies cost memory at both ends, times the calls in flight.
    pub(crate) max_body: usize,
    /// The most calls that execute here for other nodes at one time; more are refused. Default:
    /// 8192, far more than a healthy service has and few enough to hold in memory. Choose by what a
    /// call holds on to: memory, or a connection to a database.
    pub(crate) max_in_flight: usize,
    /// The time between two signs of life on an idle link, 10 ms to 1 h. After 2 of silence other
    /// nodes are preferred, after 5 the link is broken. Default: 1 s. Shorter finds a frozen node
    /// sooner, and breaks links that only stutter.
    pub(crate) heartbeat: Duration,
    /// The Fly.io machine that this node runs on. Default: none; see [`Config::from_env`].
    pub(crate) fly: Option<FlyMachine>,
}

/// What matters of a Fly.io machine, beyond the values that became settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FlyMachine {
    /// The machine's address in its organization's private network, in `FLY_PRIVATE_IP`.
    pub(crate) private_ip: Option<IpAddr>,
}

impl Config {
    /// The settings that the environment gives, and defaults for the others.
    ///
    /// What can still be set otherwise before the node starts is not missed here, but by
    /// [`validate`](Config::validate).
    ///
    /// # Errors
    ///
    /// A variable has a value that cannot be used: the error names both, and what was expected.
    pub(crate) fn from_env() -> Result<Config, StartError> {
        Config::from_vars(|name| std::env::var_os(name))
    }

    /// Like [`from_env`](Config::from_env), in the environment that `lookup` shows.
    ///
    /// # Errors
    ///
    /// As there.
    pub(crate) fn from_vars(
        lookup: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Config, StartError> {
        vars::read(lookup)
    }

    /// The region where calls aimed at the primary run.
    pub(crate) fn primary(&self) -> Region {
        self.primary_region.clone().unwrap_or(Region::LOCAL)
    }

    /// Where to listen: as told, else on Fly.io at the machine's private address and
    /// [`DEFAULT_PORT`], else on loopback at a free port. A node that `serves` nothing takes a free
    /// port in each case but the first, so that it runs beside one that does serve.
    pub(crate) fn listen_at(&self, serves: bool) -> SocketAddr {
        if let Some(told) = self.listen {
            return told;
        }
        match self.private_ip() {
            Some(ip) if serves && !self.client_only => SocketAddr::new(ip, DEFAULT_PORT),
            Some(ip) => SocketAddr::new(ip, 0),
            None => SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        }
    }

    /// Where others reach a node that listens at `bound`: as told, else there. A node that listens
    /// on every interface and was not told is alone or among nodes of its own machine, else
    /// [`validate`](Config::validate) refuses it; it is reached on loopback.
    pub(crate) fn advertise_at(&self, bound: SocketAddr) -> SocketAddr {
        match self.advertise {
            Some(told) if told.port() == 0 => SocketAddr::new(told.ip(), bound.port()),
            Some(told) => told,
            None if bound.ip().is_unspecified() => {
                let loopback: IpAddr = match bound {
                    SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                    SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
                };
                SocketAddr::new(loopback, bound.port())
            }
            None => bound,
        }
    }

    /// Whether a node can start with these settings, as far as can be told without trying.
    ///
    /// # Errors
    ///
    /// The first setting that is missing or has a value that cannot be used.
    pub(crate) fn validate(&self) -> Result<(), StartError> {
        check::config(self)
    }

    fn private_ip(&self) -> Option<IpAddr> {
        self.fly.as_ref()?.private_ip
    }
}

impl Default for Config {
    fn default() -> Self {
        Config {
            cluster: "local".to_owned(),
            name: host_name(),
            region: Region::LOCAL,
            primary_region: None,
            listen: None,
            advertise: None,
            seeds: Vec::new(),
            hold: false,
            client_only: false,
            drain_timeout: Duration::from_secs(4),
            max_body: 32 * 1024 * 1024,
            max_in_flight: 8192,
            heartbeat: Duration::from_secs(1),
            fly: None,
        }
    }
}

fn host_name() -> String {
    fit_label(&hostname::get().unwrap_or_default().to_string_lossy())
}

/// What of a host name can be a node's: systems allow some that [`check::label`] does not.
fn fit_label(name: &str) -> String {
    let mut name = name.replace(char::is_control, "");
    while name.len() > check::MAX_LABEL {
        name.pop();
    }
    if name.is_empty() { "localhost".to_owned() } else { name }
}

#[cfg(test)]
mod tests;
