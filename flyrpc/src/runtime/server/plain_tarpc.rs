//! Services behind plain tarpc, without a node: handlers have a context there too.

use std::{
    future::{Future, poll_fn},
    net::{Ipv6Addr, SocketAddr},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use tarpc::ServerError;
use tokio::time::Instant;

use crate::{
    env::TokioEnv,
    runtime::context::{Context, poll_in},
    service::{Handler, Request},
    types::{NodeId, NodeInfo, Region},
};

/// The most that a deadline from outside is believed. Further ones are the same to a handler, and
/// `Duration::MAX` is no time on any clock.
const LONGEST_DEADLINE: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Serves a request that came through plain tarpc.
// Not an `async fn`, because that it is `Send` is part of what it promises.
#[allow(clippy::manual_async_fn)]
pub fn serve_tarpc<H: Handler>(
    handler: H,
    context: tarpc::context::Context,
    request: H::Request,
) -> impl Future<Output = Result<<H::Request as Request>::Response, ServerError>> + Send {
    async move {
        let mut context = Some(context_of(&context));
        let mut running = pin!(handler.handle(request));
        Ok(poll_fn(|task| poll_in(&mut context, running.as_mut(), task)).await)
    }
}

/// tarpc tells nothing of the caller, and a deadline on the system's clock, which does not stand
/// still where tokio's does.
fn context_of(context: &tarpc::context::Context) -> Context {
    let left = context.deadline.saturating_duration_since(std::time::Instant::now());
    let nowhere = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0));
    Context {
        caller: NodeInfo::new(NodeId::new("", 0), Region::from(""), nowhere),
        deadline: Instant::now() + left.min(LONGEST_DEADLINE),
        attempt: 1,
        local: false,
        env: Arc::new(TokioEnv),
    }
}
