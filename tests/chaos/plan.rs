//! The plan that a seed determines: the cluster, the calls, and the faults with their times. A plan
//! is plain data, and is printed with `{:#?}` when a run has failed.

use std::time::Duration;

use flyrpc_testkit::Fault as SimFault;
use serde::{Deserialize, Serialize};

use super::{
    faults::{CrashScope, Fault, PlannedFault, Version},
    misbehavior,
    rng::PlanRng,
    scenario,
};

/// The latest start of a call, in milliseconds.
pub(super) const CALLS_END: u64 = 20_000;

/// The latest end of a fault, in milliseconds.
pub(super) const FAULTS_END: u64 = 25_000;

/// Regions with measured round trips in the testkit, both near and far.
pub(super) const REGIONS: [&str; 6] = ["iad", "lhr", "fra", "hkg", "syd", "gru"];

/// The inputs of a run, which determine everything else.
#[derive(Debug, Clone)]
pub struct Plan {
    pub(super) seed: u64,
    /// The number of nodes in each region. The first region is the primary region.
    pub(super) regions: Vec<(&'static str, usize)>,
    pub(super) settings: Settings,
    pub(super) seeds: Seeds,
    /// The secret of all nodes. `None` if they have none.
    pub(super) secret: Option<Secret>,
    /// The nodes that start with the old release, which lacks a method.
    pub(super) old: Vec<String>,
    pub(super) faults: Vec<PlannedFault>,
    pub(super) calls: Vec<PlannedCall>,
}

#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) force_wire: bool,
    pub(super) max_in_flight: usize,
    pub(super) max_body: usize,
    /// `None` is flyrpc's default.
    pub(super) max_body_memory: Option<usize>,
    /// Jitter on all paths, in milliseconds.
    pub(super) jitter: u64,
    /// The share of datagrams lost on all paths, from 0 to 1.
    pub(super) loss: f64,
}

/// The secret of all nodes.
#[derive(Debug, Clone)]
pub(super) struct Secret {
    /// Whether nodes accept programs without the secret, such as those that flood them.
    pub(super) permissive: bool,
    /// Whether rollouts rotate it.
    pub(super) rotates: bool,
}

/// Where a node that starts again looks for other nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seeds {
    /// At the addresses of all other nodes.
    Nodes,
    /// At one address behind which there are all nodes, itself included. Each connection reaches a
    /// random one.
    Balanced,
}

#[derive(Debug, Clone)]
pub(super) struct PlannedCall {
    pub(super) at: u64,
    pub(super) from: String,
    /// Whether a task of the test makes the call. No fault of a node stops such a task.
    pub(super) outside: bool,
    pub(super) call: CallSpec,
}

/// A call, made by the plan or by the handler of another call.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct CallSpec {
    pub(super) method: Method,
    // The wire name is fixed, because the sizes of frames are part of what a seed determines.
    #[serde(rename = "aim")]
    pub(super) selector: Selector,
    // Omitted if empty, because the sizes of frames are part of what a seed determines.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) further: Vec<FurtherTarget>,
    /// The timeout in milliseconds.
    pub(super) timeout: Option<u64>,
    /// How long the call waits for a node, in milliseconds.
    pub(super) wait: Option<u64>,
    /// How long the handler takes, in milliseconds, excluding the nested call.
    pub(super) millis: u64,
    /// The size of the argument in bytes.
    pub(super) argument: usize,
    /// The size of the reply in bytes.
    pub(super) reply: usize,
    pub(super) panics: bool,
    pub(super) cancel: Option<Cancel>,
    /// A call made by the handler.
    pub(super) nested: Option<Box<CallSpec>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Method {
    Work,
    Repeatable,
    Detached,
    /// Runs only in the primary region.
    Write,
    /// Missing in the old release.
    Newer,
    /// Like `Repeatable`, with a second attempt if the first one is late.
    Hedged,
    /// Limited in the calls that a node executes at the same time.
    Limited,
}

