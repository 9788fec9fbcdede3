//! One node runs the job, and a node that has lost the lease writes nothing.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use flyrpc::{Env, Node, StartError, WeakNode};
use flyrpc_examples::patterns::lease::{
    Archive, Database, Fenced, LEASE, RENEW_PERIOD, ReportsClient, ServeReports, run_one,
};
use flyrpc_testkit::{Release, SimCluster};
use tokio::{
    sync::oneshot,
    time::{sleep, timeout},
};

use crate::{regions, secs};

const ALL: &[&str] = &["iad-0", "iad-1", "fra-0", "hkg-0"];

/// The writes that were refused, and the number of jobs that are running.
#[derive(Clone, Default)]
struct Observed {
    fenced: Arc<AtomicUsize>,
    running: Arc<AtomicUsize>,
}

/// Counts a running job until it is dropped.
struct Running(Arc<AtomicUsize>);

impl Running {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Running(Arc::clone(count))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Writes a report every 2 s, until a write is refused.
async fn job(node: WeakNode, name: String, token: u64, observed: Observed) {
    let _running = Running::new(&observed.running);
    loop {
        sleep(secs(2)).await;
        let Some(node) = node.upgrade() else { return };
        let reports: ReportsClient = node.client();
        if let Ok(Err(Fenced { .. })) = reports.write(token, name.clone()).await {
            observed.fenced.fetch_add(1, Ordering::SeqCst);
            return;
        }
    }
}

/// Starts a cluster in which these nodes may run the job.
async fn cluster(database: &Database, observed: &Observed, runners: &'static [&str]) -> SimCluster {
    let (database, observed) = (database.clone(), observed.clone());
    let release = Release::new().boot(move |machine, builder| {
        let (database, observed) = (database.clone(), observed.clone());
        async move {
            let node = builder.serve(ServeReports::new(Archive(database))).start().await?;
            let (name, weak) = (machine.name().to_owned(), node.downgrade());
            let job = move |token| job(weak.clone(), name.clone(), token, observed.clone());
            if runners.contains(&machine.name()) {
                // Freezes and crashes with its machine, unlike a task of `tokio::spawn`.
                machine.env().spawn(Box::pin(run_one(node.downgrade(), job)));
            }
            Ok::<_, StartError>(node)
        }
    });
    regions().release(release).start().await
}

fn holder(database: &Database) -> String {
    database.holder().expect("a node has acquired the lease").name().to_owned()
}

/// The names of the nodes that wrote reports, without repetitions, in order.
fn writers(database: &Database) -> Vec<(u64, String)> {
    let mut writers = database.reports();
    writers.dedup();
    writers
}

#[tokio::test(start_paused = true)]
async fn one_node_runs_the_job() {
    let (database, observed) = <(Database, Observed)>::default();
    let _cluster = cluster(&database, &observed, ALL).await;
    for _ in 0..60 {
        sleep(secs(1)).await;
        assert_eq!(observed.running.load(Ordering::SeqCst), 1);
    }
    assert_eq!(writers(&database), [(1, holder(&database))]);
    assert_eq!(observed.fenced.load(Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn a_frozen_runner_loses_the_lease_and_its_late_write_is_refused() {
    let (database, observed) = <(Database, Observed)>::default();
    let cluster = cluster(&database, &observed, ALL).await;
    sleep(secs(5)).await;
    let first = holder(&database);
    let frozen = cluster.frozen(&first);
    sleep(LEASE + RENEW_PERIOD + secs(3)).await;
    let second = holder(&database);
    assert_ne!(second, first);
    assert_eq!(writers(&database), [(1, first.clone()), (2, second.clone())]);

    drop(frozen); // the first runner writes the report that it was about to write
    sleep(secs(1)).await;
    assert_eq!(observed.fenced.load(Ordering::SeqCst), 1);
    sleep(secs(60)).await;
    assert_eq!(writers(&database), [(1, first), (2, second)]);
    assert_eq!(observed.running.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_runner_that_is_cut_off_stops_its_job_until_it_holds_the_lease_again() {
    let (database, observed) = <(Database, Observed)>::default();
    let cluster = cluster(&database, &observed, &["fra-0"]).await;
    sleep(secs(5)).await;
    let cut = cluster.partition("fra", "iad");
    sleep(LEASE + RENEW_PERIOD + secs(2)).await;
    assert_eq!(observed.running.load(Ordering::SeqCst), 0);
    drop(cut);
    sleep(secs(10)).await;
    assert_eq!(observed.running.load(Ordering::SeqCst), 1);
    assert_eq!(writers(&database), [(1, "fra-0".to_owned()), (2, "fra-0".to_owned())]);
}

#[tokio::test(start_paused = true)]
async fn a_runner_that_is_cut_off_stops_before_another_starts() {
    for pause in 0..10 {
        let (database, observed) = <(Database, Observed)>::default();
        let cluster = cluster(&database, &observed, &["fra-0", "hkg-0"]).await;
        sleep(secs(5) + RENEW_PERIOD * pause / 10).await;
        let first = holder(&database);
        let (region, _) = first.split_once('-').expect("names contain the region");
        cluster.partition(region, "iad").keep();
        for _ in 0..250 {
            sleep(secs(1) / 10).await;
            assert!(observed.running.load(Ordering::SeqCst) <= 1, "pause {pause}");
        }
        assert_ne!(holder(&database), first);
        assert_eq!(observed.running.load(Ordering::SeqCst), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn another_node_takes_over_when_the_runner_crashes() {
    let (database, observed) = <(Database, Observed)>::default();
    let cluster = cluster(&database, &observed, ALL).await;
    sleep(secs(5)).await;
    let first = holder(&database);
    cluster.crash(&first);
    sleep(LEASE + RENEW_PERIOD + secs(3)).await;
    let second = holder(&database);
    assert_ne!(second, first);
    assert_eq!(writers(&database), [(1, first), (2, second)]);
}

#[tokio::test(start_paused = true)]
async fn a_runner_ends_when_the_last_handle_to_its_node_is_dropped() {
    let builder = Node::builder().region("iad").primary_region("iad");
    let archive = Archive(Database::default());
    let node = builder.serve(ServeReports::new(archive)).start().await.unwrap();
    let (started, job_started) = oneshot::channel();
    let mut started = Some(started);
    let job = move |_token| {
        let started = started.take();
        async move {
            started.map(|started| started.send(()));
            std::future::pending().await
        }
    };
    let running = tokio::spawn(run_one(node.downgrade(), job));
    job_started.await.unwrap();
    drop(node);
    timeout(RENEW_PERIOD * 3, running).await.expect("the runner ends").unwrap();
}
