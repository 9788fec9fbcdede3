//! The internal service, which every flyrpc node serves in addition to its user's services.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use flyrpc_macros::fly_rpc;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use super::sync_turns::SyncTurns;

use crate::{
    error::{BodyError, ErrorInfo, Refusal},
    proto::{membership::MemberState, routing::AttemptFailure},
    runtime::{
        context::{Context, context},
        operations::{self, Identity, Relayed, Reports},
        shared::{Command, GossipAge, NodeShared},
    },
    service::INTERNAL_SERVICE,
    types::{NodeAction, NodeId, NodeInfo, Region, RelayedCall, is_label},
};

/// The wire names of the methods that visitors may call.
pub(super) const VISITOR_METHODS: &[&str] = &["region", "status", "watch", "control", "relay"];

/// The requests that nodes make to each other. The names on the wire are those of the first
/// version.
#[fly_rpc(name = "flyrpc", crate = crate)]
pub(crate) trait Internal {
    /// The node's region.
    async fn region(&self) -> Region;

    /// Compares memberships: takes the caller's digests, and returns the node's digests with the
    /// members of the buckets that differ.
    #[rpc(name = "exchange")]
    async fn sync_digest(&self, digests: Vec<u64>) -> Exchange;

    /// Sends members that the node may not know.
    #[rpc(name = "learn")]
    async fn push_members(&self, members: Vec<MemberState>);

    /// Describes a node: this one, or another one that this node asks. The report is encoded, so that a node that passes
    /// it on loses nothing that it does not know.
    async fn status(&self, node: Option<NodeId>) -> Result<Bytes, ErrorInfo>;

    /// Returns the calls that a node serves, and makes it record them for another minute.
    async fn watch(&self, node: Option<NodeId>) -> Result<Bytes, ErrorInfo>;

    /// Changes which calls a node accepts. The request must come over a sealed link, or over loopback.
    async fn control(&self, node: Option<NodeId>, action: NodeAction) -> Result<(), ErrorInfo>;

    /// Makes a call, and returns the encoded reply. Only for visitors.
    #[rpc(timeout = "1h")]
    async fn relay(&self, call: RelayedCall) -> Result<Bytes, ErrorInfo>;
}

/// One side of an anti-entropy sync.
///
/// The type keeps its name although the method was renamed. Hellos carry the names of declared
/// types as text, and a link shares this node's list of services only if the peer sends the same
/// bytes.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Exchange {
    pub(crate) digests: Vec<u64>,
    pub(crate) members: Vec<MemberState>,
}

/// Serves the internal service by sending commands to the cluster task.
pub(crate) struct InternalHandler {
    commands: mpsc::UnboundedSender<Command>,
    region: Region,
    reports: Reports,
    turns: SyncTurns,
}

impl InternalHandler {
    pub(crate) fn new(
        commands: mpsc::UnboundedSender<Command>,
        region: Region,
        identity: Identity,
    ) -> Self {
        let reports = Reports::new(identity);
        InternalHandler { commands, region, reports, turns: SyncTurns::new() }
    }

    async fn gossip_ages(&self) -> BTreeMap<NodeId, GossipAge> {
        let (reply, ages) = oneshot::channel();
        // Errors are ignored as below.
        let _ = self.commands.send(Command::GossipAges { reply });
        ages.await.unwrap_or_default()
    }

    async fn compare(&self, from: NodeInfo, digests: Vec<u64>) -> Exchange {
        let _turn = self.turns.take(from.id()).await;
        let (reply, result) = oneshot::channel();
        // An error means that the cluster task has ended with the node. In that case, the response
        // is empty.
        let _ = self.commands.send(Command::SyncDigest { from, digests, reply });
        let (digests, members) = result.await.unwrap_or_default();
        Exchange { digests, members }
    }

    async fn apply(&self, from: NodeInfo, members: Vec<MemberState>) {
        let _turn = self.turns.take(from.id()).await;
        let (done, result) = oneshot::channel();
        // Errors are ignored as above.
        let _ = self.commands.send(Command::PushMembers { from, members, done });
        let _ = result.await;
    }
}

