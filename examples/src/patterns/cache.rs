//! A cache in every region, which drops its copies when the primary region writes.

use std::{
    collections::BTreeMap,
    future::Future,
    mem,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use flyrpc::{
    ErrorInfo, Event, Node, NodeBuilder, NodeId, NodeInfo, Nodes, StartError, WeakNode, context,
    fly_rpc,
};
use futures_util::future::join_all;
use tokio::time::{Instant, sleep, sleep_until};

/// How long a write waits for a node to drop its copy.
pub const INVALIDATE_TIMEOUT: Duration = Duration::from_secs(1);

/// How often a node checks whether it missed an invalidation.
pub const CHECK_PERIOD: Duration = Duration::from_secs(10);

/// How soon it checks again if a node did not respond.
pub const RETRY_PERIOD: Duration = Duration::from_secs(1);

/// Upper bound on the age of a copy, for the case that the checks cannot detect: a node that only this node
/// could not reach wrote, and crashed before this node reached it again.
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

    /// Drops the copy of a setting. `number` counts the invalidations of this boot of the calling node,
    /// from 1.
    #[rpc(idempotent)]
    async fn invalidate(&self, number: u64, key: String);

    /// Returns the number of the last invalidation of this boot, or 0.
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

    /// Compares numbers with the nodes that send invalidations, when one of them appears or is lost, and
    /// periodically. Ends with the node.
    async fn catch_up(self) {
        let Some(mut events) = self.node().map(|node| node.events()) else { return };
        let mut next_check = Instant::now();
        loop {
            let event = tokio::select! {
                event = events.next() => match event {
                    Some(event) => Some(event),
                    None => return,
                },
                () = sleep_until(next_check) => None,
            };
            let Some(node) = self.node() else { return };
            let primary = node.primary_region();
            match event {
                None => {}
                Some(Event::Missed(_)) => self.copies().lost_sender = true,
                Some(Event::Up(sender)) if sender.region() == primary => {}
                Some(Event::Down(sender) | Event::Left(sender)) if sender.region() == primary => {
                    self.copies().on_lost(sender.id());
                }
                Some(_) => continue,
            }
            let senders = node.nodes_in(primary.clone());
            let compared = join_all(senders.iter().map(|sender| self.compare(&node, sender))).await;
            let all_responded = compared.into_iter().all(|responded| responded);
            next_check = Instant::now() + if all_responded { CHECK_PERIOD } else { RETRY_PERIOD };
        }
    }

    /// Drops all copies if this node may have missed an invalidation. Returns whether the sender responded.
    async fn compare(&self, node: &Node, sender: &NodeInfo) -> bool {
        let sender_only = node.client::<SettingsClient>().on_node(sender.id());
        match sender_only.timeout(INVALIDATE_TIMEOUT).last_invalidation().await {
            Ok(last) => {
                self.copies().on_comparison(sender.id(), last);
                true
            }
            Err(_) => false,
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
        let settings = context().client::<SettingsClient>().timeout(INVALIDATE_TIMEOUT);
        let invalidate = move |to: SettingsClient| to.invalidate(number, key.clone());
        // A node that misses the invalidation catches up, so errors are ignored.
        settings.each(Nodes::others(), invalidate).collect().await;
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
    /// The highest number received from each boot of a node that can be reached.
    received: BTreeMap<NodeId, u64>,
    /// Whether a sender was lost since the last comparison. It may have sent invalidations that this node
    /// has missed.
    lost_sender: bool,
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

    fn on_comparison(&mut self, with: &NodeId, last: u64) {
        // The primary region can be reached, so values can be loaded again.
        if mem::take(&mut self.lost_sender) {
            self.clear();
        }
        self.on_last_invalidation(with, last);
    }

    fn on_last_invalidation(&mut self, from: &NodeId, last: u64) {
        let received = self.received.entry(from.clone()).or_default();
        if last > *received {
            *received = last;
            self.clear();
        }
    }

    fn on_lost(&mut self, sender: &NodeId) {
        self.received.remove(sender);
        self.lost_sender = true;
    }

    fn clear(&mut self) {
        self.version += 1;
        self.values.clear();
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
