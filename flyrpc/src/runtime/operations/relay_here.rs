//! Runs a handler of this node for a visitor.

use std::sync::Arc;

use bytes::Bytes;
use tokio::{sync::oneshot, time::Instant};

use super::relay_pick::ArgumentNames;
use crate::{
    proto::routing::AttemptFailure,
    runtime::{
        client::status_failure,
        context::Context,
        link::{LinkError, Reply},
        server::{LocalReport, RequestFuture, ServeReporter, Until},
        shared::NodeShared,
    },
    service::Service,
    types::NodeInfo,
};

/// A method of this node.
pub(super) struct ServedHere {
    /// Whether it takes the arguments of the call.
    pub(super) suits: bool,
    service: Arc<dyn Service>,
    service_name: String,
    /// The index of the method within the service.
    method: usize,
    primary: bool,
    detached: bool,
}

/// The circumstances of a call.
pub(super) struct CallHere {
    pub(super) visitor: NodeInfo,
    /// Whether the target is the primary.
    pub(super) for_primary: bool,
    pub(super) deadline: Instant,
}

/// Returns a method of this node, if it serves it.
pub(super) fn find(
    node: &NodeShared,
    service: &str,
    method: &str,
    names: &ArgumentNames,
) -> Option<ServedHere> {
    let (implementation, spec, _) = node.server().service(service)?;
    let at = spec.methods.iter().position(|spec| spec.name == method)?;
    Some(ServedHere {
        suits: names.suit(&spec.methods[at]),
        service: Arc::clone(implementation),
        service_name: service.to_owned(),
        method: at,
        primary: spec.methods[at].primary,
        detached: spec.methods[at].detached,
    })
}

/// Runs the handler, and returns its encoded reply. The request is admitted like one of another node.
pub(super) async fn run(
    node: &Arc<NodeShared>,
    served: ServedHere,
    call: CallHere,
    arguments: Bytes,
) -> Result<Bytes, AttemptFailure> {
    let ServedHere { service, service_name, method, primary, detached, .. } = served;
    let CallHere { visitor, for_primary, deadline } = call;
    let server = node.server();
    let for_primary = primary || for_primary;
    let size = arguments.len() as u64;
    let permit = server
        .admit_relayed(&visitor, &service_name, method, for_primary, size)
        .map_err(|status| status_failure(node.primary_region(), status.into_owned()))?;
    let (server_of_time, started) = (Arc::clone(server), node.env().now());
    let report = server
        .reporter(&service_name, method)
        .map(|reporter| LocalReport::new(reporter, node.env(), &visitor, 1, None));
    let context = Context {
        caller: visitor,
        deadline,
        attempt: 1,
        local: false,
        origin: None,
        detached,
        depth: 0,
        host: Arc::clone(server.host()),
        metadata: None,
        span: None,
    };
    let future = RequestFuture::new(&*service, method, Until::of(detached), &arguments, context);
    let (limit, me) = (node.max_body(), Arc::clone(node));
    let work = async move {
        let result = match report {
            Some(report) => report.run(future, ServeReporter::outcome).await,
            None => future.await,
        };
        let took = me.env().now().saturating_duration_since(started);
        server_of_time.add_time(&service_name, method, took);
        drop(permit);
        match result {
            Ok(Reply { body, .. }) if body.len() > limit => {
                let (size, limit) = (body.len() as u64, limit as u64);
                Err(AttemptFailure::ReplyTooLarge { size, limit })
            }
            Ok(Reply { body, .. }) => Ok(body.into_bytes()),
            Err(status) => Err(status_failure(me.primary_region(), status)),
        }
    };
    if !detached {
        return work.await;
    }
    let (done, result) = oneshot::channel();
    node.env().spawn(Box::pin(async move {
        if done.is_closed() {
            // The visitor gave up before the handler started.
            return;
        }
        // An error means that the visitor has given up since, which does not affect a detached call.
        drop(done.send(work.await));
    }));
    let remaining = deadline.saturating_duration_since(node.env().now());
    match tokio::time::timeout(remaining, result).await {
        Ok(Ok(reply)) => reply,
        Ok(Err(_dropped)) => {
            Err(AttemptFailure::Disconnected { sent: true, source: Arc::new(LinkError::ShutDown) })
        }
        Err(_elapsed) => Err(AttemptFailure::Timeout { sent: true }),
    }
}
