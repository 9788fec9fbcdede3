//! Detached methods: which handlers continue after their callers are gone, and which never start.

use std::{
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker},
};

use flyrpc::{Env, Node, fly_rpc};
use flyrpc_testkit::{Release, SimCluster, SimEnv, SimNet};
use futures_util::future::BoxFuture;

use crate::support::{
    Counts, HookedEnv, ProbeClient, iad_and_hkg, millis, node_on, prober, secs, sleep,
};

#[fly_rpc]
trait Jobs {
    /// Calls `slow` in hkg at each of `starts`, in milliseconds after the start of this method.
    #[rpc(detached, timeout = "1s")]
    async fn work(&self, starts: Vec<u64>, millis: u64);
}

/// The node and the outcomes of its calls, each with the time at which it ended, in milliseconds.
#[derive(Clone, Default)]
struct Worker {
    node: Arc<OnceLock<Node>>,
    outcomes: Arc<Mutex<Vec<String>>>,
}

impl Jobs for Worker {
    async fn work(&self, starts: Vec<u64>, millis: u64) {
        let begun = tokio::time::Instant::now();
        let probe: ProbeClient = flyrpc::context().client();
        for start in starts {
            sleep(self::millis(start).saturating_sub(begun.elapsed())).await;
            let outcome = probe.on_region("hkg").slow(millis).await;
            let text = outcome.map_or_else(|error| error.to_string(), |slept| slept.to_string());
            self.outcomes.lock().unwrap().push(format!("{text}@{}", begun.elapsed().as_millis()));
        }
    }
}

/// A cluster of iad-0, which serves [`Jobs`], and hkg-0.
async fn worker_and_hkg(worker: &Worker) -> SimCluster {
    let jobs = worker.clone();
    let serving = Release::new().serve(move |_| ServeJobs::new(jobs.clone()));
    let counts = Counts::default();
    let probes = Release::new().serve(move |node| prober(node.name(), &counts));
    let cluster = SimCluster::builder().region("iad", 1).region("hkg", 1);
    let cluster = cluster.node("iad-0", serving).node("hkg-0", probes).start().await;
    worker.node.get_or_init(|| cluster.node("iad-0"));
    cluster
}

#[tokio::test(start_paused = true)]
async fn the_calls_of_a_detached_handler_outlive_its_callers_deadline() {
    for caller in ["hkg-0", "iad-0"] {
        let worker = Worker::default();
        let cluster = worker_and_hkg(&worker).await;
        let jobs: JobsClient = cluster.node(caller).client();
        // The caller's deadline passes during the first call, and before the second.
        let outcome = jobs.on_region("iad").work(vec![900, 3_000], 500).await;
        assert!(outcome.is_err(), "{outcome:?}");
        sleep(secs(5)).await;
        assert_eq!(*worker.outcomes.lock().unwrap(), ["500@1602", "500@3702"], "{caller}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_calls_of_a_detached_handler_have_the_default_timeout() {
    let worker = Worker::default();
    let cluster = worker_and_hkg(&worker).await;
    let jobs: JobsClient = cluster.node("hkg-0").client();
    jobs.on_region("iad").work(vec![0], 60_000).await.unwrap_err();
    sleep(secs(10)).await;
    let outcomes = worker.outcomes.lock().unwrap().clone();
    assert!(outcomes[0].contains("timed out after 5s") && outcomes[0].ends_with("@5000"));
}

#[tokio::test(start_paused = true)]
async fn a_local_detached_call_that_is_dropped_before_its_handler_is_polled_never_starts() {
    let counts = Counts::default();
    let cluster = iad_and_hkg(&counts).await;
    let probe: ProbeClient = cluster.node("iad-0").client();
    let mut call = Box::pin(probe.slow_and_detached(10));
    let polled = call.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(polled, Poll::Pending), "{polled:?}");
    drop(call);
    sleep(secs(1)).await;
    assert_eq!(counts.started(), 0);
}

/// Tasks that start only when the test releases them.
#[derive(Clone, Default)]
struct HeldTasks {
    holding: Arc<AtomicBool>,
    tasks: Arc<Mutex<Vec<BoxFuture<'static, ()>>>>,
}

impl HeldTasks {
    /// Returns the environment `env`, which holds new tasks while `holding` is set.
    fn env(&self, env: &SimEnv) -> impl Env {
        let held = self.clone();
        let env = HookedEnv::new(env.clone(), |env: &SimEnv, to| env.connect(to));
        env.spawn_with(move |env, task| {
            if held.holding.load(Ordering::SeqCst) {
                held.tasks.lock().unwrap().push(task);
            } else {
                env.spawn(task);
            }
        })
    }

    /// Starts the tasks on `env`, and returns their number.
    fn release(&self, env: &SimEnv) -> usize {
        let tasks = std::mem::take(&mut *self.tasks.lock().unwrap());
        let count = tasks.len();
        tasks.into_iter().for_each(|task| env.spawn(task));
        count
    }
}

#[tokio::test(start_paused = true)]
async fn a_remote_detached_call_that_is_canceled_before_its_handler_is_polled_never_starts() {
    let net = SimNet::builder().build();
    let (iad_env, hkg_env) = (net.add_host("iad-0", "iad"), net.add_host("hkg-0", "hkg"));
    let (counts, held) = (Counts::default(), HeldTasks::default());
    let iad = node_on(&iad_env).env(held.env(&iad_env)).serve(prober("iad-0", &counts));
    let iad = iad.start().await.unwrap();
    let hkg = node_on(&hkg_env).seeds([iad.addr()]).start().await.unwrap();
    hkg.ready().await;
    let probe = hkg.client::<ProbeClient>().on_region("iad");
    // The first request of a link may wait for a ping. Its handler is pending, so that its task does not run
    // the next request.
    probe.slow(1).await.unwrap();
    held.holding.store(true, Ordering::SeqCst);
    for canceled in [false, true] {
        let started = counts.started();
        let call = tokio::spawn(probe.slow_and_detached(10));
        // The request arrives after 101 ms, and so does the cancellation.
        sleep(millis(150)).await;
        if canceled {
            call.abort();
        }
        sleep(millis(150)).await;
        assert_eq!(counts.started(), started);
        assert!(held.release(&iad_env) > 0, "the task of the handler was not held");
        sleep(secs(1)).await;
        assert_eq!(counts.started() - started, u64::from(!canceled), "canceled: {canceled}");
    }
}
