//! Picks a node in the nearest region that can take a call.

use super::{
    candidates::{Candidate, Candidates},
    choice::{Choice, Pick},
    compat::Compats,
    draw::{draw, passed_over, scan},
    endpoint::Endpoint,
    rank::rank,
    table::Table,
};

/// Upper bound on the regions that are equally near.
const MAX_EQUAL: usize = 16;

/// The nearest region is the one with the least round trip. Regions that are hardly farther are equally near: up to
/// a quarter more than the least round trip, or one millisecond, in microseconds.
fn limit(least: u32) -> u32 {
    least.saturating_add(least / 4).max(least.saturating_add(1_000))
}

/// Picks a node in one of the nearest regions with a node that can take the call.
///
/// This takes time for each region, but not for each node, unless most nodes of the nearest region cannot take the
/// call.
pub(super) fn nearest<'a, L: Endpoint>(table: &'a Table<L>, pick: &Pick<'_>) -> Choice<'a, L> {
    draw_nearest(table, pick).unwrap_or_else(|| rank(table.nodes(), pick))
}

/// The same, but returns `None` if no node can take the call at once.
pub(super) fn draw_nearest<'a, L: Endpoint>(
    table: &'a Table<L>,
    pick: &Pick<'_>,
) -> Option<Choice<'a, L>> {
    let mut beyond = None;
    loop {
        let farther = |round_trip: u32| beyond.is_none_or(|beyond| round_trip > beyond);
        let regions = || serving(table, pick).filter(|(round_trip, _)| farther(*round_trip));
        let least = regions().map(|(round_trip, _)| round_trip).min()?;
        let limit = limit(least);
        let mut equal = regions().filter(|(round_trip, _)| *round_trip <= limit);
        let (_, first) = equal.next()?;
        let drawn = match equal.next() {
            None => draw_among(first.len(), |at| first.get(at), pick),
            Some((_, second)) => {
                let all = Equal::of([first, second].into_iter().chain(equal.map(|(_, next)| next)));
                draw_among(all.nodes, |at| all.get(at), pick)
            }
        };
        if let Some((link, compats)) = drawn {
            return Some(Choice::Send { link, compats });
        }
        beyond = Some(limit);
    }
}

/// Picks one of `count` nodes that can take the call at once, if there is one. A node that is ejected or congested is
/// better than one that is farther.
fn draw_among<'a, L: Endpoint + 'a>(
    count: usize,
    candidate: impl Fn(usize) -> Option<&'a Candidate<L>>,
    pick: &Pick<'_>,
) -> Option<(&'a L, &'a Compats)> {
    draw(count, &candidate, pick)
        .or_else(|| scan(count, &candidate, pick))
        .or_else(|| passed_over(count, candidate, pick))
}

/// Returns the round trip of each region with linked nodes that serve the service, in microseconds, and those nodes.
fn serving<'a, L: Endpoint>(
    table: &'a Table<L>,
    pick: &Pick<'_>,
) -> impl Iterator<Item = (u32, &'a Candidates<Candidate<L>>)> {
    table.regions().filter_map(|nodes| {
        let serving = nodes.serving(pick.caller.service)?;
        Some((serving.get(0)?.load.region().round_trip(), serving))
    })
}

/// The nodes of several regions.
struct Equal<'a, L> {
    regions: [Option<&'a Candidates<Candidate<L>>>; MAX_EQUAL],
    nodes: usize,
}

impl<'a, L> Equal<'a, L> {
    fn of(regions: impl Iterator<Item = &'a Candidates<Candidate<L>>>) -> Self {
        let mut equal = Equal { regions: [None; MAX_EQUAL], nodes: 0 };
        for (to, region) in equal.regions.iter_mut().zip(regions) {
            *to = Some(region);
            equal.nodes += region.len();
        }
        equal
    }

