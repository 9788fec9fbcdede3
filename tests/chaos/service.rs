//! The services under test, which record what they do, and the making of calls to them.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use flyrpc::{Context, Node, RpcError, fly_rpc};
use flyrpc_testkit::{Release, SimCluster, SimEnv, SimNode};
use futures_util::FutureExt;
use serde::{Deserialize, Serialize};
use tokio::time::{sleep, timeout};

use super::{
    ledger::{CallRecord, Execution, Ledger, Outcome},
    plan::{Aim, CallSpec, Cancel, Method},
};

/// The time of a call that says nothing of it.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);

/// What is called. `write` runs on the primary only.
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
}

/// The same before `newer` was added, its methods in another order.
#[fly_rpc(name = "Chaos")]
pub(super) trait OldChaos {
    #[rpc(primary)]
    async fn write(&self, job: Job) -> Receipt;
    #[rpc(detached)]
    async fn detached(&self, job: Job) -> Receipt;
    #[rpc(idempotent)]
    async fn repeatable(&self, job: Job) -> Receipt;
    async fn work(&self, job: Job) -> Receipt;
}

/// What a handler is to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Job {
    call: u64,
    #[serde(with = "serde_bytes")]
    payload: Vec<u8>,
    spec: CallSpec,
}

/// What came of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Receipt {
    call: u64,
    node: String,
    #[serde(with = "serde_bytes")]
    payload: Vec<u8>,
}

/// What all parts of a run share.
#[derive(Debug)]
pub(super) struct World {
    pub(super) ledger: Ledger,
    /// Set once the cluster runs, and cleared at the end: it holds services that hold this.
    cluster: Mutex<Option<SimCluster>>,
    /// Of the latest boot of each node.
    envs: Mutex<BTreeMap<String, SimEnv>>,
}

impl World {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(World { ledger: Ledger::new(), cluster: Mutex::default(), envs: Mutex::default() })
    }

    /// The release with all methods, or the old one.
    pub(super) fn release(self: &Arc<Self>, old: bool) -> Release {
        let world = Arc::clone(self);
        let recorder = move |node: &SimNode| {
            world.ledger.boots(node.name(), old);
            let mut envs = world.envs.lock().unwrap_or_else(PoisonError::into_inner);
            envs.insert(node.name().to_owned(), node.env().clone());
            Recorder { node: node.name().to_owned(), world: Arc::clone(&world) }
        };
        match old {
            true => Release::new().serve(move |node| ServeOldChaos::new(recorder(node))),
            false => Release::new().serve(move |node| ServeChaos::new(recorder(node))),
        }
    }

    pub(super) fn set_cluster(&self, cluster: Option<SimCluster>) {
        *self.cluster.lock().unwrap_or_else(PoisonError::into_inner) = cluster;
    }

    /// A node, if it runs.
    pub(super) fn node(&self, name: &str) -> Option<Node> {
        let cluster = self.cluster.lock().unwrap_or_else(PoisonError::into_inner);
        cluster.as_ref()?.nodes().into_iter().find(|node| node.id().name() == name)
    }

    /// Where the programs of a node run.
    pub(super) fn env(&self, name: &str) -> SimEnv {
        self.envs.lock().unwrap_or_else(PoisonError::into_inner)[name].clone()
    }

    pub(super) fn forget_envs(&self) {
        self.envs.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// Makes a call through `node` and records it. Within a handler, `parent` is the call served.
pub(super) async fn call(
    world: Arc<World>,
    node: Node,
    outside: bool,
    parent: Option<u64>,
    spec: CallSpec,
) -> u64 {
    let Some(client) = aimed(&world, &node, &spec) else { return u64::MAX };
    let own = spec.timeout.map_or(DEFAULT_TIMEOUT, Duration::from_millis);
    let left = Context::try_current().map_or(Duration::MAX, |context| context.remaining());
    let mut record = Recording::begin(&world, |id, began| CallRecord {
        id,
        spec: spec.clone(),
        from: node.id().name().to_owned(),
        outside,
        parent,
        began,
        allowed: own.min(left),
        ended: None,
    });
    let id = record.id;
    let job = Job { call: id, payload: payload(id, spec.argument), spec: spec.clone() };
    let calling = invoke(client, spec.method, job).boxed();
    let result = match spec.cancel {
        None => Some(calling.await),
        Some(Cancel::Unpolled) => None,
        Some(Cancel::AfterOnePoll) => calling.now_or_never(),
        Some(Cancel::AfterMillis(millis)) => {
            timeout(Duration::from_millis(millis), calling).await.ok()
        }
    };
    record.end(match result {
        None => Outcome::Cancelled,
        Some(Ok(receipt)) => Outcome::Reply {
            right: receipt.call == id && receipt.payload == payload(!id, spec.reply),
            node: receipt.node,
        },
        Some(Err(error)) => Outcome::Error(error),
    });
    id
}

/// None if a node is to be called that has never run.
fn aimed(world: &World, node: &Node, spec: &CallSpec) -> Option<ChaosClient> {
    let client: ChaosClient = node.client();
    let client = match &spec.aim {
        Aim::Unsaid => client,
        Aim::Primary => client.on_primary(),
        Aim::Region(region) => client.on_region(region.as_str()),
        Aim::Node(name) => {
            let running = world.node(name);
            let mut book = world.ledger.book();
            if let Some(running) = running {
                book.aimed.insert(name.clone(), running.id().clone());
            }
            client.on_node(book.aimed.get(name)?)
        }
    };
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
    }
}

