//! Picks one of many candidates by drawing two of them.

use super::{
    candidates::Candidate,
    choice::Pick,
    compat::{Compat, Compats},
    endpoint::{Endpoint, LinkStatus},
    load::Standing,
    reservoir::mix,
};

/// Upper bound on the number of draws.
const DRAWS: usize = 8;

/// Draws two of `count` candidates at random among those that can take the call, and returns the one with the lower
/// cost (Mitzenmacher, *The Power of Two Choices in Randomized Load Balancing*, 1996). Returns `None` if there is
/// none among [`DRAWS`] candidates.
///
/// Always taking the candidate with the least cost would be worse, because costs are slightly out of date: all
/// callers would choose the same node at the same time. If both candidates are more expensive than usual, more
/// are drawn, because in a region with a few slow nodes, two of them are drawn together now and then.
///
/// A candidate that is ejected or whose link is congested is passed over. If an ejected one is due to be probed,
/// the first call that draws it is its probe.
#[inline]
pub(super) fn draw<'a, L: Endpoint + 'a>(
    count: usize,
    candidate: impl Fn(usize) -> Option<&'a Candidate<L>>,
    pick: &Pick<'_>,
) -> Option<(&'a L, &'a Compats)> {
    draw_two(count, &candidate, pick).or_else(|| draw_more(count, candidate, pick))
}

/// The usual cases of [`draw`]: two candidates can take the call, and the better one is not expensive; or one of them is
/// due to be probed. Otherwise returns `None`.
#[inline]
fn draw_two<'a, L: Endpoint + 'a>(
    count: usize,
    candidate: impl Fn(usize) -> Option<&'a Candidate<L>>,
    pick: &Pick<'_>,
) -> Option<(&'a L, &'a Compats)> {
    let others = count.checked_sub(1).filter(|others| *others > 0)?;
    let random = mix(pick.random, 1);
    let first = below(count, random);
    let second = below(others, random << 32);
    let second = second + usize::from(second >= first);
    let drawn = [candidate(first)?, candidate(second)?];
    let found = [uncongested(&drawn[0].link, pick)?, uncongested(&drawn[1].link, pick)?];
    for (Candidate { load, .. }, found) in drawn.into_iter().zip(found) {
        match load.standing(pick.now) {
            Standing::Open => {}
            Standing::Ejected => return None,
            Standing::ProbeDue => return load.claim_probe(pick.now).then_some(found),
        }
    }
    let costs = drawn.map(|candidate| candidate.load.cost(pick.now));
    let better = usize::from(costs[1] < costs[0]);
    let region = drawn[better].load.region();
    if region.is_expensive(costs[better]) {
        return None;
    }
    region.on_picked(costs[better]);
    Some(found[better])
}

/// The other cases of [`draw`].
fn draw_more<'a, L: Endpoint + 'a>(
    count: usize,
    candidate: impl Fn(usize) -> Option<&'a Candidate<L>>,
    pick: &Pick<'_>,
) -> Option<(&'a L, &'a Compats)> {
    let mut order = Order::new(count, pick.random);
    let mut best: Option<Drawn<'a, L>> = None;
    let mut is_second = false;
    for turn in 0..count.min(DRAWS) {
        let at = order.next(turn);
        if best.as_ref().is_some_and(|best| best.at == at) {
            continue;
        }
        let Some(Candidate { link, load }) = candidate(at) else { continue };
        let Some((link, compats)) = uncongested(link, pick) else { continue };
        match load.standing(pick.now) {
            Standing::Open => {}
            Standing::ProbeDue if load.claim_probe(pick.now) => return Some((link, compats)),
            Standing::ProbeDue | Standing::Ejected => continue,
        }
        let cost = load.cost(pick.now);
        if best.as_ref().is_none_or(|best| cost < best.cost) {
            best = Some(Drawn { at, cost, link, compats });
        }
        let least = best.as_ref().map_or(cost, |best| best.cost);
        if is_second && !load.region().is_expensive(least) {
            break;
        }
        is_second = true;
    }
    let Drawn { cost, link, compats, .. } = best?;
    link.load().region().on_picked(cost);
    Some((link, compats))
}

/// Returns the first of `count` candidates that can take the call, from a random one on. Returns `None` if there is
/// none, or if [`draw`] has drawn all of them. This takes time for each candidate, and is for the case that `draw`
/// finds none.
#[cold]
pub(super) fn scan<'a, L: Endpoint + 'a>(
    count: usize,
    candidate: impl Fn(usize) -> Option<&'a Candidate<L>>,
    pick: &Pick<'_>,
) -> Option<(&'a L, &'a Compats)> {
    if count <= DRAWS {
        return None;
    }
    let first = below(count, pick.random);
    let mut candidates = (0..count).filter_map(|turn| candidate((first + turn) % count));
    candidates.find_map(|candidate| {
        good(&candidate.link, pick).filter(|(link, _)| !is_passed_over(*link, pick))
    })
}

/// Returns the first of `count` candidates that could take the call at once, from a random one on, although it is
/// ejected or its link is congested.
#[cold]
pub(super) fn passed_over<'a, L: Endpoint + 'a>(
    count: usize,
    candidate: impl Fn(usize) -> Option<&'a Candidate<L>>,
    pick: &Pick<'_>,
) -> Option<(&'a L, &'a Compats)> {
    let first = below(count, pick.random);
    let mut candidates = (0..count).filter_map(|turn| candidate((first + turn) % count));
    candidates.find_map(|candidate| good(&candidate.link, pick))
}

/// Returns whether other candidates are preferred to a good one, because it is ejected or its link is congested.
pub(super) fn is_passed_over<L: Endpoint>(link: &L, pick: &Pick<'_>) -> bool {
    link.is_congested() || link.load().standing(pick.now) != Standing::Open
}

/// The best candidate so far.
struct Drawn<'a, L> {
    at: usize,
    cost: f32,
    link: &'a L,
    compats: &'a Compats,
}

/// Returns the link if the node can take the call at once, unless the link is congested.
#[inline]
fn uncongested<'a, L: Endpoint>(link: &'a L, pick: &Pick<'_>) -> Option<(&'a L, &'a Compats)> {
    good(link, pick).filter(|(link, _)| !link.is_congested())
}

/// Returns the link if the node can take the call at once.
#[inline]
pub(super) fn good<'a, L: Endpoint>(link: &'a L, pick: &Pick<'_>) -> Option<(&'a L, &'a Compats)> {
    if link.status(pick.caller.service) != LinkStatus::Good || pick.excludes(link.node()) {
        return None;
    }
    let compats = link.compats(pick.caller);
    matches!(compats[pick.method], Compat::Callable { .. }).then_some((link, compats))
}

/// The random order in which candidates are drawn. If there are few, each is drawn once, so that the few nodes that
/// cannot take calls for a long time do not waste most draws. Otherwise, one may be drawn twice, but hardly ever is.
struct Order {
    count: usize,
    random: u64,
    few: [u8; DRAWS],
}

impl Order {
    fn new(count: usize, random: u64) -> Self {
        Order { count, random, few: [0, 1, 2, 3, 4, 5, 6, 7] }
    }

    fn next(&mut self, turn: usize) -> usize {
        let random = mix(self.random, turn as u64 + 2);
        if self.count > DRAWS {
            return below(self.count, random);
        }
        // A step of the Fisher-Yates shuffle.
        self.few.swap(turn, turn + below(self.count - turn, random));
        self.few[turn].into()
    }
}

/// Maps random bits to a number below `count`, without a division.
fn below(count: usize, random: u64) -> usize {
    (((random >> 32) * count as u64) >> 32) as usize
}
