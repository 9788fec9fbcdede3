//! Carries a plan out: starts the cluster, makes the calls and the faults at their times, waits
//! until all is well again, and takes everything down.

use std::{
    any::Any,
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use flyrpc::{Env, Node};
use flyrpc_testkit::{FaultGuard, SimCluster, SimNet, Trace};
use futures_util::future::join_all;
use tokio::{
    runtime::{Builder, Handle},
    sync::Mutex,
    task::JoinSet,
    time::{Instant, sleep, sleep_until, timeout},
};

use super::{
    checks,
    ledger::{Book, Outcome, TroubleKind},
    plan::{Aim, CallSpec, Fault, Method, Plan},
    service::{World, call},
};

/// How long it may take after the last fault until every node knows every other. A node asks a
/// random peer for its members every 30 s, or every 5 s while it seems to be alone.
const RECOVERY: Duration = Duration::from_secs(45);

/// Longer than any call takes.
const LAST_CALLS: Duration = Duration::from_secs(11);

/// How long it may take, after the last node was shut down, until nothing is left.
const CLEARING: Duration = Duration::from_secs(10);

/// What became of a plan.
#[derive(Debug)]
pub struct Report {
    /// What was to happen.
    pub plan: Plan,
    /// What happened; none if the run panicked.
    pub trace: Option<Trace>,
    /// What must not happen and did, in words; empty if all is well.
    pub violations: Vec<String>,
    /// How often calls had which outcome.
    pub outcomes: BTreeMap<&'static str, usize>,
}

/// Carries out what `seed` decides, on a runtime of its own, and checks it.
pub fn run(seed: u64) -> Report {
    let plan = Plan::new(seed);
    let runtime = Builder::new_current_thread().enable_all().start_paused(true).build();
    let runtime = runtime.expect("a runtime of one thread can be had");
    let ended = catch_unwind(AssertUnwindSafe(|| runtime.block_on(execute(&plan))));
    match ended {
        Ok((trace, book)) => {
            let violations = checks::check(&plan, &book);
            let outcomes = checks::outcomes(&book);
            Report { plan, trace: Some(trace), violations, outcomes }
        }
        Err(panic) => {
            let violations = vec![format!("the run panicked: {}", message(&*panic))];
            Report { plan, trace: None, violations, outcomes: BTreeMap::new() }
        }
    }
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a message")
}

async fn execute(plan: &Plan) -> (Trace, Book) {
    let world = World::new();
    let cluster = start(plan, &world).await;
    world.set_cluster(Some(cluster.clone()));
    let start = Instant::now();
    let faults = begin_faults(plan, &world, &cluster, start);
    let callers = make_calls(plan, &world, start).await;
    faults.join_all().await;

    let recovering = Instant::now();
    if timeout(RECOVERY, cluster.settled()).await.is_err() {
        // It says who does not know whom, if that lasts.
        cluster.settled().await;
        let took = recovering.elapsed();
        world.ledger.book().violations.push(format!("nodes found each other after {took:?} only"));
    }
    // What still runs may be all that a node takes.
    sleep(LAST_CALLS).await;
    call_everywhere(plan, &world).await;
    callers.join_all().await;

    join_all(cluster.names().iter().map(|name| cluster.shutdown(name))).await;
    let trace = cluster.trace();
    let net = SimNet::clone(&cluster);
    world.set_cluster(None);
    world.forget_envs();
    drop(cluster);
    sleep(CLEARING).await;
    look_for_remains(&world, &net);
    let book = std::mem::take(&mut *world.ledger.book());
    (trace, book)
}

async fn start(plan: &Plan, world: &Arc<World>) -> SimCluster {
    let settings = &plan.settings;
    let mut builder = SimCluster::builder()
        .seed(plan.seed)
        .announce(false)
        .primary(plan.primary())
        .jitter(Duration::from_millis(settings.jitter))
        .loss(settings.loss)
        .force_wire(settings.force_wire);
    for (region, nodes) in &plan.regions {
        builder = builder.region(*region, *nodes);
    }
    for name in plan.nodes() {
        let release = release(plan, world, plan.old.contains(&name));
        builder = builder.node(name, release);
    }
    builder.start().await
}

fn release(plan: &Plan, world: &Arc<World>, old: bool) -> flyrpc_testkit::Release {
    let (max_body, max_in_flight) = (plan.settings.max_body, plan.settings.max_in_flight);
    world
        .release(old)
        .configure(move |_, builder| builder.max_body(max_body).max_in_flight(max_in_flight))
}

async fn make_calls(plan: &Plan, world: &Arc<World>, start: Instant) -> JoinSet<u64> {
    let mut callers = JoinSet::new();
    for planned in plan.calls.clone() {
        sleep_until(start + Duration::from_millis(planned.at)).await;
        // Nobody calls from a node that is down.
        let Some(node) = world.node(&planned.from) else { continue };
        let calling = call(Arc::clone(world), node, planned.outside, None, planned.call);
        if planned.outside {
            callers.spawn(calling);
        } else {
            world.env(&planned.from).spawn(Box::pin(async {
                calling.await;
            }));
        }
    }
    callers
}

/// Every region must answer every node.
async fn call_everywhere(plan: &Plan, world: &Arc<World>) {
    for from in plan.nodes() {
        for (to, _) in &plan.regions {
            let node: Node = world.node(&from).expect("all nodes run again");
            let spec = CallSpec::plain(Method::Work, Aim::Region((*to).to_owned()));
            let id = call(Arc::clone(world), node, true, None, spec).await;
            let book = &mut *world.ledger.book();
            let outcome = book.call(id).outcome();
            if !matches!(outcome, Some(Outcome::Reply { right: true, .. })) {
                let violation = format!("after the faults, {from} calls {to} and gets {outcome:?}");
                book.violations.push(violation);
            }
        }
    }
}

fn look_for_remains(world: &Arc<World>, net: &SimNet) {
    let mut found = Vec::new();
    let tasks = Handle::current().metrics().num_alive_tasks();
    if tasks > 0 {
        found.push(format!("{tasks} tasks are left at the end"));
    }
    let holders = Arc::strong_count(world) - 1;
    if holders > 0 {
        found.push(format!("{holders} services are still held at the end"));
    }
    let connections = net.connections();
    if connections > 0 {
        found.push(format!("{connections} connections are left at the end"));
    }
    world.ledger.book().violations.extend(found);
}

/// What a task that makes a fault needs.
struct Striker {
    world: Arc<World>,
    cluster: SimCluster,
    /// Held by whoever stops or starts that node.
    lives: Arc<BTreeMap<String, Mutex<()>>>,
    /// Held by whoever makes that node's clock run wrong.
    clocks: Arc<BTreeMap<String, Mutex<()>>>,
    lasts: Duration,
    /// What nodes are replaced by.
    release: flyrpc_testkit::Release,
}

fn begin_faults(
    plan: &Plan,
    world: &Arc<World>,
    cluster: &SimCluster,
    start: Instant,
) -> JoinSet<()> {
    let of_each =
        || Arc::new(plan.nodes().into_iter().map(|name| (name, Mutex::default())).collect());
    let (lives, clocks) = (of_each(), of_each());
    let mut tasks = JoinSet::new();
    for planned in plan.faults.clone() {
        let old =
            matches!(planned.fault, Fault::Replace { old: true, .. } | Fault::Roll { old: true });
        let striker = Striker {
            world: Arc::clone(world),
            cluster: cluster.clone(),
            lives: Arc::clone(&lives),
            clocks: Arc::clone(&clocks),
            lasts: Duration::from_millis(planned.lasts),
            release: release(plan, world, old),
        };
        tasks.spawn(async move {
            sleep_until(start + Duration::from_millis(planned.at)).await;
            striker.strike(planned.fault).await;
        });
    }
    tasks
}

impl Striker {
    async fn strike(self, fault: Fault) {
        let net: &SimNet = &self.cluster;
        let millis = Duration::from_millis;
        match fault {
            Fault::Partition(a, b) => {
                self.hold_up(net.partition(&a, &b), TroubleKind::Cut(a, b)).await;
            }
            Fault::OneWay(from, to) => {
                let guard = net.partition_one_way(&from, &to);
                self.hold_up(guard, TroubleKind::Cut(from, to)).await;
            }
            Fault::Hold(a, b) => self.hold_up(net.hold(&a, &b), TroubleKind::Cut(a, b)).await,
            Fault::Slow(a, b, by) => {
                self.hold_up(net.slow(&a, &b, millis(by)), TroubleKind::Slow(a, b)).await;
            }
            Fault::Jitter(a, b, up_to) => {
                self.hold_up(net.jitter(&a, &b, millis(up_to)), TroubleKind::Slow(a, b)).await;
            }
            Fault::Lose(a, b, share) => {
                self.hold_up(net.lose(&a, &b, share), TroubleKind::Lossy(a, b)).await;
            }
            Fault::Throttle(a, b, bytes_per_second) => {
                // Pings wait behind what waits: links may break.
                let guard = net.throttle(&a, &b, bytes_per_second);
                self.hold_up(guard, TroubleKind::Cut(a, b)).await;
            }
            Fault::Freeze(node) => {
                self.hold_up(net.frozen(&node), TroubleKind::Frozen(node)).await;
            }
            Fault::Pause(node) => self.pause(node).await,
            Fault::Drift(node, by) => {
                let Ok(_clock) = self.clocks[&node].try_lock() else { return };
                self.hold_up(net.drifting(&node, by), TroubleKind::Drift(node, by)).await;
            }
            Fault::SkewAhead(node, by) => {
                net.skewed_ahead(&node, millis(by)).keep();
                drop(self.world.ledger.trouble(TroubleKind::Skew(node, millis(by))));
            }
            Fault::Crash { node, machine } => self.crash(&node, machine).await,
            Fault::Shutdown(node) => self.shut_down(&node).await,
            Fault::Replace { node, .. } => self.replace(&node).await,
            Fault::Roll { .. } => self.roll().await,
        }
    }

    async fn hold_up(&self, guard: FaultGuard, kind: TroubleKind) {
        let trouble = self.world.ledger.trouble(kind);
        sleep(self.lasts).await;
        drop(guard);
        drop(trouble);
    }

    async fn pause(&self, node: String) {
        let Ok(_clock) = self.clocks[&node].try_lock() else { return };
        let clock = self.cluster.drifting(&node, -1_000_000);
        let still = self.world.ledger.trouble(TroubleKind::Still(node.clone()));
        self.hold_up(self.cluster.frozen(&node), TroubleKind::Frozen(node)).await;
        drop((clock, still));
    }

    async fn crash(&self, node: &str, machine: bool) {
        let Ok(_life) = self.lives[node].try_lock() else { return };
        let _down = self.world.ledger.trouble(TroubleKind::Down(node.to_owned()));
        self.cluster.crash(node);
        if machine {
            SimNet::crash(&self.cluster, node);
        }
        sleep(self.lasts).await;
        self.cluster.restart(node).await;
    }

    async fn shut_down(&self, node: &str) {
        let Ok(_life) = self.lives[node].try_lock() else { return };
        let stopping = self.world.ledger.trouble(TroubleKind::Stopping(node.to_owned()));
        self.cluster.shutdown(node).await;
        let _down = self.world.ledger.trouble(TroubleKind::Down(node.to_owned()));
        drop(stopping);
        sleep(self.lasts).await;
        self.cluster.restart(node).await;
    }

    async fn replace(&self, node: &str) {
        let Ok(_life) = self.lives[node].try_lock() else { return };
        let _stopping = self.world.ledger.trouble(TroubleKind::Stopping(node.to_owned()));
        self.cluster.replace(node, self.release.clone()).await;
    }

    async fn roll(&self) {
        let mut rollout = self.cluster.roll(self.release.clone());
        while let Some(next) = rollout.left().first().cloned() {
            let _life = self.lives[&next].lock().await;
            let _stopping = self.world.ledger.trouble(TroubleKind::Stopping(next));
            rollout.step().await;
        }
    }
}
