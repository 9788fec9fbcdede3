//! Picks one node for a call among those of its target.

use std::{sync::Arc, time::Duration};

use super::{Compat, Endpoint, Entry, LinkStatus};
use crate::{
    error::{Known, Unsupported},
    types::{NodeId, NodeInfo},
};

/// What a pick depends on, besides the candidates.
pub(crate) struct Pick<'a, F> {
    /// The service called.
    pub(crate) service: &'static str,
    /// How the called method fits the node behind a link.
    pub(crate) fit: F,
    /// Nodes that this call has tried already.
    pub(crate) tried: &'a [NodeId],
    /// Whether the nearest is wanted rather than a random one.
    pub(crate) nearest: bool,
    pub(crate) random: u64,
}

/// What a call can do next.
#[derive(Debug)]
pub(crate) enum Choice<'a, L> {
    /// Go to this node, over its open link.
    Send(&'a Arc<Entry<L>>),
    /// Open a link to this node, and look again.
    Dial(&'a Arc<Entry<L>>),
    /// Nothing: a node does not support the call, and no other could.
    Unsupported(&'a NodeInfo, Unsupported),
    /// Nothing: no node could take it.
    Nobody(Known),
}

/// Candidates of one rank: the number of them seen, and the one that is kept.
struct Best<T> {
    seen: u64,
    kept: Option<(Duration, T)>,
}

impl<T> Best<T> {
    const fn none() -> Self {
        Best { seen: 0, kept: None }
    }

    /// Keeps the nearest; among equals each is kept with the same probability (reservoir sampling).
    fn offer(&mut self, distance: Duration, random: u64, candidate: T) {
        let nearest = self.kept.as_ref().map(|(nearest, _)| *nearest);
        if nearest.is_none_or(|nearest| distance < nearest) {
            self.seen = 0;
        } else if nearest.is_some_and(|nearest| distance > nearest) {
            return;
        }
        self.seen += 1;
        if mix(random, self.seen).is_multiple_of(self.seen) {
            self.kept = Some((distance, candidate));
        }
    }
}

/// How many nodes of a region are looked at before all of them are.
const DRAWS: u64 = 8;

/// Picks among `candidates` as [`pick`] does, but most often without looking at more than one: of a
/// region in which most nodes can take the call, one drawn at random can.
///
/// Which of them it is stays as random as if all had been looked at: each draw gives equals the same
/// chance, and if all draws fail, so does the pick among all.
pub(crate) fn draw<'a, L: Endpoint>(
    candidates: &'a [Arc<Entry<L>>],
    pick: &Pick<'_, impl Fn(&L) -> Compat>,
) -> Choice<'a, L> {
    // Of a few, some may be out of the question for long: then the draws are wasted.
    if !pick.nearest && candidates.len() as u64 > DRAWS {
        for turn in 1..=DRAWS {
            let place = mix(pick.random, turn) % candidates.len() as u64;
            let entry = &candidates[place as usize];
            let Some(link) = &entry.link else { continue };
            if !entry.other_protocol
                && link.standing(pick.service) == LinkStatus::Good
                && !pick.tried.contains(entry.info.id())
                && matches!((pick.fit)(link), Compat::Yes { .. })
            {
                return Choice::Send(entry);
            }
        }
    }
    self::pick(candidates.iter(), pick)
}

/// Picks among `candidates`: one that fits and has an open link, at random or the nearest; else one
/// without a link; else one that has been quiet, or whose link was lost.
pub(crate) fn pick<'a, L: Endpoint + 'a>(
    candidates: impl Iterator<Item = &'a Arc<Entry<L>>>,
    pick: &Pick<'_, impl Fn(&L) -> Compat>,
) -> Choice<'a, L> {
    let mut good = Best::none();
    let mut unlinked = Best::none();
    let mut quiet = Best::none();
    let mut lost = Best::none();
    let mut known = Known::default();
    let mut unsupported = None;
    for entry in candidates {
        if pick.tried.contains(entry.info.id()) {
            known.unlinked += usize::from(entry.lost);
            continue;
        }
        if entry.other_protocol {
            known.unsupported += 1;
            unsupported.get_or_insert((&entry.info, Unsupported::Protocol));
            continue;
        }
        let link = entry.link.as_ref().map(|link| (link, link.standing(pick.service)));
        match link {
            None | Some((_, LinkStatus::Lost)) if entry.lost || link.is_some() => {
                known.unlinked += 1;
                lost.offer(Duration::ZERO, pick.random, entry);
            }
            None | Some((_, LinkStatus::Lost)) => {
                unlinked.offer(Duration::ZERO, pick.random, entry)
            }
            Some((link, standing)) => match ((pick.fit)(link), standing) {
                (Compat::No(why), _) => {
                    known.unsupported += 1;
                    unsupported.get_or_insert((&entry.info, why));
                }
                (_, LinkStatus::NotAccepting(_)) => known.not_accepting += 1,
                (Compat::Yes { .. }, standing) => {
                    let far = Duration::MAX;
                    let distance = link.round_trip().filter(|_| pick.nearest).unwrap_or(far);
                    let rank = if standing == LinkStatus::Good { &mut good } else { &mut quiet };
                    rank.offer(distance, pick.random, entry);
                }
            },
        }
    }
    if let Some((_, entry)) = good.kept {
        return Choice::Send(entry);
    }
    if let Some((_, entry)) = unlinked.kept {
        return Choice::Dial(entry);
    }
    if let Some((_, entry)) = quiet.kept {
        return Choice::Send(entry);
    }
    if let Some((_, entry)) = lost.kept {
        return Choice::Dial(entry);
    }
    match unsupported {
        Some((info, why)) if known.not_accepting == 0 && known.unlinked == 0 => {
            Choice::Unsupported(info, why)
        }
        _ => Choice::Nobody(known),
    }
}

