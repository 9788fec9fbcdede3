//! Makes a call for a visitor, whose service, method and arguments are known only at run time.
//!
//! The node picks like for its own calls, but makes one attempt only: an operator wants to see why an attempt fails, and
//! not that another one succeeds.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::time::Instant;

use super::{
    error::error_info,
    relay_here::{self, CallHere},
    sender::Sender,
};
use crate::{
    codec::EncodedBody,
    error::{ErrorInfo, ErrorKind, Unsupported},
    proto::{
        routing::{AttemptFailure, Endpoint, LimitOf, LinkStatus},
        wire::{ids::MethodIndex, request_fields},
    },
    runtime::{
        link::{INTERNAL_BODY_MAX, Link, OutboundCall},
        shared::NodeShared,
    },
    service::{INTERNAL_SERVICE, ServiceKind},
    types::{MethodSpec, NodeInfo, RelayTarget, RelayedCall, is_label},
};

/// Upper bound on the time of a relayed call.
pub(crate) const MAX_TIMEOUT: Duration = Duration::from_secs(3_600);

/// Upper bound on the bytes of the name of a service or a method.
const MAX_NAME: usize = 256;

/// The visitor for which a call is made.
pub(crate) struct Relayed {
    pub(crate) visitor: NodeInfo,
    /// Whether the call may go to nodes that require the secret.
    pub(crate) may_use_sealed_links: bool,
    pub(crate) deadline: Instant,
}

/// Makes a call for a visitor. Returns the encoded reply.
pub(crate) async fn relay(
    node: &Arc<NodeShared>,
    relayed: Relayed,
    call: RelayedCall,
) -> Result<Bytes, ErrorInfo> {
    let RelayedCall { target, service, method, arguments, timeout } = call;
    let deadline = relayed.deadline.min(node.env().now() + timeout.min(MAX_TIMEOUT));
    if service.len() > MAX_NAME || method.len() > MAX_NAME || !is_possible(&target) {
        let why = "a name in the call is too long".to_owned();
        return Err(error_info("", "", Some(node.me()), AttemptFailure::Denied { why }));
    }
    let error = |at: Option<&NodeInfo>, failure| error_info(&service, &method, at, failure);
    if service == INTERNAL_SERVICE {
        let why = "the service `flyrpc` is called by the nodes only".to_owned();
        return Err(error(Some(node.me()), AttemptFailure::Denied { why }));
    }
    if arguments.len() > INTERNAL_BODY_MAX {
        let (size, limit) = (arguments.len() as u64, INTERNAL_BODY_MAX as u64);
        let limit_of = LimitOf::Caller;
        let failure = AttemptFailure::ArgumentsTooLarge { size, limit, limit_of };
        return Err(error(Some(node.me()), failure));
    }
    let for_primary = matches!(target, RelayTarget::Primary);
    if includes(node, &target, node.me())
        && let Some(served) = relay_here::find(node, &service, &method)
    {
        let call = CallHere { visitor: relayed.visitor, for_primary, deadline };
        let reply = relay_here::run(node, served, call, arguments).await.and_then(check_size);
        return reply.map_err(|failure| error(Some(node.me()), failure));
    }
    let (link, index) = match pick(node, &target, &service, &method) {
        Ok(picked) => picked,
        Err(Some((at, failure))) => return Err(error(Some(&at), failure)),
        Err(None) => {
            return Err(match why_not_here(node, &target, &service) {
                Some(why) => error(Some(node.me()), AttemptFailure::Unsupported(why)),
                None => no_node(&service, &method, &target),
            });
        }
    };
    if link.sealed_with().is_some() && !relayed.may_use_sealed_links {
        let why = "a visitor without the secret does not reach nodes that are sealed".to_owned();
        return Err(error(Some(link.peer()), AttemptFailure::Denied { why }));
    }
    let call = OutboundCall {
        method: index,
        primary: for_primary,
        attempt: 1,
        fields: &request_fields::encode_relayed(),
        expires: None,
        counts: false,
    };
    let limit = link.limit(ServiceKind::User);
    if arguments.len() > limit {
        let (size, limit) = (arguments.len() as u64, limit as u64);
        let limit_of = LimitOf::Peer;
        let failure = AttemptFailure::ArgumentsTooLarge { size, limit, limit_of };
        return Err(error(Some(link.peer()), failure));
    }
    let body = EncodedBody::in_buffer(arguments.into());
    let (primary_region, max_body) = (node.primary_region(), node.max_body());
    let sender = Sender { env: &**node.env(), primary_region, max_body };
    sender
        .send(&link, call, body, deadline)
        .await
        .and_then(check_size)
        .map_err(|failure| error(Some(link.peer()), failure))
}

