//! Decides whether the faults of a run explain the error of a call. An unexplained error is a
//! violation, so in a run without faults, every call with a long enough timeout must succeed.

use std::{collections::BTreeMap, fmt, time::Duration};

use flyrpc::{Refusal, Region, RpcError};
use flyrpc_testkit::RoundTrips;

use super::{
    attempts::{PER_CALL, PER_TARGET},
    faults::Behavior,
    guests,
    ledger::{CallRecord, Effect, EffectKind, Outcome, Records},
    plan::{CallSpec, FurtherTarget, Method, Plan, Selector},
    service::{misbehavior_message, panic_message},
};

/// How long after its end a fault that broke links still has effects. An address that did not
/// respond is dialed again after at most 6.25 s, and reconnecting takes a few round trips.
pub(super) const RELINK_TIME: Duration = Duration::from_secs(10);

/// How long a clock jump or clock drift affects a link: two heartbeats and some round trips.
const RESYNC_TIME: Duration = Duration::from_secs(4);

/// How long a shutdown waits for running calls: the drain timeout of 4 s, without the part that is reserved
/// for leaving.
const DRAIN: Duration = Duration::from_millis(3_500);

/// Lower bound on the bytes that a stream carries per round trip: half of a socket's buffer.
const BYTES_PER_ROUND_TRIP: usize = 128 << 10;

/// Upper bound on a clock jump that a link does not detect: the longest round trip, including
/// slowdowns.
const MAX_UNNOTICED_JUMP: Duration = Duration::from_secs(5);

/// Upper bound on the time between two messages on a link.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// One call, with the plan and the records of its run.
pub(super) struct Case<'a> {
    pub(super) plan: &'a Plan,
    pub(super) records: &'a Records,
    pub(super) call: &'a CallRecord,
    /// The times of the retries of each node that budgets may have paid for.
    pub(super) retries: &'a BTreeMap<&'a str, Vec<Duration>>,
    /// The end of the period in which the effects of faults are considered: the end of the call, or
    /// of a handler that continued after it.
    pub(super) until: Duration,
}

/// Checks that the outcome of a call is expected, given the faults.
pub(super) fn explained(case: &Case<'_>) -> Result<(), String> {
    let ok = match case.call.outcome() {
        Some(Outcome::Reply { .. }) | None => true,
        Some(Outcome::Cancelled) => case.call.spec.cancel.is_some(),
        Some(Outcome::Dropped) => case.caller_ended(),
        Some(Outcome::Error(error)) => case.explains(error),
    };
    if ok { Ok(()) } else { Err("no fault explains the outcome of a call".to_owned()) }
}

