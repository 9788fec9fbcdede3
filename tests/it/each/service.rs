//! The service that these tests call, and clusters that serve it.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use flyrpc::{NodeInfo, RpcError, fly_rpc};
use flyrpc_testkit::{Release, SimCluster, SimClusterBuilder};

use crate::support::{millis, sleep};

/// A service whose handlers are counted.
#[fly_rpc]
pub(super) trait Place {
    /// Returns the name of the node.
    #[rpc(idempotent)]
    async fn name(&self) -> String;
    /// Takes `millis` milliseconds, and returns the name of the node.
    async fn work(&self, millis: u64) -> String;
    /// Does the same, within 2 s, and even if its caller gives up.
    #[rpc(timeout = "2s", detached)]
    async fn work_to_the_end(&self, millis: u64) -> String;
    /// Runs on the primary node only.
    #[rpc(primary)]
    async fn write(&self) -> String;
    /// Returns its argument, and whether the node itself made the call.
    async fn echo(&self, number: u64) -> (u64, bool);
    /// Panics.
    async fn panic(&self);
}

/// The handlers of a cluster. Clones share their counts.
#[derive(Debug, Clone, Default)]
pub(super) struct Load(Arc<Handlers>);

#[derive(Debug, Default)]
struct Handlers {
    started: AtomicUsize,
    running: AtomicUsize,
    peak: AtomicUsize,
}

impl Load {
    /// The number of handlers of `work` that have started.
    pub(super) fn started(&self) -> usize {
        self.0.started.load(Ordering::SeqCst)
    }

    /// The number of them that are running.
    pub(super) fn running(&self) -> usize {
        self.0.running.load(Ordering::SeqCst)
    }

    /// The greatest number of them that were running at the same time.
    pub(super) fn peak(&self) -> usize {
        self.0.peak.load(Ordering::SeqCst)
    }

    async fn work(&self, duration: u64) {
        self.0.started.fetch_add(1, Ordering::SeqCst);
        let running = self.0.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.0.peak.fetch_max(running, Ordering::SeqCst);
        let _running = Running(self);
        sleep(millis(duration)).await;
    }
}

/// Ends with its handler, also if that is canceled.
struct Running<'a>(&'a Load);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

struct Here {
    name: String,
    load: Load,
}

impl Place for Here {
    async fn name(&self) -> String {
        self.name.clone()
    }

    async fn work(&self, millis: u64) -> String {
        self.load.work(millis).await;
        self.name.clone()
    }

    async fn work_to_the_end(&self, millis: u64) -> String {
        self.work(millis).await
    }

    async fn write(&self) -> String {
        self.name.clone()
    }

    async fn echo(&self, number: u64) -> (u64, bool) {
        (number, flyrpc::context().is_local())
    }

    async fn panic(&self) {
        panic!("as expected");
    }
}

/// The implementation of [`Place`] on one node.
pub(super) fn here(name: &str) -> ServePlace<impl Place> {
    serve(name, &Load::default())
}

fn serve(name: &str, load: &Load) -> ServePlace<Here> {
    ServePlace::new(Here { name: name.to_owned(), load: load.clone() })
}

/// A release that serves [`Place`].
pub(super) fn place(load: &Load) -> Release {
    let load = load.clone();
    Release::new().serve(move |node| serve(node.name(), &load))
}

/// A cluster whose nodes serve [`Place`], with this many in each region.
pub(super) fn cluster_of(regions: &[(&str, usize)], load: &Load) -> SimClusterBuilder {
    let cluster = SimCluster::builder().release(place(load));
    regions.iter().fold(cluster, |cluster, &(region, nodes)| cluster.region(region, nodes))
}

/// The names of the nodes that replied, in the order of their replies.
pub(super) fn names<T: std::fmt::Debug>(replies: &[(NodeInfo, Result<T, RpcError>)]) -> Vec<&str> {
    let name = |(node, result): &'_ (NodeInfo, Result<T, RpcError>)| {
        assert!(result.is_ok(), "{}: {result:?}", node.name());
    };
    replies.iter().for_each(name);
    replies.iter().map(|(node, _)| node.name()).collect()
}
