//! [`RpcError`].

use std::{error::Error, fmt, sync::Arc, time::Duration};

use super::{
    body::BodyError,
    details::{Known, Refusal, Unsupported},
};
use crate::types::{NodeInfo, Region, Target};

/// The reason why a call returned no value.
///
/// There is one variant for each decision that a caller can make.
/// [`may_have_executed`](RpcError::may_have_executed) reports whether the handler may have run, and thus
/// whether the call can be repeated safely. Messages name the node, its region, the service and the
/// method as far as they are known.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum RpcError {
    /// No live node of the target accepts calls. Returned immediately, unless the call
    /// [waits](crate::fly_rpc#selectors-and-options). Not executed.
    #[non_exhaustive]
    NoNode {
        /// The target of the call.
        target: Target,
        /// The service called.
        service: &'static str,
        /// The method called.
        method: &'static str,
        /// The numbers of known nodes and addresses that could not take the call, by reason.
        known: Known,
        /// The regions that have live nodes, in order. Shows whether the region of the call is unknown,
        /// for example because its name is misspelled. Empty if the target is not a region.
        live_regions: Arc<[Region]>,
    },
    /// A node of the target cannot serve this call, and no other node can. Not executed.
    #[non_exhaustive]
    Unsupported {
        /// The node that cannot serve it.
        node: NodeInfo,
        /// The service called.
        service: &'static str,
        /// The method called.
        method: &'static str,
        /// The reason why it cannot serve the call.
        why: Unsupported,
    },
    /// The call had to run on a primary node, but the node that received it is not primary in its own
    /// view. Not executed.
    #[non_exhaustive]
    NotPrimary {
        /// The node that refused.
        node: NodeInfo,
        /// The service called.
        service: &'static str,
        /// The method called.
        method: &'static str,
        /// The primary region in that node's view.
        theirs: Region,
        /// The primary region in this node's view.
        ours: Region,
    },
    /// A node that serves the method did not accept the call at that time, and no other node took
    /// it. Not executed.
    #[non_exhaustive]
    Refused {
        /// The node that refused.
        node: NodeInfo,
        /// The service called.
        service: &'static str,
        /// The method called.
        method: &'static str,
        /// The reason for the refusal.
        reason: Refusal,
    },
    /// The function that the node was given with [`authorize`](crate::NodeBuilder::authorize) denied the
    /// call, or panicked. Not executed, and neither tried on another node nor
    /// [waited](crate::fly_rpc#selectors-and-options) for.
    #[non_exhaustive]
    Denied {
        /// The node that denied it.
        node: NodeInfo,
        /// The service called.
        service: &'static str,
        /// The method called.
        method: &'static str,
        /// The reason that the function gave. Empty if the node had no room to send it, because
        /// responses to this node had accumulated.
        why: String,
    },
    /// The node reported an error of a kind that this version of flyrpc does not know. May have executed
    /// if `executed`.
    #[non_exhaustive]
    Failed {
        /// The node that reported the error.
        node: NodeInfo,
        /// The service called.
        service: &'static str,
        /// The method called.
        method: &'static str,
        /// The kind of error, and the description that the node gave for it.
        message: String,
        /// Whether the node reported that the handler may have run.
        executed: bool,
    },
    /// The call's deadline passed. May have executed if `sent`.
    #[non_exhaustive]
    Timeout {
        /// The time that the call was allowed to take.
        after: Duration,
        /// The node of the last attempt. `None` if the call was still waiting for a node.
        node: Option<NodeInfo>,
        /// The service called.
        service: &'static str,
        /// The method called.
        method: &'static str,
        /// Whether a complete request may have reached a socket in any attempt.
        sent: bool,
    },
    /// The link to the node was lost: the connection broke, or nothing was received for 5
    /// heartbeats. May have executed if `sent`.
    #[non_exhaustive]
    Disconnected {
        /// The node. `None` for a client that was created with `from_stub`.
        node: Option<NodeInfo>,
        /// The service called.
        service: &'static str,
        /// The method called.
        method: &'static str,
        /// Whether a complete request may have reached a socket in any attempt.
        sent: bool,
        /// The cause of the loss.
        source: Arc<dyn Error + Send + Sync>,
    },
    /// The handler panicked. The node and all other calls on it continue. Executed, at least in part.
    #[non_exhaustive]
    Panicked {
        /// The node where it panicked.
        node: NodeInfo,
        /// The service called.
        service: &'static str,
        /// The method called.
        method: &'static str,
        /// The panic's message.
        message: String,
    },
    /// An argument could not be encoded: its `Serialize` failed, or the format cannot represent its
    /// value. Not executed.
    #[non_exhaustive]
    Encode {
        /// The service called.
        service: &'static str,
        /// The method called.
        method: &'static str,
        /// The argument, and the reason.
        source: BodyError,
    },
    /// The encoded arguments are larger than the limit of this node, or larger than the limit of each
    /// node of the target. If only some nodes have a lower limit, the call is sent to another node. Not
    /// executed.
    #[non_exhaustive]
    ArgumentsTooLarge {
        /// The node whose limit is exceeded. `None` if it is the limit of this node.
        node: Option<NodeInfo>,
        /// The service called.
        service: &'static str,
        /// The method called.
        method: &'static str,
        /// Their size in bytes.
        size: usize,
        /// The limit in bytes: that node's `max_body`.
        limit: usize,
    },
    /// The handler's reply is larger than the limit. Executed.
    #[non_exhaustive]
    ReplyTooLarge {
        /// The node that ran the call.
        node: NodeInfo,
        /// The service called.
        service: &'static str,
        /// The method called.
        method: &'static str,
        /// The reply's size in bytes.
        size: usize,
        /// The limit in bytes: the smaller `max_body` of the two nodes.
        limit: usize,
    },
    /// The node that ran the call could not encode the reply, or this node could not decode it. The
    /// field `encoded` distinguishes the two. Executed.
    #[non_exhaustive]
    BadReply {
        /// The node that ran the call. `None` for a client that was created with `from_stub`.
        node: Option<NodeInfo>,
        /// The service called.
        service: &'static str,
        /// The method called.
        method: &'static str,
        /// Whether the node that ran the call encoded the reply. If so, this node could not decode it: the
        /// two have different versions of its type, or serde would misread it. If not, the reply's
        /// `Serialize` failed, or the format cannot represent its value.
        encoded: bool,
        /// The position in the reply, and the reason.
        source: BodyError,
    },
    /// This node, or the runtime that it was started in, was shut down. Not executed.
    #[non_exhaustive]
    ShutDown {
        /// The service called.
        service: &'static str,
        /// The method called.
        method: &'static str,
    },
    /// A tarpc stub that was passed to `from_stub` reported an error that its server returned. May have
    /// executed. Occurs only with the feature `tarpc`.
    #[non_exhaustive]
    Stub {
        /// The service called.
        service: &'static str,
        /// The method called.
        method: &'static str,
        /// The stub's error. Its type is erased so that this variant exists without the feature.
        /// `downcast_ref::<tarpc::client::RpcError>()` returns tarpc's error.
        source: Arc<dyn Error + Send + Sync>,
    },
}

