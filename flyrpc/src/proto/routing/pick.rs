//! Picks a node for a call among the nodes of its target.

use std::sync::Arc;

use super::{
    choice::{Choice, Pick},
    compat::{Compat, Compats},
    endpoint::{Endpoint, LinkStatus},
    rank::rank,
    reservoir::mix,
    table::{Entry, Table},
};
use crate::{error::Known, types::TargetRef};

/// The number of random nodes of a region that are checked before all of its nodes are ranked.
const DRAWS: u64 = 8;

/// Picks a node of the target, in this order of preference:
///
/// 1. a compatible node with an open link, either at random or the nearest
/// 2. a node without a link
/// 3. a compatible node that is quiet
/// 4. a node whose link was lost and that has not been dialed since
pub(crate) fn pick<'a, L: Endpoint>(table: &'a Table<L>, pick: &Pick<'_>) -> Choice<'a, L> {
    let choice = match pick.target {
        TargetRef::Primary(_) if pick.primary_moved => pick_moved_primary(table, pick),
        TargetRef::Region(region) | TargetRef::Primary(region) => draw(table.region(region), pick),
        TargetRef::Node(id) => rank(table.node(id).into_iter(), pick),
        TargetRef::Nearest => rank(table.nodes(), pick),
    };
    match choice {
        Choice::Nobody(Known { unlinked, not_accepting, unsupported, .. }) => {
            Choice::Nobody(Known { unlinked, not_accepting, unsupported, ..table.addresses })
        }
        choice => choice,
    }
}

/// Picks among the nodes that consider their own region primary. If there are none, picks in the
/// configured region.
fn pick_moved_primary<'a, L: Endpoint>(table: &'a Table<L>, pick: &Pick<'_>) -> Choice<'a, L> {
    let considers_itself_primary = |entry: &&Arc<Entry<L>>| {
        entry.link.as_ref().is_some_and(|link| link.considers_primary(entry.info.region()))
    };
    let mut primaries = table.nodes().filter(considers_itself_primary).peekable();
    match pick.target {
        TargetRef::Primary(region) if primaries.peek().is_none() => {
            draw(table.region(region), pick)
        }
        _ => rank(primaries, pick),
    }
}

/// Picks among `candidates` as [`rank`] does, but usually checks only one of them. In a region where
/// most nodes can take the call, a node drawn at random most likely can, too.
fn draw<'a, L: Endpoint>(candidates: &'a [Arc<Entry<L>>], pick: &Pick<'_>) -> Choice<'a, L> {
    // In a small region, a few nodes that cannot take calls for a long time would waste most draws.
    if candidates.len() as u64 > DRAWS {
        for turn in 1..=DRAWS {
            let drawn = &candidates[(mix(pick.random, turn) % candidates.len() as u64) as usize];
            if let Some((link, compats)) = good(drawn, pick) {
                return Choice::Send { link, compats };
            }
        }
    }
    rank(candidates.iter(), pick)
}

/// Picks a node for the first attempt of a call to a region by one draw. Returns `None` if the node that was
/// drawn cannot take the call, and for calls to other targets: [`pick`] then decides. `random` is called if
/// there are several nodes.
///
/// The distribution is the same as that of `rank`. A draw gives all usable nodes the same probability, and so
/// does `rank`, which decides if the draw fails.
pub(crate) fn draw_first<'a, L: Endpoint>(
    table: &'a Table<L>,
    pick: &Pick<'_>,
    random: impl FnOnce() -> u64,
) -> Option<(&'a L, &'a Compats)> {
    let (TargetRef::Region(region) | TargetRef::Primary(region)) = pick.target else { return None };
    let drawn = match table.region(region) {
        [] => return None,
        [only] => only,
        several => &several[(random() % several.len() as u64) as usize],
    };
    good(drawn, pick)
}

/// Returns the link to a node that can take the call at once.
fn good<'a, L: Endpoint>(entry: &'a Entry<L>, pick: &Pick<'_>) -> Option<(&'a L, &'a Compats)> {
    let link = entry.link.as_ref()?;
    if entry.other_protocol
        || link.status(pick.caller.service) != LinkStatus::Good
        || pick.excludes(&entry.info)
    {
        return None;
    }
    let compats = link.compats(pick.caller);
    matches!(compats[pick.method], Compat::Callable { .. }).then_some((link, compats))
}