impl Method {
    /// Whether a call may execute several times.
    pub(super) fn is_idempotent(self) -> bool {
        matches!(self, Method::Repeatable | Method::Hedged)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Selector {
    // The wire name is fixed, because the sizes of frames are part of what a seed determines.
    #[serde(rename = "Unsaid")]
    Default,
    Primary,
    Region(String),
    /// The boot of the node that is running when the call is made, or the previous one if the node
    /// is down.
    Node(String),
}

/// A target that is tried after the nodes of the targets before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum FurtherTarget {
    Region(String),
    Nearest,
    Primary,
}

/// When the caller drops the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Cancel {
    Unpolled,
    AfterOnePoll,
    AfterMillis(u64),
}

impl Plan {
    /// Returns the plan of `seed`. Most plans contain a scenario: faults of one kind, and calls that they
    /// affect.
    pub fn new(seed: u64) -> Self {
        let mut plan = Plan::without_scenario(seed);
        let rng = &mut PlanRng::second_stream(seed);
        if rng.percent(60) {
            scenario::add(&mut plan, rng);
        }
        Secret::add(&mut plan, &mut PlanRng::secret_stream(seed));
        misbehavior::add(&mut plan, &mut PlanRng::misbehavior_stream(seed));
        plan
    }

    /// Returns the plan of `seed` before a scenario, a secret and misbehavior are added to it. It is the plan that
    /// the seed had before there were any of these.
    pub fn without_scenario(seed: u64) -> Self {
        let rng = &mut PlanRng::new(seed);
        let mut regions: Vec<(&'static str, usize)> = Vec::new();
        for _ in 0..rng.between(1, 4) {
            let region = *rng.pick(&REGIONS);
            if regions.iter().all(|(taken, _)| *taken != region) {
                regions.push((region, rng.between(1, 3) as usize));
            }
        }
        if regions.len() == 1 {
            regions[0].1 += 1;
        }
        let settings = Settings::new(rng);
        let topology = Topology::new(&regions);
        // Some seeds have no old release, and some have no faults. The checks are strictest for
        // these.
        let versions = rng.percent(30);
        let old = topology.nodes.iter().filter(|_| versions && rng.percent(50)).cloned().collect();
        let faults = match rng.between(0, 9) {
            0 => 0,
            1..=4 => rng.between(1, 2),
            _ => rng.between(2, 8),
        };
        let mut faults: Vec<_> =
            (0..faults).map(|_| PlannedFault::new(rng, &topology, versions)).collect();
        faults.sort_by_key(|fault| fault.at);
        let mut calls: Vec<_> =
            (0..rng.spread(20, 200)).map(|_| PlannedCall::new(rng, &topology, &settings)).collect();
        for _ in 0..rng.between(0, 4) / 2 {
            calls.extend(burst(rng, &topology, &faults));
        }
        calls.sort_by_key(|call| call.at);
        Plan { seed, regions, settings, seeds: Seeds::Nodes, secret: None, old, faults, calls }
    }

    pub(super) fn nodes(&self) -> Vec<String> {
        Topology::new(&self.regions).nodes
    }

    pub(super) fn primary(&self) -> &'static str {
        self.regions[0].0
    }
}

struct Topology {
    regions: Vec<&'static str>,
    nodes: Vec<String>,
}

