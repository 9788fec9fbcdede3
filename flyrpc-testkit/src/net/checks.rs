//! Checks of the arguments of a test, and the messages of the panics when they fail. Long lists of
//! names are cut short.

use std::fmt::Display;

use super::state::{Fault, FaultScope, HostId, Topology};

/// How many names a message lists before it only counts the others.
const MAX_LISTED: usize = 8;

/// # Errors
///
/// The message for a name that is not a host's.
pub(super) fn find_host(topology: &Topology, name: &str) -> Result<HostId, String> {
    topology.find_host(name).ok_or_else(|| unknown_host(topology, name))
}

/// # Errors
///
/// The message for a name that is neither a host's nor a region's with hosts.
pub(super) fn find_scope(topology: &Topology, name: &str) -> Result<FaultScope, String> {
    let host = topology.find_host(name).map(FaultScope::Host);
    host.or_else(|| topology.find_region(name).map(FaultScope::Region))
        .ok_or_else(|| unknown_scope(topology, name))
}

fn unknown_host(topology: &Topology, name: &str) -> String {
    let Some(region) = topology.find_region(name) else {
        return format!("no host is called `{name}`: {}", list_hosts(topology));
    };
    let inside = topology.hosts().filter(|host| host.region == region).map(|host| &host.name);
    format!("`{name}` is a region, not a host: name one of its hosts, {}", list(inside))
}

fn unknown_scope(topology: &Topology, name: &str) -> String {
    let hosts = list_hosts(topology);
    let regions = list(topology.regions());
    let regions = if regions.is_empty() { regions } else { format!(" and the regions {regions}") };
    format!("no host and no region with hosts is called `{name}`: {hosts}{regions}")
}

/// # Errors
///
/// The message if both scopes are the same and the fault makes no sense there.
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
            "both places are the host `{name}`, and a host always reaches itself: \
             name another host or a region as one of them"
        )),
        (FaultScope::Region(_), Fault::Cut | Fault::Hold) => Err(format!(
            "both places are the region `{name}`, which can be parted from other places only: \
             name another region, or a host of `{name}`, as one of them"
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
    assert!((0.0..=1.0).contains(&share), "a share is between 0 and 1, not {share}");
}

/// # Panics
///
/// If `bytes_per_second` is 0.
#[track_caller]
pub(super) fn assert_bandwidth(bytes_per_second: u64) {
    assert!(
        bytes_per_second > 0,
        "a bandwidth of 0 lets nothing through: use `partition` for that"
    );
}

fn list_hosts(topology: &Topology) -> String {
    if topology.hosts().next().is_none() {
        return "there are no hosts yet, they have to be added first".into();
    }
    format!("there are the hosts {}", list(topology.hosts().map(|host| &host.name)))
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
    fn a_long_list_is_cut_short() {
        check(&[], "");
        check(&["a", "b"], "`a`, `b`");
        check(&["a", "b", "c", "d", "e", "f", "g", "h"], "`a`, `b`, `c`, `d`, `e`, `f`, `g`, `h`");
        check(
            &["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"],
            "`a`, `b`, `c`, `d`, `e`, `f`, `g`, `h` and 2 more",
        );
    }
}
