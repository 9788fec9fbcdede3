//! Makes a call for a visitor, whose service, method and arguments are known only at run time.
//!
//! The node [picks](super::relay_pick) like for its own calls, but makes one attempt only: an operator wants to see why an
//! attempt fails, and not that another one succeeds.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::time::Instant;

use super::{
    error::{error_info, too_large_to_relay},
    relay_here::{self, CallHere},
    relay_pick::{ArgumentNames, Picked, includes, pick},
    sender::Sender,
};
use crate::{
    codec::EncodedBody,
    error::{ErrorInfo, ErrorKind, Unsupported},
    proto::{
        routing::{AttemptFailure, LimitOf},
        wire::request_fields,
    },
    runtime::{
        link::{INTERNAL_BODY_MAX, OutboundCall},
        shared::NodeShared,
    },
    service::{INTERNAL_SERVICE, ServiceKind},
    types::{NodeInfo, RelayTarget, RelayedCall, is_label},
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
    if let Some(why) = invalid_name(&target, &service, &method) {
        let failure = AttemptFailure::Denied { why: why.to_owned() };
        return Err(error_info(INTERNAL_SERVICE, "relay", Some(node.me()), failure));
    }
    let error = |at: Option<&NodeInfo>, failure| error_info(&service, &method, at, failure);
    if service == INTERNAL_SERVICE {
        let why = "the service `flyrpc` is called by the nodes only".to_owned();
        return Err(error(Some(node.me()), AttemptFailure::Denied { why }));
    }
    if arguments.len() > INTERNAL_BODY_MAX {
        let too_large = ErrorKind::ArgumentsTooLarge;
        return Err(too_large_to_relay(&service, &method, None, too_large, arguments.len()));
    }
    let for_primary = matches!(target, RelayTarget::Primary);
    // Refuses a reply that this node would have to hold for a visitor that may not read it.
    let check_size = |at: &NodeInfo, reply: Bytes| match reply.len() {
        ..=INTERNAL_BODY_MAX => Ok(reply),
        size => {
            let too_large = ErrorKind::ReplyTooLarge;
            Err(too_large_to_relay(&service, &method, Some(at), too_large, size))
        }
    };
    let names = ArgumentNames::of(&arguments);
    let is_candidate = includes(node, &target, node.me());
    let here = is_candidate.then(|| relay_here::find(node, &service, &method, &names)).flatten();
    let suits_here = here.as_ref().is_some_and(|served| served.suits);
    let reachable = |sealed: bool| !sealed || relayed.may_use_sealed_links;
    let picked = if suits_here {
        Err(None)
    } else {
        pick(node, &target, (&service, &method), &names, reachable)
    };
    if let Some(served) = here
        && !picked.as_ref().is_ok_and(|picked| picked.suits)
    {
        let call = CallHere { visitor: relayed.visitor, for_primary, deadline };
        let reply = relay_here::run(node, served, call, arguments).await;
        let reply = reply.map_err(|failure| error(Some(node.me()), failure))?;
        return check_size(node.me(), reply);
    }
    let Picked { link, index, .. } = match picked {
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
    let reply = sender.send(&link, call, body, deadline).await;
    check_size(link.peer(), reply.map_err(|failure| error(Some(link.peer()), failure))?)
}

/// Returns why a name in a call is not valid.
fn invalid_name(target: &RelayTarget, service: &str, method: &str) -> Option<&'static str> {
    match target {
        RelayTarget::Region(region) if !is_label(region.as_str()) => Some(INVALID_REGION),
        RelayTarget::Node(id) if !is_label(id.name()) => Some(INVALID_NODE),
        _ => (service.len().max(method.len()) > MAX_NAME).then_some(LONG_NAME),
    }
}

const INVALID_REGION: &str = "the region must have 1 to 64 bytes without control characters";
const INVALID_NODE: &str =
    "the name of the node must have 1 to 64 bytes without control characters";
const LONG_NAME: &str = "the name of the service or of the method has more than 256 bytes";

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
