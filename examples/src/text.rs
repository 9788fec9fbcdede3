//! A small service on texts, and a node that serves it.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use flyrpc::{Node, NodeBuilder, NodeId, NodeInfo, Region, StartError, fly_rpc};
use serde::{Deserialize, Serialize};

/// A few things to do with a text, and a few ways to fail.
#[fly_rpc]
pub trait Text {
    /// Upper-cases `text`.
    #[rpc(idempotent)]
    async fn upcase(&self, text: String) -> String;

    /// Counts what is in `document`.
    #[rpc(idempotent)]
    async fn word_count(&self, document: String) -> Counts;

    /// Answers after `pause`.
    async fn slow(&self, pause: Duration) -> Duration;

    /// Gives the error that it is asked for: a value like any other.
    async fn fail(&self, reason: String) -> Result<String, Failure>;

    /// Panics with `message`.
    async fn panic(&self, message: String) -> String;

    /// Says who answers.
    #[rpc(idempotent)]
    async fn whoami(&self) -> Whoami;
}

/// How much there is of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Lines, the last one included though no line break may follow it.
    pub lines: usize,
    /// Words: whatever white space separates.
    pub words: usize,
    /// Bytes in UTF-8.
    pub bytes: usize,
}

/// The error of [`Text::fail`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What was asked for.
    pub reason: String,
}

/// The node that answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Whoami {
    /// This boot of it.
    pub node: NodeId,
    /// Where it runs.
    pub region: Region,
    /// How many calls of [`Text::slow`] run there at this moment.
    pub slow: usize,
    /// How many have started since that boot.
    pub started: usize,
}

/// The implementation. Clones are the same service.
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
    /// If the node cannot start.
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
        // A call can arrive before `start` has returned to its caller, but not long before.
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

/// Counts a call for as long as it runs, whether it ends or is cancelled.
#[must_use = "counts until it is dropped"]
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
