//! Ranks all candidates of a call.

use std::{sync::Arc, time::Duration};

use super::{
    choice::{Choice, Pick},
    compat::{Compat, Compats},
    draw::is_passed_over,
    endpoint::{Endpoint, LinkStatus},
    entry::Entry,
    reservoir::Best,
};
use crate::{
    error::{Known, Unsupported},
    types::{NodeInfo, TargetRef},
};

/// Picks the best of `candidates` after checking all of them.
pub(super) fn rank<'a, L: Endpoint + 'a>(
    candidates: impl Iterator<Item = &'a Arc<Entry<L>>>,
    pick: &Pick<'_>,
) -> Choice<'a, L> {
    let mut ranks = Ranks::new();
    candidates.for_each(|entry| ranks.offer(entry, pick));
    ranks.best(pick)
}

/// The best candidate of each rank, best rank first, and the counts of those that cannot take the call.
struct Ranks<'a, L> {
    good: Best<(&'a L, &'a Compats)>,
    /// Candidates that are ejected, or whose links are congested.
    passed_over: Best<(&'a L, &'a Compats)>,
    unlinked: Best<&'a NodeInfo>,
    quiet: Best<(&'a L, &'a Compats)>,
    disconnected: Best<&'a NodeInfo>,
    unsupported: Option<(&'a NodeInfo, Unsupported)>,
    known: Known,
}

impl<'a, L: Endpoint> Ranks<'a, L> {
    fn new() -> Self {
        Ranks {
            good: Best::none(),
            passed_over: Best::none(),
            unlinked: Best::none(),
            quiet: Best::none(),
            disconnected: Best::none(),
            unsupported: None,
            known: Known::default(),
        }
    }

    fn offer(&mut self, entry: &'a Entry<L>, pick: &Pick<'_>) {
        if pick.excludes(entry.info.id()) {
            self.known.unlinked += u32::from(entry.disconnected);
            return;
        }
        if entry.other_protocol {
            return self.unsupported(&entry.info, Unsupported::Protocol);
        }
        let Some(link) = &entry.link else {
            return self.offer_without_link(entry, pick);
        };
        let status = link.status(pick.caller.service);
        if status == LinkStatus::Disconnected {
            return self.offer_without_link(entry, pick);
        }
        let compats = link.compats(pick.caller);
        if let Compat::Incompatible(why) = &compats[pick.method] {
            return self.unsupported(&entry.info, why.clone());
        }
        let rank = match status {
            LinkStatus::Good if is_passed_over(link, pick) => &mut self.passed_over,
            LinkStatus::Good => &mut self.good,
            LinkStatus::NotAccepting(_) => {
                self.known.not_accepting += 1;
                return;
            }
            LinkStatus::Quiet | LinkStatus::Disconnected if pick.accepts_unresponsive => {
                &mut self.quiet
            }
            LinkStatus::Quiet | LinkStatus::Disconnected => {
                self.known.unlinked += 1;
                return;
            }
        };
        let by_distance = matches!(pick.target, TargetRef::Nearest);
        let distance = if by_distance { link.round_trip() } else { None };
        rank.offer(distance.unwrap_or(Duration::MAX), pick.random, (link, compats));
    }

    fn offer_without_link(&mut self, entry: &'a Entry<L>, pick: &Pick<'_>) {
        // If the table still lists a link that is disconnected, the link was lost a moment ago.
        if entry.unreachable {
            self.known.unlinked += 1;
        } else if entry.disconnected || entry.link.is_some() {
            self.known.unlinked += 1;
            self.disconnected.offer(Duration::ZERO, pick.random, &entry.info);
        } else {
            self.unlinked.offer(Duration::ZERO, pick.random, &entry.info);
        }
    }

    fn unsupported(&mut self, node: &'a NodeInfo, why: Unsupported) {
        self.known.unsupported += 1;
        self.unsupported.get_or_insert((node, why));
    }

    fn best(self, pick: &Pick<'_>) -> Choice<'a, L> {
        if let Some((link, compats)) = self.good.kept().or(self.passed_over.kept()) {
            return Choice::Send { link, compats };
        }
        if let Some(node) = self.unlinked.kept() {
            return Choice::Dial(node);
        }
        if let Some((link, compats)) = self.quiet.kept() {
            return Choice::Send { link, compats };
        }
        if let Some(node) = self.disconnected.kept().filter(|_| pick.accepts_unresponsive) {
            return Choice::Dial(node);
        }
        let others = self.known.not_accepting + self.known.unlinked;
        match self.unsupported {
            Some((node, why)) if others == 0 => Choice::Unsupported(node, why),
            _ => Choice::Nobody(self.known),
        }
    }
}
