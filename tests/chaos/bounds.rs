//! Upper bounds on the duration of calls whose targets, or whose paths, are disturbed by faults of one
//! kind only.

use std::time::Duration;

use flyrpc::RpcError;

use super::{
    explain::{Case, RELINK_TIME},
    ledger::{Effect, EffectKind, Outcome},
    plan::{Method, Selector},
};

/// tokio's timers fire on whole milliseconds, so they can be late by up to this much.
const TICK: Duration = Duration::from_millis(1);

/// How long after a path is cut the calls over it may still wait: the link ends after 5 heartbeats of
/// silence, and the attempt to dial the node again takes up to 5 s.
const LOSS_TIME: Duration = Duration::from_secs(13);

/// Upper bound on the time until an idempotent call starts its next attempt: two heartbeats of silence.
const QUIET_TIME: Duration = Duration::from_millis(2_500);

/// Upper bound on the body of a short call, in bytes.
const SHORT: usize = 1_000;

/// Upper bound on a body that is sent in one frame, in bytes.
const ONE_FRAME: usize = 17 << 10;

/// Upper bound on the bytes of a call in addition to its bodies.
const FRAME_BYTES: usize = 600;

/// Upper bound on the time that a path needs for the bytes which a link writes ahead of short frames, in
/// both directions, once it knows how fast the path is.
const WRITE_AHEAD_TIME: Duration = Duration::from_millis(300);

/// How long a link sends a long body until it knows how fast the path is.
const PACING_TIME: Duration = Duration::from_secs(1);

/// Upper bound on the bytes of long bodies that a link writes ahead before that.
const UNPACED_BYTES: usize = 144 << 10;

/// A call to nodes that have been cut off for some time fails with [`RpcError::NoNode`] at once.
pub(super) fn fails_at_once(case: &Case<'_>) -> Result<(), String> {
    let call = case.call;
    let candidates = case.candidates();
    let Some((ended, Outcome::Error(error))) = &call.ended else { return Ok(()) };
    if call.spec.wait.is_some()
        || case.is_misdirected()
        || candidates.contains(&call.from.as_str())
        || !candidates.iter().all(|node| is_cut_off_for_long(case, node))
    {
        return Ok(());
    }
    if !matches!(error, RpcError::NoNode { .. }) || *ended > call.started + TICK {
        return Err("a call to nodes that are cut off does not fail at once".to_owned());
    }
    Ok(())
}

/// Whether only one fault affects the path to a node, which cuts it, and has done so for some time.
fn is_cut_off_for_long(case: &Case<'_>, node: &str) -> bool {
    let call = case.call;
    let cuts = |effect: &&Effect| match &effect.kind {
        EffectKind::Filtered(a, b) | EffectKind::Partitioned(a, b) => case.is_between(a, b, node),
        _ => false,
    };
    let Some(cut) = case.records.effects.iter().find(cuts) else { return false };
    let from = cut.from.saturating_sub(RELINK_TIME);
    let affecting = affecting(case, node, from).count();
    affecting == 1
        && cut.from + LOSS_TIME <= call.started
        && cut.to.is_none_or(|to| call.end() < to)
}

/// An idempotent call to a region with one node that has gone quiet succeeds on another node.
pub(super) fn moves_on(case: &Case<'_>) -> Result<(), String> {
    let call = case.call;
    let spec = &call.spec;
    let candidates = case.candidates();
    if spec.method != Method::Repeatable
        || !matches!(spec.selector, Selector::Region(_) | Selector::Primary)
        || !spec.further.is_empty()
        || candidates.contains(&call.from.as_str())
        || case.is_crowded()
        || spec.panics
        || spec.cancel.is_some()
        || spec.nested.is_some()
        || spec.argument.max(spec.reply) > SHORT
    {
        return Ok(());
    }
    let since = call.started.saturating_sub(RELINK_TIME);
    let (disturbed, healthy): (Vec<&str>, Vec<&str>) =
        candidates.iter().partition(|node| affecting(case, node, since).next().is_some());
    let ([quiet], [first, ..]) = (&disturbed[..], &healthy[..]) else { return Ok(()) };
    let only_quiet = affecting(case, quiet, since).all(|effect| match &effect.kind {
        EffectKind::Frozen(node) => node == quiet,
        EffectKind::Partitioned(..) => true,
        _ => false,
    });
    let bound = QUIET_TIME + 2 * case.needs(first);
    if !only_quiet || call.allowed < bound {
        return Ok(());
    }
    match &call.ended {
        Some((ended, Outcome::Reply { .. })) if *ended <= call.started + bound + TICK => Ok(()),
        Some((_, Outcome::Dropped)) if !call.outside => Ok(()),
        _ => Err(format!("an idempotent call does not move on to {first} within {bound:?}")),
    }
}

