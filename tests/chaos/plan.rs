//! What a seed decides: the cluster, the calls, and the faults with their times. Plain data, printed
//! with `{:#?}` when a run has failed.

use serde::{Deserialize, Serialize};

use super::dice::Dice;

/// For how long calls are begun, in milliseconds.
const CALLING: u64 = 20_000;

/// When the last fault has ended, at the latest.
const FAULTS_END: u64 = 25_000;

/// Regions whose round trips the testkit knows, near ones and far ones.
const REGIONS: [&str; 6] = ["iad", "lhr", "fra", "hkg", "syd", "gru"];

/// All that happens in a run, but for what follows from it.
#[derive(Debug, Clone)]
pub struct Plan {
    pub(super) seed: u64,
    /// How many nodes each region has. The first is the primary region.
    pub(super) regions: Vec<(&'static str, usize)>,
    pub(super) settings: Settings,
    /// The nodes that begin with the old release, which lacks a method.
    pub(super) old: Vec<String>,
    pub(super) faults: Vec<PlannedFault>,
    pub(super) calls: Vec<PlannedCall>,
}

#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) force_wire: bool,
    pub(super) max_in_flight: usize,
    pub(super) max_body: usize,
    /// On all ways: milliseconds, and a share.
    pub(super) jitter: u64,
    pub(super) loss: f64,
}

/// Milliseconds from the moment when the cluster has settled.
#[derive(Debug, Clone)]
pub(super) struct PlannedFault {
    pub(super) at: u64,
    /// How long it lasts. Some, such as a skew, do not end.
    pub(super) lasts: u64,
    pub(super) fault: Fault,
}

/// Places are regions or nodes. Times are milliseconds.
#[derive(Debug, Clone)]
pub(super) enum Fault {
    Partition(String, String),
    /// From the first to the second.
    OneWay(String, String),
    Hold(String, String),
    Slow(String, String, u64),
    Jitter(String, String, u64),
    Lose(String, String, f64),
    /// Bytes a second.
    Throttle(String, String, u64),
    /// With its machine, which answers nothing, or the program alone.
    Crash {
        node: String,
        machine: bool,
    },
    Shutdown(String),
    /// A deploy of this release, the old one or the new.
    Replace {
        node: String,
        old: bool,
    },
    Roll {
        old: bool,
    },
    Freeze(String),
    /// Freezes it with its clock, as a suspended machine is.
    Pause(String),
    /// Ahead only: a monotonic clock does not go back.
    SkewAhead(String, u64),
    /// Parts per million.
    Drift(String, i64),
}

#[derive(Debug, Clone)]
pub(super) struct PlannedCall {
    pub(super) at: u64,
    pub(super) from: String,
    /// Whether the test's own task calls, which no fault of a node stops.
    pub(super) outside: bool,
    pub(super) call: CallSpec,
}

/// A call, whoever makes it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct CallSpec {
    pub(super) method: Method,
    pub(super) aim: Aim,
    /// Milliseconds.
    pub(super) timeout: Option<u64>,
    pub(super) wait: Option<u64>,
    /// How long the handler takes, besides the call that it makes.
    pub(super) millis: u64,
    /// How many bytes the argument and the reply carry.
    pub(super) argument: usize,
    pub(super) reply: usize,
    pub(super) panics: bool,
    pub(super) cancel: Option<Cancel>,
    /// A call that the handler makes.
    pub(super) nested: Option<Box<CallSpec>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Method {
    Work,
    Repeatable,
    Detached,
    /// On the primary only.
    Write,
    /// Which the old release lacks.
    Newer,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Aim {
    Unsaid,
    Primary,
    Region(String),
    /// The boot of the node that runs when the call is made, or else the last one.
    Node(String),
}

/// When the caller drops the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Cancel {
    Unpolled,
    AfterOnePoll,
    AfterMillis(u64),
}

