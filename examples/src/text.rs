//! A small text service, and a node that serves it.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use flyrpc::{Node, NodeBuilder, NodeId, NodeInfo, Region, StartError, fly_rpc};
use serde::{Deserialize, Serialize};

/// A few operations on text, and a few ways to fail.
#[fly_rpc]
pub trait Text {
    /// Upper-cases `text`.
    #[rpc(idempotent)]
    async fn upcase(&self, text: String) -> String;

    /// Counts the lines, words and bytes of `document`.
    #[rpc(idempotent)]
    async fn word_count(&self, document: String) -> Counts;

    /// Sleeps for `pause`, and returns it.
    async fn slow(&self, pause: Duration) -> Duration;

    /// Returns an error with the given `reason`. To flyrpc, such an error is an ordinary return value.
    async fn fail(&self, reason: String) -> Result<String, Failure>;

    /// Panics with `message`.
    async fn panic(&self, message: String) -> String;

    /// Returns the node that executes the call.
    #[rpc(idempotent)]
    async fn whoami(&self) -> Whoami;
}

/// The size of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Number of lines. The last line counts even if no line break follows it.
    pub lines: usize,
    /// Number of words, which are separated by white space.
    pub words: usize,
    /// Number of bytes in UTF-8.
    pub bytes: usize,
}

/// The error of [`Text::fail`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The reason that the caller passed.
    pub reason: String,
}

/// The node that executed a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Whoami {
    /// The node's id, which identifies this boot.
    pub node: NodeId,
    /// The node's region.
    pub region: Region,
    /// Number of calls of [`Text::slow`] that are running on the node.
    pub slow: usize,
    /// Number of calls of [`Text::slow`] that have started since the node booted.
    pub started: usize,
}

/// The implementation. Clones share their state.
#[derive(Debug, Clone, Default)]
pub struct TextService {
    me: Arc<OnceLock<NodeInfo>>,
    slow: Arc<AtomicUsize>,
    started: Arc<AtomicUsize>,
}

impl TextService {
    /// Starts a node that serves this service.
    ///
    /// # Errors
    ///
    /// Returns an error if the node cannot start.
    pub async fn start(&self, builder: NodeBuilder) -> Result<Node, StartError> {
        let node = builder.serve(ServeText::new(self.clone())).start().await?;
        self.me.get_or_init(|| node.info().clone());
        Ok(node)
    }
}

impl Text for TextService {
    async fn upcase(&self, text: String) -> String {
        text.to_uppercase()
    }

    async fn word_count(&self, document: String) -> Counts {
        Counts {
            lines: document.lines().count(),
            words: document.split_whitespace().count(),
            bytes: document.len(),
        }
    }

    async fn slow(&self, pause: Duration) -> Duration {
        self.started.fetch_add(1, Ordering::Relaxed);
        let _running = Running::new(&self.slow);
        tokio::time::sleep(pause).await;
        pause
    }

    async fn fail(&self, reason: String) -> Result<String, Failure> {
        Err(Failure { reason })
    }

    async fn panic(&self, message: String) -> String {
        panic!("{message}")
    }

    async fn whoami(&self) -> Whoami {
        // A call can arrive shortly before `start` has stored the node's info.
        let me = loop {
            match self.me.get() {
                Some(me) => break me,
                None => tokio::task::yield_now().await,
            }
        };
        Whoami {
            node: me.id().clone(),
            region: me.region().clone(),
            slow: self.slow.load(Ordering::Relaxed),
            started: self.started.load(Ordering::Relaxed),
        }
    }
}

/// Counts a call from its start until it completes or is canceled.
#[must_use = "the call is counted until this is dropped"]
struct Running<'a>(&'a AtomicUsize);

impl<'a> Running<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Running(count)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