impl Internal for InternalHandler {
    async fn region(&self) -> Region {
        self.region.clone()
    }

    async fn sync_digest(&self, digests: Vec<u64>) -> Exchange {
        self.compare(caller(), digests).await
    }

    async fn push_members(&self, members: Vec<MemberState>) {
        self.apply(caller(), members).await;
    }

    async fn status(&self, node: Option<NodeId>) -> Result<Bytes, ErrorInfo> {
        let here = this_node("status")?;
        if let Some(other) = elsewhere(&here, node, "status")? {
            return other.status(None).await?;
        }
        let _turn = self.turns.take(caller().id()).await;
        let encoded = self.reports.status(&here, self.gossip_ages()).await;
        encoded.map_err(|error| not_encoded(&here, "status", error))
    }

    async fn watch(&self, node: Option<NodeId>) -> Result<Bytes, ErrorInfo> {
        let here = this_node("watch")?;
        if let Some(other) = elsewhere(&here, node, "watch")? {
            return other.watch(None).await?;
        }
        let encoded = self.reports.watch(&here);
        encoded.map_err(|error| not_encoded(&here, "watch", error))
    }

    async fn control(&self, node: Option<NodeId>, action: NodeAction) -> Result<(), ErrorInfo> {
        let here = this_node("control")?;
        if !may_control(&here, &context()) {
            let why = "only over a sealed link, or over loopback";
            return Err(denied(&here, "control", why));
        }
        if let Some(other) = elsewhere(&here, node, "control")? {
            return other.control(None, action).await?;
        }
        operations::control(&here, action);
        Ok(())
    }

    async fn relay(&self, call: RelayedCall) -> Result<Bytes, ErrorInfo> {
        let (here, context) = (this_node("relay")?, context());
        if !is_of_operator(&context) {
            let why = "only for visitors; other nodes make the call themselves";
            return Err(denied(&here, "relay", why));
        }
        let relayed = Relayed {
            visitor: context.caller().clone(),
            may_use_sealed_links: holds_key(&context),
            deadline: context.deadline,
        };
        operations::relay(&here, relayed, call).await
    }
}

/// Returns the node that runs the current handler.
fn this_node(method: &str) -> Result<Arc<NodeShared>, ErrorInfo> {
    let ended = || AttemptFailure::Refused(Refusal::Draining);
    let node = context().node::<NodeShared>();
    node.ok_or_else(|| operations::error_info(INTERNAL_SERVICE, method, None, ended()))
}

/// Returns a client of `node`, unless it is this one. Fails if the caller may not ask this node to ask another one.
fn elsewhere(
    here: &NodeShared,
    node: Option<NodeId>,
    method: &str,
) -> Result<Option<InternalClient>, ErrorInfo> {
    let Some(node) = node.filter(|id| id != here.me().id()) else { return Ok(None) };
    let context = context();
    if !is_of_operator(&context) {
        return Err(denied(here, method, "only visitors ask through another node"));
    }
    if !is_label(node.name()) {
        return Err(denied(here, method, "this is not the id of a node"));
    }
    let is_sealed = || {
        let table = here.table();
        let link = table.node(&node).and_then(|entry| entry.link.as_ref());
        link.is_some_and(|link| link.sealed_with().is_some())
    };
    if !holds_key(&context) && is_sealed() {
        let why = "a visitor without the secret does not reach nodes that are sealed";
        return Err(denied(here, method, why));
    }
    Ok(Some(context.client::<InternalClient>().on_node(&node)))
}

/// Whether a visitor or this node itself makes the request.
fn is_of_operator(context: &Context) -> bool {
    context.origin.is_none_or(|origin| origin.is_visitor)
}

/// Whether the caller has proved that it holds a key, or is this node.
fn holds_key(context: &Context) -> bool {
    context.origin.is_none_or(|origin| origin.is_sealed)
}

