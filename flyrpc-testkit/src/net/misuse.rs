//! What a test is told that names what there is not. Long lists are cut short.

use std::fmt::Display;

use super::{
    faults::{Fault, Place},
    wire::Wire,
};

/// How many names a message lists before it only counts the others.
const LISTED: usize = 8;

/// No host is called `name`, where only a host makes sense.
pub(super) fn no_host(wire: &Wire, name: &str) -> String {
    let Some(region) = wire.find_region(name) else {
        return format!("no host is called `{name}`: {}", hosts(wire));
    };
    let inside = wire.hosts.iter().filter(|host| host.region == region).map(|host| &host.name);
    format!("`{name}` is a region, not a host: name one of its hosts, {}", listed(inside))
}

/// Neither a host nor a region is called `name`.
pub(super) fn no_place(wire: &Wire, name: &str) -> String {
    let hosts = hosts(wire);
    let regions = listed(wire.regions());
    let regions = if regions.is_empty() { regions } else { format!(" and the regions {regions}") };
    format!("no host and no region with hosts is called `{name}`: {hosts}{regions}")
}

/// Why a fault cannot be from a place to itself, if these are the same and it cannot.
pub(super) fn same_place(wire: &Wire, from: Place, to: Place, fault: Fault) -> Option<String> {
    if from != to {
        return None;
    }
    let name = from.name(wire);
    match (from, fault) {
        (Place::Host(_), _) => Some(format!(
            "both places are the host `{name}`, and a host always reaches itself: \
             name another host or a region as one of them"
        )),
        (Place::Region(_), Fault::Cut | Fault::Hold) => Some(format!(
            "both places are the region `{name}`, which can be parted from other places only: \
             name another region, or a host of `{name}`, as one of them"
        )),
        (
            Place::Region(_),
            Fault::Slow(_) | Fault::Jitter(_) | Fault::Lose(_) | Fault::Throttle(_),
        ) => None,
    }
}

fn hosts(wire: &Wire) -> String {
    if wire.hosts.is_empty() {
        return "there are no hosts yet, they have to be added first".into();
    }
    format!("there are the hosts {}", listed(wire.hosts.iter().map(|host| &host.name)))
}

fn listed<T: Display>(names: impl Iterator<Item = T>) -> String {
    let mut names = names.map(|name| format!("`{name}`"));
    let first: Vec<String> = names.by_ref().take(LISTED).collect();
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
        assert_eq!(listed(names.iter()), expected);
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
