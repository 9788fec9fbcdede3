//! The effects of the macro's attributes on remote and local calls.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use flyrpc::{Node, RpcError, Service, fly_rpc};
use flyrpc_testkit::{Release, SimCluster};
use tokio::time::{Instant, sleep};

use crate::support::{millis, secs};

/// A service with one method for each attribute, and one method without attributes.
#[fly_rpc(name = "attributes.of.methods")]
trait Attributes {
    async fn plain(&self, millis: u64) -> u64;
    #[rpc(timeout = "750ms")]
    async fn hurried(&self, millis: u64) -> u64;
    #[rpc(wait = "3s")]
    async fn patient(&self, millis: u64) -> u64;
    #[rpc(name = "called.otherwise")]
    async fn renamed(&self, millis: u64) -> u64;
    #[rpc(primary)]
    async fn primary(&self, millis: u64) -> u64;
    /// Returns the number of the attempt.
    async fn once(&self, millis: u64) -> u32;
    /// Returns the number of the attempt.
    #[rpc(idempotent)]
    async fn repeatable(&self, millis: u64) -> u32;
    #[rpc(detached)]
    async fn detached(&self, millis: u64) -> u64;
    /// Returns the remaining time of the call in milliseconds.
    #[rpc(idempotent, detached, primary, timeout = "2s", wait = "1s", name = "all")]
    async fn everything(&self) -> u64;
}

/// Counts the handlers that started and finished.
#[derive(Clone, Default)]
struct Worker(Arc<[AtomicU64; 2]>);

impl Worker {
    async fn work(&self, millis: u64) -> u64 {
        self.0[0].fetch_add(1, Ordering::SeqCst);
        sleep(Duration::from_millis(millis)).await;
        self.0[1].fetch_add(1, Ordering::SeqCst);
        millis
    }

    fn started_and_finished(&self) -> (u64, u64) {
        (self.0[0].load(Ordering::SeqCst), self.0[1].load(Ordering::SeqCst))
    }
}

impl Attributes for Worker {
    async fn plain(&self, millis: u64) -> u64 {
        self.work(millis).await
    }

    async fn hurried(&self, millis: u64) -> u64 {
        self.work(millis).await
    }

    async fn patient(&self, millis: u64) -> u64 {
        self.work(millis).await
    }

    async fn renamed(&self, millis: u64) -> u64 {
        self.work(millis).await
    }

    async fn primary(&self, millis: u64) -> u64 {
        self.work(millis).await
    }

    async fn once(&self, millis: u64) -> u32 {
        self.work(millis).await;
        flyrpc::context().attempt()
    }

    async fn repeatable(&self, millis: u64) -> u32 {
        self.work(millis).await;
        flyrpc::context().attempt()
    }

    async fn detached(&self, millis: u64) -> u64 {
        self.work(millis).await
    }

    async fn everything(&self) -> u64 {
        flyrpc::context().remaining().as_millis() as u64
    }
}

fn serving(service: impl Service + Clone) -> Release {
    Release::new().serve(move |_| service.clone())
}

/// Starts iad-0, which is in the primary region, and hkg-0. Each serves the given service.
async fn nodes(iad: impl Service + Clone, hkg: impl Service + Clone) -> (SimCluster, Node, Node) {
    let cluster = SimCluster::builder().region("iad", 1).region("hkg", 1);
    let cluster = cluster.node("iad-0", serving(iad)).node("hkg-0", serving(hkg)).start().await;
    let (iad, hkg) = (cluster.node("iad-0"), cluster.node("hkg-0"));
    (cluster, iad, hkg)
}

/// Runs the check with a client on hkg-0 whose calls go to iad-0, and with a client whose calls are
/// local.
macro_rules! remote_and_local {
    ($service:expr, |$client:ident: $of:ty| $check:block) => {
        let service = $service;
        let (_cluster, _iad, hkg) = nodes(service.clone(), service).await;
        for region in ["iad", "hkg"] {
            let $client = hkg.client::<$of>().on_region(region);
            $check
        }
    };
}

