//! Checks of the arguments that a test passes, and the panic messages when a check fails. Messages
//! truncate long lists of names.

use std::fmt::Display;

use super::state::{Fault, FaultScope, HostId, Topology};

/// Upper bound on the names that a message lists. It counts the remaining names.
const MAX_LISTED: usize = 8;

/// # Errors
///
/// Returns the panic message if no host has this name.
pub(super) fn find_host(topology: &Topology, name: &str) -> Result<HostId, String> {
    topology.find_host(name).ok_or_else(|| unknown_host(topology, name))
}

/// # Errors
///
/// Returns the panic message if the name is neither a host nor a region with hosts.
pub(super) fn find_scope(topology: &Topology, name: &str) -> Result<FaultScope, String> {
    let host = topology.find_host(name).map(FaultScope::Host);
    host.or_else(|| topology.find_region(name).map(FaultScope::Region))
        .ok_or_else(|| unknown_scope(topology, name))
}

fn unknown_host(topology: &Topology, name: &str) -> String {
    let Some(region) = topology.find_region(name) else {
        return format!("there is no host `{name}`: {}", list_hosts(topology));
    };
    let inside = topology.hosts().filter(|host| host.region == region).map(|host| &host.name);
    format!("`{name}` is a region, not a host: use one of its hosts, {}", list(inside))
}

fn unknown_scope(topology: &Topology, name: &str) -> String {
    let hosts = list_hosts(topology);
    let regions = list(topology.regions());
    let regions = if regions.is_empty() { regions } else { format!("; the regions are {regions}") };
    format!("there is no host or region `{name}`: {hosts}{regions}")
}

/// # Errors
///
/// Returns the panic message if both scopes are the same and the fault cannot apply within one scope.
pub(super) fn check_scopes(
    topology: &Topology,
    from: FaultScope,
    to: FaultScope,
    fault: Fault,
) -> Result<(), String> {
    if from != to {
        return Ok(());
    }
    let name = from.name(topology);
    match (from, fault) {
        (FaultScope::Host(_), _) => Err(format!(
            "both scopes are the host `{name}`, and a host always reaches itself: \
             use another host or a region for one of them"
        )),
        (FaultScope::Region(_), Fault::Cut | Fault::Hold) => Err(format!(
            "both scopes are the region `{name}`, which cannot be partitioned from itself: \
             use another region, or a host of `{name}`, for one of them"
        )),
        (
            FaultScope::Region(_),
            Fault::Slow(_)
            | Fault::Jitter(_)
            | Fault::Lose(_)
            | Fault::FilterTcp
            | Fault::Throttle(_),
        ) => Ok(()),
    }
}

/// # Panics
///
/// If `share` is not between 0 and 1.
#[track_caller]
pub(super) fn assert_share(share: f64) {
    assert!((0.0..=1.0).contains(&share), "a share must be between 0 and 1: got {share}");
}

/// # Panics
///
/// If `bytes_per_second` is 0.
#[track_caller]
pub(super) fn assert_bandwidth(bytes_per_second: u64) {
    assert!(bytes_per_second > 0, "bandwidth must not be 0: use `partition` to block all messages");
}

fn list_hosts(topology: &Topology) -> String {
    if topology.hosts().next().is_none() {
        return "the network has no hosts yet".into();
    }
    format!("the hosts are {}", list(topology.hosts().map(|host| &host.name)))
}

fn list<T: Display>(names: impl Iterator<Item = T>) -> String {
    let mut names = names.map(|name| format!("`{name}`"));
    let first: Vec<String> = names.by_ref().take(MAX_LISTED).collect();
    let first = first.join(", ");
    match names.count() {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(names: &[&str], expected: &str) {
        assert_eq!(list(names.iter()), expected);
    }

    #[test]
    fn a_long_list_is_truncated() {
        check(&[], "");
        check(&["a", "b"], "`a`, `b`");
        check(&["a", "b", "c", "d", "e", "f", "g", "h"], "`a`, `b`, `c`, `d`, `e`, `f`, `g`, `h`");
        check(
            &["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"],
            "`a`, `b`, `c`, `d`, `e`, `f`, `g`, `h` and 2 more",
        );
    }
}
