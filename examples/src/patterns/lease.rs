//! A job that runs on one node of the cluster at a time.

use std::{
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use flyrpc::{NodeId, RpcError, WeakNode, fly_rpc};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep, timeout_at};

/// How long a lease lasts after it was acquired or renewed.
pub const LEASE: Duration = Duration::from_secs(10);

/// How often the holder renews its lease, and how often the other nodes try to acquire it.
pub const RENEW_PERIOD: Duration = Duration::from_secs(3);

/// Reports, which a job on one node writes. The database in the primary region holds the lease of the job.
#[fly_rpc]
pub trait Reports {
    /// Acquires the lease for a node, or renews it. Returns a token, which is higher for each holder than
    /// for the previous one, or `None` while another node holds the lease.
    #[rpc(primary, idempotent, timeout = "2s")]
    async fn acquire(&self, holder: NodeId) -> Option<u64>;

    /// Writes a report, unless the lease has been acquired with a higher token.
    #[rpc(primary, idempotent)]
    async fn write(&self, token: u64, report: String) -> Result<(), Fenced>;
}

/// The error of a write after another node has acquired the lease. Nothing was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fenced {
    /// The highest token of the lease.
    pub token: u64,
}

/// Runs `job` whenever this node holds the lease, until the node ends. `job` receives the token, and must pass it
/// to each of its writes. It is dropped when the lease is lost. When it completes, it starts again after
/// [`RENEW_PERIOD`].
///
/// The node ends when its last handle is dropped, so `job` should contain a [`WeakNode`], too, and no client.
pub async fn run_one<F: Future<Output = ()>>(node: WeakNode, mut job: impl FnMut(u64) -> F) {
    loop {
        let asked = Instant::now();
        match acquire(&node).await {
            Some(Ok(Some(token))) => tokio::select! {
                biased;
                () = job(token) => {}
                () = hold(&node, token, asked) => {}
            },
            None | Some(Err(RpcError::ShutDown { .. })) => return,
            // Another node holds the lease, or the primary region cannot be reached.
            Some(Ok(None) | Err(_)) => {}
        }
        sleep(RENEW_PERIOD).await;
    }
}

/// Acquires or renews the lease. Returns `None` if the node has ended.
async fn acquire(node: &WeakNode) -> Option<Result<Option<u64>, RpcError>> {
    let node = node.upgrade()?;
    let reports: ReportsClient = node.client();
    Some(reports.acquire(node.id().clone()).await)
}

/// Renews the lease until it is lost. While the primary region cannot be reached, this node's clock decides
/// when it is. `renewed` is the time at which the lease was last requested successfully.
async fn hold(node: &WeakNode, token: u64, mut renewed: Instant) {
    while let Ok(Some(asked)) = timeout_at(renewed + LEASE, renew(node, token)).await {
        renewed = asked;
    }
}

/// Renews the lease once. Returns when it was requested, or `None` if another node holds it or has held it
/// since, or this node has ended.
async fn renew(node: &WeakNode, token: u64) -> Option<Instant> {
    loop {
        sleep(RENEW_PERIOD).await;
        let asked = Instant::now();
        // After an error, which means that the primary region cannot be reached, it asks again.
        if let Ok(same) = acquire(node).await? {
            return (same == Some(token)).then_some(asked);
        }
    }
}

/// Implements [`Reports`].
#[derive(Debug)]
pub struct Archive(pub Database);

impl Reports for Archive {
    async fn acquire(&self, holder: NodeId) -> Option<u64> {
        self.0.acquire(holder)
    }

    async fn write(&self, token: u64, report: String) -> Result<(), Fenced> {
        self.0.write(token, report)
    }
}

/// A stand-in for the database in the primary region. Clones are connections to the same database. Each
/// method is one transaction.
#[derive(Debug, Clone, Default)]
pub struct Database(Arc<Mutex<Tables>>);

#[derive(Debug, Default)]
struct Tables {
    /// The holder of the lease, and when the lease expires on the clock of the database.
    holder: Option<(NodeId, Instant)>,
    /// The number of times that the lease was acquired.
    token: u64,
    reports: Vec<(u64, String)>,
}

impl Database {
    fn acquire(&self, by: NodeId) -> Option<u64> {
        let (mut tables, now) = (self.tables(), Instant::now());
        match tables.holder.as_ref().filter(|(_, expires)| now < *expires) {
            Some((holder, _)) if *holder != by => return None,
            Some(_) => {} // A renewal.
            None => tables.token += 1,
        }
        tables.holder = Some((by, now + LEASE));
        Some(tables.token)
    }

    fn write(&self, token: u64, report: String) -> Result<(), Fenced> {
        let mut tables = self.tables();
        if token < tables.token {
            return Err(Fenced { token: tables.token });
        }
        tables.reports.push((token, report));
        Ok(())
    }

    /// Returns the node that acquired the lease last.
    pub fn holder(&self) -> Option<NodeId> {
        Some(self.tables().holder.as_ref()?.0.clone())
    }

    /// Returns all reports, each with the token of its writer.
    pub fn reports(&self) -> Vec<(u64, String)> {
        self.tables().reports.clone()
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
