//! Two versions of a service, and clusters that serve them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use flyrpc::fly_rpc;
use flyrpc_testkit::{Release, SimCluster, SimClusterBuilder};
use tokio::time::sleep;

/// The first version.
#[fly_rpc]
pub(crate) trait Desk {
    /// Returns the name of the node that serves the call.
    async fn name(&self) -> String;
    /// Takes this many milliseconds.
    async fn slow(&self, millis: u64) -> u64;
    /// Returns how many calls of `slow` have started in this boot of the node.
    async fn started(&self) -> u64;
    /// Returns its argument.
    async fn echo(&self, bytes: Vec<u8>) -> Vec<u8>;
}

/// The implementation of either version on the node `name`.
pub(crate) struct Clerk {
    name: String,
    started: AtomicU64,
}

impl Clerk {
    pub(crate) fn new(name: &str) -> Self {
        Clerk { name: name.to_owned(), started: AtomicU64::new(0) }
    }

    async fn work(&self, millis: u64) -> u64 {
        self.started.fetch_add(1, Ordering::SeqCst);
        sleep(ms(millis)).await;
        millis
    }
}

impl Desk for Clerk {
    async fn name(&self) -> String {
        self.name.clone()
    }

    async fn slow(&self, millis: u64) -> u64 {
        self.work(millis).await
    }

    async fn started(&self) -> u64 {
        self.started.load(Ordering::SeqCst)
    }

    async fn echo(&self, bytes: Vec<u8>) -> Vec<u8> {
        bytes
    }
}

/// The second version, without `started` and `echo`, and with the new method `version`.
pub(crate) mod v2 {
    use super::Clerk;

    #[flyrpc::fly_rpc(name = "Desk")]
    pub(crate) trait Desk {
        /// Takes this many milliseconds.
        async fn slow(&self, millis: u64) -> u64;
        /// Returns the number of this version.
        async fn version(&self) -> u32;
        /// Returns the name of the node that serves the call.
        async fn name(&self) -> String;
    }

    impl Desk for Clerk {
        async fn slow(&self, millis: u64) -> u64 {
            self.work(millis).await
        }

        async fn version(&self) -> u32 {
            2
        }

        async fn name(&self) -> String {
            self.name.clone()
        }
    }
}

/// Returns a builder with two nodes in iad, the primary region, and one node in hkg. The round trip is
/// 202 ms.
pub(crate) fn builder() -> SimClusterBuilder {
    SimCluster::builder()
        .region("iad", 2)
        .region("hkg", 1)
        .serve(|node| ServeDesk::new(Clerk::new(node.name())))
}

pub(crate) async fn cluster() -> SimCluster {
    builder().start().await
}

pub(crate) fn desk(cluster: &SimCluster, node: &str) -> DeskClient {
    cluster.node(node).client()
}

/// A release that serves the first version.
pub(crate) fn v1() -> Release {
    Release::new().serve(|node| ServeDesk::new(Clerk::new(node.name())))
}

/// A release that serves the second version.
pub(crate) fn v2() -> Release {
    Release::new().serve(|node| v2::ServeDesk::new(Clerk::new(node.name())))
}

pub(crate) const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(crate) const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// A counter shared by tasks.
#[derive(Clone, Default)]
pub(crate) struct Counter(Arc<AtomicU64>);

impl Counter {
    pub(crate) fn add(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}
