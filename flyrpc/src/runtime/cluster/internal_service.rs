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
}

impl Internal for InternalHandler {
    async fn region(&self) -> Region {
        self.region.clone()
    }

    async fn sync_digest(&self, digests: Vec<u64>) -> Exchange {
        let from = caller();
        let _turn = self.turns.take(from.id()).await;
        let (reply, result) = oneshot::channel();
        // An error means that the cluster task has ended with the node. In that case, the response
        // is empty.
        let _ = self.commands.send(Command::SyncDigest { from, digests, reply });
        let (digests, members) = result.await.unwrap_or_default();
        Exchange { digests, members }
    }

    async fn push_members(&self, members: Vec<MemberState>) {
        let from = caller();
        let _turn = self.turns.take(from.id()).await;
        let (done, result) = oneshot::channel();
        // Errors are ignored as above.
        let _ = self.commands.send(Command::PushMembers { from, members, done });
        let _ = result.await;
    }
}

fn caller() -> NodeInfo {
    context().caller().clone()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::Service;

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
}
