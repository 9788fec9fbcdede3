//! [`Visitor`].

use std::{
    fmt,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};

use super::connect::{MAX_BODY, VisitError, VisitOptions};
use crate::{
    codec::{self, EncodedBody},
    env::Env,
    error::{BodyError, ErrorInfo, ErrorKind},
    proto::routing::AttemptFailure,
    runtime::{
        client::{BodyLimit, encode},
        cluster::{InternalRequest, InternalResponse},
        link::{INTERNAL_BODY_MAX, Link, LinkError, OutboundCall},
        operations::{self, MAX_TIMEOUT, Sender},
        shared::MAX_VISITORS,
    },
    service::{INTERNAL_SERVICE, Request, ServiceKind, caller_trait},
    types::{
        KeyId, NodeAction, NodeId, NodeInfo, NodeReport, Region, RelayTarget, RelayedCall,
        WatchReport,
    },
};

/// The timeout of a question that the node answers itself, or passes on to one other node.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The time by which a visitor waits longer for a relayed call than the node does, so that the error of the node arrives.
const RELAY_MARGIN: Duration = Duration::from_millis(500);

/// A connection to one node, for operators and their tools.
///
/// A visitor is no member of the cluster: no node lists it, dials it or gossips about it, and one TCP connection to one
/// node is enough, for example through a port forward. What it learns about other nodes, it learns from that node. It
/// calls methods of the application through that node, which does the routing. A node has room for 16 visitors.
///
/// Dropping it closes the connection. The command `flyrpc`, of the crate `flyrpc-cli`, is a visitor.
pub struct Visitor {
    env: Arc<dyn Env>,
    link: Arc<Link>,
    /// Whether the node has answered a request.
    is_answered: AtomicBool,
}

/// Why the link of a visitor probably ended before the first answer.
#[derive(Debug, thiserror::Error)]
#[error(
    "the node closed the connection before its first answer, most likely because it serves at most {MAX_VISITORS} visitors \
        at a time"
)]
struct ClosedBeforeAnswer;

impl Visitor {
    /// Connects to the node at `addr`. Dropping the future closes the connection.
    ///
    /// # Errors
    ///
    /// If there is no flyrpc node at the address, or it does not accept the visitor: its secret or its cluster is another
    /// one, or it is older than visitors (version 0.1). A node that has 16 visitors closes the connection of the next one,
    /// whose first question fails with [`Disconnected`](crate::ErrorKind::Disconnected), and a message about this limit.
    ///
    /// # Panics
    ///
    /// If the current task does not run in a tokio runtime with time and I/O.
    pub async fn connect(addr: SocketAddr, options: VisitOptions) -> Result<Visitor, VisitError> {
        let (env, link) = options.connect(addr).await?;
        Ok(Visitor { env, link, is_answered: AtomicBool::new(false) })
    }

    /// The node that the visitor is connected to.
    pub fn node(&self) -> &NodeInfo {
        self.link.peer()
    }

    /// The key that seals the connection. `None` if it is open.
    pub fn sealed_with(&self) -> Option<KeyId> {
        self.link.sealed_with()
    }

    /// The shortest of the last round trips to the node.
    pub fn round_trip(&self) -> Option<Duration> {
        self.link.round_trip()
    }

    /// Returns the state of a node and of the peers that it knows: of the node that the visitor is connected to, or of
    /// another one, which that node asks. Dropping the future cancels the question.
    ///
    /// # Errors
    ///
    /// The errors of any call, within 5 s. A node of version 0.1 gives [`Unsupported`](crate::ErrorKind::Unsupported).
    pub async fn status(&self, node: Option<&NodeId>) -> Result<NodeReport, ErrorInfo> {
        let request = InternalRequest::Status { node: node.cloned() };
        match self.ask(request, TIMEOUT).await? {
            InternalResponse::Status(report) => operations::decode_report(&report?),
            _ => Err(other_response("status")),
        }
    }

    /// Returns the calls that a node serves. The node starts to record them when it is asked first, so only the difference
    /// of two answers is complete. It stops a minute after the last question. Dropping the future cancels the question.
    ///
    /// # Errors
    ///
    /// As [`status`](Self::status).
    pub async fn watch(&self, node: Option<&NodeId>) -> Result<WatchReport, ErrorInfo> {
        let request = InternalRequest::Watch { node: node.cloned() };
        match self.ask(request, TIMEOUT).await? {
            InternalResponse::Watch(report) => operations::decode_watch(&report?),
            _ => Err(other_response("watch")),
        }
    }

    /// Changes which calls a node accepts. If the future is dropped, the node may or may not have done it.
    ///
    /// # Errors
    ///
    /// [`Denied`](crate::ErrorKind::Denied) unless the connection is sealed or over loopback, and otherwise as
    /// [`status`](Self::status).
    pub async fn control(
        &self,
        node: Option<&NodeId>,
        action: NodeAction,
    ) -> Result<(), ErrorInfo> {
        let request = InternalRequest::Control { node: node.cloned(), action };
        match self.ask(request, TIMEOUT).await? {
            InternalResponse::Control(done) => done,
            _ => Err(other_response("control")),
        }
    }