#[cfg(test)]
mod tests {
    use std::{any::TypeId, time::Duration};

    use super::*;
    use crate::{
        error::{Refusal, Unsupported},
        proto::{
            routing::compat::{CallerTrait, Compats},
            wire::ids::MethodIndex,
        },
        types::{NodeId, NodeInfo, Region, Target},
    };

    #[derive(Debug, Clone)]
    struct Path {
        node: String,
        status: LinkStatus,
        millis: u64,
        compats: Arc<Compats>,
        primary: &'static str,
    }

    impl Endpoint for Path {
        fn status(&self, _service: &str) -> LinkStatus {
            self.status
        }

        fn compats(&self, _caller: &CallerTrait) -> &Compats {
            &self.compats
        }

        fn round_trip(&self) -> Option<Duration> {
            Some(Duration::from_millis(self.millis))
        }

        fn considers_primary(&self, region: &Region) -> bool {
            region.as_str() == self.primary
        }
    }

    const CALLER: CallerTrait =
        CallerTrait { id: TypeId::of::<()>(), service: "S", signatures: Vec::new };

    fn path(status: LinkStatus, millis: u64, compat: Compat) -> Option<Path> {
        Some(Path { node: String::new(), status, millis, compats: [compat].into(), primary: "iad" })
    }

    fn callable() -> Compat {
        Compat::Callable { method: MethodIndex(0), missing_args: [].into() }
    }

    fn good(millis: u64) -> Option<Path> {
        path(LinkStatus::Good, millis, callable())
    }

    fn with_status(status: LinkStatus) -> Option<Path> {
        path(status, 1, callable())
    }

    fn held() -> Option<Path> {
        with_status(LinkStatus::NotAccepting(Refusal::Held))
    }

    fn incompatible(why: Unsupported) -> Option<Path> {
        path(LinkStatus::Good, 1, Compat::Incompatible(why))
    }

    /// A table of nodes in hkg, called n0, n1 and so on.
    fn table(links: &[Option<Path>]) -> Table<Path> {
        let mut table = Table::empty();
        for (at, link) in links.iter().enumerate() {
            let name = format!("n{at}");
            let id = NodeId::new(&name, 0);
            let info = NodeInfo::new(id, Region::from("hkg"), ([127, 0, 0, 1], 1).into());
            let link = link.clone().map(|link| Path { node: name, ..link });
            let entry = Entry {
                info,
                link,
                disconnected: false,
                unreachable: false,
                other_protocol: false,
            };
            table.insert(Arc::new(entry));
        }
        table
    }

    fn hkg() -> Target {
        Target::Region("hkg".into())
    }

