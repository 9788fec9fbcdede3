//! Executes a plan: starts the cluster, makes the calls and injects the faults at their times,
//! waits until the cluster has recovered, and shuts everything down.

use std::{
    any::Any,
    collections::{BTreeMap, BTreeSet},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use flyrpc::{Env, Node, PeerState};
use flyrpc_testkit::{ActiveFault, Fault as SimFault, FaultKind, SimCluster, SimNet, Trace};
use futures_util::future::join_all;
use tokio::{
    runtime::{Builder, Handle},
    sync::{Mutex, Notify},
    task::JoinSet,
    time::{Instant, sleep, sleep_until, timeout},
};

use super::{
    balancer::Balancer,
    checks,
    faults::{Behavior, ClaimedAddr, Fault, Version},
    guests,
    ledger::{CallId, EffectGuard, EffectKind, Outcome, Records},
    plan::{CallSpec, Method, Plan, Seeds, Selector},
    service::{Caller, RunState, call, overload},
};

/// Upper bound on the time from the end of the last fault until all nodes are linked. A node syncs
/// with a random peer every 30 s, or every 5 s while it has no peers.
const RECOVERY_TIME: Duration = Duration::from_secs(45);

/// Upper bound on the time from a crash of several nodes whose seed is [`Seeds::Balanced`] until all nodes
/// are linked. Nodes that have found each other dial such a seed about once a minute, and each time reach
/// themselves, a node that they know, or another.
const BALANCED_RECOVERY_TIME: Duration = Duration::from_secs(900);

/// Upper bound on the duration of a call.
const MAX_CALL_TIME: Duration = Duration::from_secs(11);

/// Upper bound on the time from the last shutdown until no tasks and connections are left.
const CLEANUP_TIME: Duration = Duration::from_secs(10);

/// The result of a run.
#[derive(Debug)]
pub struct Report {
    /// The plan of the seed.
    pub plan: Plan,
    /// The trace, or `None` if the run panicked.
    pub trace: Option<Trace>,
    /// Descriptions of the violated guarantees.
    pub violations: Vec<String>,
    /// The number of calls by outcome.
    pub outcomes: BTreeMap<&'static str, usize>,
}

/// Executes a plan on a new runtime and checks the result.
pub fn run(plan: Plan) -> Report {
    let runtime = Builder::new_current_thread().enable_all().start_paused(true).build();
    let runtime = runtime.expect("the runtime can be built");
    let ended = catch_unwind(AssertUnwindSafe(|| runtime.block_on(execute(&plan))));
    match ended {
        Ok((trace, records)) => {
            let violations = checks::check(&plan, &records, &trace);
            let outcomes = checks::outcomes(&records);
            Report { plan, trace: Some(trace), violations, outcomes }
        }
        Err(panic) => {
            let violations = vec![format!("the run panicked: {}", panic_text(&*panic))];
            Report { plan, trace: None, violations, outcomes: BTreeMap::new() }
        }
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a message")
}

async fn execute(plan: &Plan) -> (Trace, Records) {
    let state = RunState::new();
    let cluster = start(plan, &state).await;
    state.set_cluster(Some(cluster.clone()));
    let start = Instant::now();
    let faults = start_faults(plan, &state, &cluster, start);
    let callers = start_calls(plan, &state, start).await;
    faults.join_all().await;

    let recovering = Instant::now();
    if timeout(RECOVERY_TIME, cluster.settled()).await.is_err() {
        // This panics and lists the missing links if the nodes are still not linked.
        cluster.settled().await;
        let took = recovering.elapsed();
        state
            .ledger
            .records()
            .violations
            .push(format!("nodes were not linked until {took:?} after the last fault"));
    }
    // Calls in flight may still hold all permits of a node.
    sleep(MAX_CALL_TIME).await;
    call_all_regions(plan, &state).await;
    callers.join_all().await;

    join_all(cluster.names().iter().map(|name| cluster.shutdown(name))).await;
    let trace = cluster.trace();
    let net = cluster.net().clone();
    state.set_cluster(None);
    state.clear_envs();
    drop(cluster);
    sleep(CLEANUP_TIME).await;
    check_for_leaks(&state, &net);
    let records = std::mem::take(&mut *state.ledger.records());
    (trace, records)
}

async fn start(plan: &Plan, state: &Arc<RunState>) -> SimCluster {
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
    let balancer = (plan.seeds == Seeds::Balanced).then(|| Balancer::new(plan.seed));
    for name in plan.nodes() {
        let version = if plan.old.contains(&name) { Version::Old } else { Version::New };
        let mut release = release(plan, state, version);
        if let Some(balancer) = &balancer {
            release = with_balanced_seed(release, balancer);
        }
        builder = builder.node(name, release);
    }
    builder.start().await
}

fn release(plan: &Plan, state: &Arc<RunState>, version: Version) -> flyrpc_testkit::Release {
    let settings = plan.settings.clone();
    let release = state.release(version).configure(move |_, builder| {
        let builder = builder.max_body(settings.max_body).max_in_flight(settings.max_in_flight);
        match settings.max_body_memory {
            Some(bytes) => builder.max_body_memory(bytes),
            None => builder,
        }
    });
    let Some(secret) = &plan.secret else { return release };
    let secrets = Arc::clone(state);
    let release =
        release.configure(move |node, builder| builder.secret(secrets.secrets.of(node.name())));
    if secret.permissive { release.insecure() } else { release }
}

/// Gives a node the balancer as its only seed whenever it starts again.
fn with_balanced_seed(
    release: flyrpc_testkit::Release,
    balancer: &Balancer,
) -> flyrpc_testkit::Release {
    let (balancer, started) = (balancer.clone(), AtomicBool::new(false));
    release.configure(move |node, builder| {
        if !started.swap(true, Ordering::Relaxed) {
            balancer.add_target(node.env().addr(guests::PORT));
            return builder;
        }
        builder.env(balancer.env_behind(node.env())).seeds([balancer.addr()])
    })
}

async fn start_calls(
    plan: &Plan,
    state: &Arc<RunState>,
    start: Instant,
) -> JoinSet<Option<CallId>> {
    let mut callers = JoinSet::new();
    for planned in plan.calls.clone() {
        sleep_until(start + Duration::from_millis(planned.at)).await;
        // A node that is down makes no calls.
        let Some(node) = state.node(&planned.from) else { continue };
        let caller = if planned.outside { Caller::Test } else { Caller::Node };
        let calling = call(Arc::clone(state), node, caller, planned.call);
        if planned.outside {
            callers.spawn(calling);
        } else {
            state.env(&planned.from).spawn(Box::pin(async {
                calling.await;
            }));
        }
    }
    callers
}

/// Checks that every node can call every region.
async fn call_all_regions(plan: &Plan, state: &Arc<RunState>) {
    for from in plan.nodes() {
        for (to, _) in &plan.regions {
            let node: Node = state.node(&from).expect("all nodes are running again");
            let spec = CallSpec::plain(Method::Work, Selector::Region((*to).to_owned()));
            let id = call(Arc::clone(state), node, Caller::Test, spec)
                .await
                .expect("a call to a region is always made");
            let records = &mut *state.ledger.records();
            let outcome = records.call(id).outcome();
            if !matches!(outcome, Some(Outcome::Reply { right: true, .. })) {
                let violation =
                    format!("after the faults, a call from {from} to {to} ended with {outcome:?}");
                records.violations.push(violation);
            }
        }
    }
}

fn check_for_leaks(state: &Arc<RunState>, net: &SimNet) {
    let mut found = Vec::new();
    let tasks = Handle::current().metrics().num_alive_tasks();
    if tasks > 0 {
        found.push(format!("{tasks} tasks are left at the end"));
    }
    let holders = Arc::strong_count(state) - 1;
    if holders > 0 {
        found.push(format!("{holders} services are still held at the end"));
    }
    let connections = net.connections();
    if connections > 0 {
        found.push(format!("{connections} connections are left at the end"));
    }
    state.ledger.records().violations.extend(found);
}

/// Whether every running node is linked to every other.
fn is_linked(cluster: &SimCluster) -> bool {
    let nodes = cluster.nodes();
    nodes.iter().all(|node| {
        let peers = node.peers();
        let linked = peers.iter().filter(|peer| peer.state == PeerState::Linked);
        let linked: BTreeSet<_> =
            linked.filter_map(|peer| Some(peer.node.as_ref()?.id())).collect();
        nodes.iter().all(|other| other.id() == node.id() || linked.contains(other.id()))
    })
}

/// The task that injects one fault.
struct FaultInjector {
    plan: Arc<Plan>,
    state: Arc<RunState>,
    cluster: SimCluster,
    /// Locked while a fault stops or starts the node.
    lifecycle_locks: Arc<BTreeMap<String, Mutex<()>>>,
    /// Locked while a fault affects the node's clock.
    clock_locks: Arc<BTreeMap<String, Mutex<()>>>,
    /// Notified when a node crashes.
    crashes: Arc<BTreeMap<String, Notify>>,
    lasts: Duration,
    /// The release that replaces nodes.
    release: flyrpc_testkit::Release,
}

fn start_faults(
    plan: &Plan,
    state: &Arc<RunState>,
    cluster: &SimCluster,
    start: Instant,
) -> JoinSet<()> {
    let one_per_node =
        || Arc::new(plan.nodes().into_iter().map(|name| (name, Mutex::default())).collect());
    let (lifecycle_locks, clock_locks) = (one_per_node(), one_per_node());
    let crashes = plan.nodes().into_iter().map(|name| (name, Notify::new()));
    let crashes: Arc<BTreeMap<_, _>> = Arc::new(crashes.collect());
    let shared_plan = Arc::new(plan.clone());
    let mut tasks = JoinSet::new();
    for planned in plan.faults.clone() {
        let version = match planned.fault {
            Fault::Replace { version, .. } | Fault::Roll { version } => version,
            _ => Version::New,
        };
        let injector = FaultInjector {
            plan: Arc::clone(&shared_plan),
            state: Arc::clone(state),
            cluster: cluster.clone(),
            lifecycle_locks: Arc::clone(&lifecycle_locks),
            clock_locks: Arc::clone(&clock_locks),
            crashes: Arc::clone(&crashes),
            lasts: Duration::from_millis(planned.lasts),
            release: release(plan, state, version),
        };
        tasks.spawn(async move {
            let absence = injector.absence_of_claimant(&planned.fault);
            sleep_until(start + Duration::from_millis(planned.at)).await;
            drop(absence);
            injector.inject(planned.fault).await;
        });
    }
    tasks
}

impl FaultInjector {
    /// Records that a claimant is down until it starts.
    fn absence_of_claimant(&self, fault: &Fault) -> Option<EffectGuard<'_>> {
        let Fault::Claim { claimant, addr, .. } = fault else { return None };
        if let ClaimedAddr::Node(holder) = addr {
            // Neither of the two dials an address that it considers its own.
            let shared = EffectKind::Unreachable(holder.clone(), claimant.clone());
            self.state.ledger.effect(shared).keep();
        }
        Some(self.state.ledger.effect(EffectKind::Down(claimant.clone())))
    }

    async fn inject(&self, fault: Fault) {
        match fault {
            Fault::Sim(fault) => self.inject_sim(fault).await,
            Fault::Bottleneck(a, b, bytes_per_second) => {
                let kind = EffectKind::Narrow(a.clone(), b.clone(), bytes_per_second);
                self.sustain(&SimFault::Throttle { a, b, bytes_per_second }, kind).await;
            }
            Fault::Pause(node) => self.pause(node).await,
            Fault::Replace { node, .. } => self.replace(&node).await,
            Fault::Roll { .. } => self.roll().await,
            Fault::Claim { claimant, region, addr } => {
                let guest = (claimant.as_str(), region);
                guests::claim(&self.plan, &self.state, &self.cluster, guest, &addr, self.lasts)
                    .await;
            }
            Fault::Misbehave { node, how } => {
                let kind = EffectKind::Misbehaves(node.clone(), how);
                let _misbehaves = self.state.ledger.effect(kind);
                match how {
                    Behavior::Slow(_) | Behavior::Panics => sleep(self.lasts).await,
                    Behavior::Overloaded => overload(&self.state, &node, self.lasts).await,
                }
            }
            Fault::Flood { node, from, flood } => {
                let _flooded = self.state.ledger.effect(EffectKind::Flooded(node.clone()));
                let path = (node.as_str(), from);
                guests::flood(&self.state, &self.cluster, path, flood, self.lasts).await;
            }
        }
    }

    /// Injects a fault of the testkit, and records its effects.
    async fn inject_sim(&self, fault: SimFault) {
        if let Some(kind) = EffectKind::of(&fault) {
            return self.sustain(&fault, kind).await;
        }
        match &fault {
            SimFault::Drift { node, parts_per_million } => {
                let Ok(_clock) = self.clock_locks[node].try_lock() else { return };
                let kind = EffectKind::Drift(node.clone(), *parts_per_million);
                self.sustain(&fault, kind).await;
            }
            SimFault::SkewAhead { node, by } => {
                self.cluster.inject(&fault).keep();
                drop(self.state.ledger.effect(EffectKind::ClockJump(node.clone(), *by)));
            }
            SimFault::Crash { node } | SimFault::CrashMachine { node } => {
                self.crash(node, &fault).await;
            }
            SimFault::Shutdown { node } => self.shut_down(node, &fault).await,
            other => unreachable!("no plan has the fault {other}"),
        }
    }

    /// Injects a fault, and ends it after its duration.
    async fn sustain(&self, fault: &SimFault, kind: EffectKind) {
        let active = self.cluster.inject(fault);
        let effect = self.state.ledger.effect(kind);
        sleep(self.lasts).await;
        drop(active);
        drop(effect);
    }

    /// Suspends a machine. Its clock stops only while it is suspended. A machine that is down is not
    /// suspended, and a machine that crashes starts again with a running clock.
    async fn pause(&self, node: String) {
        let Ok(_clock) = self.clock_locks[&node].try_lock() else { return };
        if !self.cluster.is_up(&node) {
            return;
        }
        let crashes = Arc::clone(&self.crashes);
        let clock = self.cluster.drifting(&node, -1_000_000);
        let stopped = self.state.ledger.effect(EffectKind::ClockStopped(node.clone()));
        let crashed = crashes[&node].notified();
        let freeze = SimFault::Freeze { node: node.clone() };
        tokio::select! {
            biased;
            () = crashed => {}
            () = self.sustain(&freeze, EffectKind::Frozen(node)) => {}
        }
        drop((clock, stopped));
    }

    async fn crash(&self, node: &str, fault: &SimFault) {
        let Ok(_life) = self.lifecycle_locks[node].try_lock() else { return };
        let _down = self.state.ledger.effect(EffectKind::Down(node.to_owned()));
        if fault.kind() == FaultKind::CrashMachine {
            self.cluster.crash(node);
        }
        let crash = self.cluster.inject(fault);
        self.crashes[node].notify_waiters();
        sleep(self.lasts).await;
        self.start_again(node, crash).await;
    }

    async fn shut_down(&self, node: &str, fault: &SimFault) {
        let Ok(_life) = self.lifecycle_locks[node].try_lock() else { return };
        let stopping = self.state.ledger.effect(EffectKind::Stopping(node.to_owned()));
        let mut shutdown = self.cluster.inject(fault);
        shutdown.in_effect().await;
        let _down = self.state.ledger.effect(EffectKind::Down(node.to_owned()));
        drop(stopping);
        sleep(self.lasts).await;
        self.start_again(node, shutdown).await;
    }

    /// Ends the fault that stopped a node.
    async fn start_again(&self, node: &str, fault: ActiveFault) {
        let searching = self.state.ledger.effect(EffectKind::Searching(node.to_owned()));
        fault.end().await;
        if self.plan.seeds == Seeds::Balanced {
            let all_linked = async {
                while !is_linked(&self.cluster) {
                    sleep(Duration::from_secs(1)).await;
                }
            };
            if timeout(BALANCED_RECOVERY_TIME, all_linked).await.is_err() {
                let violation = format!("{node} has not found all nodes behind its seed");
                self.state.ledger.records().violations.push(violation);
            }
        }
        drop(searching);
    }

    async fn replace(&self, node: &str) {
        let Ok(_life) = self.lifecycle_locks[node].try_lock() else { return };
        let _stopping = self.state.ledger.effect(EffectKind::Stopping(node.to_owned()));
        self.cluster.replace(node, self.release.clone()).await;
    }

    async fn roll(&self) {
        let rotates = self.plan.secret.as_ref().is_some_and(|secret| secret.rotates);
        let rotation = rotates.then(|| self.state.secrets.rotate()).flatten();
        let mut rollout = self.cluster.roll(self.release.clone());
        while let Some(next) = rollout.left().first().cloned() {
            let _life = self.lifecycle_locks[&next].lock().await;
            if let Some(rotation) = &rotation {
                rotation.advance(&next);
            }
            let _stopping = self.state.ledger.effect(EffectKind::Stopping(next));
            rollout.step().await;
        }
        if let Some(rotation) = rotation {
            rotation.complete();
        }
    }
}
