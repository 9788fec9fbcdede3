//! The services under test, which record the runs of their handlers, and the functions that call
//! them.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use flyrpc::{Context, Node, RpcError, Service, fly_rpc};
use flyrpc_testkit::{Release, SimCluster, SimEnv, SimNode};
use futures_util::{FutureExt, future::join_all};
use serde::{Deserialize, Serialize};
use tokio::time::{sleep, timeout};

use super::{
    faults::{Behavior, Version},
    ledger::{CallId, CallRecord, HandlerRun, Ledger, Outcome},
    plan::{CallSpec, Cancel, FurtherTarget, Method, Selector},
    secrets::Secrets,
};
use crate::frames::pack;

/// flyrpc's default timeout of a call.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);

/// The `max_in_flight` of [`Method::Limited`].
pub(super) const LIMIT: usize = 4;

/// The hedging delay of [`Method::Hedged`].
pub(super) const HEDGE: Duration = Duration::from_millis(50);

/// The number of a call that no caller of the plan makes.
const NO_CALL: u64 = u64::MAX;

/// The service under test. `write` runs in the primary region only.
#[fly_rpc]
pub(super) trait Chaos {
    async fn work(&self, job: Job) -> Receipt;
    #[rpc(idempotent)]
    async fn repeatable(&self, job: Job) -> Receipt;
    #[rpc(detached)]
    async fn detached(&self, job: Job) -> Receipt;
    #[rpc(primary)]
    async fn write(&self, job: Job) -> Receipt;
    async fn newer(&self, job: Job) -> Receipt;
    #[rpc(idempotent, hedge = "50ms")]
    async fn hedged(&self, job: Job) -> Receipt;
    #[rpc(max_in_flight = 4)]
    async fn limited(&self, job: Job) -> Receipt;
}

/// The service before `newer` was added, with its methods in another order.
#[fly_rpc(name = "Chaos")]
pub(super) trait OldChaos {
    #[rpc(primary)]
    async fn write(&self, job: Job) -> Receipt;
    #[rpc(detached)]
    async fn detached(&self, job: Job) -> Receipt;
    #[rpc(idempotent)]
    async fn repeatable(&self, job: Job) -> Receipt;
    async fn work(&self, job: Job) -> Receipt;
    #[rpc(max_in_flight = 4)]
    async fn limited(&self, job: Job) -> Receipt;
    #[rpc(idempotent, hedge = "50ms")]
    async fn hedged(&self, job: Job) -> Receipt;
}

/// The argument of a handler.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Job {
    call: u64,
    #[serde(with = "serde_bytes")]
    payload: Vec<u8>,
    spec: CallSpec,
}

/// Returns the encoded arguments of a call that no caller of the plan makes, and whose handler does not
/// end.
pub(super) fn endless_job() -> Vec<u8> {
    pack(&BTreeMap::from([("job", Job::endless())]))
}

impl Job {
    fn endless() -> Self {
        let millis = 3_600_000;
        let spec = CallSpec { millis, ..CallSpec::plain(Method::Work, Selector::Default) };
        Job { call: NO_CALL, payload: Vec::new(), spec }
    }
}

/// Holds all calls of [`Method::Limited`] that a node admits, for `lasts`.
pub(super) async fn overload(state: &RunState, node: &str, lasts: Duration) {
    let hold_one = || async {
        loop {
            if let Some(node) = state.node(node) {
                // The timeout bounds how long the call delays a shutdown of the node.
                let client: ChaosClient = node.client();
                let client = client.on_node(node.id()).timeout(Duration::from_secs(1));
                if let Err(RpcError::Timeout { .. }) = client.limited(Job::endless()).await {
                    continue;
                }
            }
            sleep(Duration::from_millis(10)).await;
        }
    };
    let _elapsed: Result<Vec<()>, _> =
        timeout(lasts, join_all((0..LIMIT).map(|_| hold_one()))).await;
}