impl Plan {
    /// What `seed` decides.
    pub fn new(seed: u64) -> Self {
        let dice = &mut Dice::new(seed);
        let mut regions: Vec<(&'static str, usize)> = Vec::new();
        for _ in 0..dice.between(1, 4) {
            let region = *dice.pick(&REGIONS);
            if regions.iter().all(|(taken, _)| *taken != region) {
                regions.push((region, dice.between(1, 3) as usize));
            }
        }
        if regions.len() == 1 {
            regions[0].1 += 1;
        }
        let settings = Settings::new(dice);
        let places = Places::new(&regions);
        // Some seeds have no old release, and some no faults: the sharpest checks are theirs.
        let versions = dice.percent(30);
        let old = places.nodes.iter().filter(|_| versions && dice.percent(50)).cloned().collect();
        let faults = match dice.between(0, 9) {
            0 => 0,
            1..=4 => dice.between(1, 2),
            _ => dice.between(2, 8),
        };
        let mut faults: Vec<_> =
            (0..faults).map(|_| PlannedFault::new(dice, &places, versions)).collect();
        faults.sort_by_key(|fault| fault.at);
        let mut calls: Vec<_> =
            (0..dice.spread(20, 200)).map(|_| PlannedCall::new(dice, &places, &settings)).collect();
        for _ in 0..dice.between(0, 4) / 2 {
            calls.extend(burst(dice, &places, &faults));
        }
        calls.sort_by_key(|call| call.at);
        Plan { seed, regions, settings, old, faults, calls }
    }

    pub(super) fn nodes(&self) -> Vec<String> {
        Places::new(&self.regions).nodes
    }

    pub(super) fn primary(&self) -> &'static str {
        self.regions[0].0
    }
}

struct Places {
    regions: Vec<&'static str>,
    nodes: Vec<String>,
}

