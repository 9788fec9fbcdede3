//! A cache in every region, which drops its copies when the primary region writes.

use std::{
    collections::BTreeMap,
    future::Future,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use flyrpc::{
    ErrorInfo, Event, Node, NodeBuilder, NodeId, NodeInfo, StartError, WeakNode, context, fly_rpc,
};
use futures_util::future::join_all;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

/// How long a write waits for a node to drop its copy.
pub const INVALIDATE_TIMEOUT: Duration = Duration::from_secs(1);

/// How often a node checks whether it missed an invalidation.
pub const CHECK_PERIOD: Duration = Duration::from_secs(10);

/// Upper bound on the age of a copy, for the case that the checks cannot detect: a node wrote, and crashed
/// before this node learned of the write.
pub const MAX_AGE: Duration = Duration::from_secs(600);

/// Settings, which are written in the primary region and cached in the others.
#[fly_rpc]
pub trait Settings {
    /// Returns a setting from the cache of this node, or else from the database.
    #[rpc(idempotent)]
    async fn get(&self, key: String) -> Result<Option<String>, ErrorInfo>;

    /// Writes a setting. It is detached, so that the copies are dropped even if the writer gives up.
    #[rpc(primary, detached)]
    async fn set(&self, key: String, value: String);

    /// Returns a setting from the database.
    #[rpc(primary, idempotent)]
    async fn load(&self, key: String) -> Option<String>;

    /// Drops the copy of a setting. `number` counts the invalidations of the calling node, from 1.
    #[rpc(idempotent)]
    async fn invalidate(&self, number: u64, key: String);

    /// Returns the number of this node's last invalidation, or 0.
    #[rpc(idempotent)]
    async fn last_invalidation(&self) -> u64;
}

/// Starts a node that serves settings. Also returns its background task, which the caller must spawn.
///
/// # Errors
///
/// Returns an error if the node cannot start.
pub async fn start(
    builder: NodeBuilder,
    database: Database,
) -> Result<(Node, impl Future<Output = ()> + Send + 'static), StartError> {
    let cache = Cache::new(database);
    let node = builder.serve(ServeSettings::new(cache.clone())).hold().start().await?;
    cache.0.node.get_or_init(|| node.downgrade());
    node.accept();
    Ok((node, cache.catch_up()))
}

/// Implements [`Settings`] on one node. Clones share their state.
#[derive(Debug, Clone)]
struct Cache(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    database: Database,
    /// Weak, because the node holds the cache, which must not keep it running.
    node: OnceLock<WeakNode>,
    /// The number of the last invalidation that this node has sent.
    sent: AtomicU64,
    copies: Mutex<Copies>,
}

impl Cache {
    fn new(database: Database) -> Self {
        let (sent, copies) = (AtomicU64::new(0), Mutex::default());
        Cache(Arc::new(Shared { database, node: OnceLock::new(), sent, copies }))
    }

    /// The node, unless it has ended.
    fn node(&self) -> Option<Node> {
        self.0.node.get()?.upgrade()
    }

    fn copies(&self) -> MutexGuard<'_, Copies> {
        self.0.copies.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Compares numbers with a node when it appears, and with all writing nodes periodically. Ends with
    /// the node.
    async fn catch_up(self) {
        let Some(mut events) = self.node().map(|node| node.events()) else { return };
        let mut checks = interval(CHECK_PERIOD);
        checks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let senders = tokio::select! {
                event = events.next() => match event {
                    Some(Event::Up(node)) => vec![node],
                    Some(Event::Down(node) | Event::Left(node)) => {
                        self.copies().forget(node.id());
                        continue;
                    }
                    Some(_) => continue,
                    None => return,
                },
                _ = checks.tick() => match self.node() {
                    Some(node) => node.nodes_in(node.primary_region().clone()),
                    None => return,
                },
            };
            join_all(senders.iter().map(|sender| self.compare(sender))).await;
        }
    }

    /// Drops all copies if this node has missed an invalidation of `sender`.
    async fn compare(&self, sender: &NodeInfo) {
        let Some(node) = self.node() else { return };
        let sender_only = node.client::<SettingsClient>().on_node(sender.id());
        // After an error, the next check asks again.
        if let Ok(last) = sender_only.timeout(INVALIDATE_TIMEOUT).last_invalidation().await {
            self.copies().on_last_invalidation(sender.id(), last);
        }
    }
}

