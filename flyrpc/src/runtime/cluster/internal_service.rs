//! The internal service, which every flyrpc node serves in addition to its user's services.

use flyrpc_macros::fly_rpc;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use super::sync_turns::SyncTurns;

use crate::{
    proto::membership::MemberState,
    runtime::{context::context, shared::Command},
    types::{NodeInfo, Region},
};

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
    turns: SyncTurns,
}

impl InternalHandler {
    pub(crate) fn new(commands: mpsc::UnboundedSender<Command>, region: Region) -> Self {
        InternalHandler { commands, region, turns: SyncTurns::new() }
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
}

fn caller() -> NodeInfo {
    context().caller().clone()
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt, future::BoxFuture};

    use super::*;
    use crate::{service::Service, types::NodeId};

    #[test]
    fn the_names_on_the_wire_are_those_of_the_first_version() {
        let (commands, _) = mpsc::unbounded_channel();
        let handler = InternalHandler::new(commands, Region::LOCAL);
        let spec = ServeInternal::new(handler).spec();
        let methods: Vec<_> = spec.methods.iter().map(ToString::to_string).collect();
        let expected = [
            "region() -> Region",
            "exchange(digests: Vec<u64>) -> Exchange",
            "learn(members: Vec<MemberState>) -> ()",
        ];
        assert_eq!((spec.name.as_str(), methods), ("flyrpc", expected.map(str::to_owned).into()));
    }

    #[test]
    fn a_peer_that_floods_a_node_with_syncs_has_one_at_a_time_at_the_cluster_task() {
        let (commands, mut queue) = mpsc::unbounded_channel();
        let handler = InternalHandler::new(commands, Region::LOCAL);
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
