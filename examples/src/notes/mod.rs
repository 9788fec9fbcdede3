//! A notebook for readers on all continents. Notes are written in the primary region, where the
//! database is, and read from a copy on the node nearest to the reader.
//!
//! - [`write`](Notes::write) runs in the primary region, and copies the note to the nodes of all other
//!   regions before it returns.
//! - [`read`](Notes::read) runs on the node nearest to the reader. It returns the node's own copy, or
//!   else asks the primary. A copy that missed an update, for example behind a partition, is trusted
//!   for at most [`FRESH`]. After that, it is returned only while the primary cannot be reached, and
//!   is marked as stale.

mod database;
mod notebook;

use std::time::Duration;

use flyrpc::fly_rpc;
use serde::{Deserialize, Serialize};

pub use self::{
    database::{Database, STATEMENT},
    notebook::{Notebook, start},
};

/// How long a node trusts its copy of a note without asking the primary.
pub const FRESH: Duration = Duration::from_secs(60);

/// How long a write waits for a node to store its copy.
pub const COPY_TIMEOUT: Duration = Duration::from_secs(1);

/// Notes, which are written in the primary region and read from the nearest copy.
#[fly_rpc]
pub trait Notes {
    /// Writes a note, and returns its version, counted from 1. `request` identifies this write: if it
    /// is repeated with the same name, it executes only once. So callers may retry it until it
    /// succeeds. It is detached, so that the copies are
    /// made even if the writer gives up in the meantime.
    #[rpc(primary, idempotent, detached)]
    async fn write(&self, request: String, title: String, text: String, tag: Option<String>)
    -> u64;

    /// Reads a note from the node's copy, or else from the primary.
    #[rpc(idempotent)]
    async fn read(&self, title: String) -> Result<Option<Found>, Unavailable>;

    /// Returns the titles of all notes with this tag.
    #[rpc(primary, idempotent)]
    async fn tagged(&self, tag: String) -> Vec<String>;

    /// Looks up a note in the database.
    #[rpc(primary, idempotent, timeout = "1s")]
    async fn look_up(&self, title: String) -> Option<Note>;

    /// Stores a copy of a note, unless the node has one of a later version.
    #[rpc(idempotent)]
    async fn keep(&self, note: Note);
}

/// One version of a note.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// The title, which identifies the note.
    pub title: String,
    /// Number of times that the note has been written.
    pub version: u64,
    /// The text.
    pub text: String,
    /// The topic, if any.
    pub tag: Option<String>,
}

/// The result of a read that found a note.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// The note.
    pub note: Note,
    /// Whether a later version may exist, because the primary could not be reached.
    pub stale: bool,
}

/// The error of a read if the node has no copy of the note and the primary cannot be reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unavailable {
    /// The error of the call to the primary.
    pub why: String,
}
