//! Whether the limits of a node explain that it refused a call.

use std::time::Duration;

use flyrpc::RpcError;

use super::{
    explain::{Case, RELINK_TIME, connects},
    ledger::{CallRecord, EffectKind, HandlerRun, Outcome},
    plan::Method,
    service::LIMIT,
};

/// The period for which retries are charged to a budget.
const BUDGET_WINDOW: Duration = Duration::from_secs(10);

/// The number of retries that a budget always allows.
const BUDGET_RESERVE: usize = 100;

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

    /// Whether a node may refuse the call because it executes as many calls of the method as it admits.
    pub(super) fn is_full(&self, node: &str) -> bool {
        let is_rival = |run: &&HandlerRun| {
            let is_other = run.call != self.call.id && run.node == node;
            let ended = run.ended.unwrap_or(Duration::MAX);
            is_other && run.started <= self.until && self.call.started <= ended
        };
        let rivals = self.records.handler_runs.iter().filter(is_rival);
        let of_method = |run: &HandlerRun| {
            let call = self.records.calls.get(run.call.0 as usize);
            call.is_none_or(|call| call.spec.method == Method::Limited)
        };
        self.call.spec.method == Method::Limited
            && rivals.filter(|run| of_method(run)).count() + self.unstarted(node) >= LIMIT
    }

    /// The calls of [`Method::Limited`] that a node may have admitted at about the same time, and that were given up
    /// before their handlers started.
    fn unstarted(&self, node: &str) -> usize {
        let others = self.concurrent_calls(self.transit_time(node));
        let is_unstarted = |call: &&CallRecord| {
            call.id != self.call.id
                && call.spec.method == Method::Limited
                && matches!(
                    call.outcome(),
                    Some(Outcome::Cancelled | Outcome::Dropped)
                        | Some(Outcome::Error(RpcError::Timeout { .. }))
                )
                && self.records.runs_of(call.id).next().is_none()
                && (Case { call, ..*self }).candidates().contains(&node)
        };
        others.filter(is_unstarted).count()
    }

    /// Whether a node may refuse the call because of its limits.
    pub(super) fn may_refuse(&self, node: &str) -> bool {
        self.is_crowded_at(node) || self.memory_is_short(node) || self.is_full(node)
    }

    /// Whether the budget of a region may not have allowed the caller another attempt.
    pub(super) fn budget_may_be_spent(&self) -> bool {
        let Some(retries) = self.retries.get(self.call.from.as_str()) else { return false };
        let since = self.call.started.saturating_sub(BUDGET_WINDOW);
        let recent = |at: &&Duration| since <= **at && **at <= self.until;
        retries.iter().filter(recent).count() >= BUDGET_RESERVE
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