    fn get(&self, mut at: usize) -> Option<&'a Candidate<L>> {
        for region in self.regions.iter().flatten() {
            if at < region.len() {
                return region.get(at);
            }
            at -= region.len();
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::{any::TypeId, collections::BTreeMap, sync::Arc};

    use super::*;
    use crate::{
        error::Refusal,
        proto::routing::{
            compat::CallerTrait,
            endpoint::LinkStatus,
            entry::Entry,
            load::{NodeLoad, RegionLoad},
            reservoir::mix,
            testing::Path,
        },
        types::{NodeId, NodeInfo, TargetRef},
    };

    const CALLER: CallerTrait =
        CallerTrait { id: TypeId::of::<()>(), service: "S", signatures: Vec::new };

    /// A table of regions, each with a round trip in microseconds and the services of its nodes.
    fn table(regions: &[(&str, u32, &[&[&str]])]) -> Table<Path> {
        let mut table = Table::empty();
        for (region, round_trip, nodes) in regions {
            let load = Arc::new(RegionLoad::new());
            load.set_round_trip(*round_trip);
            load.set_nodes(nodes.len() as u32, 0);
            for (at, services) in nodes.iter().enumerate() {
                let node = format!("{region}-{at}");
                let id = NodeId::new(&node, 1);
                let load = Arc::new(NodeLoad::new(Arc::clone(&load)));
                let link = Path { load, ..Path::good().to(id.clone()).serving(services) };
                let info =
                    NodeInfo::new(id, (*region).into(), ([10, 0, 0, 1], at as u16 + 1).into());
                table.insert(Arc::new(Entry::linked(info, Some(link))));
            }
        }
        table
    }

    /// Returns how often each node is picked in 1,000 picks.
    fn counts(table: &Table<Path>) -> BTreeMap<String, u32> {
        let mut counts = BTreeMap::new();
        for random in 0..1_000 {
            let with = Pick {
                target: TargetRef::Nearest,
                caller: &CALLER,
                method: 0,
                tried: &[],
                accepts_unresponsive: true,
                primary_moved: false,
                random: mix(random, 1),
                now: 1,
            };
            let Choice::Send { link, .. } = nearest(table, &with) else { panic!("no node") };
            *counts.entry(link.node.name().to_owned()).or_default() += 1;
        }
        counts
    }

    fn picked(table: &Table<Path>) -> Vec<String> {
        counts(table).into_keys().collect()
    }

    #[test]
    fn a_node_in_the_nearest_region_that_serves_the_service_is_picked() {
        let serves: &[&[&str]] = &[&["S"], &["T", "S"]];
        let near: &[&[&str]] = &[&["T"], &[]];
        let regions = [("hkg", 50_000, serves), ("iad", 200_000, serves), ("nrt", 2_000, near)];
        assert_eq!(picked(&table(&regions)), ["hkg-0", "hkg-1"]);
    }

    #[test]
    fn regions_that_are_hardly_farther_are_equally_near() {
        let one: &[&[&str]] = &[&["S"]];
        let three: &[&[&str]] = &[&["S"], &["S"], &["S"]];
        let far = table(&[("a", 1_000, one), ("b", 2_000, one), ("c", 2_001, one)]);
        assert_eq!(picked(&far), ["a-0", "b-0"]);
        let far = table(&[("a", 100_000, three), ("b", 125_000, one), ("c", 126_000, one)]);
        let counts = counts(&far);
        assert_eq!(counts.len(), 4);
        assert!(counts.values().all(|count| (200..300).contains(count)), "{counts:?}");
    }

    #[test]
    fn one_node_of_a_large_region_that_can_take_the_call_is_found() {
        let services: &[&str] = &["S"];
        let serves = &[services; 100];
        let mut table = table(&[("hkg", 1_000, serves), ("iad", 90_000, serves)]);
        let held: Vec<_> = table.region(&"hkg".into()).iter().skip(1).map(Arc::clone).collect();
        for entry in held {
            let status = LinkStatus::NotAccepting(Refusal::Held);
            let link = entry.link.clone().map(|link| Path { status, ..link });
            table.insert(Arc::new(Entry::linked(entry.info.clone(), link)));
        }
        assert_eq!(picked(&table), ["hkg-0"]);
    }

    /// Changes the link of the node that is picked, which must be a single one.
    fn change_picked(table: &mut Table<Path>, change: impl Fn(Path) -> Path) {
        let picked = picked(table).remove(0);
        let entry = table.nodes().find(|entry| entry.info.name() == picked).unwrap();
        let link = change(entry.link.clone().unwrap());
        table.insert(Arc::new(Entry::linked(entry.info.clone(), Some(link))));
    }

    #[test]
    fn the_next_region_is_picked_if_no_node_of_the_nearest_can_take_the_call() {
        let one: &[&[&str]] = &[&["S"]];
        let mut table = table(&[("a", 1_000, one), ("b", 50_000, one), ("c", u32::MAX, one)]);
        for expected in ["b-0", "c-0"] {
            let status = LinkStatus::NotAccepting(Refusal::Held);
            change_picked(&mut table, |link| Path { status, ..link });
            assert_eq!(picked(&table), [expected]);
        }
    }

    #[test]
    fn a_congested_or_ejected_node_is_picked_before_one_of_a_farther_region() {
        let one: &[&[&str]] = &[&["S"]];
        let mut congested = table(&[("a", 1_000, one), ("b", 50_000, one)]);
        change_picked(&mut congested, |link| Path { congested: true, ..link });
        assert_eq!(picked(&congested), ["a-0"]);
        let two: &[&[&str]] = &[&["S"], &["T"]];
        let mut ejected = table(&[("a", 1_000, two), ("b", 50_000, one)]);
        change_picked(&mut ejected, |link| {
            link.load.region().set_nodes(2, 1);
            link.load.set_probe_at(Some(5_000_000));
            link
        });
        assert_eq!(picked(&ejected), ["a-0"]);
        // A sibling that can take the call is better than both.
        let mut siblings = table(&[("a", 1_000, &[&["S"], &["S"]])]);
        let first = Arc::clone(siblings.nodes().next().unwrap());
        let link = first.link.clone().map(|link| Path { congested: true, ..link });
        siblings.insert(Arc::new(Entry::linked(first.info.clone(), link)));
        assert_eq!(picked(&siblings), ["a-1"]);
    }
}