/// A call over a path of little bandwidth waits for its own bytes and for those of other calls that are
/// still in flight, but not for bodies that were given up. A short call does not wait for long bodies
/// either.
pub(super) fn is_as_fast_as_its_path(case: &Case<'_>) -> Result<(), String> {
    let call = case.call;
    let spec = &call.spec;
    let node = match &call.ended {
        Some((_, Outcome::Reply { node, .. })) => node.as_str(),
        Some((_, Outcome::Error(RpcError::Timeout { node: Some(node), .. }))) => node.name(),
        _ => return Ok(()),
    };
    let since = call.started.saturating_sub(RELINK_TIME);
    let mut narrow = None;
    for effect in affecting(case, node, since) {
        let EffectKind::Narrow(_, _, bandwidth) = &effect.kind else { return Ok(()) };
        narrow = Some((effect.from, *bandwidth as f64));
    }
    let Some((narrow_from, bandwidth)) = narrow else { return Ok(()) };
    if spec.nested.is_some()
        || case.is_crowded()
        || case.is_misdirected()
        || !matches!(spec.selector, Selector::Node(_))
        || !spec.further.is_empty()
    {
        return Ok(());
    }
    let bytes = bytes_ahead(case, node, narrow_from.max(since), bandwidth);
    let bound = case.needs(node)
        + 2 * case.round_trip(&call.from, node)
        + WRITE_AHEAD_TIME
        + Duration::from_secs_f64(bytes as f64 / bandwidth);
    let timed_out = !matches!(call.outcome(), Some(Outcome::Reply { .. }));
    if call.end() > call.started + bound + TICK || timed_out && call.allowed > bound {
        return Err(format!("a call takes longer than its path implies, {bound:?}"));
    }
    Ok(())
}

/// Upper bound on the bytes that precede the last byte of a call, or of its reply, on a path of this
/// bandwidth, in bytes per second. The path has had this bandwidth since `since`.
fn bytes_ahead(case: &Case<'_>, node: &str, since: Duration, bandwidth: f64) -> usize {
    let call = case.call;
    let recent = Duration::from_secs(1) + Duration::from_secs_f64(UNPACED_BYTES as f64 / bandwidth);
    let is_short = call.spec.argument.max(call.spec.reply) <= SHORT;
    let mut total = 0;
    for direction in 0..2 {
        let (mut whole, mut given_up, mut is_paced) = (0, 0, false);
        for (other, bodies) in case.exchanged(node, recent) {
            let bytes = bodies[direction] + FRAME_BYTES;
            let lived = other.end().min(call.started).saturating_sub(other.started);
            let is_current = other.started <= call.end() && call.started <= other.end();
            // Bodies of one frame are sent in order.
            if bytes <= ONE_FRAME || is_current && !is_short {
                whole += bytes;
            } else {
                given_up += bytes;
            }
            is_paced |= bytes > ONE_FRAME && other.started >= since && lived >= PACING_TIME;
        }
        total += whole + if is_paced { 0 } else { given_up.min(UNPACED_BYTES) };
    }
    total
}

/// The effects since `from` that concern the caller or a node that it calls.
fn affecting<'a>(
    case: &'a Case<'_>,
    node: &str,
    from: Duration,
) -> impl Iterator<Item = &'a Effect> {
    let to = case.call.end();
    let caller = case.call.from.as_str();
    let effects = case.records.effects.iter();
    effects.filter(move |effect| {
        let concerns = match &effect.kind {
            EffectKind::Unreachable(a, b)
            | EffectKind::Partitioned(a, b)
            | EffectKind::Filtered(a, b)
            | EffectKind::Narrow(a, b, _)
            | EffectKind::Slow(a, b) => case.is_between(a, b, node),
            EffectKind::DatagramLoss(..) => false,
            EffectKind::Down(at)
            | EffectKind::Searching(at)
            | EffectKind::Flooded(at)
            | EffectKind::Misbehaves(at, _)
            | EffectKind::Stopping(at)
            | EffectKind::Frozen(at)
            | EffectKind::ClockStopped(at)
            | EffectKind::ClockJump(at, _)
            | EffectKind::Drift(at, _) => at == node || at == caller,
        };
        concerns && effect.overlaps(from, to)
    })
}