/// The reply of a handler.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Receipt {
    call: u64,
    node: String,
    #[serde(with = "serde_bytes")]
    payload: Vec<u8>,
}

/// The state shared by all parts of a run.
#[derive(Debug)]
pub(super) struct RunState {
    pub(super) ledger: Ledger,
    pub(super) secrets: Secrets,
    /// Set once the cluster is running. Cleared at the end, because the cluster holds services that
    /// hold this state.
    cluster: Mutex<Option<SimCluster>>,
    /// The environment of the latest boot of each node.
    envs: Mutex<BTreeMap<String, SimEnv>>,
}

impl RunState {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(RunState {
            ledger: Ledger::new(),
            secrets: Secrets::default(),
            cluster: Mutex::default(),
            envs: Mutex::default(),
        })
    }

    /// Returns the release with all methods, or the old release.
    pub(super) fn release(self: &Arc<Self>, version: Version) -> Release {
        let state = Arc::clone(self);
        let recorder = move |node: &SimNode| state.recorder(node.name(), node.env(), version);
        match version {
            Version::Old => Release::new().serve(move |node| ServeOldChaos::new(recorder(node))),
            Version::New => Release::new().serve(move |node| ServeChaos::new(recorder(node))),
        }
    }

    /// Returns the service with all methods, for a node that is not one of the plan.
    pub(super) fn service(self: &Arc<Self>, name: &str, env: &SimEnv) -> impl Service + use<> {
        ServeChaos::new(self.recorder(name, env, Version::New))
    }

    fn recorder(self: &Arc<Self>, name: &str, env: &SimEnv, version: Version) -> Recorder {
        self.ledger.on_boot(name, version);
        let mut envs = self.envs.lock().unwrap_or_else(PoisonError::into_inner);
        envs.insert(name.to_owned(), env.clone());
        Recorder { node: name.to_owned(), state: Arc::clone(self) }
    }

    pub(super) fn set_cluster(&self, cluster: Option<SimCluster>) {
        *self.cluster.lock().unwrap_or_else(PoisonError::into_inner) = cluster;
    }

    /// Returns a node if it is running.
    pub(super) fn node(&self, name: &str) -> Option<Node> {
        let cluster = self.cluster.lock().unwrap_or_else(PoisonError::into_inner);
        cluster.as_ref()?.nodes().into_iter().find(|node| node.id().name() == name)
    }

    /// Returns the environment of the latest boot of a node.
    pub(super) fn env(&self, name: &str) -> SimEnv {
        self.envs.lock().unwrap_or_else(PoisonError::into_inner)[name].clone()
    }

    pub(super) fn clear_envs(&self) {
        self.envs.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// The origin of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Caller {
    /// A task of the test. No fault stops it.
    Test,
    /// A task of the node.
    Node,
    /// The handler of this call, whose deadline bounds this one.
    Handler(CallId),
    /// The detached handler of this call, which outlives its caller's deadline.
    DetachedHandler(CallId),
}

impl Caller {
    fn parent(self) -> Option<CallId> {
        match self {
            Caller::Handler(call) | Caller::DetachedHandler(call) => Some(call),
            Caller::Test | Caller::Node => None,
        }
    }
}

