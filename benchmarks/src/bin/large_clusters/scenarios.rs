//! The scenarios that a cluster goes through, and their measurements.

use std::time::Duration;

use flyrpc::unstable::sim::{Sim, Traffic};

use crate::{network, progress::Progress, stats::Spread};

/// A scenario. The selected scenarios run on the same cluster, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(crate) enum Scenario {
    /// Nothing happens; measures the traffic of an idle cluster.
    Idle,
    /// One node crashes, one joins, one leaves, and one joins; repeated several times.
    Changes,
    /// Every node is restarted at its address, one after another.
    Restart,
    /// Half of the regions are cut off from the other half for a minute.
    Partition,
}

/// The parameters of a simulation.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) nodes: usize,
    pub(crate) scenarios: Vec<Scenario>,
    pub(crate) repeats: usize,
    /// How long a rolling restart takes.
    pub(crate) restart: Duration,
    pub(crate) loss: f64,
    /// Whether datagrams are sealed.
    pub(crate) sealed: bool,
    pub(crate) seed: u64,
}

/// The measurements of a cluster.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Results {
    pub(crate) nodes: usize,
    pub(crate) idle: Option<Idle>,
    pub(crate) changes: Option<Changes>,
    pub(crate) restart: Option<Restart>,
    pub(crate) partition: Option<Partition>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Idle {
    /// Bytes per second that a node sends on average: in datagrams, and in anti-entropy syncs.
    pub(crate) gossip: f64,
    pub(crate) syncs: f64,
    /// Datagrams per second that a node sends on average.
    pub(crate) datagrams: f64,
    /// Bytes per second that the busiest node sends and receives.
    pub(crate) busiest: f64,
}

/// How long the nodes took to learn of a change of one node. The spreads are medians over the repetitions.
/// `crash_worst` is the maximum of all repetitions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Changes {
    pub(crate) crash: Option<Spread>,
    pub(crate) crash_worst: Option<Duration>,
    pub(crate) leave: Option<Spread>,
    pub(crate) join: Option<Spread>,
    /// Time until the joiner knew all other nodes.
    pub(crate) joiner: Option<Duration>,
    /// Number of running nodes that were declared down, and of needless identity renewals.
    pub(crate) false_downs: usize,
    pub(crate) renewals: u64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Restart {
    /// Share of ordered pairs of nodes whose first node did not know the second when the last node started.
    pub(crate) missing: f64,
    /// Time from then until all nodes knew each other.
    pub(crate) agreed: Option<Duration>,
    pub(crate) false_downs: usize,
    pub(crate) renewals: u64,
    pub(crate) load: Load,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Partition {
    /// Share of pairs across the cut that still knew each other at its end.
    pub(crate) unparted: f64,
    /// Time from the end of the partition until 99 % of pairs knew each other.
    pub(crate) mostly: Option<Duration>,
    /// Time from the end of the partition until all nodes knew each other.
    pub(crate) agreed: Option<Duration>,
    /// Number of running nodes that were declared down after the end of the partition.
    pub(crate) false_downs: usize,
    /// Identity renewals per node, on average.
    pub(crate) renewals: f64,
    /// Traffic from the end of the partition until all nodes knew each other.
    pub(crate) load: Load,
}

/// The traffic during a period of changes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Load {
    /// Bytes per second that a node sent on average.
    pub(crate) mean: f64,
    /// Bytes that the busiest node sent and received in total.
    pub(crate) busiest: u64,
}

const IDLE: Duration = Duration::from_secs(60);
const WARM_UP: Duration = Duration::from_secs(35);
const PAUSE: Duration = Duration::from_secs(5);
const DOWNTIME: Duration = Duration::from_secs(1);
const CUT: Duration = Duration::from_secs(60);

/// Upper bound on the time until the nodes have learned of a change.
pub(crate) const LIMIT: Duration = Duration::from_secs(300);

/// Expected time of a change of one node, for the progress bar.
const CHANGE: Duration = Duration::from_secs(25);

/// Virtual time between two updates of the progress bar.
const TICK: Duration = Duration::from_secs(1);

/// The seeds of all nodes. They are in iad, fra and nrt, and so on both sides of a partition.
const SEEDS: [usize; 3] = [0, 3, 8];

/// The secret of clusters whose datagrams are sealed.
const SECRET: &str = "5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e";

impl Plan {
    /// Returns the expected virtual time of all scenarios.
    pub(crate) fn expected(&self) -> Duration {
        let of = |scenario: &Scenario| match scenario {
            Scenario::Idle => IDLE,
            Scenario::Changes => CHANGE * 4 * self.repeats as u32,
            Scenario::Restart => self.restart + CHANGE,
            Scenario::Partition => 2 * CUT,
        };
        self.start() + WARM_UP + self.scenarios.iter().map(of).sum::<Duration>()
    }

    /// The virtual time that the progress bar reserves for the start of the cluster.
    fn start(&self) -> Duration {
        Duration::from_secs(self.nodes as u64 / 50)
    }
}