/// Bytes that belong to one call, and to one direction of it.
fn payload(key: u64, size: usize) -> Vec<u8> {
    let key = key.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes();
    key.into_iter().cycle().take(size).collect()
}

/// A call that goes on. If it is dropped, so was the call.
struct Recording {
    world: Arc<World>,
    id: u64,
}

impl Recording {
    fn begin(world: &Arc<World>, record: impl FnOnce(u64, Duration) -> CallRecord) -> Self {
        let mut book = world.ledger.book();
        let id = book.calls.len() as u64;
        book.calls.push(record(id, world.ledger.now()));
        Recording { world: Arc::clone(world), id }
    }

    fn end(&mut self, outcome: Outcome) {
        let now = self.world.ledger.now();
        self.world.ledger.book().calls[self.id as usize].ended.get_or_insert((now, outcome));
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        self.end(Outcome::Dropped);
    }
}

struct Recorder {
    node: String,
    world: Arc<World>,
}

impl Recorder {
    async fn run(&self, job: Job) -> Receipt {
        let Job { call: id, payload: argument, spec } = job;
        let mut execution = Executing::begin(self, id);
        if argument != payload(id, spec.argument) {
            let violation = format!("call {id} came with another call's argument");
            self.world.ledger.book().violations.push(violation);
        }
        if spec.millis > 0 {
            sleep(Duration::from_millis(spec.millis)).await;
        }
        if let Some(nested) = spec.nested
            && let Some(node) = self.world.node(&self.node)
        {
            call(Arc::clone(&self.world), node, false, Some(id), *nested).await;
        }
        execution.completed = true;
        if spec.panics {
            // As `panic!` does, without telling the terminal.
            std::panic::resume_unwind(Box::new(panic_of(id)));
        }
        Receipt { call: id, node: self.node.clone(), payload: payload(!id, spec.reply) }
    }
}

/// How the handler of a call panics.
pub(super) fn panic_of(id: u64) -> String {
    format!("call {id} was to panic")
}

/// An execution that goes on, until it is dropped.
struct Executing<'a> {
    recorder: &'a Recorder,
    at: usize,
    completed: bool,
}

impl<'a> Executing<'a> {
    fn begin(recorder: &'a Recorder, call: u64) -> Self {
        let ledger = &recorder.world.ledger;
        let mut book = ledger.book();
        book.executions.push(Execution {
            call,
            node: recorder.node.clone(),
            local: flyrpc::context().is_local(),
            began: ledger.now(),
            ended: None,
            completed: false,
        });
        Executing { recorder, at: book.executions.len() - 1, completed: false }
    }
}

impl Drop for Executing<'_> {
    fn drop(&mut self) {
        let ledger = &self.recorder.world.ledger;
        let now = ledger.now();
        let execution = &mut ledger.book().executions[self.at];
        execution.ended = Some(now);
        execution.completed = self.completed;
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
}