impl Case<'_> {
    fn explains(&self, error: &RpcError) -> bool {
        let spec = &self.call.spec;
        match error {
            RpcError::NoNode { .. } => self.no_candidate_takes_it(),
            RpcError::Unsupported { node, .. } => {
                // During a partition, the caller may know only an earlier boot of the node, or a guest.
                let earlier = Duration::ZERO;
                spec.method == Method::Newer
                    && (guests::is_guest(node.name())
                        || self.records.ran_old_release(node.name(), earlier, self.call.end()))
                    && self.no_candidate_takes_it()
            }
            RpcError::NotPrimary { .. } => self.is_misdirected(),
            RpcError::Refused { node, reason: Refusal::Draining, .. } => {
                self.has_effect(|kind| *kind == EffectKind::Stopping(node.name().to_owned()))
                    && (self.is_misdirected() || self.no_candidate_accepts())
            }
            RpcError::Refused { node, reason: Refusal::Overloaded, .. } => {
                (self.is_crowded_at(node.name()) || self.is_full(node.name()))
                    && (self.is_misdirected() || self.no_candidate_accepts())
            }
            RpcError::Refused { node, reason: Refusal::Memory, .. } => {
                self.memory_is_short(node.name())
            }
            RpcError::Timeout { node, .. } => {
                // A handler may have used all of its remaining time before it makes a nested call.
                let last = node.as_ref().map(|node| node.name());
                let needs = last.map_or(Duration::ZERO, |node| self.needs(node));
                self.call.allowed <= needs + self.waits()
                    || self.candidates().iter().any(|node| {
                        self.is_delayed(node)
                            || self.misbehaves(node, |how| matches!(how, Behavior::Slow(_)))
                    })
            }
            RpcError::Disconnected { node: Some(node), .. } => self.is_cut_off(node.name()),
            RpcError::Panicked { node, message, .. } => {
                let planned = spec.panics && *message == panic_message(self.call.id);
                planned
                    || *message == misbehavior_message(node.name())
                        && self.misbehaves(node.name(), |how| how == Behavior::Panics)
            }
            RpcError::ReplyTooLarge { .. } => spec.reply > self.plan.settings.max_body,
            RpcError::ArgumentsTooLarge { .. } => spec.argument > self.plan.settings.max_body,
            RpcError::ShutDown { .. } => self.caller_was_stopping(),
            _ => false,
        }
    }

    pub(super) fn nodes(&self) -> impl Iterator<Item = &str> {
        self.records.boots.keys().map(String::as_str)
    }

    /// Whether the selector matches a node and the method may run there.
    pub(super) fn is_target(&self, node: &str) -> bool {
        self.selects(node)
            && (self.call.spec.method != Method::Write || region(node) == self.plan.primary())
    }

    /// Whether one of the targets selects a node. Methods that run only in the primary region have no further
    /// targets.
    fn selects(&self, node: &str) -> bool {
        let further = self.further().iter().any(|further| match further {
            FurtherTarget::Region(targeted) => region(node) == targeted,
            FurtherTarget::Nearest => true,
            FurtherTarget::Primary => region(node) == self.plan.primary(),
        });
        further || self.selects_first(node)
    }

    /// The further targets that the call uses.
    pub(super) fn further(&self) -> &[FurtherTarget] {
        let ignores = self.call.spec.method == Method::Write;
        if ignores { &[] } else { &self.call.spec.further }
    }

    /// Whether the first target selects a node.
    fn selects_first(&self, node: &str) -> bool {
        match &self.call.spec.selector {
            Selector::Default if self.call.spec.method == Method::Write => {
                region(node) == self.plan.primary()
            }
            Selector::Default => true,
            Selector::Primary => region(node) == self.plan.primary(),
            Selector::Region(targeted) => region(node) == targeted,
            Selector::Node(targeted) => node == targeted,
        }
    }

    /// The nodes that can receive the call. If the caller's own node matches the first target, it is the only
    /// candidate, unless it may refuse the call: then others may be tried.
    pub(super) fn candidates(&self) -> Vec<&str> {
        let from = self.call.from.as_str();
        let may_refuse = self.call.spec.method == Method::Limited || !self.is_target(from);
        if self.selects_first(from) && !self.lacks_method(from) && !may_refuse {
            return vec![from];
        }
        self.nodes().filter(|node| self.selects(node)).collect()
    }

    /// Whether a node lacked the method at any time during the call.
    fn lacks_method(&self, node: &str) -> bool {
        self.call.spec.method == Method::Newer
            && self.records.ran_old_release(node, self.call.started, self.call.end())
    }

    /// Whether the nodes of the first target are not available, and no other candidate accepts the call.
    fn no_candidate_takes_it(&self) -> bool {
        let candidates = self.candidates();
        let mut first = candidates.iter().filter(|node| self.selects_first(node));
        first.all(|node| self.is_passed_over(node))
            && (self.further().is_empty() || self.no_candidate_accepts())
    }

    /// Whether a call may find that a node cannot take it. A call with further targets also passes over nodes
    /// that are quiet.
    fn is_passed_over(&self, node: &str) -> bool {
        let is_quiet = || !self.further().is_empty() && self.is_delayed(node);
        self.lacks_method(node) || self.is_broken(node) || is_quiet()
    }

    /// Whether each candidate may not be available, or may have refused the call because of its limits. Other
    /// candidates are not asked after a number of refusals, or if there is no budget for it.
    fn no_candidate_accepts(&self) -> bool {
        let candidates = self.candidates();
        let refuses = |node: &&&str| self.may_refuse(node);
        candidates.iter().all(|node| self.is_passed_over(node) || self.may_refuse(node))
            || candidates.iter().filter(refuses).count() >= PER_TARGET
            || self.budget_may_be_spent()
    }

    /// Whether the method, or the call itself, may be refused by several nodes, one after another.
    fn may_be_refused(&self) -> bool {
        self.is_misdirected() || self.is_crowded() || self.call.spec.method == Method::Limited
    }

    /// How a node misbehaved during the call.
    fn misbehaves(&self, node: &str, is: impl Fn(Behavior) -> bool) -> bool {
        self.effects_felt(Duration::ZERO).any(|effect| match &effect.kind {
            EffectKind::Misbehaves(at, how) => at == node && is(*how),
            _ => false,
        })
    }

    /// Upper bound on how often an idempotent call looks for a node after attempts that may have executed.
    /// A call that waits looks again after it has lost its links.
    pub(super) fn rounds(&self) -> usize {
        if self.call.spec.wait.is_none() {
            return 1;
        }
        let candidates = self.candidates();
        let breaks =
            |effect: &&Effect| candidates.iter().any(|node| self.breaks(&effect.kind, node));
        1 + self.effects_felt(RELINK_TIME).filter(breaks).count()
    }

    /// Whether an effect of that kind was active during the call or shortly before it.
    pub(super) fn has_effect(&self, kind: impl Fn(&EffectKind) -> bool) -> bool {
        self.effects_felt(RELINK_TIME).any(|effect| kind(&effect.kind))
    }

    fn effects_felt(&self, felt_for: Duration) -> impl Iterator<Item = &Effect> {
        let from = self.call.started.saturating_sub(felt_for);
        let to = self.until;
        self.records.effects.iter().filter(move |effect| effect.overlaps(from, to))
    }

    /// Whether a link between the caller and a node may have been closed, or may not have been
    /// opened yet.
    fn is_broken(&self, node: &str) -> bool {
        self.has_effect(|kind| self.breaks(kind, node))
    }

    /// Whether an effect may close links between the caller and a node, or keep them closed.
    fn breaks(&self, kind: &EffectKind, node: &str) -> bool {
        match kind {
            EffectKind::Down(at)
            | EffectKind::Searching(at)
            | EffectKind::Stopping(at)
            | EffectKind::Frozen(at) => *at == node || *at == self.call.from,
            _ => self.is_cut(kind, node),
        }
    }

    /// Whether an effect may break links between the caller and a node.
    fn is_cut(&self, kind: &EffectKind, node: &str) -> bool {
        match kind {
            EffectKind::Unreachable(a, b)
            | EffectKind::Partitioned(a, b)
            | EffectKind::Filtered(a, b) => self.is_between(a, b, node),
            _ => false,
        }
    }

    /// Whether a call in flight to a node may fail. A shutdown waits for calls in flight.
    fn is_cut_off(&self, node: &str) -> bool {
        self.effects_felt(RELINK_TIME).any(|effect| match &effect.kind {
            // A shutdown cuts off a call only if the clock jumped past the drain timeout, or if
            // announcing the leave takes too long.
            EffectKind::Stopping(at) if at == node => {
                let jumped = self.clock_jumps(node, effect.from, self.call.end());
                self.is_slow(node) || self.call.end() + jumped >= effect.from + DRAIN
            }
            EffectKind::Stopping(at) => *at == self.call.from,
            EffectKind::Down(at) | EffectKind::Frozen(at) => *at == node || *at == self.call.from,
            kind => self.is_cut(kind, node),
        })
    }

    /// Whether the caller's calls to a node may be delayed.
    pub(super) fn is_delayed(&self, node: &str) -> bool {
        let clocks = self.effects_felt(RESYNC_TIME).any(|effect| match &effect.kind {
            EffectKind::ClockJump(at, _) | EffectKind::Drift(at, _) => {
                *at == node || *at == self.call.from
            }
            _ => false,
        });
        clocks || self.is_slow(node) || self.is_broken(node)
    }

    fn is_slow(&self, node: &str) -> bool {
        self.effects_felt(RESYNC_TIME).any(|effect| match &effect.kind {
            EffectKind::Slow(a, b) | EffectKind::Narrow(a, b, _) => self.is_between(a, b, node),
            _ => false,
        })
    }

    pub(super) fn is_between(&self, a: &str, b: &str, node: &str) -> bool {
        connects(a, b, &self.call.from, node)
    }

    /// Upper bound on the duration of the call at a node, without faults.
    pub(super) fn needs(&self, node: &str) -> Duration {
        // All matching nodes may refuse the call, one after another.
        let transit_to = |node: &str| match node == self.call.from {
            true => Duration::ZERO,
            false => self.transit_time(node),
        };
        if self.further().is_empty() {
            let attempts = if self.may_be_refused() { PER_TARGET } else { 1 };
            return self.work() + (transit_to(node) + Duration::from_millis(2)) * attempts as u32;
        }
        let transit = self.candidates().into_iter().map(transit_to).max().unwrap_or_default();
        self.work() + (transit + Duration::from_millis(2)) * PER_CALL as u32
    }

    /// The time that the handler takes, including nested calls.
    fn work(&self) -> Duration {
        let nested = self.records.calls.iter().filter(|call| call.parent == Some(self.call.id));
        let nested = nested.map(|call| call.end().saturating_sub(call.started)).max();
        Duration::from_millis(self.call.spec.millis) + nested.unwrap_or_default()
    }

    /// Upper bound on the round trip to a node, given the other calls in flight.
    pub(super) fn transit_time(&self, node: &str) -> Duration {
        let trip = self.round_trip(&self.call.from, node);
        trip * (1 + self.concurrent_bytes(node).div_ceil(BYTES_PER_ROUND_TRIP) as u32)
    }

    /// The number of bytes in flight between the caller and a node at about the same time.
    fn concurrent_bytes(&self, node: &str) -> usize {
        self.exchanged(node, Duration::from_secs(1))
            .map(|(_, [sent, received])| sent + received)
            .sum()
    }

    /// The calls between the caller and a node that were in flight within `about` of this call, with the
    /// sizes of the bodies that the caller's node may have sent and received.
    pub(super) fn exchanged(
        &self,
        node: &str,
        about: Duration,
    ) -> impl Iterator<Item = (&CallRecord, [usize; 2])> {
        self.concurrent_calls(about).filter_map(move |call| {
            let other = Case { call, ..*self };
            let CallSpec { argument, reply, .. } = call.spec;
            let from = self.call.from.as_str();
            if call.from == from && other.candidates().contains(&node) {
                Some((call, [argument, reply]))
            } else if call.from == node && other.candidates().contains(&from) {
                Some((call, [reply, argument]))
            } else {
                None
            }
        })
    }

    /// Upper bound on a round trip without faults.
    pub(super) fn round_trip(&self, a: &str, b: &str) -> Duration {
        let (a, b) = (Region::from(region(a)), Region::from(region(b)));
        let trip = RoundTrips::default()
            .between(&a, &b)
            .expect("a round trip is known for each region of the plan");
        trip + 2 * Duration::from_millis(self.plan.settings.jitter)
    }

    /// The calls, including this one, that were in flight within `about` of this call.
    pub(super) fn concurrent_calls(&self, about: Duration) -> impl Iterator<Item = &CallRecord> {
        let from = self.call.started.saturating_sub(about);
        let to = self.call.end().saturating_add(about);
        self.records.calls.iter().filter(move |other| other.started <= to && from <= other.end())
    }

    /// Whether this is a call of a primary method that selects no node of the primary region.
    pub(super) fn is_misdirected(&self) -> bool {
        self.call.spec.method == Method::Write && !self.nodes().any(|node| self.is_target(node))
    }

    /// How long the call may wait for a node that does not refuse it.
    fn waits(&self) -> Duration {
        let wait = self.call.spec.wait.filter(|_| self.may_be_refused());
        wait.map_or(Duration::ZERO, Duration::from_millis)
    }

    /// Whether the caller's node was stopping or down, so that its process may have ended.
    pub(super) fn caller_was_stopping(&self) -> bool {
        self.has_effect(|kind| {
            *kind == EffectKind::Stopping(self.call.from.clone())
                || *kind == EffectKind::Down(self.call.from.clone())
        })
    }

    /// Returns whether the caller was canceled before the call completed: its node stopped, or the
    /// handler that made the call ended.
    fn caller_ended(&self) -> bool {
        let end = self.call.end();
        let stopped = self.records.effects.iter().any(|effect| {
            let down = EffectKind::Down(self.call.from.clone());
            let stopping = EffectKind::Stopping(self.call.from.clone());
            (effect.kind == down || effect.kind == stopping) && effect.overlaps(end, end)
        });
        let served = self.call.parent.into_iter().flat_map(|id| self.records.runs_of(id));
        let mut served = served.filter(|run| !run.completed);
        stopped && !self.call.outside || served.any(|run| run.ended == Some(end))
    }

    /// Upper bound on the drift of a node's clock, as a share.
    pub(super) fn drift(&self, node: &str) -> f64 {
        let drift = |effect: &Effect| match &effect.kind {
            EffectKind::Drift(at, parts) if at == node => parts.unsigned_abs() as f64 / 1e6,
            _ => 0.0,
        };
        self.records.effects.iter().map(drift).sum()
    }

    /// How long a node's clock was stopped, in total, by stops that overlap the given period.
    pub(super) fn clock_stops(&self, node: &str, from: Duration, to: Duration) -> Duration {
        let kind = EffectKind::ClockStopped(node.to_owned());
        let clock_stops = self.records.effects.iter().filter(|effect| effect.kind == kind);
        let felt = clock_stops.filter(|effect| effect.overlaps(from, to));
        felt.map(|effect| effect.to.unwrap_or(to) - effect.from).sum()
    }

    /// How long a node's clock was stopped without the node detecting it when it resumed. A node
    /// detects a stop with a round trip and a message from the caller's node, which sends at least
    /// a ping with each heartbeat. It cannot detect the stop if the buffer behind the call is full, or if the path is slow
    /// or has a low bandwidth, so that the message is not in the buffer yet.
    pub(super) fn unnoticed_clock_stops(&self, node: &str) -> Duration {
        let kind = EffectKind::ClockStopped(node.to_owned());
        let clock_stops = self.records.effects.iter().filter(|effect| effect.kind == kind);
        let times = clock_stops.filter_map(|effect| Some(effect.to? - effect.from));
        let trip = self.round_trip(node, &self.call.from);
        let full = self.concurrent_bytes(node) > BYTES_PER_ROUND_TRIP;
        let is_delayed = |effect: &Effect| match &effect.kind {
            EffectKind::Unreachable(a, b) => {
                effect.overlaps(self.until, self.until) && self.is_between(a, b, node)
            }
            _ => false,
        };
        let late = full || self.is_slow(node) || self.records.effects.iter().any(is_delayed);
        times.filter(|time| late || *time <= trip + HEARTBEAT).sum()
    }

    /// How far a node's clock jumped ahead in a period.
    pub(super) fn clock_jumps(&self, node: &str, from: Duration, to: Duration) -> Duration {
        let felt = self.records.effects.iter().filter(|effect| effect.overlaps(from, to));
        felt.filter_map(|effect| match &effect.kind {
            EffectKind::ClockJump(at, by) if at == node => Some(*by),
            _ => None,
        })
        .sum()
    }

    /// The sum of all clock jumps of two nodes that are too small for their link to detect.
    pub(super) fn small_clock_jumps(&self, a: &str, b: &str) -> Duration {
        let small = |effect: &Effect| match &effect.kind {
            EffectKind::ClockJump(at, by) if at == a || at == b => {
                Some(*by).filter(|by| *by < MAX_UNNOTICED_JUMP)
            }
            _ => None,
        };
        self.records.effects.iter().filter_map(small).sum()
    }
}