/// Runs the scenarios of `plan`.
pub(crate) fn run(plan: &Plan, progress: Progress) -> Results {
    let size = plan.nodes + 2 * plan.repeats;
    let mut sim = Sim::new(size, SEEDS.to_vec(), network::network(plan.loss), plan.seed);
    if plan.sealed {
        sim.seal(SECRET.parse().expect("a valid key"));
    }
    let mut stage = Stage { sim, plan, progress, joined: plan.nodes };
    stage.settle();
    let asked = |scenario| plan.scenarios.contains(&scenario);
    let results = Results {
        nodes: plan.nodes,
        idle: asked(Scenario::Idle).then(|| stage.idle()),
        changes: asked(Scenario::Changes).then(|| stage.changes()),
        restart: asked(Scenario::Restart).then(|| stage.restart()),
        partition: asked(Scenario::Partition).then(|| stage.partition()),
    };
    stage.progress.end();
    results
}

/// A running simulation of one cluster.
struct Stage<'a> {
    sim: Sim,
    plan: &'a Plan,
    progress: Progress,
    /// The address of the next node to join.
    joined: usize,
}

impl Stage<'_> {
    fn settle(&mut self) {
        self.progress.begin("start", self.plan.start());
        self.sim.start_settled(self.plan.nodes);
        self.progress.begin("warm up", WARM_UP);
        self.pass(WARM_UP);
    }

    fn idle(&mut self) -> Idle {
        self.progress.begin("idle", IDLE);
        let before = self.sim.traffic.clone();
        self.pass(IDLE);
        let spent = spent(&before, &self.sim.traffic);
        let (nodes, seconds) = (self.plan.nodes as f64, IDLE.as_secs_f64());
        let mean =
            |of: fn(&Traffic) -> u64| spent.iter().map(of).sum::<u64>() as f64 / nodes / seconds;
        Idle {
            gossip: mean(|traffic| traffic.gossip),
            syncs: mean(|traffic| traffic.syncs),
            datagrams: mean(|traffic| traffic.datagrams),
            busiest: spent.iter().map(Traffic::all).max().unwrap_or(0) as f64 / seconds,
        }
    }

    fn changes(&mut self) -> Changes {
        let (mut crashes, mut leaves, mut joins, mut joiners) = (vec![], vec![], vec![], vec![]);
        let mistakes = self.mistakes();
        for number in 1..=self.plan.repeats {
            self.progress.begin(format!("crash {number}"), CHANGE);
            crashes.extend(self.ending(Sim::crash));
            self.join(&mut joins, &mut joiners);
            self.progress.begin(format!("leave {number}"), CHANGE);
            leaves.extend(self.ending(Sim::leave));
            self.join(&mut joins, &mut joiners);
        }
        let (false_downs, renewals) = self.mistakes();
        Changes {
            crash: Spread::typical(&crashes),
            crash_worst: crashes.iter().map(|crash| crash.last).max(),
            leave: Spread::typical(&leaves),
            join: Spread::typical(&joins),
            joiner: crate::stats::median(&mut joiners),
            false_downs: false_downs - mistakes.0,
            renewals: renewals - mistakes.1,
        }
    }

    /// Ends a node with `end`, and returns when the other nodes learned of it.
    fn ending(&mut self, end: fn(&mut Sim, usize)) -> Option<Spread> {
        let node = self.sim.any_node();
        let boot = self.sim.boot(node)?;
        let start = self.sim.now();
        self.sim.ledger.watch(node, boot, false);
        end(&mut self.sim, node);
        self.until(|sim| sim.ledger.seen() >= sim.ledger.nodes());
        self.watched(start)
    }

    fn join(&mut self, joins: &mut Vec<Spread>, joiners: &mut Vec<Duration>) {
        self.progress.begin(format!("join {}", joins.len() + 1), CHANGE);
        let (node, start) = (self.joined, self.sim.now());
        self.joined += 1;
        let boot = self.sim.start(node);
        self.sim.ledger.watch(node, boot, true);
        joiners.extend(self.until(|sim| sim.ledger.knows_all(node)));
        self.until(|sim| sim.ledger.seen() + 1 >= sim.ledger.nodes());
        joins.extend(self.watched(start));
    }

    fn watched(&mut self, start: Duration) -> Option<Spread> {
        let times = self.sim.ledger.end_watch();
        self.pass(PAUSE);
        Spread::of(times.into_iter().map(|at| at - start).collect())
    }

    fn restart(&mut self) -> Restart {
        self.progress.begin("rolling restart", self.plan.restart + CHANGE);
        let (before, start, mistakes) = (self.sim.traffic.clone(), self.sim.now(), self.mistakes());
        let nodes: Vec<usize> = self.sim.running().collect();
        let pace = self.plan.restart / nodes.len() as u32;
        let ends = nodes.iter().zip(0..).map(|(&node, n)| (pace * n, node, false));
        let starts = nodes.iter().zip(0..).map(|(&node, n)| (pace * n + DOWNTIME, node, true));
        let mut steps: Vec<_> = ends.chain(starts).collect();
        steps.sort_unstable();
        for (at, node, starts) in steps {
            self.pass((start + at).saturating_sub(self.sim.now()));
            if starts {
                self.sim.start(node);
            } else {
                self.sim.leave(node);
            }
        }
        let missing = self.sim.ledger.missing();
        let agreed = self.until(|sim| sim.ledger.agrees());
        let (false_downs, renewals) = self.mistakes();
        Restart {
            missing,
            agreed,
            false_downs: false_downs - mistakes.0,
            renewals: renewals - mistakes.1,
            load: self.load(&before, start),
        }
    }

    fn partition(&mut self) -> Partition {
        self.progress.begin("partition", 2 * CUT);
        self.pass(PAUSE);
        let first = self.sim.running().filter(|node| network::is_on_first_side(*node)).count();
        let all = self.sim.ledger.nodes();
        let across = 2 * first * (all - first);
        self.sim.cut(network::is_on_first_side);
        self.pass(CUT);
        let unparted = 1.0 - self.sim.ledger.missing_pairs() as f64 / across as f64;

        let (before, renewals) = (self.sim.traffic.clone(), self.sim.renewals());
        let (false_downs, _) = self.mistakes();
        let start = self.sim.now();
        self.sim.heal();
        let mostly = self.until(|sim| sim.ledger.missing() <= 0.01);
        self.until(|sim| sim.ledger.agrees());
        let agreed = self.sim.ledger.agrees().then(|| self.sim.now() - start);
        let load = self.load(&before, start);
        self.pass(PAUSE);
        Partition {
            unparted,
            mostly,
            agreed,
            false_downs: self.mistakes().0 - false_downs,
            renewals: (self.sim.renewals() - renewals) as f64 / all as f64,
            load,
        }
    }

    /// Returns the number of running nodes that were declared down, and of needless identity renewals, so
    /// far.
    fn mistakes(&self) -> (usize, u64) {
        (self.sim.ledger.false_downs, self.sim.needless_renewals())
    }

    fn load(&self, before: &[Traffic], start: Duration) -> Load {
        let spent = spent(before, &self.sim.traffic);
        let seconds = (self.sim.now() - start).as_secs_f64();
        let sent: u64 = spent.iter().map(Traffic::sent).sum();
        Load {
            mean: sent as f64 / self.sim.ledger.nodes() as f64 / seconds,
            busiest: spent.iter().map(Traffic::all).max().unwrap_or(0),
        }
    }

    fn pass(&mut self, time: Duration) {
        self.until_within(time, |_| false);
    }

    fn until(&mut self, done: impl Fn(&Sim) -> bool) -> Option<Duration> {
        self.until_within(LIMIT, done)
    }

    /// Runs the simulation until `done` returns true, and returns how long that took. Returns `None` after
    /// `limit`.
    fn until_within(&mut self, limit: Duration, done: impl Fn(&Sim) -> bool) -> Option<Duration> {
        let start = self.sim.now();
        loop {
            let left = (start + limit).saturating_sub(self.sim.now());
            let before = self.sim.now();
            let is_done = self.sim.run(left.min(TICK), &done);
            self.progress.advance(self.sim.now() - before);
            if is_done {
                return Some(self.sim.now() - start);
            }
            if self.sim.now() >= start + limit {
                return None;
            }
        }
    }
}