impl Places {
    fn new(regions: &[(&'static str, usize)]) -> Self {
        let nodes = |&(region, count): &(&'static str, usize)| {
            (0..count).map(move |index| format!("{region}-{index}"))
        };
        Places {
            nodes: regions.iter().flat_map(nodes).collect(),
            regions: regions.iter().map(|(region, _)| *region).collect(),
        }
    }

    /// Two different regions, or two different nodes, or a node and another region.
    fn two(&self, dice: &mut Dice) -> (String, String) {
        let place = |dice: &mut Dice| match dice.percent(50) {
            true => (*dice.pick(&self.regions)).to_owned(),
            false => dice.pick(&self.nodes).clone(),
        };
        let (a, b) = (place(dice), place(dice));
        if a != b { (a, b) } else { (self.nodes[0].clone(), self.nodes[1].clone()) }
    }
}

impl Settings {
    fn new(dice: &mut Dice) -> Self {
        Settings {
            force_wire: dice.percent(50),
            max_in_flight: if dice.percent(15) { dice.between(1, 6) as usize } else { 10_000 },
            max_body: 512 << 10,
            jitter: if dice.percent(30) { dice.spread(1, 60) } else { 0 },
            loss: if dice.percent(30) { dice.between(1, 20) as f64 / 100.0 } else { 0.0 },
        }
    }
}

impl PlannedFault {
    fn new(dice: &mut Dice, places: &Places, versions: bool) -> Self {
        let at = dice.between(500, FAULTS_END - 7_000);
        let lasts = dice.spread(20, FAULTS_END - at);
        let node = dice.pick(&places.nodes).clone();
        let (a, b) = places.two(dice);
        let fault = match dice.between(0, 17) {
            0 => Fault::Partition(a, b),
            1 => Fault::OneWay(a, b),
            2 => Fault::Hold(a, b),
            3 => Fault::Slow(a, b, dice.spread(1, 1_500)),
            4 => Fault::Jitter(a, b, dice.spread(1, 500)),
            5 => Fault::Lose(a, b, dice.between(1, 100) as f64 / 100.0),
            6 => Fault::Throttle(a, b, dice.spread(20 << 10, 8 << 20)),
            7 | 8 => Fault::Crash { node, machine: dice.percent(50) },
            9 => Fault::Shutdown(node),
            10 => Fault::Replace { node, old: versions && dice.percent(50) },
            11 => Fault::Roll { old: versions && dice.percent(50) },
            12 | 13 => Fault::Freeze(node),
            14 | 15 => Fault::Pause(node),
            16 => Fault::SkewAhead(node, dice.spread(1, 10 * 24 * 3_600_000)),
            _ => Fault::Drift(node, dice.between(0, 2_000) as i64 - 1_000),
        };
        PlannedFault { at, lasts, fault }
    }
}

impl PlannedCall {
    fn new(dice: &mut Dice, places: &Places, settings: &Settings) -> Self {
        PlannedCall {
            at: dice.between(0, CALLING),
            from: dice.pick(&places.nodes).clone(),
            outside: dice.percent(30),
            call: CallSpec::new(dice, places, settings, 2),
        }
    }
}

/// More calls at once, over one link, than it has buffers for: if there are faults, about when one
/// of them begins.
fn burst(dice: &mut Dice, places: &Places, faults: &[PlannedFault]) -> Vec<PlannedCall> {
    let fault = (!faults.is_empty()).then(|| dice.pick(faults).at);
    let at = fault.unwrap_or(CALLING / 2).saturating_sub(dice.between(0, 300));
    let from = dice.pick(&places.nodes).clone();
    let aim = Aim::Node(dice.pick(&places.nodes).clone());
    let outside = dice.percent(30);
    let mut call = || {
        let method = *dice.pick(&[Method::Work, Method::Repeatable]);
        let call = CallSpec {
            timeout: dice.percent(80).then(|| dice.spread(20, 10_000)),
            millis: dice.between(0, 500),
            argument: dice.between(5_000, 15_000) as usize,
            ..CallSpec::plain(method, aim.clone())
        };
        PlannedCall { at: at + dice.between(0, 300), from: from.clone(), outside, call }
    };
    (0..100).map(|_| call()).collect()
}

impl CallSpec {
    /// One call of `method` that needs no time, with default options.
    pub(super) fn plain(method: Method, aim: Aim) -> Self {
        CallSpec {
            method,
            aim,
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

    fn new(dice: &mut Dice, places: &Places, settings: &Settings, depth: u32) -> Self {
        let method = *dice.pick(&[
            Method::Work,
            Method::Work,
            Method::Repeatable,
            Method::Repeatable,
            Method::Detached,
            Method::Write,
            Method::Newer,
        ]);
        let aim = match dice.between(0, 9) {
            0 | 1 => Aim::Unsaid,
            2 | 3 => Aim::Primary,
            4..=7 => Aim::Region((*dice.pick(&places.regions)).to_owned()),
            _ => Aim::Node(dice.pick(&places.nodes).clone()),
        };
        let timeout = dice.percent(70).then(|| dice.spread(1, 10_000));
        let wait = dice.percent(25).then(|| dice.spread(1, 10_000));
        let cancel = dice.percent(15).then(|| match dice.between(0, 9) {
            0 => Cancel::Unpolled,
            1 | 2 => Cancel::AfterOnePoll,
            _ => Cancel::AfterMillis(dice.spread(1, 3_000)),
        });
        CallSpec {
            method,
            aim,
            timeout,
            wait,
            millis: match dice.between(0, 9) {
                0..=3 => 0,
                4..=7 => dice.spread(1, 300),
                _ => dice.spread(100, 6_000),
            },
            argument: size(dice, settings),
            reply: size(dice, settings),
            panics: dice.percent(4),
            cancel,
            nested: (depth > 0 && dice.percent(25))
                .then(|| Box::new(CallSpec::new(dice, places, settings, depth - 1))),
        }
    }
}

/// Mostly small, sometimes several chunks, rarely more than is allowed.
fn size(dice: &mut Dice, settings: &Settings) -> usize {
    let size = match dice.between(0, 99) {
        0 => settings.max_body as u64 + dice.between(1, 1_000),
        1..=14 => dice.spread(10_000, 300 << 10),
        _ => dice.spread(1, 300) - 1,
    };
    size as usize
}
