//! Which errors the faults of a run explain. An error that they do not explain is a violation, so
//! that without faults every call must succeed that has the time.

use std::{fmt, time::Duration};

use flyrpc::{Refusal, Region, RpcError};
use flyrpc_testkit::RoundTrips;

use super::{
    ledger::{Book, CallRecord, Outcome, Trouble, TroubleKind},
    plan::{Aim, Method, Plan},
    service::panic_of,
};

/// For how long a fault that broke links is felt after its end: an address that did not answer is
/// dialled again after 6.25 s at most, and that takes a few round trips.
const RELINKING: Duration = Duration::from_secs(10);

/// For how long a clock that jumped or drifted confuses a link: two heartbeats and some round trips.
const RESYNCING: Duration = Duration::from_secs(4);

/// For how long a shutdown leaves calls alone that run already.
const DRAIN: Duration = Duration::from_secs(4);

/// How many nodes a call is sent to at most.
const ATTEMPTS: u32 = 3;

/// How many bytes a stream surely carries in the time of a round trip: half of what sockets buffer.
const A_ROUND_TRIP: usize = 128 << 10;

/// How far a clock jumps at most without a link's noticing: the longest round trip, slowed down.
const UNNOTICED: Duration = Duration::from_secs(5);

/// How long it takes at most until a node sends something on a link.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// One call, with all that happened around it.
pub(super) struct Case<'a> {
    pub(super) plan: &'a Plan,
    pub(super) book: &'a Book,
    pub(super) call: &'a CallRecord,
    /// The end of the time during which faults are looked for: the call's, or that of what it left
    /// behind.
    pub(super) until: Duration,
}

/// Decides whether the outcome of a call is one that must be expected.
pub(super) fn explained(case: &Case<'_>) -> Result<(), String> {
    let ok = match case.call.outcome() {
        Some(Outcome::Reply { .. }) | None => true,
        Some(Outcome::Cancelled) => case.call.spec.cancel.is_some(),
        Some(Outcome::Dropped) => case.caller_ended(),
        Some(Outcome::Error(error)) => case.explains(error),
    };
    if ok { Ok(()) } else { Err("nothing explains the outcome of a call".to_owned()) }
}