/// Refuses a reply that this node would have to hold for a visitor that may not read it.
fn check_size(reply: Bytes) -> Result<Bytes, AttemptFailure> {
    if reply.len() <= INTERNAL_BODY_MAX {
        return Ok(reply);
    }
    let (size, limit) = (reply.len() as u64, INTERNAL_BODY_MAX as u64);
    Err(AttemptFailure::ReplyTooLarge { size, limit })
}

/// Returns whether the names in a target are not longer than those of nodes and regions.
fn is_possible(target: &RelayTarget) -> bool {
    match target {
        RelayTarget::Region(region) => is_label(region.as_str()),
        RelayTarget::Node(id) => is_label(id.name()),
        RelayTarget::Primary | RelayTarget::Nearest => true,
    }
}

/// Returns whether `candidate` belongs to the target.
fn includes(node: &NodeShared, target: &RelayTarget, candidate: &NodeInfo) -> bool {
    match target {
        RelayTarget::Region(region) => region == candidate.region(),
        RelayTarget::Primary => node.primary_region() == candidate.region(),
        RelayTarget::Node(id) => id == candidate.id(),
        RelayTarget::Nearest => true,
    }
}

/// The link to a node, and the index of a method there.
type Picked = (Arc<Link>, MethodIndex);

/// Picks the node with the lowest cost among those that can take the call. Returns the reason why one of them cannot if
/// none can, or nothing if there is no node.
fn pick(
    node: &NodeShared,
    target: &RelayTarget,
    service: &str,
    method: &str,
) -> Result<Picked, Option<(NodeInfo, AttemptFailure)>> {
    let (table, now) = (node.table(), node.micros_at(node.env().now()));
    let mut best: Option<(_, Picked)> = None;
    let mut failure = None;
    for entry in table.nodes().filter(|entry| includes(node, target, &entry.info)) {
        let Some(link) = &entry.link else { continue };
        let refused = match link.status(service) {
            LinkStatus::Good | LinkStatus::Quiet => match find(link, service, method) {
                Ok((index, _)) => {
                    let round_trip = match target {
                        RelayTarget::Nearest => link.load().region().round_trip(),
                        _ => 0,
                    };
                    let is_last = link.is_quiet() || link.load().is_ejected();
                    let rank = (is_last, round_trip, link.load().cost(now));
                    if best.as_ref().is_none_or(|(least, _)| rank < *least) {
                        best = Some((rank, (Arc::clone(link), index)));
                    }
                    continue;
                }
                Err(why) => AttemptFailure::Unsupported(why),
            },
            LinkStatus::NotAccepting(reason) => AttemptFailure::Refused(reason),
            LinkStatus::Disconnected => continue,
        };
        // A node that refuses says more than one that does not have the service.
        if failure.is_none() || matches!(refused, AttemptFailure::Refused(_)) {
            failure = Some((entry.info.clone(), refused));
        }
    }
    best.map(|(_, picked)| picked).ok_or(failure)
}

/// Finds a method among the services of the node at the other end of a link.
fn find<'a>(
    link: &'a Link,
    service: &str,
    method: &str,
) -> Result<(MethodIndex, &'a MethodSpec), Unsupported> {
    let mut before = 0;
    for spec in link.all_services() {
        if spec.name == service {
            let at = spec.methods.iter().position(|spec| spec.name == method);
            let at = at.ok_or(Unsupported::Method)?;
            return Ok((MethodIndex((before + at) as u64), &spec.methods[at]));
        }
        before += spec.methods.len();
    }
    Err(Unsupported::Service)
}

/// Returns why this node does not serve a call that no other node could take, if it belongs to the target and is a
/// candidate: it serves the service, or is itself the target.
fn why_not_here(node: &NodeShared, target: &RelayTarget, service: &str) -> Option<Unsupported> {
    let serves = node.server().service(service).is_some();
    match target {
        target if !includes(node, target, node.me()) => None,
        _ if serves => Some(Unsupported::Method),
        RelayTarget::Node(_) => Some(Unsupported::Service),
        _ => None,
    }
}

fn no_node(service: &str, method: &str, target: &RelayTarget) -> ErrorInfo {
    ErrorInfo {
        kind: ErrorKind::NoNode,
        message: format!("no live node for {service}.{method} in {target}"),
        node: None,
        service: service.to_owned(),
        method: method.to_owned(),
        may_have_executed: false,
    }
}