impl RpcError {
    /// Returns whether the handler may have run, in whole or in part.
    ///
    /// `false` is a guarantee: the handler did not run and never will, so any call can be repeated. If
    /// this returns `true`, repeat the call only if the method may run twice. Such a method is best
    /// declared `#[rpc(idempotent)]`.
    ///
    /// ```
    /// # use flyrpc::{Node, fly_rpc};
    /// #[fly_rpc]
    /// trait Payments {
    ///     async fn charge(&self, cents: u64) -> u64;
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let node = Node::builder().start().await?;
    /// let payments: PaymentsClient = node.client();
    /// match payments.on_region("iad").charge(995).await {
    ///     Ok(receipt) => println!("receipt {receipt}"),
    ///     Err(error) if error.may_have_executed() => println!("perhaps charged: {error}"),
    ///     Err(error) => println!("not charged, try again: {error}"),
    /// }
    /// # node.shutdown().await;
    /// # Ok(())
    /// # }
    /// ```
    pub fn may_have_executed(&self) -> bool {
        match *self {
            RpcError::NoNode { .. }
            | RpcError::Unsupported { .. }
            | RpcError::NotPrimary { .. }
            | RpcError::Refused { .. }
            | RpcError::Denied { .. }
            | RpcError::Encode { .. }
            | RpcError::ArgumentsTooLarge { .. }
            | RpcError::ShutDown { .. } => false,
            RpcError::Timeout { sent, .. } | RpcError::Disconnected { sent, .. } => sent,
            RpcError::Failed { executed, .. } => executed,
            RpcError::Panicked { .. }
            | RpcError::ReplyTooLarge { .. }
            | RpcError::BadReply { .. }
            | RpcError::Stub { .. } => true,
        }
    }