/// Makes a call through `node` and records it. Returns `None`, without a call, if its target is a
/// node that never ran.
pub(super) async fn call(
    state: Arc<RunState>,
    node: Node,
    caller: Caller,
    spec: CallSpec,
) -> Option<CallId> {
    let client = client_for(&state, &node, &spec)?;
    let call_timeout = spec.timeout.map_or(DEFAULT_TIMEOUT, Duration::from_millis);
    let bound = match caller {
        Caller::DetachedHandler(_) => None,
        _ => Context::try_current().map(|context| context.remaining()),
    };
    let mut guard = CallGuard::start(&state, |id, started| CallRecord {
        id,
        spec: spec.clone(),
        from: node.id().name().to_owned(),
        outside: caller == Caller::Test,
        parent: caller.parent(),
        started,
        allowed: call_timeout.min(bound.unwrap_or(Duration::MAX)),
        ended: None,
    });
    let id = guard.id;
    let job = Job { call: id.0, payload: payload(id.0, spec.argument), spec: spec.clone() };
    let reply = invoke(client, spec.method, job).boxed();
    let result = match spec.cancel {
        None => Some(reply.await),
        Some(Cancel::Unpolled) => None,
        Some(Cancel::AfterOnePoll) => reply.now_or_never(),
        Some(Cancel::AfterMillis(millis)) => {
            timeout(Duration::from_millis(millis), reply).await.ok()
        }
    };
    guard.end(match result {
        None => Outcome::Cancelled,
        Some(Ok(receipt)) => Outcome::Reply {
            right: receipt.call == id.0 && receipt.payload == payload(!id.0, spec.reply),
            node: receipt.node,
        },
        Some(Err(error)) => Outcome::Error(error),
    });
    Some(id)
}

/// Returns the client with the options of a call, or `None` if its target is a node that never ran.
fn client_for(state: &RunState, node: &Node, spec: &CallSpec) -> Option<ChaosClient> {
    let client: ChaosClient = node.client();
    let client = match &spec.selector {
        Selector::Default => client,
        Selector::Primary => client.on_primary(),
        Selector::Region(region) => client.on_region(region.as_str()),
        Selector::Node(name) => {
            let running = state.node(name);
            let mut records = state.ledger.records();
            if let Some(running) = running {
                records.targeted.insert(name.clone(), running.id().clone());
            }
            client.on_node(records.targeted.get(name)?)
        }
    };
    let client = spec.further.iter().fold(client, |client, further| match further {
        FurtherTarget::Region(region) => client.or_region(region.as_str()),
        FurtherTarget::Nearest => client.or_nearest(),
        FurtherTarget::Primary => client.or_primary(),
    });
    let client = match spec.timeout {
        Some(millis) => client.timeout(Duration::from_millis(millis)),
        None => client,
    };
    Some(match spec.wait {
        Some(millis) => client.wait(Duration::from_millis(millis)),
        None => client,
    })
}

async fn invoke(client: ChaosClient, method: Method, job: Job) -> Result<Receipt, RpcError> {
    match method {
        Method::Work => client.work(job).await,
        Method::Repeatable => client.repeatable(job).await,
        Method::Detached => client.detached(job).await,
        Method::Write => client.write(job).await,
        Method::Newer => client.newer(job).await,
        Method::Hedged => client.hedged(job).await,
        Method::Limited => client.limited(job).await,
    }
}

/// Returns bytes that differ between calls and directions.
fn payload(key: u64, size: usize) -> Vec<u8> {
    let key = key.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes();
    key.into_iter().cycle().take(size).collect()
}

/// A call in flight. If it is dropped before the call has ended, it records that the call was
/// dropped.
struct CallGuard {
    state: Arc<RunState>,
    id: CallId,
}

impl CallGuard {
    fn start(state: &Arc<RunState>, record: impl FnOnce(CallId, Duration) -> CallRecord) -> Self {
        let mut records = state.ledger.records();
        let id = CallId(records.calls.len() as u64);
        records.calls.push(record(id, state.ledger.now()));
        CallGuard { state: Arc::clone(state), id }
    }

    fn end(&mut self, outcome: Outcome) {
        let now = self.state.ledger.now();
        self.state.ledger.records().calls[self.id.0 as usize].ended.get_or_insert((now, outcome));
    }
}

impl Drop for CallGuard {
    fn drop(&mut self) {
        self.end(Outcome::Dropped);
    }
}

struct Recorder {
    node: String,
    state: Arc<RunState>,
}

