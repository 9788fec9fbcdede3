//! `#[rpc(max_in_flight = …)]`: a limit on the calls of one method in progress on a node.

use flyrpc::{Refusal, RpcError, fly_rpc};
use flyrpc_testkit::{Release, SimCluster};
use tokio::{task::JoinHandle, time::Instant};

use crate::support::{millis, peer_named, secs, sleep};

#[fly_rpc]
trait Reports {
    /// Takes `millis` milliseconds, and returns the name of the node.
    #[rpc(max_in_flight = 2, timeout = "60s")]
    async fn build(&self, millis: u64) -> String;
    #[rpc(max_in_flight = 1, detached)]
    async fn archive(&self, millis: u64);
    #[rpc(max_in_flight = 1)]
    async fn fail(&self);
    async fn list(&self) -> String;
    #[rpc(max_in_flight = 1)]
    async fn store(&self, report: Vec<u8>) -> usize;
}

struct Builder(String);

impl Reports for Builder {
    async fn build(&self, duration: u64) -> String {
        sleep(millis(duration)).await;
        self.0.clone()
    }

    async fn archive(&self, duration: u64) {
        sleep(millis(duration)).await;
    }

    async fn fail(&self) {
        panic!("no report");
    }

    async fn list(&self) -> String {
        self.0.clone()
    }

    async fn store(&self, report: Vec<u8>) -> usize {
        report.len()
    }
}

/// Starts this many nodes in iad, and hkg-0.
async fn cluster(iad: usize, force_wire: bool) -> SimCluster {
    let release = Release::new().serve(|at| ServeReports::new(Builder(at.name().to_owned())));
    let cluster = SimCluster::builder().release(release).region("iad", iad).region("hkg", 1);
    let cluster = cluster.force_wire(force_wire).start().await;
    sleep(secs(3)).await;
    cluster
}

fn client(cluster: &SimCluster, node: &str) -> ReportsClient {
    cluster.node(node).client::<ReportsClient>().on_region("iad")
}

#[track_caller]
fn assert_overloaded<T: std::fmt::Debug>(result: Result<T, RpcError>) {
    let error = result.unwrap_err();
    assert!(matches!(error, RpcError::Refused { reason: Refusal::Overloaded, .. }), "{error:?}");
}

async fn start_builds(
    reports: &ReportsClient,
    count: usize,
) -> Vec<JoinHandle<Result<String, RpcError>>> {
    let builds = (0..count).map(|_| tokio::spawn(reports.build(10_000))).collect();
    sleep(secs(1)).await;
    builds
}

#[tokio::test(start_paused = true)]
async fn calls_beyond_the_limit_of_a_method_are_refused_and_other_methods_are_not() {
    let cluster = cluster(1, false).await;
    let reports = client(&cluster, "hkg-0");
    let builds = start_builds(&reports, 2).await;
    assert_overloaded(reports.build(1).await);
    assert_eq!(reports.list().await.unwrap(), "iad-0");
    for build in builds {
        assert_eq!(build.await.unwrap().unwrap(), "iad-0");
    }
    assert_eq!(reports.build(1).await.unwrap(), "iad-0");
}

