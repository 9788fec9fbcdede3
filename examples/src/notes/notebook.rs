//! The implementation of the service.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use flyrpc::{Node, NodeBuilder, StartError, WeakNode, context};
use futures_util::future::join_all;
use tokio::time::Instant;

use super::{
    COPY_TIMEOUT, Database, FRESH, Found, Note, Notes, NotesClient, ServeNotes, Unavailable,
};

/// Starts a node that serves notes.
///
/// # Errors
///
/// Returns an error if the node cannot start.
pub async fn start(builder: NodeBuilder, database: Database) -> Result<Node, StartError> {
    let notebook = Notebook::new(database);
    let node = builder.serve(ServeNotes::new(notebook.clone())).hold().start().await?;
    notebook.open(&node);
    node.accept();
    Ok(node)
}

/// Implements [`Notes`] on one node. Clones share their state.
#[derive(Debug, Clone)]
pub struct Notebook(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    database: Database,
    /// Weak, because the node holds the notebook, which must not keep it running.
    node: OnceLock<WeakNode>,
    copies: Mutex<BTreeMap<String, Copy>>,
}

#[derive(Debug, Clone)]
struct Copy {
    note: Note,
    since: Instant,
}

impl Notebook {
    /// Creates a notebook, which must be [opened](Self::open) before its node accepts calls.
    pub fn new(database: Database) -> Self {
        Notebook(Arc::new(Shared { database, node: OnceLock::new(), copies: Mutex::default() }))
    }

    /// Sets the node of the notebook, through which it calls other nodes.
    pub fn open(&self, node: &Node) {
        self.0.node.get_or_init(|| node.downgrade());
    }

    /// The node, unless it has ended.
    fn node(&self) -> Option<Node> {
        self.0.node.get().expect("a notebook is opened before its node accepts calls").upgrade()
    }

    fn copies(&self) -> MutexGuard<'_, BTreeMap<String, Copy>> {
        self.0.copies.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stores a copy of a note, unless there is one of a later version.
    fn store(&self, note: Note) {
        if self.node().is_none_or(|node| node.is_primary()) {
            return; // The database is in this region.
        }
        let mut copies = self.copies();
        let later = copies.get(&note.title).is_some_and(|copy| copy.note.version > note.version);
        if !later {
            copies.insert(note.title.clone(), Copy { note, since: Instant::now() });
        }
    }

    /// Copies a note to all nodes outside of this region. A node that misses it asks the primary once
    /// its previous copy is older than [`FRESH`].
    async fn spread(&self, note: &Note) {
        let Some(node) = self.node() else { return };
        let notes: NotesClient = context().client();
        let others = node.nodes().into_iter().filter(|other| other.region() != node.region());
        let kept =
            others.map(|other| notes.on_node(other.id()).timeout(COPY_TIMEOUT).keep(note.clone()));
        for error in join_all(kept).await.into_iter().filter_map(Result::err) {
            tracing::warn!(title = %note.title, %error, "a node did not store its copy of a note");
        }
    }
}

impl Notes for Notebook {
    async fn write(
        &self,
        request: String,
        title: String,
        text: String,
        tag: Option<String>,
    ) -> u64 {
        let note = self.0.database.write(request, title, text, tag).await;
        self.spread(&note).await;
        note.version
    }

    async fn read(&self, title: String) -> Result<Option<Found>, Unavailable> {
        let copy = self.copies().get(&title).cloned();
        if let Some(Copy { note, since }) = &copy
            && since.elapsed() < FRESH
        {
            return Ok(Some(Found { note: note.clone(), stale: false }));
        }
        let notes: NotesClient = context().client();
        match (notes.look_up(title).await, copy) {
            (Ok(None), _) => Ok(None),
            (Ok(Some(note)), _) => {
                self.store(note.clone());
                Ok(Some(Found { note, stale: false }))
            }
            (Err(_), Some(Copy { note, .. })) => Ok(Some(Found { note, stale: true })),
            (Err(error), None) => Err(Unavailable { why: error.to_string() }),
        }
    }

    async fn tagged(&self, tag: String) -> Vec<String> {
        self.0.database.tagged(&tag).await
    }

    async fn look_up(&self, title: String) -> Option<Note> {
        self.0.database.find(&title).await
    }

    async fn keep(&self, note: Note) {
        self.store(note);
    }
}