/// Whether the current request may change which calls this node accepts. Visitors over loopback may: a visitor's address is
/// the one that its connection comes from. Only programs on this machine can reach a node that listens on loopback. Programs
/// on this machine that connect to another address cannot be distinguished from those on other machines.
fn may_control(here: &NodeShared, context: &Context) -> bool {
    let is_local_visitor =
        || context.origin.is_some_and(|origin| origin.is_visitor) && is_loopback(context.caller());
    holds_key(context) || is_local_visitor() || is_loopback(here.me())
}

fn not_encoded(here: &NodeShared, method: &str, error: BodyError) -> ErrorInfo {
    let failure = AttemptFailure::Encode(error);
    operations::error_info(INTERNAL_SERVICE, method, Some(here.me()), failure)
}

fn is_loopback(node: &NodeInfo) -> bool {
    node.addr().ip().to_canonical().is_loopback()
}

fn denied(here: &NodeShared, method: &str, why: &str) -> ErrorInfo {
    let failure = AttemptFailure::Denied { why: why.to_owned() };
    operations::error_info(INTERNAL_SERVICE, method, Some(here.me()), failure)
}

fn caller() -> NodeInfo {
    context().caller().clone()
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt, future::BoxFuture};

    use super::*;
    use crate::{service::Service, types::NodeId};

    fn identity() -> Identity {
        Identity { cluster: "app".to_owned(), version: String::new(), keys: Vec::new() }
    }

    #[test]
    fn the_names_on_the_wire_are_those_of_the_first_version() {
        let (commands, _) = mpsc::unbounded_channel();
        let handler = InternalHandler::new(commands, Region::LOCAL, identity());
        let spec = ServeInternal::new(handler).spec();
        let methods: Vec<_> = spec.methods.iter().map(ToString::to_string).collect();
        let expected = [
            "region() -> Region",
            "exchange(digests: Vec<u64>) -> Exchange",
            "learn(members: Vec<MemberState>) -> ()",
            "status(node: Option<NodeId>) -> Result<Bytes, ErrorInfo>",
            "watch(node: Option<NodeId>) -> Result<Bytes, ErrorInfo>",
            "control(node: Option<NodeId>, action: NodeAction) -> Result<(), ErrorInfo>",
            "relay(call: RelayedCall) -> Result<Bytes, ErrorInfo>",
        ];
        assert_eq!((spec.name.as_str(), methods), ("flyrpc", expected.map(str::to_owned).into()));
    }

    #[test]
    fn a_peer_that_floods_a_node_with_syncs_has_one_at_a_time_at_the_cluster_task() {
        let (commands, mut queue) = mpsc::unbounded_channel();
        let handler = InternalHandler::new(commands, Region::LOCAL, identity());
        let node = |boot| NodeInfo::new(NodeId::new("n", boot), Region::LOCAL, addr(boot));
        let mut flood: Vec<BoxFuture<'_, ()>> = Vec::new();
        for number in 0..1_000 {
            flood.push(if number % 2 == 0 {
                handler.compare(node(1), Vec::new()).map(drop).boxed()
            } else {
                handler.apply(node(1), Vec::new()).boxed()
            });
        }
        let mut poll_all = || {
            for sync in &mut flood {
                let _ = sync.now_or_never();
            }
        };
        poll_all();
        assert_eq!(queue.len(), 1);
        // The sync of another peer waits for one sync at most.
        let mut other = handler.compare(node(2), vec![7]).boxed();
        assert!((&mut other).now_or_never().is_none());
        let Command::SyncDigest { reply: first, .. } = queue.try_recv().unwrap() else { panic!() };
        let Command::SyncDigest { from, digests, reply } = queue.try_recv().unwrap() else {
            panic!()
        };
        assert_eq!((from.id(), digests), (node(2).id(), vec![7]));
        reply.send((vec![8], Vec::new())).unwrap();
        assert_eq!(other.now_or_never().unwrap().digests, [8]);
        first.send((Vec::new(), Vec::new())).unwrap();
        poll_all();
        assert_eq!(queue.len(), 1, "the next sync of the flood");
    }

    fn addr(boot: u64) -> std::net::SocketAddr {
        ([10, 0, 0, 1], u16::try_from(boot).unwrap()).into()
    }
}
