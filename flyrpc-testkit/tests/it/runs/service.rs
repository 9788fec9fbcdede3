//! The service of these tests.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use flyrpc::fly_rpc;
use flyrpc_testkit::{SimCluster, SimClusterBuilder};
use tokio::{task::spawn_blocking, time::sleep};

#[fly_rpc]
pub trait Jobs {
    async fn echo(&self, number: u64) -> u64;
    async fn pause(&self, pause: Duration);
    /// Starts a task that counts after a second.
    async fn start(&self, how: How);
    /// Blocks a thread of the blocking pool.
    async fn block(&self, number: u64);
    /// Stops at the barrier "committed", after it has counted.
    async fn commit(&self);
    async fn fail_later(&self);
}

/// How a handler starts a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) enum How {
    Owned,
    Scoped,
    Bare,
    /// A task that ends when its node crashes, since it waits for a task of the node.
    BareButEnding,
}

/// What handlers and their tasks have done, outside of the nodes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Done(Arc<Mutex<Vec<String>>>);

impl Done {
    pub(crate) fn add(&self, what: impl Into<String>) {
        self.0.lock().unwrap().push(what.into());
    }

    pub(crate) fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Worker(pub(crate) Done);

impl Jobs for Worker {
    async fn echo(&self, number: u64) -> u64 {
        number
    }

    async fn pause(&self, pause: Duration) {
        sleep(pause).await;
    }

    async fn start(&self, how: How) {
        let done = self.0.clone();
        let later = async move {
            sleep(Duration::from_secs(1)).await;
            done.add(format!("{how:?}"));
        };
        match how {
            How::Owned => drop(flyrpc::spawn(later)),
            How::Scoped => drop(tokio::spawn(flyrpc::context().scope(later))),
            How::Bare => drop(tokio::spawn(later)),
            How::BareButEnding => {
                let task = flyrpc::spawn(later);
                drop(tokio::spawn(task));
            }
        }
    }

    async fn block(&self, number: u64) {
        let done = self.0.clone();
        // The tasks with lower numbers take longer.
        let pause = Duration::from_micros(300 * (8 - number.min(8)));
        let work = spawn_blocking(move || {
            std::thread::sleep(pause);
            done.add(number.to_string());
        });
        work.await.expect("the task does not panic");
    }

    async fn commit(&self) {
        self.0.add("committed");
        flyrpc::barrier("committed").await;
        self.0.add("continued");
    }

    async fn fail_later(&self) {
        flyrpc::spawn(async {
            sleep(Duration::from_millis(10)).await;
            panic!("out of luck");
        });
    }
}

/// Two nodes in iad and one in hkg.
pub(crate) fn regions(worker: Worker) -> SimClusterBuilder {
    SimCluster::builder()
        .region("iad", 2)
        .region("hkg", 1)
        .rtt("iad", "hkg", Duration::from_millis(200))
        .serve(move |_node| ServeJobs::new(worker.clone()))
}
