//! Nodes that are slow, fail or are overloaded, with calls that meet them. They are added to the plan of a
//! seed.

use super::{
    faults::{Behavior, Fault, PlannedFault},
    plan::{CallSpec, FAULTS_END, FurtherTarget, Method, Plan, PlannedCall, REGIONS, Selector},
    rng::PlanRng,
    scenario::nodes_in,
};

/// Adds misbehaving nodes to some plans, and further targets and hedging to some calls of these.
pub(super) fn add(plan: &mut Plan, rng: &mut PlanRng) {
    if !rng.percent(40) {
        return;
    }
    for planned in &mut plan.calls {
        vary(&plan.regions, rng, &mut planned.call);
    }
    for _ in 0..rng.between(1, 3) {
        misbehave(plan, rng);
    }
    plan.faults.sort_by_key(|fault| fault.at);
    plan.calls.sort_by_key(|call| call.at);
}

/// Gives further targets to some calls of the plan, and makes others hedged.
fn vary(regions: &[(&'static str, usize)], rng: &mut PlanRng, call: &mut CallSpec) {
    if call.method == Method::Repeatable && rng.percent(30) {
        call.method = Method::Hedged;
    }
    if rng.percent(20) {
        add_further_targets(regions, rng, call);
    }
}

/// Adds one or two targets, with or without nodes. No two targets of a call are equal, because traces could not tell
/// the attempts on them apart.
fn add_further_targets(regions: &[(&'static str, usize)], rng: &mut PlanRng, call: &mut CallSpec) {
    let mut target = || match rng.between(0, 9) {
        0..=4 => FurtherTarget::Region(rng.pick(regions).0.to_owned()),
        5 => FurtherTarget::Region((*rng.pick(&REGIONS)).to_owned()),
        6 | 7 => FurtherTarget::Primary,
        _ => FurtherTarget::Nearest,
    };
    let first = target();
    let second = target();
    let equals_first = |target: &FurtherTarget| match (target, &call.selector) {
        (FurtherTarget::Region(further), Selector::Region(first)) => further == first,
        (FurtherTarget::Nearest, Selector::Default) => true,
        (FurtherTarget::Primary, Selector::Primary) => true,
        _ => false,
    };
    call.further = if rng.percent(50) { vec![first] } else { vec![first, second] };
    call.further.dedup();
    call.further.retain(|target| !equals_first(target));
}

/// Adds a node, or a region, that misbehaves, and calls to it.
fn misbehave(plan: &mut Plan, rng: &mut PlanRng) {
    let region = rng.pick(&plan.regions).0;
    let nodes = nodes_in(plan, region);
    let nodes = if rng.percent(40) { nodes } else { vec![rng.pick(&nodes).clone()] };
    let how = match rng.between(0, 2) {
        0 => Behavior::Slow(rng.spread(50, 6_000)),
        1 => Behavior::Panics,
        _ => Behavior::Overloaded,
    };
    let at = rng.between(500, FAULTS_END - 7_000);
    let lasts = rng.between(1_000, FAULTS_END - at);
    for node in &nodes {
        let fault = Fault::Misbehave { node: node.clone(), how };
        plan.faults.push(PlannedFault { at, lasts, fault });
    }
    // Many calls within a short time exhaust the budget for retries.
    let is_burst = rng.percent(25);
    let (count, within) = if is_burst { (400, 2_000) } else { (rng.between(20, 60), lasts) };
    let callers = plan.nodes();
    let callers = if rng.percent(50) { vec![rng.pick(&callers).clone()] } else { callers };
    for _ in 0..count {
        let selector = match rng.between(0, 9) {
            0..=7 => Selector::Region(region.to_owned()),
            8 => Selector::Node(rng.pick(&nodes).clone()),
            _ => Selector::Default,
        };
        let mut call = CallSpec::plain(method(how, rng), selector);
        call.millis = rng.between(0, 100);
        call.timeout = rng.percent(50).then(|| rng.spread(100, 5_000));
        call.wait = rng.percent(15).then(|| rng.spread(1, 5_000));
        if rng.percent(50) {
            add_further_targets(&plan.regions, rng, &mut call);
        }
        let from = rng.pick(&callers).clone();
        let at = at + rng.between(0, within);
        plan.calls.push(PlannedCall { at, from, outside: rng.percent(70), call });
    }
}

/// Picks a method that meets the behavior.
fn method(how: Behavior, rng: &mut PlanRng) -> Method {
    let any = [Method::Work, Method::Repeatable, Method::Hedged, Method::Hedged];
    match how {
        Behavior::Overloaded if rng.percent(80) => Method::Limited,
        _ => *rng.pick(&any),
    }
}
