use std::{collections, sync::Arc};

use flyrpc::fly_rpc;

pub struct Note;
pub struct Page;

// The errors are about `Note` and `Page`.
#[fly_rpc]
pub trait Notes {
    async fn save(&self, notes: collections::HashMap<String, [Note; 2]>);
    async fn share(&self, note: Arc<Vec<Note>>) -> std::collections::VecDeque<Page>;
}

fn main() {}
