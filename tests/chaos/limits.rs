//! Whether the limits of a node explain that it refused a call.

use std::time::Duration;

use super::{
    explain::{Case, RELINK_TIME, connects},
    ledger::{CallRecord, EffectKind},
};

impl Case<'_> {
    /// Whether the number of calls in flight may have exceeded a node's `max_in_flight`.
    pub(super) fn is_crowded(&self) -> bool {
        // Detached calls continue after their callers are done.
        let rivals = self.concurrent_calls(Duration::from_secs(10)).count() - 1;
        rivals >= self.plan.settings.max_in_flight
    }

    /// Whether a node may refuse the call because of the number of calls in flight. While one peer floods
    /// it, that peer holds at most half of what the node admits, and the caller at most its fair share. A
    /// peer that is the only one linked may hold everything.
    pub(super) fn is_crowded_at(&self, node: &str) -> bool {
        if !self.is_flooded(node) {
            return self.is_crowded();
        }
        if self.was_alone_with_flood(node) {
            return true;
        }
        let limit = self.plan.settings.max_in_flight;
        let others = self.calls_running_at(node);
        let (all, own) =
            (others.len(), others.iter().filter(|call| call.from == self.call.from).count());
        2 * all >= limit || own >= limit / self.sharers()
    }

    /// Whether a node may refuse the call because of the bodies of other calls, as in
    /// [`is_crowded_at`](Self::is_crowded_at).
    pub(super) fn memory_is_short(&self, node: &str) -> bool {
        let Some(limit) = self.plan.settings.max_body_memory else { return false };
        if self.was_alone_with_flood(node) {
            return true;
        }
        let others = self.calls_running_at(node);
        let bytes = |call: &CallRecord| call.spec.argument + call.spec.reply + 1_000;
        let all: usize = others.iter().map(|call| bytes(call)).sum();
        let own: usize =
            others.iter().filter(|call| call.from == self.call.from).map(|call| bytes(call)).sum();
        let needs = bytes(self.call);
        2 * (all + needs) > limit || own + needs > limit / self.sharers()
    }

    /// Whether a node may have been linked only to the member that floods it, at some time of the flood.
    fn was_alone_with_flood(&self, node: &str) -> bool {
        let flooded = EffectKind::Flooded(node.to_owned());
        let flood = self.records.effects.iter().find(|effect| effect.kind == flooded);
        let Some(flood) = flood else { return false };
        let from = flood.from.saturating_sub(RELINK_TIME);
        let is_cut = |other: &&str| {
            let effects = self.records.effects.iter();
            effects.filter(|effect| effect.overlaps(from, self.until)).any(|effect| {
                let at = |scope: &String| scope == node || scope == other;
                match &effect.kind {
                    EffectKind::Down(scope)
                    | EffectKind::Searching(scope)
                    | EffectKind::Stopping(scope)
                    | EffectKind::Frozen(scope) => at(scope),
                    EffectKind::Unreachable(a, b)
                    | EffectKind::Partitioned(a, b)
                    | EffectKind::Filtered(a, b) => connects(a, b, other, node),
                    _ => false,
                }
            })
        };
        self.nodes().filter(|other| *other != node).all(|other| is_cut(&other))
    }

    pub(super) fn is_flooded(&self, node: &str) -> bool {
        self.has_effect(|kind| *kind == EffectKind::Flooded(node.to_owned()))
    }

    /// Upper bound on the peers of a node that share its limits, and one more.
    fn sharers(&self) -> usize {
        self.nodes().count() + 1
    }

    /// The other calls from other nodes that a node may have been executing during the call.
    fn calls_running_at(&self, node: &str) -> Vec<&CallRecord> {
        let about = Duration::from_secs(1) + 2 * self.transit_time(node);
        let from = self.call.started.saturating_sub(about);
        let to = self.call.end().saturating_add(about);
        let others = self.records.calls.iter().filter(|call| call.id != self.call.id);
        let may_run = |call: &&CallRecord| {
            let runs = self.records.runs_of(call.id).filter(|run| run.node == node);
            let ran = runs.map(|run| run.ended.unwrap_or(Duration::MAX)).max();
            let end = call.end().max(ran.unwrap_or_default());
            call.from != node
                && call.started <= to
                && from <= end
                && (Case { call, ..*self }).candidates().contains(&node)
        };
        others.filter(may_run).collect()
    }
}
