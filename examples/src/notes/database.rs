//! A stand-in for the database in the primary region.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::sleep;

use super::Note;

/// The time that a statement takes.
pub const STATEMENT: Duration = Duration::from_millis(5);

/// All notes, and the results of executed requests. Clones are connections to the same database, which
/// is independent of the nodes and outlives them.
#[derive(Debug, Clone, Default)]
pub struct Database(Arc<Mutex<Tables>>);

#[derive(Debug, Default)]
struct Tables {
    notes: BTreeMap<String, Note>,
    /// The note that each executed request wrote, by the name of the request.
    done: BTreeMap<String, Note>,
}

impl Database {
    /// Writes a note in one transaction and returns it. If `request` was executed before, returns the
    /// note that it wrote then.
    pub async fn write(
        &self,
        request: String,
        title: String,
        text: String,
        tag: Option<String>,
    ) -> Note {
        sleep(STATEMENT).await;
        let mut tables = self.tables();
        if let Some(note) = tables.done.get(&request) {
            return note.clone();
        }
        let version = tables.notes.get(&title).map_or(1, |earlier| earlier.version + 1);
        let note = Note { title: title.clone(), version, text, tag };
        tables.notes.insert(title, note.clone());
        tables.done.insert(request, note.clone());
        note
    }

    /// Returns the note with this title.
    pub async fn find(&self, title: &str) -> Option<Note> {
        sleep(STATEMENT).await;
        self.tables().notes.get(title).cloned()
    }

    /// Returns the titles of all notes with this tag.
    pub async fn tagged(&self, tag: &str) -> Vec<String> {
        sleep(STATEMENT).await;
        let tables = self.tables();
        let tagged = tables.notes.values().filter(|note| note.tag.as_deref() == Some(tag));
        tagged.map(|note| note.title.clone()).collect()
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
