//! A pair of nodes of two versions, and checks for calls between them.

use std::{
    fmt::Debug,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use flyrpc::{Client, RpcError, Service, Unsupported, fly_rpc};
use flyrpc_testkit::{Release, SimCluster};
use tokio::time::Instant;

use crate::support::millis;

/// The number of executed handlers.
#[derive(Debug, Clone, Default)]
pub(super) struct Executed(Arc<AtomicU64>);

impl Executed {
    pub(super) fn add(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    pub(super) fn count(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// A service of both versions, which checks that their nodes can still be called.
#[fly_rpc]
pub(super) trait Alive {
    async fn alive(&self) -> bool;
}

struct AlwaysAlive;

impl Alive for AlwaysAlive {
    async fn alive(&self) -> bool {
        true
    }
}

/// A release that serves only [`Alive`].
pub(super) fn alive() -> Release {
    Release::new().serve(|_| ServeAlive::new(AlwaysAlive))
}

/// The time from a call to its reply.
const ROUND_TRIP: Duration = millis(100);

/// A node of the old version in the region `old`, and one of the new version in the region `new`.
pub(super) struct VersionPair {
    pub(super) cluster: SimCluster,
    pub(super) executed: Executed,
    linked: Duration,
    seen: [usize; 2],
}

impl VersionPair {
    /// Starts both nodes. Each version has two services.
    pub(super) async fn start<A: Service, B: Service, C: Service, D: Service>(
        old: impl Fn(&Executed) -> (A, B) + Clone + Send + Sync + 'static,
        new: impl Fn(&Executed) -> (C, D) + Clone + Send + Sync + 'static,
    ) -> Self {
        let (executed, start) = (Executed::default(), Instant::now());
        let cluster = SimCluster::builder()
            .region("old", 1)
            .region("new", 1)
            .rtt("old", "new", ROUND_TRIP)
            .node("old-0", release(&executed, old))
            .node("new-0", release(&executed, new))
            .start()
            .await;
        // By then, simultaneous dials of both nodes have been resolved to one link.
        tokio::time::sleep(Duration::from_secs(2)).await;
        let linked = start.elapsed();
        VersionPair { cluster, executed, linked, seen: [0; 2] }
    }

    /// A client on the node of a version.
    pub(super) fn client<C: Client>(&self, version: &str) -> C {
        self.cluster.node(format!("{version}-0")).client()
    }

    /// Returns the index of the next value of a version, counted from 0.
    pub(super) fn next_index(&mut self, version: &str) -> usize {
        let seen = &mut self.seen[usize::from(version == "new")];
        *seen += 1;
        *seen - 1
    }

    /// Checks a call from the node of version `from` to the other node. Either the argument arrives
    /// as `expected`, and the call returns it formatted, or the call is refused without executing.
    /// A later call must succeed.
    pub(super) async fn expect_as_argument<T: Debug, F>(
        &self,
        call: impl FnOnce() -> F,
        from: &str,
        expected: &Result<T, &str>,
    ) where
        F: Future<Output = Result<String, RpcError>>,
    {
        let (before, start) = (self.executed.count(), Instant::now());
        let outcome = call().await;
        let executed = self.executed.count() - before;
        match (outcome, expected) {
            (Ok(arrived), Ok(expected)) => {
                assert_eq!((arrived, executed), (format!("{expected:?}"), 1), "as an argument");
            }
            (Err(error), Err(part)) => {
                assert!(!error.may_have_executed() && executed == 0, "{error}");
                assert_eq!(error.node().map(|node| node.name()), Some(other_node(from)), "{error}");
                let RpcError::Unsupported { why: Unsupported::Arguments(detail), .. } = &error
                else {
                    panic!("{error:?}")
                };
                assert!(detail.starts_with("value") && detail.contains(part), "{detail}");
            }
            (outcome, expected) => panic!("as an argument: {outcome:?}, not {expected:?}"),
        }
        assert_eq!(start.elapsed(), ROUND_TRIP, "the call takes one round trip");
        self.expect_alive(from).await;
    }

    /// Checks a call from the node of version `from` to the other node. Either the reply arrives as
    /// `expected`, or it cannot be decoded. A later call must succeed.
    pub(super) async fn expect_as_reply<T: Debug, F>(
        &self,
        call: impl FnOnce() -> F,
        from: &str,
        expected: &Result<T, &str>,
    ) where
        F: Future<Output = Result<T, RpcError>>,
    {
        let before = self.executed.count();
        let outcome = call().await;
        assert_eq!(self.executed.count() - before, 1, "{outcome:?}");
        match (outcome, expected) {
            (Ok(arrived), Ok(expected)) => {
                assert_eq!(format!("{arrived:?}"), format!("{expected:?}"), "as a reply");
            }
            (Err(error), Err(part)) => {
                assert!(error.may_have_executed(), "{error}");
                assert_eq!(error.node().map(|node| node.name()), Some(other_node(from)), "{error}");
                let RpcError::BadReply { source, .. } = &error else { panic!("{error:?}") };
                assert!(source.to_string().contains(part), "{source}");
            }
            (outcome, expected) => panic!("as a reply: {outcome:?}, not {expected:?}"),
        }
        self.expect_alive(from).await;
    }

    /// Checks that calls from the node of a version to the other node succeed.
    pub(super) async fn expect_alive(&self, from: &str) {
        let alive = self.client::<AliveClient>(from).on_region(&other_node(from)[..3]);
        assert!(alive.alive().await.unwrap());
    }

    /// Checks that no link was opened or closed since the nodes were linked.
    pub(super) fn expect_no_link_events(self) {
        let trace = self.cluster.trace();
        let links: Vec<_> = trace.events().links().since(self.linked).collect();
        assert!(links.is_empty(), "{links:?}");
    }
}

/// The name of the node of the other version than `version`.
pub(super) fn other_node(version: &str) -> &'static str {
    if version == "old" { "new-0" } else { "old-0" }
}

fn release<A: Service, B: Service>(
    executed: &Executed,
    services: impl Fn(&Executed) -> (A, B) + Clone + Send + Sync + 'static,
) -> Release {
    let executed = executed.clone();
    Release::new().configure(move |_, builder| {
        let (first, second) = services(&executed);
        builder.serve(first).serve(second).serve(ServeAlive::new(AlwaysAlive))
    })
}