impl Case<'_> {
    fn explains(&self, error: &RpcError) -> bool {
        let spec = &self.call.spec;
        match error {
            RpcError::NoNode { .. } => self.no_candidate_is_well(),
            RpcError::Unsupported { node, .. } => {
                // A caller that is cut off may know of an earlier boot only.
                spec.method == Method::Newer
                    && self.book.was_old(node.name(), Duration::ZERO, self.call.end())
                    && self.no_candidate_is_well()
            }
            RpcError::NotPrimary { .. } => self.is_misdirected(),
            RpcError::Refused { node, reason: Refusal::Draining, .. } => {
                self.meets(|kind| *kind == TroubleKind::Stopping(node.name().to_owned()))
                    && (self.is_misdirected() || self.no_candidate_is_well())
            }
            RpcError::Refused { reason: Refusal::Overloaded, .. } => self.is_crowded(),
            RpcError::Timeout { node, .. } => {
                // A handler may have used up all the time before it makes a call.
                let last = node.as_ref().map(|node| node.name());
                let needs = last.map_or(Duration::ZERO, |node| self.needs(node));
                self.call.allowed <= needs + self.waits()
                    || self.candidates().iter().any(|node| self.is_delayed(node))
            }
            RpcError::Disconnected { node: Some(node), .. } => self.is_cut_off(node.name()),
            RpcError::Panicked { message, .. } => spec.panics && *message == panic_of(self.call.id),
            RpcError::ReplyTooLarge { .. } => spec.reply > self.plan.settings.max_body,
            RpcError::ArgumentsTooLarge { .. } => spec.argument > self.plan.settings.max_body,
            RpcError::ShutDown { .. } => self.caller_stops(),
            _ => false,
        }
    }

    fn nodes(&self) -> impl Iterator<Item = &str> {
        self.book.boots.keys().map(String::as_str)
    }

    /// Whether a node is one that the call is aimed at, and that its method may run on.
    pub(super) fn is_target(&self, node: &str) -> bool {
        self.is_aimed_at(node)
            && (self.call.spec.method != Method::Write || region(node) == self.plan.primary())
    }

    fn is_aimed_at(&self, node: &str) -> bool {
        match &self.call.spec.aim {
            Aim::Unsaid if self.call.spec.method == Method::Write => {
                region(node) == self.plan.primary()
            }
            Aim::Unsaid => true,
            Aim::Primary => region(node) == self.plan.primary(),
            Aim::Region(aimed) => region(node) == aimed,
            Aim::Node(aimed) => node == aimed,
        }
    }

    /// The nodes that could take the call: the caller's own if it can, and it alone.
    fn candidates(&self) -> Vec<&str> {
        let from = self.call.from.as_str();
        if self.is_aimed_at(from) && !self.is_old(from) {
            return vec![from];
        }
        self.nodes().filter(|node| self.is_aimed_at(node)).collect()
    }

    /// Whether a node lacked the method at some time during the call.
    fn is_old(&self, node: &str) -> bool {
        self.call.spec.method == Method::Newer
            && self.book.was_old(node, self.call.began, self.call.end())
    }

    fn no_candidate_is_well(&self) -> bool {
        self.candidates().iter().all(|node| self.is_old(node) || self.is_broken(node))
    }

    /// Whether one of the faults of some kind is felt during the call.
    fn meets(&self, kind: impl Fn(&TroubleKind) -> bool) -> bool {
        self.met(RELINKING).any(|trouble| kind(&trouble.kind))
    }

    fn met(&self, felt_for: Duration) -> impl Iterator<Item = &Trouble> {
        let from = self.call.began.saturating_sub(felt_for);
        let to = self.until;
        self.book.troubles.iter().filter(move |trouble| trouble.overlaps(from, to))
    }

    /// Whether links between the caller and a node may have been lost, or not be there yet.
    fn is_broken(&self, node: &str) -> bool {
        self.meets(|kind| match kind {
            TroubleKind::Cut(a, b) => self.is_between(a, b, node),
            TroubleKind::Down(at) | TroubleKind::Stopping(at) | TroubleKind::Frozen(at) => {
                *at == node || *at == self.call.from
            }
            _ => false,
        })
    }

    /// Whether a call under way at a node may be lost. A shutdown waits for those.
    fn is_cut_off(&self, node: &str) -> bool {
        self.met(RELINKING).any(|trouble| match &trouble.kind {
            // Unless its clock says that it has waited long enough, or goodbyes take too long.
            TroubleKind::Stopping(at) if at == node => {
                let jumped = self.skews(node, trouble.from, self.call.end());
                self.is_slow(node) || self.call.end() + jumped >= trouble.from + DRAIN
            }
            TroubleKind::Stopping(at) => *at == self.call.from,
            TroubleKind::Cut(a, b) => self.is_between(a, b, node),
            TroubleKind::Down(at) | TroubleKind::Frozen(at) => *at == node || *at == self.call.from,
            _ => false,
        })
    }

    /// Whether calls of the caller to a node may take longer than usual.
    pub(super) fn is_delayed(&self, node: &str) -> bool {
        let clocks = self.met(RESYNCING).any(|trouble| match &trouble.kind {
            TroubleKind::Skew(at, _) | TroubleKind::Drift(at, _) => {
                *at == node || *at == self.call.from
            }
            _ => false,
        });
        clocks || self.is_slow(node) || self.is_broken(node)
    }

    fn is_slow(&self, node: &str) -> bool {
        self.met(RESYNCING).any(|trouble| {
            matches!(&trouble.kind, TroubleKind::Slow(a, b) if self.is_between(a, b, node))
        })
    }

    fn is_between(&self, a: &str, b: &str, node: &str) -> bool {
        let covers = |place: &str, node: &str| place == node || place == region(node);
        let from = self.call.from.as_str();
        from != node && (covers(a, from) && covers(b, node) || covers(b, from) && covers(a, node))
    }

    /// The time that the call takes at a node, at most, if nothing is wrong.
    fn needs(&self, node: &str) -> Duration {
        // All nodes that it is aimed at may refuse it, one after another.
        let attempts = if self.is_misdirected() || self.is_crowded() { ATTEMPTS } else { 1 };
        let way = if node == self.call.from { Duration::ZERO } else { self.way(node) };
        self.work() + (way + Duration::from_millis(2)) * attempts
    }

    /// The time that the handler takes.
    fn work(&self) -> Duration {
        let nested = self.book.calls.iter().filter(|call| call.parent == Some(self.call.id));
        let nested = nested.map(|call| call.end().saturating_sub(call.began)).max();
        Duration::from_millis(self.call.spec.millis) + nested.unwrap_or_default()
    }

    /// The time that goes by on the way to a node and back, with all that is under way beside.
    pub(super) fn way(&self, node: &str) -> Duration {
        let trip = self.round_trip(&self.call.from, node);
        trip * (1 + self.bytes_beside(node).div_ceil(A_ROUND_TRIP) as u32)
    }

    /// How many bytes were on their way between the caller and a node about the same time.
    fn bytes_beside(&self, node: &str) -> usize {
        let same_pair = |other: &&CallRecord| {
            let other = Case { call: other, ..*self };
            other.call.from == self.call.from && other.candidates().contains(&node)
                || other.call.from == node && other.candidates().contains(&self.call.from.as_str())
        };
        let beside = self.beside(Duration::from_secs(1)).filter(same_pair);
        beside.map(|other| other.spec.argument + other.spec.reply).sum()
    }

    /// The longest that a message and its answer take if nothing is wrong.
    fn round_trip(&self, a: &str, b: &str) -> Duration {
        let (a, b) = (Region::from(region(a)), Region::from(region(b)));
        let trip = RoundTrips::default().between(&a, &b).expect("a region of the plan");
        trip + 2 * Duration::from_millis(self.plan.settings.jitter)
    }

    /// The calls that went on at the same time, or shortly before or after; this one too.
    fn beside(&self, about: Duration) -> impl Iterator<Item = &CallRecord> {
        let from = self.call.began.saturating_sub(about);
        let to = self.call.end().saturating_add(about);
        self.book.calls.iter().filter(move |other| other.began <= to && from <= other.end())
    }

    /// Whether the call is for the primary, and aimed at others.
    fn is_misdirected(&self) -> bool {
        self.call.spec.method == Method::Write && !self.nodes().any(|node| self.is_target(node))
    }

    /// Whether more calls may have been executing at once than one node takes.
    fn is_crowded(&self) -> bool {
        // Detached ones go on after their callers.
        let rivals = self.beside(Duration::from_secs(10)).count() - 1;
        rivals >= self.plan.settings.max_in_flight
    }

    /// For how long the call waits for a node that does not refuse it.
    fn waits(&self) -> Duration {
        let refused = self.is_misdirected() || self.is_crowded();
        let wait = self.call.spec.wait.filter(|_| refused);
        wait.map_or(Duration::ZERO, Duration::from_millis)
    }

    /// Whether the caller's node stopped, so that the rest of its process may be gone.
    pub(super) fn caller_stops(&self) -> bool {
        self.meets(|kind| {
            *kind == TroubleKind::Stopping(self.call.from.clone())
                || *kind == TroubleKind::Down(self.call.from.clone())
        })
    }

    /// Whether the caller ended before its call: its node did, or the call that it served.
    fn caller_ended(&self) -> bool {
        let end = self.call.end();
        let stopped = self.book.troubles.iter().any(|trouble| {
            let down = TroubleKind::Down(self.call.from.clone());
            let stopping = TroubleKind::Stopping(self.call.from.clone());
            (trouble.kind == down || trouble.kind == stopping) && trouble.overlaps(end, end)
        });
        let served = self.call.parent.into_iter().flat_map(|id| self.book.executions_of(id));
        let mut served = served.filter(|execution| !execution.completed);
        stopped && !self.call.outside || served.any(|execution| execution.ended == Some(end))
    }

    /// How wrong a node's clock runs at most, as a share.
    pub(super) fn drift(&self, node: &str) -> f64 {
        let drift = |trouble: &Trouble| match &trouble.kind {
            TroubleKind::Drift(at, parts) if at == node => parts.unsigned_abs() as f64 / 1e6,
            _ => 0.0,
        };
        self.book.troubles.iter().map(drift).sum()
    }

    /// For how long a node's clock stood still after a moment, and until another.
    pub(super) fn stills(&self, node: &str, from: Duration, to: Duration) -> Duration {
        let kind = TroubleKind::Still(node.to_owned());
        let stills = self.book.troubles.iter().filter(|trouble| trouble.kind == kind);
        let felt = stills.filter(|trouble| trouble.overlaps(from, to));
        felt.map(|trouble| trouble.to.unwrap_or(to) - trouble.from).sum()
    }

    /// For how long a node's clock stood still without the news of it being there when the node went
    /// on: that takes a round trip, something that the caller's node sends, which is a ping each
    /// heartbeat if nothing else, and room in the buffer behind the call.
    pub(super) fn unnoticed_stills(&self, node: &str) -> Duration {
        let kind = TroubleKind::Still(node.to_owned());
        let stills = self.book.troubles.iter().filter(|trouble| trouble.kind == kind);
        let times = stills.filter_map(|trouble| Some(trouble.to? - trouble.from));
        let trip = self.round_trip(node, &self.call.from);
        let full = self.bytes_beside(node) > A_ROUND_TRIP;
        times.filter(|time| *time <= trip + HEARTBEAT || full || self.is_slow(node)).sum()
    }

    /// By how much a node's clock jumped ahead between two moments.
    pub(super) fn skews(&self, node: &str, from: Duration, to: Duration) -> Duration {
        let felt = self.book.troubles.iter().filter(|trouble| trouble.overlaps(from, to));
        felt.filter_map(|trouble| match &trouble.kind {
            TroubleKind::Skew(at, by) if at == node => Some(*by),
            _ => None,
        })
        .sum()
    }

    /// The same of all jumps of two nodes that are too small for their link to notice.
    pub(super) fn small_skews(&self, a: &str, b: &str) -> Duration {
        let small = |trouble: &Trouble| match &trouble.kind {
            TroubleKind::Skew(at, by) if at == a || at == b => {
                Some(*by).filter(|by| *by < UNNOTICED)
            }
            _ => None,
        };
        self.book.troubles.iter().filter_map(small).sum()
    }
}

impl fmt::Display for Case<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let call = self.call;
        write!(f, "call {}, {:?} from {}", call.id, call.spec.method, call.from)?;
        write!(f, " to {:?} at {:?}, had {:?}, ", call.spec.aim, call.began, call.allowed)?;
        if call.outside {
            f.write_str("called from outside, ")?;
        }
        match &call.ended {
            Some((at, Outcome::Error(error))) => {
                write!(f, "{:?} later: {error}", *at - call.began)?
            }
            Some((at, outcome)) => write!(f, "{:?} later: {outcome:?}", *at - call.began)?,
            None => write!(f, "goes on")?,
        }
        for execution in self.book.executions_of(call.id) {
            write!(f, "; ran on {} from {:?}", execution.node, execution.began)?;
            write!(f, " to {:?}", execution.ended.unwrap_or_default())?;
        }
        Ok(())
    }
}

fn region(node: &str) -> &str {
    node.split_once('-').map_or(node, |(region, _)| region)
}
