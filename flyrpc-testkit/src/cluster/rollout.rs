//! A rolling deploy, which replaces nodes one by one.

use std::{future::IntoFuture, vec};

use futures_util::future::BoxFuture;

use super::{call_site::CallSite, release::Release, sim_cluster::SimCluster};

/// A rolling deploy in progress. Created by [`SimCluster::roll`]. Await it to run the whole deploy, or
/// await each [`step`](Rollout::step).
#[derive(Debug)]
#[must_use = "nothing is replaced until it is awaited or stepped"]
pub struct Rollout<'a> {
    cluster: &'a SimCluster,
    release: Release,
    remaining: vec::IntoIter<String>,
    site: CallSite,
}

impl SimCluster {
    /// Replaces the release of all nodes, one node after another in the order in which they were added,
    /// as a rolling deploy does. Await it concurrently with the load of the test.
    ///
    /// ```
    /// # use flyrpc_testkit::{Release, SimCluster};
    /// # async fn load() {}
    /// # async fn roll(cluster: SimCluster, v2: Release) {
    /// tokio::join!(cluster.roll(v2), load());
    /// # }
    /// ```
    #[track_caller]
    pub fn roll(&self, release: Release) -> Rollout<'_> {
        let remaining = self.names().into_iter();
        Rollout { cluster: self, release, remaining, site: CallSite::here() }
    }
}

impl Rollout<'_> {
    /// Replaces the next node, as [`SimCluster::replace`] does, and returns its name. Returns `None`
    /// once all nodes are replaced. A node that is down stays down, and runs the new release when it is
    /// restarted.
    ///
    /// Dropping the future leaves the node that is being replaced stopping or starting, and the other
    /// nodes unchanged.
    ///
    /// # Panics
    ///
    /// Under the same conditions as [`SimCluster::replace`].
    pub async fn step(&mut self) -> Option<String> {
        loop {
            let name = self.remaining.next()?;
            if self.cluster.is_up(&name) {
                let release = self.release.clone();
                self.cluster.replace_at(name.clone(), release, self.site).await;
                return Some(name);
            }
            self.cluster.set_release(&name, self.release.clone());
        }
    }

    /// Returns the names of the nodes that have not been replaced yet, in order.
    pub fn left(&self) -> &[String] {
        self.remaining.as_slice()
    }
}

impl<'a> IntoFuture for Rollout<'a> {
    type Output = ();
    type IntoFuture = BoxFuture<'a, ()>;

    fn into_future(mut self) -> Self::IntoFuture {
        Box::pin(async move { while self.step().await.is_some() {} })
    }
}