impl Topology {
    fn new(regions: &[(&'static str, usize)]) -> Self {
        let nodes = |&(region, count): &(&'static str, usize)| {
            (0..count).map(move |index| format!("{region}-{index}"))
        };
        Topology {
            nodes: regions.iter().flat_map(nodes).collect(),
            regions: regions.iter().map(|(region, _)| *region).collect(),
        }
    }

    /// Returns two different regions, two different nodes, or a node and a region.
    fn pick_pair(&self, rng: &mut PlanRng) -> (String, String) {
        let scope = |rng: &mut PlanRng| match rng.percent(50) {
            true => (*rng.pick(&self.regions)).to_owned(),
            false => rng.pick(&self.nodes).clone(),
        };
        let (a, b) = (scope(rng), scope(rng));
        if a != b { (a, b) } else { (self.nodes[0].clone(), self.nodes[1].clone()) }
    }
}

impl Settings {
    fn new(rng: &mut PlanRng) -> Self {
        Settings {
            force_wire: rng.percent(50),
            max_in_flight: if rng.percent(15) { rng.between(1, 6) as usize } else { 10_000 },
            max_body: 512 << 10,
            max_body_memory: None,
            jitter: if rng.percent(30) { rng.spread(1, 60) } else { 0 },
            loss: if rng.percent(30) { rng.between(1, 20) as f64 / 100.0 } else { 0.0 },
        }
    }
}

impl Secret {
    /// Adds a secret to half of the plans, and two rollouts that rotate it to some of these.
    fn add(plan: &mut Plan, rng: &mut PlanRng) {
        if !rng.percent(50) {
            return;
        }
        let any = |is: fn(&Fault) -> bool| plan.faults.iter().any(|fault| is(&fault.fault));
        let has_flood = any(|fault| matches!(fault, Fault::Flood { .. }));
        let has_claimant = any(|fault| matches!(fault, Fault::Claim { .. }));
        // Rollouts do not replace claimants. They wait for the cluster to settle in a shorter time than balanced
        // seeds take, and the checks of floods do not allow for them.
        let allows_rollouts = !has_flood && !has_claimant && plan.seeds == Seeds::Nodes;
        let rotates = rng.percent(30) && allows_rollouts;
        plan.secret = Some(Secret { permissive: has_flood, rotates });
        if rotates {
            let mut rollout = || PlannedFault {
                at: rng.between(500, FAULTS_END - 7_000),
                lasts: 0,
                fault: Fault::Roll { version: Version::New },
            };
            plan.faults.extend([rollout(), rollout()]);
            plan.faults.sort_by_key(|fault| fault.at);
        }
    }
}

impl PlannedFault {
    fn new(rng: &mut PlanRng, topology: &Topology, versions: bool) -> Self {
        let at = rng.between(500, FAULTS_END - 7_000);
        let lasts = rng.spread(20, FAULTS_END - at);
        let node = rng.pick(&topology.nodes).clone();
        let (a, b) = topology.pick_pair(rng);
        let millis = Duration::from_millis;
        let planned = |fault| PlannedFault { at, lasts, fault };
        let fault = match rng.between(0, 17) {
            0 => SimFault::Partition { a, b },
            1 => SimFault::PartitionOneWay { from: a, to: b },
            2 => SimFault::Hold { a, b },
            3 => SimFault::Slow { a, b, by: millis(rng.spread(1, 1_500)) },
            4 => SimFault::Jitter { a, b, up_to: millis(rng.spread(1, 500)) },
            5 => SimFault::Lose { a, b, share: rng.between(1, 100) as f64 / 100.0 },
            6 => SimFault::Throttle { a, b, bytes_per_second: rng.spread(20 << 10, 8 << 20) },
            7 | 8 => return planned(CrashScope::pick(rng).of(node)),
            9 => SimFault::Shutdown { node },
            10 => {
                let version = Version::pick(versions, rng);
                return planned(Fault::Replace { node, version });
            }
            11 => return planned(Fault::Roll { version: Version::pick(versions, rng) }),
            12 | 13 => SimFault::Freeze { node },
            14 | 15 => return planned(Fault::Pause(node)),
            // Always ahead, because a monotonic clock does not go back.
            16 => SimFault::SkewAhead { node, by: millis(rng.spread(1, 10 * 24 * 3_600_000)) },
            _ => SimFault::Drift { node, parts_per_million: rng.between(0, 2_000) as i64 - 1_000 },
        };
        planned(fault.into())
    }
}

impl PlannedCall {
    fn new(rng: &mut PlanRng, topology: &Topology, settings: &Settings) -> Self {
        PlannedCall {
            at: rng.between(0, CALLS_END),
            from: rng.pick(&topology.nodes).clone(),
            outside: rng.percent(30),
            call: CallSpec::new(rng, topology, settings, 2),
        }
    }
}

/// Returns more concurrent calls over one link than it has buffers for. If there are faults, the
/// calls are close to the start of one.
fn burst(rng: &mut PlanRng, topology: &Topology, faults: &[PlannedFault]) -> Vec<PlannedCall> {
    let fault = (!faults.is_empty()).then(|| rng.pick(faults).at);
    let at = fault.unwrap_or(CALLS_END / 2).saturating_sub(rng.between(0, 300));
    let from = rng.pick(&topology.nodes).clone();
    let selector = Selector::Node(rng.pick(&topology.nodes).clone());
    let outside = rng.percent(30);
    let mut call = || {
        let method = *rng.pick(&[Method::Work, Method::Repeatable]);
        let call = CallSpec {
            timeout: rng.percent(80).then(|| rng.spread(20, 10_000)),
            millis: rng.between(0, 500),
            argument: rng.between(5_000, 15_000) as usize,
            ..CallSpec::plain(method, selector.clone())
        };
        PlannedCall { at: at + rng.between(0, 300), from: from.clone(), outside, call }
    };
    (0..100).map(|_| call()).collect()
}

impl CallSpec {
    /// Returns a call of `method` with default options, whose handler takes no time.
    pub(super) fn plain(method: Method, selector: Selector) -> Self {
        CallSpec {
            method,
            selector,
            further: Vec::new(),
            timeout: None,
            wait: None,
            millis: 0,
            argument: 0,
            reply: 0,
            panics: false,
            cancel: None,
            nested: None,
        }
    }

    fn new(rng: &mut PlanRng, topology: &Topology, settings: &Settings, depth: u32) -> Self {
        let method = *rng.pick(&[
            Method::Work,
            Method::Work,
            Method::Repeatable,
            Method::Repeatable,
            Method::Detached,
            Method::Write,
            Method::Newer,
        ]);
        let selector = match rng.between(0, 9) {
            0 | 1 => Selector::Default,
            2 | 3 => Selector::Primary,
            4..=7 => Selector::Region((*rng.pick(&topology.regions)).to_owned()),
            _ => Selector::Node(rng.pick(&topology.nodes).clone()),
        };
        let timeout = rng.percent(70).then(|| rng.spread(1, 10_000));
        let wait = rng.percent(25).then(|| rng.spread(1, 10_000));
        let cancel = rng.percent(15).then(|| match rng.between(0, 9) {
            0 => Cancel::Unpolled,
            1 | 2 => Cancel::AfterOnePoll,
            _ => Cancel::AfterMillis(rng.spread(1, 3_000)),
        });
        CallSpec {
            method,
            selector,
            further: Vec::new(),
            timeout,
            wait,
            millis: match rng.between(0, 9) {
                0..=3 => 0,
                4..=7 => rng.spread(1, 300),
                _ => rng.spread(100, 6_000),
            },
            argument: size(rng, settings),
            reply: size(rng, settings),
            panics: rng.percent(4),
            cancel,
            nested: (depth > 0 && rng.percent(25))
                .then(|| Box::new(CallSpec::new(rng, topology, settings, depth - 1))),
        }
    }
}

/// Returns a size in bytes: usually small, sometimes several chunks, and rarely over the limit.
fn size(rng: &mut PlanRng, settings: &Settings) -> usize {
    let size = match rng.between(0, 99) {
        0 => settings.max_body as u64 + rng.between(1, 1_000),
        1..=14 => rng.spread(10_000, 300 << 10),
        _ => rng.spread(1, 300) - 1,
    };
    size as usize
}
