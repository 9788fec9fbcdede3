//! Scenarios: faults of one kind, with the calls that they affect, which are added to the plan of a
//! seed. Random faults and random calls alone rarely meet in such a way.

use flyrpc_testkit::Fault as SimFault;

use super::{
    faults::{ClaimedAddr, CrashScope, Fault, Flood, PlannedFault},
    plan::{
        CALLS_END, CallSpec, Cancel, FAULTS_END, Method, Plan, PlannedCall, REGIONS, Seeds,
        Selector,
    },
    rng::PlanRng,
};

/// Adds a scenario to a plan.
pub(super) fn add(plan: &mut Plan, rng: &mut PlanRng) {
    // The strictest checks apply where there are no other faults.
    if rng.percent(50) {
        plan.faults.clear();
    }
    let add = rng.pick(&[bulk, shared_addresses, balanced_seeds, filters, quiet_nodes, floods]);
    add(plan, rng);
    plan.faults.sort_by_key(|fault| fault.at);
    plan.calls.sort_by_key(|call| call.at);
}

/// Short calls beside long bodies on a slow path, where most of the long bodies time out.
fn bulk(plan: &mut Plan, rng: &mut PlanRng) {
    let (near, far) = two_regions(plan, rng);
    let bandwidth = rng.spread(50_000, 2_000_000);
    let at = rng.between(500, 2_500);
    let lasts = rng.between(12_000, 20_000);
    let fault = Fault::Bottleneck(near.to_owned(), far.to_owned(), bandwidth);
    plan.faults.push(PlannedFault { at, lasts, fault });
    let near = rng.pick(&nodes_in(plan, near)).clone();
    let far = rng.pick(&nodes_in(plan, far)).clone();
    let pair = |rng: &mut PlanRng| match rng.percent(50) {
        true => (near.clone(), far.clone()),
        false => (far.clone(), near.clone()),
    };
    // The last long body is the longest, so that shorter ones that nobody waits for would precede it.
    let last = (4 * bandwidth).min(400 << 10);
    let (middle, burst) = (at + lasts / 2, rng.spread(500, lasts / 2));
    for _ in 0..rng.between(8, 30) {
        let (from, to) = pair(rng);
        let method = *rng.pick(&[Method::Work, Method::Repeatable]);
        let mut call = CallSpec::plain(method, Selector::Node(to));
        let size = rng.between(40 << 10, last * 3 / 4) as usize;
        if rng.percent(50) {
            call.argument = size;
        } else {
            call.reply = size;
        }
        if rng.percent(50) {
            // What is left of it has not expired when the last long body is sent.
            call.timeout = Some(10_000);
            call.cancel = Some(Cancel::AfterMillis(rng.spread(50, 3_000)));
        } else {
            call.timeout = Some(rng.spread(200, 3_000));
        }
        plan.calls.push(outside_call(middle - rng.between(0, burst), from, call));
    }
    let mut next = at;
    while next < at + lasts {
        let (from, to) = pair(rng);
        let mut call = CallSpec::plain(Method::Work, Selector::Node(to));
        call.argument = rng.between(0, 300) as usize;
        call.timeout = rng.percent(50).then_some(10_000);
        plan.calls.push(outside_call(next, from, call));
        next += rng.between(200, 700);
    }
    // After all others were given up.
    let (from, to) = pair(rng);
    let mut call = CallSpec::plain(Method::Work, Selector::Node(to));
    if rng.percent(50) {
        call.argument = last as usize;
    } else {
        call.reply = last as usize;
    }
    call.timeout = Some(10_000);
    plan.calls.push(outside_call(middle + 3_500, from, call));
}

/// Nodes that advertise the address of a live node, or one address that none of them listens on.
fn shared_addresses(plan: &mut Plan, rng: &mut PlanRng) {
    let nodes = plan.nodes();
    let claims = rng.between(1, 3);
    let victim = rng.percent(60).then(|| rng.pick(&nodes).clone());
    for index in 0..claims.max(if victim.is_none() { 2 } else { 1 }) {
        let region = rng.pick(&plan.regions).0;
        let addr = victim.clone().map_or(ClaimedAddr::Unused, ClaimedAddr::Node);
        let claimant = format!("{region}-claimant{index}");
        let at = rng.between(500, 5_000);
        let fault = Fault::Claim { claimant, region, addr };
        plan.faults.push(PlannedFault { at, lasts: rng.between(8_000, FAULTS_END - at), fault });
    }
    if let Some(node) = victim {
        calls_during(plan, rng, (500, CALLS_END), 20, &|rng| {
            CallSpec::plain(
                *rng.pick(&[Method::Work, Method::Repeatable]),
                Selector::Node(node.clone()),
            )
        });
    }
}

/// Several nodes that crash at once and start again with a seed that leads to a random node.
fn balanced_seeds(plan: &mut Plan, rng: &mut PlanRng) {
    plan.seeds = Seeds::Balanced;
    // These wait for the cluster to settle in a shorter time than balanced seeds take.
    plan.faults.retain(|fault| !matches!(fault.fault, Fault::Replace { .. } | Fault::Roll { .. }));
    let at = rng.between(500, 5_000);
    let most = rng.percent(60);
    for node in plan.nodes() {
        let lasts = rng.spread(20, 5_000);
        let scope = *rng.pick(&[CrashScope::Process, CrashScope::Machine]);
        if most || rng.percent(50) {
            plan.faults.push(PlannedFault { at, lasts, fault: scope.of(node) });
        }
    }
}