/// Different random bits for each `turn` (the finalizer of SplitMix64).
fn mix(random: u64, turn: u64) -> u64 {
    let mut z = random.wrapping_add(turn.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{error::Refusal, proto::wire::ids::MethodIndex, types::Region};

    #[derive(Debug, Clone)]
    struct Path {
        standing: LinkStatus,
        millis: u64,
        fit: Compat,
    }

    impl Endpoint for Path {
        fn standing(&self, _service: &str) -> LinkStatus {
            self.standing
        }

        fn round_trip(&self) -> Option<Duration> {
            Some(Duration::from_millis(self.millis))
        }
    }

    fn fits() -> Compat {
        Compat::Yes { number: MethodIndex(0), unlisted: [].into() }
    }

    fn good(millis: u64) -> Option<Path> {
        Some(Path { standing: LinkStatus::Good, millis, fit: fits() })
    }

    fn standing(standing: LinkStatus) -> Option<Path> {
        Some(Path { standing, millis: 1, fit: fits() })
    }

    fn lacking(why: Unsupported) -> Option<Path> {
        Some(Path { standing: LinkStatus::Good, millis: 1, fit: Compat::No(why) })
    }

    fn entries(links: &[Option<Path>]) -> Vec<Arc<Entry<Path>>> {
        let entry = |(at, link): (usize, &Option<Path>)| {
            let id = NodeId::new(format!("n{at}"), 0);
            let addr = ([127, 0, 0, 1], 1).into();
            let info = NodeInfo::new(id, Region::from("hkg"), addr);
            Arc::new(Entry { info, link: link.clone(), lost: false, other_protocol: false })
        };
        links.iter().enumerate().map(entry).collect()
    }

    fn choose(links: &[Option<Path>], nearest: bool, random: u64) -> String {
        let entries = entries(links);
        let with = Pick {
            service: "S",
            fit: |path: &Path| path.fit.clone(),
            tried: &[NodeId::new("n9", 0)],
            nearest,
            random,
        };
        match pick(entries.iter(), &with) {
            Choice::Send(entry) => format!("send to {}", entry.info.name()),
            Choice::Dial(entry) => format!("dial {}", entry.info.name()),
            Choice::Unsupported(info, why) => format!("{} lacks {why:?}", info.name()),
            Choice::Nobody(known) => format!("nobody{known}"),
        }
    }

    #[track_caller]
    fn check(links: &[Option<Path>], expected: &str) {
        assert_eq!(choose(links, false, 7), expected);
    }

    #[test]
    fn an_open_link_is_preferred_and_a_quiet_one_comes_last() {
        let quiet = || standing(LinkStatus::Quiet);
        check(&[None, quiet(), good(1)], "send to n2");
        check(&[quiet(), None], "dial n1");
        check(&[quiet()], "send to n0");
        check(&[standing(LinkStatus::Lost), quiet()], "send to n1");
        check(&[standing(LinkStatus::Lost)], "dial n0");
    }

    #[test]
    fn nodes_that_cannot_take_the_call_are_never_picked() {
        let held = || standing(LinkStatus::NotAccepting(Refusal::Held));
        check(&[held(), lacking(Unsupported::Method), good(1)], "send to n2");
        check(&[lacking(Unsupported::Method)], "n0 lacks Method");
        check(
            &[held(), lacking(Unsupported::Method)],
            "nobody (known: 1 not accepting calls, 1 not supporting it)",
        );
        check(&[], "nobody");
    }

    #[test]
    fn the_nearest_is_picked_when_asked_for() {
        assert_eq!(choose(&[good(30), good(10), good(20)], true, 3), "send to n1");
    }

    #[test]
    fn of_many_each_that_can_take_the_call_is_drawn_equally_often() {
        let held = || standing(LinkStatus::NotAccepting(Refusal::Held));
        let links: Vec<_> = (0..40).map(|n| if n % 4 == 0 { good(n) } else { held() }).collect();
        let entries = entries(&links);
        let mut counts = [0u32; 40];
        for random in 0..10_000 {
            let with = Pick {
                service: "S",
                fit: |path: &Path| path.fit.clone(),
                tried: &[],
                nearest: false,
                random: mix(random, 1),
            };
            let Choice::Send(entry) = draw(&entries, &with) else { panic!("a node can take it") };
            counts[entry.info.name()[1..].parse::<usize>().unwrap()] += 1;
        }
        let (picked, others): (Vec<_>, Vec<_>) =
            counts.iter().enumerate().partition(|(place, _)| place % 4 == 0);
        assert!(picked.iter().all(|(_, count)| (850..1_150).contains(*count)), "{picked:?}");
        assert!(others.iter().all(|(_, count)| **count == 0), "{others:?}");
    }

    #[test]
    fn equals_are_picked_equally_often() {
        let links = [good(1), good(2), good(3), good(4)];
        let mut counts = [0u32; 4];
        for random in 0..4_000 {
            let choice = choose(&links, false, mix(random, 1));
            counts[usize::from(choice.as_bytes()[9] - b'0')] += 1;
        }
        assert!(counts.iter().all(|count| (850..1_150).contains(count)), "{counts:?}");
    }
}