    /// Returns the node that the error is about, if one was reached or tried.
    pub fn node(&self) -> Option<&NodeInfo> {
        match self {
            RpcError::Unsupported { node, .. }
            | RpcError::NotPrimary { node, .. }
            | RpcError::Refused { node, .. }
            | RpcError::Denied { node, .. }
            | RpcError::Failed { node, .. }
            | RpcError::Panicked { node, .. }
            | RpcError::ReplyTooLarge { node, .. } => Some(node),
            RpcError::Timeout { node, .. }
            | RpcError::Disconnected { node, .. }
            | RpcError::ArgumentsTooLarge { node, .. }
            | RpcError::BadReply { node, .. } => node.as_ref(),
            RpcError::NoNode { .. }
            | RpcError::Encode { .. }
            | RpcError::ShutDown { .. }
            | RpcError::Stub { .. } => None,
        }
    }

    /// Returns the service and the method called.
    pub(super) fn call(&self) -> (&'static str, &'static str) {
        match *self {
            RpcError::NoNode { service, method, .. }
            | RpcError::Unsupported { service, method, .. }
            | RpcError::NotPrimary { service, method, .. }
            | RpcError::Refused { service, method, .. }
            | RpcError::Denied { service, method, .. }
            | RpcError::Failed { service, method, .. }
            | RpcError::Timeout { service, method, .. }
            | RpcError::Disconnected { service, method, .. }
            | RpcError::Panicked { service, method, .. }
            | RpcError::Encode { service, method, .. }
            | RpcError::ArgumentsTooLarge { service, method, .. }
            | RpcError::ReplyTooLarge { service, method, .. }
            | RpcError::BadReply { service, method, .. }
            | RpcError::ShutDown { service, method }
            | RpcError::Stub { service, method, .. } => (service, method),
        }
    }
}