mod arguments;
mod types;

/// Runs the check with remote and local calls of [`Attributes`].
async fn with_worker(check: impl AsyncFn(AttributesClient, Worker)) {
    let worker = Worker::default();
    let serve = ServeAttributes::new(worker.clone());
    remote_and_local!(serve, |client: AttributesClient| { check(client, worker.clone()).await });
}

fn is_timeout(error: &RpcError, expected: Duration) -> bool {
    matches!(*error, RpcError::Timeout { after, sent: true, .. } if after == expected)
}

#[tokio::test(start_paused = true)]
async fn the_timeout_of_a_method_applies_unless_the_client_has_one() {
    with_worker(async |client, _| {
        let start = Instant::now();
        let error = client.hurried(2_000).await.unwrap_err();
        assert!(is_timeout(&error, millis(750)), "{error:?}");
        assert_eq!(start.elapsed(), millis(750));
        assert_eq!(client.timeout(secs(3)).hurried(2_000).await.unwrap(), 2_000);
        let error = client.timeout(millis(500)).hurried(600).await.unwrap_err();
        assert!(is_timeout(&error, millis(500)), "{error:?}");
        assert_eq!(client.plain(2_000).await.unwrap(), 2_000);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_wait_of_a_method_applies_unless_the_client_has_one() {
    let (cluster, iad, hkg) =
        nodes(ServeAttributes::new(Worker::default()), ServeAttributes::new(Worker::default()))
            .await;
    let syd = |node: &Node| node.client::<AttributesClient>().on_region("syd");
    for (client, expected) in [
        (syd(&iad), secs(3)),
        (syd(&hkg).wait(secs(1)), secs(1)),
        (syd(&hkg).wait(secs(9)), secs(5)),
    ] {
        let start = Instant::now();
        let error = client.patient(0).await.unwrap_err();
        assert!(!error.may_have_executed(), "{error:?}");
        assert_eq!(start.elapsed(), expected, "{error:?}");
        let start = Instant::now();
        assert!(matches!(syd(&iad).plain(0).await, Err(RpcError::NoNode { .. })));
        assert_eq!(start.elapsed(), secs(0));
    }
    let waiting = tokio::spawn(syd(&iad).patient(7));
    sleep(secs(1)).await;
    let serve = ServeAttributes::new(Worker::default());
    cluster.add_node_with("syd", serving(serve)).await;
    assert_eq!(waiting.await.unwrap().unwrap(), 7);
}

#[tokio::test(start_paused = true)]
async fn a_method_with_a_wait_waits_for_a_held_node() {
    let release = || serving(ServeAttributes::new(Worker::default()));
    let held = release().configure(|_, builder| builder.hold());
    let cluster = SimCluster::builder().region("iad", 1).region("hkg", 1).release(release());
    let cluster = cluster.node("iad-0", held).start().await;
    let (held, hkg) = (cluster.node("iad-0"), cluster.node("hkg-0"));
    let client = hkg.client::<AttributesClient>().on_region("iad");
    assert!(!client.plain(0).await.unwrap_err().may_have_executed());
    let start = Instant::now();
    let waiting = tokio::spawn(client.patient(7));
    sleep(secs(2)).await;
    held.accept();
    assert_eq!(waiting.await.unwrap().unwrap(), 7);
    assert!(start.elapsed() < secs(3), "{:?}", start.elapsed());
    // Local calls are not inbound requests, so a held node accepts them.
    assert_eq!(held.client::<AttributesClient>().on_region("iad").plain(1).await.unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn wire_names_are_taken_from_the_attributes() {
    with_worker(async |client, _| {
        assert_eq!(client.renamed(7).await.unwrap(), 7);
        let error = client.on_region("syd").renamed(7).await.unwrap_err();
        let expected = "no live node in region \"syd\" for attributes.of.methods.called.otherwise;";
        assert!(error.to_string().starts_with(expected), "{error}");
    })
    .await;
    let serve = || ServeAttributes::new(Worker::default());
    let (_cluster, _iad, hkg) = nodes(serve(), serve()).await;
    let [peer] = <[_; 1]>::try_from(hkg.peers()).unwrap();
    let [service] = <[_; 1]>::try_from(peer.services).unwrap();
    assert_eq!(service.name, "attributes.of.methods");
    let methods: Vec<String> = service.methods.iter().map(ToString::to_string).collect();
    assert_eq!(
        methods,
        [
            "plain(millis: u64) -> u64",
            "hurried(millis: u64) -> u64",
            "patient(millis: u64) -> u64",
            "called.otherwise(millis: u64) -> u64",
            "primary(millis: u64) -> u64",
            "once(millis: u64) -> u32",
            "repeatable(millis: u64) -> u32",
            "detached(millis: u64) -> u64",
            "all() -> u64",
        ]
    );
    let flags = |name: &str| {
        let method = service.methods.iter().find(|method| method.name == name).unwrap();
        (method.primary, method.idempotent, method.detached)
    };
    assert_eq!(flags("plain"), (false, false, false));
    assert_eq!(flags("primary"), (true, false, false));
    assert_eq!(flags("repeatable"), (false, true, false));
    assert_eq!(flags("detached"), (false, false, true));
    assert_eq!(flags("all"), (true, true, true));
}

#[tokio::test(start_paused = true)]
async fn a_primary_method_runs_only_in_the_primary_region_for_any_target() {
    let worker = Worker::default();
    let serve = || ServeAttributes::new(worker.clone());
    let (_cluster, iad, hkg) = nodes(serve(), serve()).await;
    for node in [&iad, &hkg] {
        let client: AttributesClient = node.client();
        for client in [client.clone(), client.on_primary(), client.on_region("iad")] {
            assert_eq!(client.primary(1).await.unwrap(), 1);
        }
        assert_eq!(client.on_node(iad.id()).primary(1).await.unwrap(), 1);
        for client in [client.on_region("hkg"), client.on_node(hkg.id())] {
            let error = client.primary(1).await.unwrap_err();
            assert!(matches!(error, RpcError::NotPrimary { .. }), "{error:?}");
            assert_eq!(error.node().unwrap().name(), "hkg-0");
        }
    }
    assert_eq!(worker.started_and_finished(), (8, 8));
}

mod without_attributes {
    use super::*;

    /// The service before its methods had attributes.
    #[fly_rpc(name = "attributes.of.methods")]
    pub(super) trait Plain {
        async fn primary(&self, millis: u64) -> u64;
        async fn detached(&self, millis: u64) -> u64;
    }

    impl Plain for Worker {
        async fn primary(&self, millis: u64) -> u64 {
            self.work(millis).await
        }

        async fn detached(&self, millis: u64) -> u64 {
            self.work(millis).await
        }
    }
}

use without_attributes::{PlainClient, ServePlain};

#[tokio::test(start_paused = true)]
async fn a_method_is_primary_if_either_version_declares_it() {
    let worker = Worker::default();
    let (_cluster, iad, hkg) =
        nodes(ServePlain::new(worker.clone()), ServePlain::new(worker.clone())).await;
    for node in [&iad, &hkg] {
        let new: AttributesClient = node.client();
        let error = new.on_region("hkg").primary(1).await.unwrap_err();
        assert!(matches!(error, RpcError::NotPrimary { .. }), "{error:?}");
        assert_eq!(new.primary(1).await.unwrap(), 1);
    }
    let serve = || ServeAttributes::new(worker.clone());
    let (_cluster, iad, hkg) = nodes(serve(), serve()).await;
    for node in [&iad, &hkg] {
        let old: PlainClient = node.client();
        let error = old.on_region("hkg").primary(1).await.unwrap_err();
        assert!(matches!(error, RpcError::NotPrimary { .. }), "{error:?}");
        assert_eq!(old.on_primary().primary(1).await.unwrap(), 1);
    }
    assert_eq!(worker.started_and_finished(), (4, 4));
}

#[tokio::test(start_paused = true)]
async fn only_an_idempotent_method_is_retried_after_it_may_have_executed() {
    let cluster = SimCluster::builder().region("iad", 2).region("hkg", 1);
    let cluster = cluster.release(serving(ServeAttributes::new(Worker::default()))).start().await;
    let client = cluster.node("hkg-0").client::<AttributesClient>().on_region("iad");
    let once: Vec<_> = (0..20).map(|_| tokio::spawn(client.once(1_000))).collect();
    let repeatable: Vec<_> = (0..20).map(|_| tokio::spawn(client.repeatable(1_000))).collect();
    sleep(millis(500)).await;
    cluster.crash_machine("iad-1");
    let mut lost = 0;
    for call in once {
        match call.await.unwrap() {
            Ok(attempt) => assert_eq!(attempt, 1),
            Err(error) => {
                assert!(matches!(error, RpcError::Disconnected { sent: true, .. }), "{error:?}");
                lost += 1;
            }
        }
    }
    let mut retried = 0;
    for call in repeatable {
        retried += u64::from(call.await.unwrap().unwrap() - 1);
    }
    assert!(
        (1..20).contains(&lost) && (1..20).contains(&retried),
        "{lost} lost, {retried} retried"
    );
}

#[tokio::test(start_paused = true)]
async fn a_detached_method_completes_without_its_caller() {
    with_worker(async |client, worker| {
        let (started, finished) = worker.started_and_finished();
        drop(tokio::time::timeout(millis(500), client.detached(3_000)).await);
        let error = client.timeout(secs(1)).detached(3_000).await.unwrap_err();
        assert!(is_timeout(&error, secs(1)), "{error:?}");
        drop(tokio::time::timeout(millis(500), client.plain(3_000)).await);
        sleep(secs(10)).await;
        assert_eq!(worker.started_and_finished(), (started + 3, finished + 2));
        assert_eq!(client.detached(7).await.unwrap(), 7);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_detached_method_completes_after_its_callers_machine_crashes() {
    let worker = Worker::default();
    let serve = || ServeAttributes::new(worker.clone());
    let (cluster, _iad, hkg) = nodes(serve(), serve()).await;
    let client = hkg.client::<AttributesClient>().on_region("iad");
    let calls = [
        tokio::spawn(client.detached(60_000)),
        tokio::spawn(client.timeout(secs(90)).plain(60_000)),
    ];
    sleep(secs(1)).await;
    cluster.crash_machine("hkg-0");
    sleep(secs(100)).await;
    assert_eq!(worker.started_and_finished(), (2, 1));
    drop(calls);
}

#[tokio::test(start_paused = true)]
async fn a_drain_waits_for_remote_and_local_detached_calls() {
    for region in ["iad", "hkg"] {
        let worker = Worker::default();
        let serve = || ServeAttributes::new(worker.clone());
        let (_cluster, iad, hkg) = nodes(serve(), serve()).await;
        let client = hkg.client::<AttributesClient>().on_region(region);
        drop(tokio::time::timeout(millis(500), client.detached(2_000)).await);
        let start = Instant::now();
        let serving = if region == "iad" { iad } else { hkg };
        serving.drain().await;
        assert_eq!(worker.started_and_finished(), (1, 1), "in {region}");
        assert!(start.elapsed() > secs(1), "in {region}: {:?}", start.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn all_attributes_of_a_method_combine() {
    let serve = || ServeAttributes::new(Worker::default());
    let (_cluster, iad, hkg) = nodes(serve(), serve()).await;
    let left = iad.client::<AttributesClient>().everything().await.unwrap();
    assert_eq!(left, 2_000);
    let left = hkg.client::<AttributesClient>().everything().await.unwrap();
    assert!((1_700..2_000).contains(&left), "{left}");
}
