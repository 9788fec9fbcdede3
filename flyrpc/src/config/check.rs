//! Validates settings.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    ops::RangeInclusive,
    time::Duration,
};

use super::{
    label::check_label,
    seed::{Seed, host_and_port},
    settings::Config,
};
use crate::{error::StartError, types::is_host_ip};

/// Upper bound on the drain timeout: longer than any process is given to stop, and short enough to be added
/// to any time without overflow.
pub(super) const MAX_DRAIN_TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);

pub(super) const HEARTBEATS: RangeInclusive<Duration> =
    Duration::from_millis(10)..=Duration::from_secs(60 * 60);

/// Lengths in MessagePack have 32 bits.
pub(super) const MAX_BODY: usize = u32::MAX as usize;

/// Parses the seeds in `entries`. An entry is any value that can be formatted, such as text or a socket
/// address, and may contain a list of seeds.
///
/// # Errors
///
/// Returns an error for the first entry that is not a seed. It names the `setting` that contained it.
pub(crate) fn parse_seeds(
    setting: &str,
    entries: impl IntoIterator<Item = impl ToString>,
) -> Result<Vec<Seed>, StartError> {
    let mut seeds = Vec::new();
    for entry in entries {
        let list = Seed::parse_list(&entry.to_string())
            .map_err(|error| refuse(setting, error.entry, error.expected))?;
        seeds.extend(list);
    }
    Ok(seeds)
}

impl Config {
    /// Sets the host name to listen on, and removes the address to listen on.
    ///
    /// # Errors
    ///
    /// Returns an error if `name` is not `name[:port]`.
    pub(crate) fn set_listen_name(&mut self, name: &str) -> Result<(), StartError> {
        let expected = "`name` or `name:port`";
        let name = host_and_port(name).ok_or_else(|| refuse("listen_on_host", name, expected))?;
        (self.listen, self.listen_name) = (None, Some(name));
        Ok(())
    }

    /// Checks every setting except [addresses](Self::check_addresses), and the combinations of settings that depend on
    /// each other, as far as possible without starting the node.
    ///
    /// # Errors
    ///
    /// Returns an error for the first setting that is missing or has an invalid value.
    pub(crate) fn validate(&self) -> Result<(), StartError> {
        check("cluster", &self.cluster, check_label(&self.cluster))?;
        check("name", &self.name, check_label(&self.name))?;
        if !self.version.is_empty() {
            check("version", &self.version, check_label(&self.version))?;
        }
        check("region", &self.region, check_label(self.region.as_str()))?;
        if let Some(region) = &self.primary_region {
            check("primary_region", region, check_label(region.as_str()))?;
        }
        check_limits(self)?;
        check_fly(self)
    }

    /// Checks that other nodes can reach this one at the address that it advertises.
    ///
    /// # Errors
    ///
    /// Returns an error that names the setting.
    pub(crate) fn check_addresses(&self) -> Result<(), StartError> {
        check_reachable(self)
    }

    /// Checks that a node that listens on `addr` has a secret, or was declared insecure.
    ///
    /// # Errors
    ///
    /// Returns [`StartError::NoSecret`] if programs on other machines could call the node.
    pub(crate) fn check_secret(&self, addr: SocketAddr) -> Result<(), StartError> {
        if self.secret.is_some() || self.insecure || addr.ip().to_canonical().is_loopback() {
            return Ok(());
        }
        let command = if self.fly.is_some() {
            "fly secrets set FLYRPC_SECRET=$(openssl rand -base64 32)"
        } else {
            "export FLYRPC_SECRET=$(openssl rand -base64 32)"
        };
        // The unspecified address does not show where the node can be reached.
        let is_unspecified = addr.ip().to_canonical().is_unspecified();
        let addr = if is_unspecified { self.advertise_at(addr) } else { addr };
        Err(StartError::NoSecret { addr, command })
    }
}