impl fmt::Display for RpcError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (service, method) = self.call();
        match self {
            RpcError::NoNode { target: Target::Node(id), known, .. } => {
                write!(f, "no live node {id} for {service}.{method}{known}")
            }
            RpcError::NoNode { target, known, live_regions, .. } => {
                write!(f, "no live node in {target} for {service}.{method}{known}")?;
                write_regions(f, live_regions)
            }
            RpcError::Unsupported { node, why, .. } => {
                write!(f, "{service}.{method} is not supported by node {node}: {why}")
            }
            RpcError::NotPrimary { node, theirs, ours, .. } if theirs == ours => write!(
                f,
                "{service}.{method} was refused by node {node}, which is not in the primary \
                 region \"{ours}\""
            ),
            RpcError::NotPrimary { node, theirs, ours, .. } => write!(
                f,
                "{service}.{method} was refused by node {node}, which is not primary: \
                 its primary region is \"{theirs}\", ours is \"{ours}\""
            ),
            RpcError::Refused { node, reason, .. } => {
                write!(f, "{service}.{method} was refused by node {node}: {reason}")
            }
            RpcError::Denied { node, why, .. } if why.is_empty() => {
                write!(f, "{service}.{method} was denied by node {node}")
            }
            RpcError::Denied { node, why, .. } => {
                write!(f, "{service}.{method} was denied by node {node}: {why}")
            }
            RpcError::Failed { node, message, executed, .. } => write!(
                f,
                "{service}.{method} failed on node {node}: {message}; {}",
                outcome(*executed)
            ),
            RpcError::Timeout { after, node: Some(node), sent, .. } => write!(
                f,
                "{service}.{method} timed out after {:?} at node {node}; {}",
                readable(*after),
                outcome(*sent)
            ),
            RpcError::Timeout { after, node: None, sent: true, .. } => {
                let after = readable(*after);
                write!(f, "{service}.{method} timed out after {after:?}; {}", outcome(true))
            }
            RpcError::Timeout { after, node: None, sent: false, .. } => {
                let after = readable(*after);
                write!(f, "{service}.{method} timed out after {after:?} before a node was reached")
            }
            RpcError::Disconnected { node: Some(node), sent, .. } => write!(
                f,
                "link to node {node} was lost during {service}.{method}; {}",
                outcome(*sent)
            ),
            RpcError::Disconnected { node: None, sent, .. } => {
                write!(f, "connection was lost during {service}.{method}; {}", outcome(*sent))
            }
            RpcError::Panicked { node, message, .. } => {
                write!(f, "{service}.{method} panicked on node {node}: {message}")
            }
            RpcError::Encode { .. } => {
                write!(f, "arguments of {service}.{method} could not be encoded")
            }
            RpcError::ArgumentsTooLarge { node: Some(node), size, limit, .. } => write!(
                f,
                "arguments of {service}.{method} are too large for node {node}: \
                 {size} bytes, at most {limit}"
            ),
            RpcError::ArgumentsTooLarge { node: None, size, limit, .. } => write!(
                f,
                "arguments of {service}.{method} are too large for this node: \
                 {size} bytes, at most {limit}"
            ),
            RpcError::ReplyTooLarge { node, size, limit, .. } => write!(
                f,
                "reply of {service}.{method} from node {node} is too large: \
                 {size} bytes, at most {limit}"
            ),
            RpcError::BadReply { node: Some(node), encoded: true, .. } => {
                write!(f, "reply of {service}.{method} from node {node} could not be decoded")
            }
            RpcError::BadReply { node: Some(node), encoded: false, .. } => {
                write!(f, "reply of {service}.{method} could not be encoded on node {node}")
            }
            RpcError::BadReply { node: None, encoded, .. } => {
                let step = if *encoded { "decoded" } else { "encoded" };
                write!(f, "reply of {service}.{method} could not be {step}")
            }
            RpcError::ShutDown { .. } => {
                write!(f, "{service}.{method} was not called: this node was shut down")
            }
            RpcError::Stub { .. } => write!(f, "{service}.{method} failed in its tarpc stub"),
        }
    }
}

/// Writes `; live regions: …`, or nothing if there are none.
fn write_regions(f: &mut fmt::Formatter<'_>, regions: &[Region]) -> fmt::Result {
    /// Upper bound on the regions in a message. Peers choose their number.
    const MAX_SHOWN: usize = 40;

    let mut before = "; live regions: ";
    for region in regions.iter().take(MAX_SHOWN) {
        write!(f, "{before}{region}")?;
        before = ", ";
    }
    if regions.len() > MAX_SHOWN { f.write_str(", …") } else { Ok(()) }
}

/// Truncates to milliseconds a duration of at least 10 ms. Without this, the time left of an enclosing
/// call would print nine digits.
fn readable(after: Duration) -> Duration {
    let millis = Duration::from_millis(after.as_millis() as u64);
    if millis < Duration::from_millis(10) { after } else { millis }
}

/// Whether a call that failed may have executed, as text.
pub(crate) fn outcome(sent: bool) -> &'static str {
    if sent { "it may have executed" } else { "it did not execute" }
}

impl Error for RpcError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            RpcError::Disconnected { source, .. } => Some(&**source),
            RpcError::Encode { source, .. } | RpcError::BadReply { source, .. } => Some(source),
            RpcError::Stub { source, .. } => Some(&**source),
            _ => None,
        }
    }
}