impl Recorder {
    async fn run(&self, job: Job) -> Receipt {
        let Job { call: id, payload: argument, spec } = job;
        let mut run = HandlerRunGuard::start(self, CallId(id));
        if argument != payload(id, spec.argument) {
            let violation = format!("call {id} arrived with another call's argument");
            self.state.ledger.records().violations.push(violation);
        }
        let slower = if id == NO_CALL { 0 } else { self.misbehave(&mut run) };
        if spec.millis + slower > 0 {
            sleep(Duration::from_millis(spec.millis + slower)).await;
        }
        if let Some(nested) = spec.nested
            && let Some(node) = self.state.node(&self.node)
        {
            let caller = match spec.method {
                Method::Detached => Caller::DetachedHandler(CallId(id)),
                _ => Caller::Handler(CallId(id)),
            };
            call(Arc::clone(&self.state), node, caller, *nested).await;
        }
        run.completed = true;
        if spec.panics {
            // Unlike `panic!`, this does not run the panic hook, which would print a message.
            std::panic::resume_unwind(Box::new(panic_message(CallId(id))));
        }
        Receipt { call: id, node: self.node.clone(), payload: payload(!id, spec.reply) }
    }

    /// Misbehaves as the handlers of this node do now. Returns the milliseconds by which they are slower.
    fn misbehave(&self, run: &mut HandlerRunGuard<'_>) -> u64 {
        let behaviors = self.state.ledger.records().behaviors_of(&self.node);
        if behaviors.contains(&Behavior::Panics) {
            run.completed = true;
            std::panic::resume_unwind(Box::new(misbehavior_message(&self.node)));
        }
        let slower = |how: &Behavior| if let Behavior::Slow(millis) = how { *millis } else { 0 };
        behaviors.iter().map(slower).sum()
    }
}

/// Returns the message of the panics of a node whose handlers panic.
pub(super) fn misbehavior_message(node: &str) -> String {
    format!("handlers of {node} panic")
}

/// Returns the message of the planned panic of a call's handler.
pub(super) fn panic_message(id: CallId) -> String {
    format!("call {} was to panic", id.0)
}

/// A running handler. Records its end when dropped.
struct HandlerRunGuard<'a> {
    recorder: &'a Recorder,
    index: usize,
    completed: bool,
}

impl<'a> HandlerRunGuard<'a> {
    fn start(recorder: &'a Recorder, call: CallId) -> Self {
        let ledger = &recorder.state.ledger;
        let mut records = ledger.records();
        records.handler_runs.push(HandlerRun {
            call,
            node: recorder.node.clone(),
            local: flyrpc::context().is_local(),
            started: ledger.now(),
            ended: None,
            completed: false,
        });
        HandlerRunGuard { recorder, index: records.handler_runs.len() - 1, completed: false }
    }
}

impl Drop for HandlerRunGuard<'_> {
    fn drop(&mut self) {
        let ledger = &self.recorder.state.ledger;
        let now = ledger.now();
        let run = &mut ledger.records().handler_runs[self.index];
        run.ended = Some(now);
        run.completed = self.completed;
    }
}

impl Chaos for Recorder {
    async fn work(&self, job: Job) -> Receipt {
        self.run(job).await
    }

    async fn repeatable(&self, job: Job) -> Receipt {
        self.run(job).await
    }

    async fn detached(&self, job: Job) -> Receipt {
        self.run(job).await
    }

    async fn write(&self, job: Job) -> Receipt {
        self.run(job).await
    }

    async fn newer(&self, job: Job) -> Receipt {
        self.run(job).await
    }

    async fn hedged(&self, job: Job) -> Receipt {
        self.run(job).await
    }

    async fn limited(&self, job: Job) -> Receipt {
        self.run(job).await
    }
}

impl OldChaos for Recorder {
    async fn work(&self, job: Job) -> Receipt {
        self.run(job).await
    }

    async fn repeatable(&self, job: Job) -> Receipt {
        self.run(job).await
    }

    async fn detached(&self, job: Job) -> Receipt {
        self.run(job).await
    }

    async fn write(&self, job: Job) -> Receipt {
        self.run(job).await
    }

    async fn hedged(&self, job: Job) -> Receipt {
        self.run(job).await
    }

    async fn limited(&self, job: Job) -> Receipt {
        self.run(job).await
    }
}