    /// Calls a method of the application through the node, which makes one attempt. `arguments` must be serialized as a
    /// map or a struct, from the names of the arguments to their values. A timeout of more than an hour counts as an hour.
    /// Arguments and reply have at most 4 MiB, whatever the limits of the nodes are. Dropping the future cancels the call.
    ///
    /// # Errors
    ///
    /// The errors of the node's call, and of the visitor's own call of the node. An `Err` that the handler returns is a
    /// value of the type `T`, and not an error.
    pub async fn call<T: DeserializeOwned>(
        &self,
        target: RelayTarget,
        service: &str,
        method: &str,
        arguments: &impl Serialize,
        timeout: Duration,
    ) -> Result<T, ErrorInfo> {
        let timeout = timeout.min(MAX_TIMEOUT);
        let failed = |failure| operations::error_info(service, method, None, failure);
        let mut encoded = Vec::new();
        codec::encode(arguments, &mut encoded)
            .map_err(|error| failed(AttemptFailure::Encode(error)))?;
        let size = encoded.len();
        let too_large = || {
            let kind = ErrorKind::ArgumentsTooLarge;
            operations::too_large_to_relay(service, method, None, kind, size)
        };
        if size > INTERNAL_BODY_MAX {
            return Err(too_large());
        }
        let call = RelayedCall {
            target,
            service: service.to_owned(),
            method: method.to_owned(),
            arguments: encoded.into(),
            timeout,
        };
        let request = InternalRequest::Relay { call };
        let response = self.ask(request, timeout + RELAY_MARGIN).await;
        // With the names, the arguments may exceed the limit.
        match response.map_err(|error| match error.kind {
            ErrorKind::ArgumentsTooLarge => too_large(),
            _ => error,
        })? {
            InternalResponse::Relay(reply) => codec::decode(&reply?)
                .map_err(|source| failed(AttemptFailure::BadReply { encoded: true, source })),
            _ => Err(other_response("relay")),
        }
    }

    /// Calls the internal service of the node.
    async fn ask(
        &self,
        request: InternalRequest,
        timeout: Duration,
    ) -> Result<InternalResponse, ErrorInfo> {
        let method = &InternalRequest::methods()[request.method()];
        let reply = self.send(&request, timeout).await;
        let reply = reply.map_err(|failure| self.explained(&request, failure)).and_then(|reply| {
            let bad_reply = |source| AttemptFailure::BadReply { encoded: true, source };
            (method.decode_response)(&reply).map_err(bad_reply)
        });
        reply.map_err(|failure| {
            operations::error_info(INTERNAL_SERVICE, method.name, Some(self.node()), failure)
        })
    }

    /// Replaces the cause if the link has ended before the first answer. A node without room for a visitor closes the
    /// connection without a reason.
    fn explained(&self, request: &InternalRequest, failure: AttemptFailure) -> AttemptFailure {
        let AttemptFailure::Disconnected { sent, source } = failure else { return failure };
        let is_closed = matches!(self.link.error(), Some(LinkError::Closed | LinkError::Broken(_)));
        if self.is_answered.load(Ordering::Relaxed) || !is_closed {
            return AttemptFailure::Disconnected { sent, source };
        }
        // Questions change nothing.
        let changes =
            matches!(request, InternalRequest::Control { .. } | InternalRequest::Relay { .. });
        let source = Arc::new(ClosedBeforeAnswer);
        AttemptFailure::Disconnected { sent: sent && changes, source }
    }

    async fn send(
        &self,
        request: &InternalRequest,
        timeout: Duration,
    ) -> Result<Bytes, AttemptFailure> {
        if let Some(error) = self.link.error() {
            return Err(disconnected(error));
        }
        let compats = caller_trait::<InternalRequest>().compare(self.link.all_services());
        let limit = BodyLimit::of_link(self.link.limit(ServiceKind::Internal), MAX_BODY);
        let mut body = EncodedBody::new();
        let method = encode(request, &compats, limit, &mut body)?;
        let call = OutboundCall {
            method,
            primary: false,
            attempt: 1,
            fields: &[],
            expires: None,
            counts: false,
        };
        let sender = Sender { env: &*self.env, primary_region: &Region::LOCAL, max_body: MAX_BODY };
        let reply = sender.send(&self.link, call, body, self.env.now() + timeout).await;
        if reply.is_ok() {
            self.is_answered.store(true, Ordering::Relaxed);
        }
        reply
    }
}

impl Drop for Visitor {
    fn drop(&mut self) {
        self.link.end(LinkError::ShutDown);
    }
}

impl fmt::Debug for Visitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Visitor").field("node", self.node()).finish_non_exhaustive()
    }
}

fn disconnected(error: LinkError) -> AttemptFailure {
    AttemptFailure::Disconnected { sent: false, source: Arc::new(error) }
}

fn other_response(method: &str) -> ErrorInfo {
    let source = BodyError::new("", "the reply belongs to another method");
    let failure = AttemptFailure::BadReply { encoded: true, source };
    operations::error_info(INTERNAL_SERVICE, method, None, failure)
}
