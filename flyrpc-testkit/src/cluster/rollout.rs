//! A rolling deploy: nodes are replaced one by one.

use std::{future::IntoFuture, vec};

use futures_util::future::BoxFuture;

use super::{Release, SimCluster};

/// A rolling deploy under way. Made by [`SimCluster::roll`]; await it to run all of it, or each
/// [`step`](Rollout::step).
#[derive(Debug)]
#[must_use = "nothing is replaced until it is awaited or stepped"]
pub struct Rollout<'a> {
    cluster: &'a SimCluster,
    release: Release,
    left: vec::IntoIter<String>,
}

impl<'a> Rollout<'a> {
    pub(super) fn new(cluster: &'a SimCluster, release: Release) -> Self {
        let left = cluster.names().into_iter();
        Rollout { cluster, release, left }
    }

    /// Replaces the next node, as [`SimCluster::replace`] does, and returns its name; none once all
    /// are replaced. A node that is down stays down, and will be of the new release when it is
    /// restarted.
    ///
    /// Dropping the future leaves that node stopping or starting, and the others as they are.
    ///
    /// # Panics
    ///
    /// As [`SimCluster::replace`].
    pub async fn step(&mut self) -> Option<String> {
        loop {
            let name = self.left.next()?;
            if self.cluster.is_up(&name) {
                self.cluster.replace(&name, self.release.clone()).await;
                return Some(name);
            }
            self.cluster.set_release(&name, self.release.clone());
        }
    }

    /// The nodes that are still to be replaced, in order.
    pub fn left(&self) -> &[String] {
        self.left.as_slice()
    }
}

impl<'a> IntoFuture for Rollout<'a> {
    type Output = ();
    type IntoFuture = BoxFuture<'a, ()>;

    fn into_future(mut self) -> Self::IntoFuture {
        Box::pin(async move { while self.step().await.is_some() {} })
    }
}