/// A firewall between two scopes that drops either TCP or UDP.
fn filters(plan: &mut Plan, rng: &mut PlanRng) {
    let (near, far) = two_regions(plan, rng);
    let scope = |region: &str, rng: &mut PlanRng| match rng.percent(70) {
        true => region.to_owned(),
        false => rng.pick(&nodes_in(plan, region)).clone(),
    };
    let (a, b) = (scope(near, rng), scope(far, rng));
    let at = rng.between(500, 3_000);
    let lasts =
        if rng.percent(70) { rng.between(15_000, 22_000) } else { rng.between(1_000, 15_000) };
    let fault = match rng.percent(70) {
        true => SimFault::FilterTcp { a, b },
        // A filter of UDP.
        false => SimFault::Lose { a, b, share: 1.0 },
    };
    plan.faults.push(PlannedFault { at, lasts, fault: fault.into() });
    for (from, to) in [(near, far), (far, near)] {
        let (from, targets) = (nodes_in(plan, from), nodes_in(plan, to));
        for _ in 0..20 {
            let selector = match rng.percent(60) {
                true => Selector::Region(to.to_owned()),
                false => Selector::Node(rng.pick(&targets).clone()),
            };
            let mut call =
                CallSpec::plain(*rng.pick(&[Method::Work, Method::Repeatable]), selector);
            call.timeout = rng.percent(50).then(|| rng.spread(1_000, 10_000));
            call.wait = rng.percent(10).then(|| rng.spread(1, 10_000));
            let at = at + rng.between(0, lasts + 3_000);
            plan.calls.push(outside_call(at, rng.pick(&from).clone(), call));
        }
    }
}

/// A node that is frozen or cut off, and idempotent calls to its region, which has another node.
fn quiet_nodes(plan: &mut Plan, rng: &mut PlanRng) {
    let (near, far) = two_regions(plan, rng);
    let region = plan.regions.iter_mut().find(|(region, _)| *region == far);
    let (_, count) = region.expect("the region is one of the plan");
    *count = (*count).max(2);
    let (callers, quiet) = (nodes_in(plan, near), rng.pick(&nodes_in(plan, far)).clone());
    let at = rng.between(500, 10_000);
    let lasts = rng.spread(1_000, 12_000);
    let fault = match rng.percent(50) {
        true => SimFault::Freeze { node: quiet },
        false => SimFault::Partition { a: quiet, b: near.to_owned() },
    };
    plan.faults.push(PlannedFault { at, lasts, fault: fault.into() });
    for _ in 0..rng.between(10, 40) {
        let mut call = CallSpec::plain(Method::Repeatable, Selector::Region(far.to_owned()));
        call.timeout = rng.percent(50).then(|| rng.spread(3_000, 10_000));
        call.millis = if rng.percent(50) { 0 } else { rng.spread(1, 500) };
        let at = (at + rng.between(0, lasts)).saturating_sub(100);
        plan.calls.push(outside_call(at, rng.pick(&callers).clone(), call));
    }
}

/// A member that floods a node, and other nodes that call it.
fn floods(plan: &mut Plan, rng: &mut PlanRng) {
    plan.settings.max_in_flight = rng.between(60, 200) as usize;
    plan.settings.max_body_memory = Some(rng.between(4 << 20, 16 << 20) as usize);
    let node = rng.pick(&plan.nodes()).clone();
    let taken = |region: &&&str| plan.regions.iter().any(|(taken, _)| *taken == **region);
    let free: Vec<&'static str> = REGIONS.iter().filter(|region| !taken(region)).copied().collect();
    let from = *rng.pick(&free);
    let at = rng.between(500, 5_000);
    let lasts = rng.between(1_000, 15_000);
    let size = rng.spread(10_000, 500_000);
    let flood =
        *rng.pick(&[Flood::Slow, Flood::Announced(size), Flood::Abandoned(size), Flood::Unread]);
    plan.faults.push(PlannedFault {
        at,
        lasts,
        fault: Fault::Flood { node: node.clone(), from, flood },
    });
    plan.calls.retain(|_| rng.percent(30));
    calls_during(plan, rng, (at, at + lasts), 30, &|rng| {
        let mut call = CallSpec::plain(Method::Work, Selector::Node(node.clone()));
        call.millis = rng.between(0, 100);
        call.argument = rng.spread(1, 20_000) as usize;
        call
    });
}

/// Adds calls from random nodes at random times.
fn calls_during(
    plan: &mut Plan,
    rng: &mut PlanRng,
    (from, to): (u64, u64),
    count: usize,
    call: &dyn Fn(&mut PlanRng) -> CallSpec,
) {
    let nodes = plan.nodes();
    for _ in 0..count {
        let caller = rng.pick(&nodes).clone();
        let spec = call(rng);
        plan.calls.push(outside_call(rng.between(from, to), caller, spec));
    }
}

fn outside_call(at: u64, from: String, call: CallSpec) -> PlannedCall {
    PlannedCall { at, from, outside: true, call }
}

/// Picks two regions of a plan. Adds a region to a plan that has only one.
fn two_regions(plan: &mut Plan, rng: &mut PlanRng) -> (&'static str, &'static str) {
    if plan.regions.len() == 1 {
        let other = REGIONS.iter().find(|region| **region != plan.primary());
        plan.regions.push((other.expect("there are several regions"), 1));
    }
    let first = rng.between(0, plan.regions.len() as u64 - 1) as usize;
    let step = rng.between(1, plan.regions.len() as u64 - 1) as usize;
    let second = (first + step) % plan.regions.len();
    (plan.regions[first].0, plan.regions[second].0)
}

pub(super) fn nodes_in(plan: &Plan, region: &str) -> Vec<String> {
    let mut nodes = plan.nodes();
    nodes.retain(|node| node.split_once('-').is_some_and(|(of, _)| of == region));
    nodes
}
