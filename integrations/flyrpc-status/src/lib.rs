#![doc = include_str!("../README.md")]

mod collector;
mod http;
mod parameters;
mod render;
mod snapshot;
mod window;

use axum::Router;
use flyrpc::Node;

/// Returns the routes of the status page of the cluster that `node` belongs to.
///
/// **The page is an administrative surface, not a public endpoint**: see [how to mount it](crate#mount-it-securely).
///
/// | path | response |
/// |---|---|
/// | `/` | the page; `?page=` is `overview`, `nodes`, `services`, `methods` or `links`, and `?node=` the id of a node |
/// | `/status.json` | the same as JSON |
///
/// All links are relative, so the router can be [nested](Router::nest) under any path. Only GET and HEAD are allowed.
///
/// The router does not keep the node running. After the node has ended, it responds with 503. While nobody looks, it has no
/// task and asks nothing.
pub fn router(node: &Node) -> Router {
    http::router(node)
}
