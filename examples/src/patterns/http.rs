//! The HTTP response to a request whose calls failed.

use std::time::Duration;

use flyrpc::{ErrorInfo, context, fly_rpc};

/// Articles, in the database of the primary region.
#[fly_rpc]
pub trait Articles {
    /// Returns an article.
    #[rpc(primary, idempotent)]
    async fn find(&self, id: u64) -> Option<String>;
}

/// Articles as readers see them, on every node.
#[fly_rpc]
pub trait Reader {
    /// Returns an article, which this node reads from the primary region. If that call fails, returns its
    /// error.
    #[rpc(idempotent)]
    async fn read(&self, id: u64) -> Result<Option<String>, ErrorInfo>;
}

/// Implements [`Reader`].
#[derive(Debug)]
pub struct ReadThrough;

impl Reader for ReadThrough {
    async fn read(&self, id: u64) -> Result<Option<String>, ErrorInfo> {
        let articles: ArticlesClient = context().client();
        // Less than the time of the outer call, so that this error reaches the web server.
        Ok(articles.timeout(Duration::from_secs(2)).find(id).await?)
    }
}

/// An HTTP response, in place of the type of a web framework.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The body.
    pub body: String,
}

/// Handles `GET /articles/{id}`.
pub async fn get(reader: &ReaderClient, id: u64) -> Response {
    // Either call may have failed: the one to the reader, or the one that the reader made.
    match reader.read(id).await.map_err(ErrorInfo::from).flatten() {
        Ok(Some(text)) => Response { status: 200, body: text },
        Ok(None) => Response { status: 404, body: "no such article".into() },
        Err(error) => failed(&error),
    }
}

/// The kind is part of the response. The message names nodes and methods, so it only goes to the log.
fn failed(error: &ErrorInfo) -> Response {
    tracing::warn!(kind = %error.kind, node = ?error.node, "{}", error.message);
    Response { status: error.http_status(), body: error.kind.as_str().into() }
}