fn spent(before: &[Traffic], after: &[Traffic]) -> Vec<Traffic> {
    after.iter().zip(before).map(|(after, before)| after.since(before)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Bars;

    fn simulate(seed: u64) -> Results {
        let scenarios =
            vec![Scenario::Idle, Scenario::Changes, Scenario::Restart, Scenario::Partition];
        let restart = Duration::from_secs(60);
        let plan =
            Plan { nodes: 20, scenarios, repeats: 1, restart, loss: 0.01, sealed: false, seed };
        run(&plan, Bars::default().add(plan.nodes, plan.expected()))
    }

    #[test]
    fn a_small_cluster_learns_of_all_changes() {
        let results = simulate(1);
        let idle = results.idle.unwrap();
        assert!((100.0..1000.0).contains(&(idle.gossip + idle.syncs)), "{idle:?}");
        let changes = results.changes.unwrap();
        let (crash, leave) = (changes.crash.unwrap(), changes.leave.unwrap());
        assert!(crash.first > Duration::from_secs(4) && crash.last < Duration::from_secs(30));
        assert!(leave.last < Duration::from_secs(5), "{leave:?}");
        assert!(changes.joiner.unwrap() < Duration::from_secs(2), "{changes:?}");
        assert_eq!((changes.false_downs, changes.renewals), (0, 0));
        let restart = results.restart.unwrap();
        assert!(restart.agreed.is_some() && restart.false_downs == 0, "{restart:?}");
        let partition = results.partition.unwrap();
        assert!(partition.unparted <= 0.0 && partition.agreed.is_some(), "{partition:?}");
    }

    #[test]
    fn equal_seeds_give_equal_results() {
        assert_eq!(simulate(2), simulate(2));
        assert_ne!(simulate(2), simulate(3));
    }
}