#[tokio::test(start_paused = true)]
async fn calls_in_process_count_too() {
    for force_wire in [false, true] {
        let cluster = cluster(1, force_wire).await;
        let (local, remote) = (client(&cluster, "iad-0"), client(&cluster, "hkg-0"));
        let of_local = start_builds(&local, 1).await;
        let of_remote = start_builds(&remote, 1).await;
        assert_overloaded(local.build(1).await);
        assert_overloaded(remote.build(1).await);
        for build in of_local.into_iter().chain(of_remote) {
            build.await.unwrap().unwrap();
        }
        local.build(1).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_this_node_refuses_is_made_on_another_node() {
    for force_wire in [false, true] {
        let cluster = cluster(2, force_wire).await;
        let local = client(&cluster, "iad-0");
        let builds = start_builds(&local, 2).await;
        assert_eq!(local.build(1).await.unwrap(), "iad-1");
        assert_eq!(local.nearest().build(1).await.unwrap(), "iad-1");
        let fallback = local.on_node(cluster.node("iad-0").id()).or_region("hkg");
        assert_eq!(fallback.build(1).await.unwrap(), "hkg-0");
        assert_overloaded(local.on_node(cluster.node("iad-0").id()).build(1).await);
        builds.iter().for_each(JoinHandle::abort);
    }
}

/// More calls than the budget for retries allows without other calls.
const MANY: usize = 250;

#[tokio::test(start_paused = true)]
async fn any_number_of_calls_that_this_node_refuses_is_made_on_another_node() {
    let cluster = cluster(2, false).await;
    let local = client(&cluster, "iad-0");
    let _builds = start_builds(&local, 2).await;
    for call in 0..MANY {
        assert_eq!(local.build(1).await.unwrap(), "iad-1", "call {call}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_place_is_freed_when_a_call_is_dropped_and_when_it_panics() {
    for node in ["iad-0", "hkg-0"] {
        let cluster = cluster(1, false).await;
        let reports = client(&cluster, node);
        let builds = start_builds(&reports, 2).await;
        builds.iter().for_each(JoinHandle::abort);
        sleep(secs(1)).await;
        let builds = start_builds(&reports, 2).await;
        assert_overloaded(reports.build(1).await);
        drop(builds);
        for _ in 0..3 {
            let error = reports.fail().await.unwrap_err();
            assert!(matches!(error, RpcError::Panicked { .. }), "{error:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_detached_call_keeps_its_place_until_it_ends() {
    for node in ["iad-0", "hkg-0"] {
        let cluster = cluster(1, false).await;
        let reports = client(&cluster, node);
        let call = tokio::spawn(reports.archive(10_000));
        sleep(secs(1)).await;
        call.abort();
        sleep(secs(1)).await;
        assert_overloaded(reports.archive(1).await);
        sleep(secs(9)).await;
        reports.archive(1).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_waiting_call_takes_the_place_that_becomes_free() {
    for node in ["iad-0", "hkg-0"] {
        let cluster = cluster(1, false).await;
        let reports = client(&cluster, node);
        let _builds = start_builds(&reports, 2).await;
        let start = Instant::now();
        assert_eq!(reports.wait(secs(30)).build(1).await.unwrap(), "iad-0");
        let waited = start.elapsed();
        assert!(waited > secs(8) && waited < secs(12), "{waited:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_burst_of_calls_beyond_the_limit_ejects_no_node() {
    let cluster = cluster(2, false).await;
    let id = cluster.node("iad-0").id().clone();
    let reports = cluster.node("hkg-0").client::<ReportsClient>();
    let burst: Vec<_> = (0..100).map(|_| tokio::spawn(reports.on_node(&id).build(1_000))).collect();
    let mut refused = 0;
    for build in burst {
        refused += usize::from(build.await.unwrap().is_err());
    }
    assert_eq!(refused, 98);
    assert!(!peer_named(&cluster.node("hkg-0"), "iad-0").ejected);
    // The first call of another method that the node answers lets it be called like the other node again.
    reports.on_node(&id).list().await.unwrap();
    let mut served = 0;
    for _ in 0..100 {
        served += usize::from(reports.on_region("iad").list().await.unwrap() == "iad-0");
    }
    assert!((20..=80).contains(&served), "{served} of 100 calls");
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_arguments_have_not_arrived_does_not_count() {
    let cluster = cluster(2, false).await;
    cluster.throttle("hkg", "iad", 100_000).keep();
    let id = cluster.node("iad-0").id().clone();
    let slow = cluster.node("hkg-0").client::<ReportsClient>().on_node(&id).timeout(secs(60));
    let upload = tokio::spawn(slow.store(vec![0; 1_000_000]));
    sleep(secs(5)).await;
    assert!(!upload.is_finished());
    let fast = cluster.node("iad-1").client::<ReportsClient>().on_node(&id);
    assert_eq!(fast.store(vec![0; 10]).await.unwrap(), 10);
    assert_eq!(upload.await.unwrap().unwrap(), 1_000_000);
}
