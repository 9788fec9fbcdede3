use std::sync::Arc;

use flyrpc::fly_rpc;

pub struct Note;

// serde implements its traits for `Arc` only with its feature `rc`, which the message names.
#[fly_rpc]
pub trait Notes {
    async fn save(&self, note: Arc<Note>);
}

fn main() {}
