//! A move of the primary region by a rolling deploy, during which nodes disagree about the primary
//! region.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use flyrpc::{Event, RpcError, fly_rpc};
use flyrpc_testkit::{Occurrence, Release, SimCluster};
use tokio::time::Instant;

use crate::support::{Log, millis, secs, sleep};

#[fly_rpc]
trait Ledger {
    #[rpc(primary)]
    async fn write(&self, id: u64) -> String;
}

/// The node that executed each write.
#[derive(Clone, Default)]
struct Book(Arc<Mutex<Vec<(u64, String)>>>);

struct Clerk {
    node: String,
    book: Book,
}

impl Ledger for Clerk {
    async fn write(&self, id: u64) -> String {
        self.book.0.lock().unwrap().push((id, self.node.clone()));
        // Long enough to be still running when its node is shut down.
        tokio::time::sleep(millis(50)).await;
        self.node.clone()
    }
}

impl Book {
    fn release(&self, primary: &'static str) -> Release {
        let book = self.clone();
        Release::new()
            .serve(move |node| {
                ServeLedger::new(Clerk { node: node.name().to_owned(), book: book.clone() })
            })
            .configure(move |_, builder| builder.primary_region(primary))
    }
}

/// Starts two nodes in iad, two in hkg, and two callers. The primary region of the nodes and of the
/// caller lhr-0 is iad, and that of the caller syd-0 is hkg.
async fn cluster() -> (SimCluster, Book) {
    let book = Book::default();
    let mut builder = SimCluster::builder().region("iad", 2).region("hkg", 2);
    for node in ["iad-0", "iad-1", "hkg-0", "hkg-1"] {
        builder = builder.node(node, book.release("iad"));
    }
    let ahead = Release::new().configure(|_, builder| builder.primary_region("hkg"));
    let cluster = builder.region("lhr", 1).region("syd", 1).node("syd-0", ahead).start().await;
    sleep(secs(2)).await;
    (cluster, book)
}

#[tokio::test(start_paused = true)]
async fn a_call_that_does_not_wait_is_refused_by_a_node_that_is_not_primary() {
    let (cluster, book) = cluster().await;
    let syd: LedgerClient = cluster.node("syd-0").client();
    for client in [syd.clone(), syd.on_primary(), syd.on_region("hkg")] {
        let error = client.write(1).await.unwrap_err();
        let RpcError::NotPrimary { theirs, ours, .. } = &error else { panic!("{error:?}") };
        assert_eq!((theirs.as_str(), ours.as_str()), ("iad", "hkg"));
        assert!(!error.may_have_executed());
    }
    assert!(book.0.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_finds_a_node_that_is_primary() {
    let (cluster, book) = cluster().await;
    let waiting = |node: &str| cluster.node(node).client::<LedgerClient>().wait(secs(4));
    let start = Instant::now();
    assert!(waiting("syd-0").on_primary().write(1).await.unwrap().starts_with("iad"));
    assert!(start.elapsed() < secs(1), "{:?}", start.elapsed());
    // A call to a region does not fall back to another region.
    let error = waiting("syd-0").on_region("hkg").write(2).await.unwrap_err();
    assert!(matches!(error, RpcError::NotPrimary { .. }), "{error:?}");
    assert_eq!(start.elapsed().as_secs(), 4);
    for node in ["iad-0", "iad-1", "hkg-0", "hkg-1"] {
        cluster.replace(node, book.release("hkg")).await;
    }
    assert!(waiting("lhr-0").on_primary().write(3).await.unwrap().starts_with("hkg"));
    assert_eq!(book.0.lock().unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn no_write_fails_or_runs_twice_while_the_primary_moves() {
    let (cluster, book) = cluster().await;
    let moved = Arc::new(Mutex::new(false));
    let write = async |node: &str, first: u64| {
        let client = cluster.node(node).client::<LedgerClient>().timeout(secs(30)).wait(secs(25));
        let mut id = first;
        while !*moved.lock().unwrap() {
            client.write(id).await.unwrap();
            id += 2;
        }
        (id - first) / 2
    };
    let roll = async {
        for node in ["iad-0", "iad-1", "hkg-0", "hkg-1"] {
            cluster.replace(node, book.release("hkg")).await;
            sleep(secs(3)).await;
        }
        *moved.lock().unwrap() = true;
    };
    let (behind, ahead, ()) = tokio::join!(write("lhr-0", 0), write("syd-0", 1), roll);
    assert!(behind > 10 && ahead > 10, "{behind} {ahead}");
    let written = book.0.lock().unwrap().clone();
    let ids: BTreeSet<_> = written.iter().map(|(id, _)| *id).collect();
    assert_eq!((ids.len(), written.len() as u64), (written.len(), behind + ahead));
    let by_region = |region: &str| written.iter().filter(|(_, at)| at.starts_with(region)).count();
    assert!(by_region("iad") > 0 && by_region("hkg") > 0, "{written:?}");
    assert!(written.last().unwrap().1.starts_with("hkg"), "{written:?}");
}

#[tokio::test(start_paused = true)]
async fn disagreement_is_one_event_and_one_log_line_per_change() {
    let (log, _guard) = Log::collect(tracing::Level::WARN);
    let (cluster, book) = cluster().await;
    for node in ["iad-0", "iad-1", "hkg-0", "hkg-1"] {
        cluster.replace(node, book.release("hkg")).await;
        sleep(secs(40)).await;
    }
    let mut disagreements = BTreeMap::new();
    for event in cluster.trace().events().membership() {
        if let Occurrence::Membership(Event::PrimaryDisagreement { node, theirs, ours }) =
            event.what()
        {
            assert_ne!(theirs, ours);
            let by = event.node().map(str::to_owned);
            // A node emits one event before it is replaced, and may emit one after.
            let boot = by.clone().map(|by| cluster.node(by).primary_region() == ours);
            *disagreements.entry((by, boot, node.id().clone())).or_insert(0) += 1;
        }
    }
    assert!(
        disagreements.len() > 10 && disagreements.values().all(|times| *times == 1),
        "{disagreements:?}"
    );
    let events: usize = disagreements.values().sum();
    assert_eq!(log.with(&["disagree on the primary"]).len(), events);
    // In the end, all nodes but one agree.
    let behind = cluster.node("lhr-0");
    let disagreeing = behind.peers().into_iter();
    let disagreeing = disagreeing.filter(|peer| peer.primary_region != Some("iad".into()));
    assert_eq!(disagreeing.count(), 5);
}