fn check_limits(config: &Config) -> Result<(), StartError> {
    if config.drain_timeout > MAX_DRAIN_TIMEOUT {
        let value = format!("{:?}", config.drain_timeout);
        return Err(refuse("drain_timeout", value, "at most 24 h"));
    }
    if !HEARTBEATS.contains(&config.heartbeat) {
        let value = format!("{:?}", config.heartbeat);
        return Err(refuse("heartbeat", value, "10 ms to 1 h"));
    }
    if !(1..=MAX_BODY).contains(&config.max_body) {
        return Err(refuse("max_body", config.max_body, format!("1 to {MAX_BODY} bytes")));
    }
    // A body of the maximum size must fit while another peer holds half of the memory.
    let least = config.max_body.saturating_mul(2);
    if let Some(bytes) = config.max_body_memory.filter(|&bytes| bytes < least) {
        let expected = format!("at least {least} bytes, twice `max_body`");
        return Err(refuse("max_body_memory", bytes, expected));
    }
    if config.max_in_flight == 0 {
        return Err(refuse("max_in_flight", 0, "at least 1; to serve nothing, give no services"));
    }
    Ok(())
}

/// Requires, on Fly.io, the settings whose defaults are suitable only for a single machine. Without this
/// check, the mistake would become visible only when calls fail.
fn check_fly(config: &Config) -> Result<(), StartError> {
    let Some(fly) = &config.fly else { return Ok(()) };
    if config.primary_region.is_none() {
        let why = "on Fly.io there is no default for it; set it in the [env] section of fly.toml, \
                   or set `primary_region`";
        return Err(missing("PRIMARY_REGION", why));
    }
    if fly.private_ip.is_none() && config.listen.is_none() && config.listen_name.is_none() {
        let why = "on Fly.io a node listens on that address; set `listen` (FLYRPC_LISTEN) to \
                   listen elsewhere";
        return Err(missing("FLY_PRIVATE_IP", why));
    }
    Ok(())
}

/// Rejects an address that nodes on other machines cannot reach, if a seed is on another machine or the
/// node listens for other machines. `FLY_PRIVATE_IP` is trusted, so that a laptop can simulate Fly.io.
fn check_reachable(config: &Config) -> Result<(), StartError> {
    let (setting, addr) = match config.advertise {
        Some(addr) => {
            check("advertise", addr, check_advertise(addr))?;
            ("advertise", addr)
        }
        None => {
            let addr = config.listen_at(true);
            if !addr.ip().to_canonical().is_unspecified() {
                check("listen", addr, check_advertise(addr))?;
            }
            ("listen", addr)
        }
    };
    if !is_this_machine_only(addr.ip()) || config.private_ip() == Some(addr.ip()) {
        return Ok(());
    }
    let expected = match config.seeds.iter().find(|seed| !seed.is_loopback()) {
        Some(seed) => format!(
            "an address that other machines can reach, because the seed `{seed}` is on another \
             machine; set `listen` (FLYRPC_LISTEN) or `advertise` (FLYRPC_ADVERTISE)"
        ),
        None if config.listen_at(true).ip().to_canonical().is_loopback() => return Ok(()),
        None => "an address that other machines can reach, because the node listens for them; \
                 set `advertise` (FLYRPC_ADVERTISE), or `listen` (FLYRPC_LISTEN) to one address"
            .to_owned(),
    };
    Err(refuse(setting, addr, expected))
}

fn is_this_machine_only(ip: IpAddr) -> bool {
    let ip = ip.to_canonical();
    ip.is_loopback() || ip.is_unspecified()
}

/// Checks that other nodes could reach a node at `addr`.
///
/// # Errors
///
/// Returns a description of the accepted addresses.
pub(super) fn check_advertise(addr: SocketAddr) -> Result<(), &'static str> {
    let ip = addr.ip().to_canonical();
    if is_host_ip(ip) {
        Ok(())
    } else if ip.is_unspecified() {
        Err("the address where other nodes reach this node, not the unspecified address")
    } else {
        Err("the address where other nodes reach this node, not a multicast or broadcast address")
    }
}

fn check(
    setting: &str,
    value: impl fmt::Display,
    result: Result<(), &'static str>,
) -> Result<(), StartError> {
    result.map_err(|expected| refuse(setting, value, expected))
}

pub(super) fn refuse(
    setting: &str,
    value: impl fmt::Display,
    expected: impl Into<String>,
) -> StartError {
    StartError::Setting {
        setting: setting.to_owned(),
        value: value.to_string(),
        expected: expected.into(),
    }
}

fn missing(setting: &str, why: &str) -> StartError {
    StartError::Missing { setting: setting.to_owned(), why: why.to_owned() }
}
