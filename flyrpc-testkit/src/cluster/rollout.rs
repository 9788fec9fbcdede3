//! A rolling deploy: nodes are replaced one by one.

use std::{future::IntoFuture, vec};

use futures_util::future::BoxFuture;

use super::{release::Release, sim_cluster::SimCluster};

/// A rolling deploy in progress. Made by [`SimCluster::roll`]; await it to run all of it, or each
/// [`step`](Rollout::step).
#[derive(Debug)]
#[must_use = "nothing is replaced until it is awaited or stepped"]
pub struct Rollout<'a> {
    cluster: &'a SimCluster,
    release: Release,
    remaining: vec::IntoIter<String>,
}

impl SimCluster {
    /// Replaces all nodes by ones of another release, one after another in the order in which they
    /// were added: a rolling deploy. Await it concurrently with the load of the test.
    ///
    /// ```
    /// # use flyrpc_testkit::{Release, SimCluster};
    /// # async fn load() {}
    /// # async fn roll(cluster: SimCluster, v2: Release) {
    /// tokio::join!(cluster.roll(v2), load());
    /// # }
    /// ```
    pub fn roll(&self, release: Release) -> Rollout<'_> {
        Rollout { cluster: self, release, remaining: self.names().into_iter() }
    }
}

impl Rollout<'_> {
    /// Replaces the next node, as [`SimCluster::replace`] does, and returns its name, or `None` once all
    /// are replaced. A node that is down stays down, and has the new release when it is restarted.
    ///
    /// Dropping the future leaves that node stopping or starting, and the others unchanged.
    ///
    /// # Panics
    ///
    /// As [`SimCluster::replace`].
    pub async fn step(&mut self) -> Option<String> {
        loop {
            let name = self.remaining.next()?;
            if self.cluster.is_up(&name) {
                self.cluster.replace(&name, self.release.clone()).await;
                return Some(name);
            }
            self.cluster.set_release(&name, self.release.clone());
        }
    }

    /// The nodes that have not been replaced yet, in order.
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
