//! A notebook for readers on all continents. Notes are written in the primary region, where the
//! database is, and read from a copy on the node next to the reader.
//!
//! - [`write`](Notes::write) runs in the primary region, and brings the note to all other nodes
//!   before it returns.
//! - [`read`](Notes::read) runs next to the reader: from the node's own copy, else from the primary.
//!   A copy that missed an update, behind a partition say, is believed for [`FRESH`] at most; after
//!   that it is shown only while the primary cannot be asked.

mod database;
mod notebook;

use std::time::Duration;

use flyrpc::fly_rpc;
use serde::{Deserialize, Serialize};

pub use self::{
    database::{Database, STATEMENT},
    notebook::{Notebook, start},
};

/// For how long a node believes its copy of a note without asking.
pub const FRESH: Duration = Duration::from_secs(60);

/// How long a write waits for a node to take its copy.
pub const COPY_TIMEOUT: Duration = Duration::from_secs(1);

/// Notes, written in the primary region and read near.
#[fly_rpc]
pub trait Notes {
    /// Writes a note, and returns its version, counted from 1. `request` names this very write:
    /// repeated with the same name it is done once, so it may be repeated until it succeeds. It is
    /// detached, so that the copies are made even if the writer gives up meanwhile.
    #[rpc(primary, idempotent, detached)]
    async fn write(&self, request: String, title: String, text: String, tag: Option<String>)
    -> u64;

    /// Reads a note: the node's copy, or the primary's.
    #[rpc(idempotent)]
    async fn read(&self, title: String) -> Result<Option<Found>, Unavailable>;

    /// The titles of all notes with this tag.
    #[rpc(primary, idempotent)]
    async fn tagged(&self, tag: String) -> Vec<String>;

    /// Looks a note up in the database.
    #[rpc(primary, idempotent, timeout = "1s")]
    async fn look_up(&self, title: String) -> Option<Note>;

    /// Keeps a copy of a note, unless there is one of a later version.
    #[rpc(idempotent)]
    async fn keep(&self, note: Note);
}

/// A note as it was at some time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// What it is found by.
    pub title: String,
    /// How often it has been written.
    pub version: u64,
    /// What it says.
    pub text: String,
    /// What it is about.
    pub tag: Option<String>,
}

/// A note that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// It.
    pub note: Note,
    /// Whether there may be a later version: the primary could not be asked.
    pub stale: bool,
}

/// There is no copy of the note here, and the primary could not be asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unavailable {
    /// Why it could not be asked.
    pub why: String,
}