impl Settings for Cache {
    async fn get(&self, key: String) -> Result<Option<String>, ErrorInfo> {
        let settings: SettingsClient = context().client();
        if self.node().is_none_or(|node| node.is_primary()) {
            return Ok(settings.load(key).await?); // The database is in this region.
        }
        let version = {
            let copies = self.copies();
            if let Some(value) = copies.get(&key) {
                return Ok(value);
            }
            copies.version
        };
        let value = settings.load(key.clone()).await?;
        self.copies().insert(key, value.clone(), version);
        Ok(value)
    }

    async fn set(&self, key: String, value: String) {
        self.0.database.write(&key, value).await;
        // After the write, so that a node that drops its copy loads the new value.
        let number = self.0.sent.fetch_add(1, Ordering::SeqCst) + 1;
        let Some(node) = self.node() else { return };
        let settings = context().client::<SettingsClient>().timeout(INVALIDATE_TIMEOUT);
        let others = node.nodes().into_iter().filter(|other| other.region() != node.region());
        // A node that misses the invalidation catches up, so errors are ignored.
        join_all(others.map(|other| settings.on_node(other.id()).invalidate(number, key.clone())))
            .await;
    }

    async fn load(&self, key: String) -> Option<String> {
        self.0.database.read(&key).await
    }

    async fn invalidate(&self, number: u64, key: String) {
        self.copies().on_invalidation(context().caller().id(), number, &key);
    }

    async fn last_invalidation(&self) -> u64 {
        self.0.sent.load(Ordering::SeqCst)
    }
}

/// The copies on one node, and the invalidations that it has received.
#[derive(Debug, Default)]
struct Copies {
    /// The values, and when they were stored. `None` is the copy of a setting that does not exist.
    values: BTreeMap<String, (Instant, Option<String>)>,
    /// The highest number received from each node.
    received: BTreeMap<NodeId, u64>,
    /// The number of changes by invalidations. A value that was loaded before the last one may be
    /// outdated, and is not stored.
    version: u64,
}

impl Copies {
    fn get(&self, key: &str) -> Option<Option<String>> {
        let (stored, value) = self.values.get(key)?;
        (stored.elapsed() < MAX_AGE).then(|| value.clone())
    }

    fn insert(&mut self, key: String, value: Option<String>, version: u64) {
        if version == self.version {
            self.values.insert(key, (Instant::now(), value));
        }
    }

    fn on_invalidation(&mut self, from: &NodeId, number: u64, key: &str) {
        // If earlier ones are missing, it is unknown which copies they are for.
        self.on_last_invalidation(from, number.saturating_sub(1));
        self.version += 1;
        self.values.remove(key);
        let received = self.received.entry(from.clone()).or_default();
        *received = number.max(*received);
    }

    fn on_last_invalidation(&mut self, from: &NodeId, last: u64) {
        let received = self.received.entry(from.clone()).or_default();
        if last > *received {
            *received = last;
            self.version += 1;
            self.values.clear();
        }
    }

    fn forget(&mut self, node: &NodeId) {
        self.received.remove(node);
    }
}

/// A stand-in for the database in the primary region. Clones are connections to the same database.
#[derive(Debug, Clone, Default)]
pub struct Database(Arc<Mutex<BTreeMap<String, String>>>);

impl Database {
    async fn write(&self, key: &str, value: String) {
        self.rows().insert(key.to_owned(), value);
        sleep(Duration::from_millis(5)).await;
    }

    async fn read(&self, key: &str) -> Option<String> {
        let value = self.rows().get(key).cloned();
        sleep(Duration::from_millis(10)).await;
        value
    }

    fn rows(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
