//! Undocumented methods are reported at their names.
#![deny(missing_docs)]

use flyrpc::fly_rpc;

/// Notes.
#[fly_rpc]
pub trait Notes {
    async fn all(&self) -> Vec<String>;
    /// Removes all notes.
    async fn clear(&self);
    async fn count(&self) -> u64;
}

fn main() {}
