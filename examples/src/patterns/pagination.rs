//! A long list, read in pages.

use std::{
    collections::BTreeMap,
    ops::Bound,
    sync::{Mutex, MutexGuard, PoisonError},
};

use flyrpc::{RpcError, fly_rpc};
use serde::{Deserialize, Serialize};

/// Upper bound on the entries of a page, whatever the caller asks for.
pub const MAX_PAGE: u32 = 100;

/// A timeline, newest post first.
#[fly_rpc]
pub trait Timeline {
    /// Adds a post.
    async fn post(&self, time: u64, text: String);

    /// Returns at most `limit` posts, newest first: those that follow the cursor, or the first ones.
    #[rpc(idempotent)]
    async fn page(&self, after: Option<Cursor>, limit: u32) -> Page;
}

/// A part of the timeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// The texts of the posts.
    pub posts: Vec<String>,
    /// The position of the next page, or `None` if this is the last one.
    pub next: Option<Cursor>,
}

/// A position in the timeline: the key of the last post of a page. Times may be equal, so the key also
/// contains the number of the post. Its fields are private, because only the service interprets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Cursor {
    time: u64,
    number: u64,
}

/// Reads all pages.
///
/// # Errors
///
/// Returns the error of the first call that fails.
pub async fn read_all(timeline: &TimelineClient) -> Result<Vec<String>, RpcError> {
    let mut page = timeline.page(None, MAX_PAGE).await?;
    let mut posts = page.posts;
    while let Some(cursor) = page.next {
        page = timeline.page(Some(cursor), MAX_PAGE).await?;
        posts.append(&mut page.posts);
    }
    Ok(posts)
}

/// Implements [`Timeline`] in memory, ordered as by an index on `(time, number)`.
#[derive(Debug, Default)]
pub struct Posts(Mutex<BTreeMap<Cursor, String>>);

impl Timeline for Posts {
    async fn post(&self, time: u64, text: String) {
        let mut posts = self.posts();
        let number = posts.len() as u64;
        posts.insert(Cursor { time, number }, text);
    }

    async fn page(&self, after: Option<Cursor>, limit: u32) -> Page {
        let limit = limit.clamp(1, MAX_PAGE) as usize;
        let posts = self.posts();
        let older = (Bound::Unbounded, after.map_or(Bound::Unbounded, Bound::Excluded));
        let mut older = posts.range(older).rev().peekable();
        let page: Vec<_> = older.by_ref().take(limit).collect();
        let last = page.last().map(|(key, _)| **key);
        let next = last.filter(|_| older.peek().is_some());
        Page { posts: page.into_iter().map(|(_, text)| text.clone()).collect(), next }
    }
}

impl Posts {
    fn posts(&self) -> MutexGuard<'_, BTreeMap<Cursor, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