    fn of<'a>(target: &'a Target, random: u64) -> Pick<'a> {
        Pick {
            target: target.borrowed(),
            caller: &CALLER,
            method: 0,
            tried: &[],
            accepts_unresponsive: true,
            primary_moved: false,
            random,
        }
    }

    fn choose(links: &[Option<Path>], with: &Pick<'_>) -> String {
        match pick(&table(links), with) {
            Choice::Send { link, .. } => format!("send to {}", link.node),
            Choice::Dial(node) => format!("dial {}", node.name()),
            Choice::Unsupported(node, why) => format!("{} lacks {why:?}", node.name()),
            Choice::Nobody(known) => format!("nobody{known}"),
        }
    }

    #[track_caller]
    fn check(links: &[Option<Path>], expected: &str) {
        assert_eq!(choose(links, &of(&hkg(), 7)), expected);
    }

    #[test]
    fn an_open_link_is_preferred_and_a_quiet_one_comes_last() {
        let quiet = || with_status(LinkStatus::Quiet);
        let lost = || with_status(LinkStatus::Disconnected);
        check(&[None, quiet(), good(1)], "send to n2");
        check(&[quiet(), None], "dial n1");
        check(&[quiet()], "send to n0");
        check(&[lost(), quiet()], "send to n1");
        check(&[lost()], "dial n0");
    }

    #[test]
    fn unresponsive_nodes_are_passed_over_while_there_is_another_target() {
        let (quiet, lost) = (with_status(LinkStatus::Quiet), with_status(LinkStatus::Disconnected));
        let target = hkg();
        let with = Pick { accepts_unresponsive: false, ..of(&target, 7) };
        assert_eq!(
            choose(&[quiet.clone(), lost.clone()], &with),
            "nobody (known: 2 with a lost link)"
        );
        assert_eq!(choose(&[quiet, None, lost], &with), "dial n1");
    }

    #[test]
    fn a_node_that_could_not_be_dialed_is_left_to_its_backoff() {
        let mut table = table(&[None]);
        let entry = Arc::clone(table.nodes().next().unwrap());
        let entry = Entry { disconnected: true, ..Entry::clone(&entry) };
        table.insert(Arc::new(entry.clone()));
        let target = hkg();
        assert!(matches!(pick(&table, &of(&target, 7)), Choice::Dial(_)));
        table.insert(Arc::new(Entry { unreachable: true, ..entry }));
        let Choice::Nobody(known) = pick(&table, &of(&target, 7)) else { panic!("picked") };
        assert_eq!(known.unlinked, 1);
    }

    #[test]
    fn nodes_that_cannot_take_the_call_are_never_picked() {
        check(&[held(), incompatible(Unsupported::Method), good(1)], "send to n2");
        check(&[incompatible(Unsupported::Method)], "n0 lacks Method");
        check(
            &[held(), incompatible(Unsupported::Method)],
            "nobody (known: 1 not accepting calls, 1 not supporting it)",
        );
        check(&[], "nobody");
    }

    #[test]
    fn nodes_that_were_tried_are_not_picked_again() {
        let tried = NodeInfo::new(NodeId::new("n0", 0), "hkg".into(), ([127, 0, 0, 1], 1).into());
        let target = hkg();
        let with = Pick { tried: &[tried], ..of(&target, 7) };
        assert_eq!(choose(&[good(1), good(1)], &with), "send to n1");
        assert_eq!(choose(&[good(1)], &with), "nobody");
    }

    #[test]
    fn the_nearest_is_picked_when_asked_for() {
        let links = [good(30), good(10), good(20)];
        assert_eq!(choose(&links, &of(&Target::Nearest, 3)), "send to n1");
    }

    #[test]
    fn a_primary_that_moved_is_found_among_nodes_that_consider_themselves_primary() {
        let primary = || good(1).map(|path| Path { primary: "hkg", ..path });
        let target = Target::Primary("iad".into());
        let moved = Pick { primary_moved: true, ..of(&target, 7) };
        assert_eq!(choose(&[good(1), primary()], &of(&target, 7)), "nobody");
        assert_eq!(choose(&[good(1), primary()], &moved), "send to n1");
        assert_eq!(choose(&[good(1)], &moved), "nobody");
    }

    #[test]
    fn in_a_large_region_each_node_that_can_take_the_call_is_picked_equally_often() {
        let links: Vec<_> = (0..40).map(|n| if n % 4 == 0 { good(n) } else { held() }).collect();
        let (table, target) = (table(&links), hkg());
        let mut counts = [0u32; 40];
        for random in 0..10_000 {
            let choice = pick(&table, &of(&target, mix(random, 1)));
            let Choice::Send { link, .. } = choice else { panic!("no node was picked") };
            counts[link.node[1..].parse::<usize>().unwrap()] += 1;
        }
        let (picked, others): (Vec<_>, Vec<_>) =
            counts.iter().enumerate().partition(|(at, _)| at % 4 == 0);
        assert!(picked.iter().all(|(_, count)| (850..1_150).contains(*count)), "{picked:?}");
        assert!(others.iter().all(|(_, count)| **count == 0), "{others:?}");
    }

    #[test]
    fn equally_ranked_nodes_are_picked_equally_often() {
        let links = [good(1), good(2), good(3), good(4)];
        let mut counts = [0u32; 4];
        for random in 0..4_000 {
            let choice = choose(&links, &of(&hkg(), mix(random, 1)));
            counts[usize::from(choice.as_bytes()[9] - b'0')] += 1;
        }
        assert!(counts.iter().all(|count| (850..1_150).contains(count)), "{counts:?}");
    }
}