impl fmt::Display for Case<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let call = self.call;
        write!(f, "call {}, {:?} from {}", call.id.0, call.spec.method, call.from)?;
        write!(
            f,
            " to {:?}, then {:?}, at {:?}, timeout {:?}, ",
            call.spec.selector, call.spec.further, call.started, call.allowed
        )?;
        if call.outside {
            f.write_str("called by a task of the test, ")?;
        }
        match &call.ended {
            Some((at, Outcome::Error(error))) => {
                write!(f, "{:?} later: {error}", *at - call.started)?
            }
            Some((at, outcome)) => write!(f, "{:?} later: {outcome:?}", *at - call.started)?,
            None => write!(f, "in flight")?,
        }
        for run in self.records.runs_of(call.id) {
            write!(f, "; ran on {} from {:?}", run.node, run.started)?;
            write!(f, " to {:?}", run.ended.unwrap_or_default())?;
        }
        Ok(())
    }
}

/// Whether one of two nodes is in the scope `a`, and the other in the scope `b`.
pub(super) fn connects(a: &str, b: &str, one: &str, other: &str) -> bool {
    let covers = |scope: &str, node: &str| scope == node || scope == region(node);
    one != other && (covers(a, one) && covers(b, other) || covers(b, one) && covers(a, other))
}

fn region(node: &str) -> &str {
    node.split_once('-').map_or(node, |(region, _)| region)
}
