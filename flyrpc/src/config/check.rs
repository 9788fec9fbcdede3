//! What values the settings may have.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    ops::RangeInclusive,
    time::Duration,
};

use super::{Config, Seed};
use crate::error::StartError;

/// The longest name of a cluster, a node or a region, in bytes: they travel in every handshake, and
/// in gossip, whose packets are small.
pub(super) const MAX_LABEL: usize = 64;

/// Any time may be added to it without overflow, and a process is killed long before.
pub(super) const MAX_DRAIN_TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);

const HEARTBEATS: RangeInclusive<Duration> =
    Duration::from_millis(10)..=Duration::from_secs(60 * 60);

/// Lengths on a link have 32 bits.
const MAX_BODY: usize = u32::MAX as usize;

/// Reads the seeds in `entries`, each of which may itself be a list; `setting` is where they were
/// given. Anything that can be written will do: text, socket addresses.
///
/// # Errors
///
/// Names the first entry that is no seed.
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

/// Checks every setting, and those that must fit one another.
pub(super) fn config(config: &Config) -> Result<(), StartError> {
    check("cluster", &config.cluster, label(&config.cluster))?;
    check("name", &config.name, label(&config.name))?;
    check("region", &config.region, label(config.region.as_str()))?;
    if let Some(region) = &config.primary_region {
        check("primary_region", region, label(region.as_str()))?;
    }
    check_limits(config)?;
    check_fly(config)?;
    check_reachable(config)
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
    if config.max_in_flight == 0 {
        return Err(refuse("max_in_flight", 0, "at least 1; to serve nothing, give no services"));
    }
    Ok(())
}

/// Defaults made for one machine would go unnoticed on Fly.io until calls fail.
fn check_fly(config: &Config) -> Result<(), StartError> {
    let Some(fly) = &config.fly else { return Ok(()) };
    if config.primary_region.is_none() {
        let why = "on Fly.io there is no default for it; set it in the [env] section of fly.toml, \
                   or set `primary_region`";
        return Err(missing("PRIMARY_REGION", why));
    }
    if fly.private_ip.is_none() && config.listen.is_none() {
        let why = "on Fly.io a node listens there; set `listen` (FLYRPC_LISTEN) to listen \
                   elsewhere";
        return Err(missing("FLY_PRIVATE_IP", why));
    }
    Ok(())
}

/// Refuses an address that nodes on other machines could not use, where there are such nodes. What
/// Fly.io calls the machine's private address is trusted, so that a laptop can pass for Fly.io.
fn check_reachable(config: &Config) -> Result<(), StartError> {
    let (setting, addr) = match config.advertise {
        Some(addr) => {
            check("advertise", addr, advertise(addr))?;
            ("advertise", addr)
        }
        None => ("listen", config.listen_at(true)),
    };
    if !is_only_here(addr.ip()) || config.private_ip() == Some(addr.ip()) {
        return Ok(());
    }
    match config.seeds.iter().find(|seed| !seed.is_loopback()) {
        None => Ok(()),
        Some(seed) => Err(refuse(
            setting,
            addr,
            format!(
                "an address that other machines reach, since the seed `{seed}` is on one; set \
                 `listen` (FLYRPC_LISTEN) or `advertise` (FLYRPC_ADVERTISE)"
            ),
        )),
    }
}

fn is_only_here(ip: IpAddr) -> bool {
    let ip = ip.to_canonical();
    ip.is_loopback() || ip.is_unspecified()
}

/// Whether `text` will do as the name of a cluster, a node or a region; if not, what will.
pub(super) fn label(text: &str) -> Result<(), &'static str> {
    if (1..=MAX_LABEL).contains(&text.len()) && !text.contains(char::is_control) {
        Ok(())
    } else {
        Err("1 to 64 bytes without control characters")
    }
}

/// Whether others could reach a node at `addr`; if not, what will do.
pub(super) fn advertise(addr: SocketAddr) -> Result<(), &'static str> {
    if addr.ip().to_canonical().is_unspecified() {
        Err("the address where other nodes reach this one, not the unspecified one")
    } else {
        Ok(())
    }
}

fn check(
    setting: &str,
    value: impl fmt::Display,
    outcome: Result<(), &'static str>,
) -> Result<(), StartError> {
    outcome.map_err(|expected| refuse(setting, value, expected))
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
