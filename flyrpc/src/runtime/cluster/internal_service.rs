//! The internal service, which every flyrpc node serves besides its users' services.

use std::net::SocketAddr;

use flyrpc_macros::fly_rpc;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use crate::{
    proto::membership::MemberState,
    runtime::{context::context, shared::Command},
    types::Region,
};

/// What nodes ask each other. The names on the wire are those of the first version.
#[fly_rpc(name = "flyrpc", crate = crate)]
pub(crate) trait Internal {
    /// The node's region.
    async fn region(&self) -> Region;

    /// Compares memberships: takes the caller's digests, and returns the node's digests with the
    /// members of those buckets that differ.
    #[rpc(name = "exchange")]
    async fn sync_digest(&self, digests: Vec<u64>) -> Exchange;

    /// Sends members that the node may not know.
    #[rpc(name = "learn")]
    async fn push_members(&self, members: Vec<MemberState>);
}

/// One side of a comparison of memberships.
///
/// The name stays although the method is now called otherwise: hellos carry declared types as text,
/// and links share the list of services only with peers that send it in the same bytes.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Exchange {
    pub(crate) digests: Vec<u64>,
    pub(crate) members: Vec<MemberState>,
}

/// Serves the internal service by way of the cluster task.
pub(crate) struct InternalHandler {
    pub(crate) commands: mpsc::UnboundedSender<Command>,
    pub(crate) region: Region,
}

impl Internal for InternalHandler {
    async fn region(&self) -> Region {
        self.region.clone()
    }

    async fn sync_digest(&self, digests: Vec<u64>) -> Exchange {
        let (reply, result) = oneshot::channel();
        // An error means that the cluster task has ended with the node: the response is empty.
        let _ = self.commands.send(Command::SyncDigest { from: caller(), digests, reply });
        let (digests, members) = result.await.unwrap_or_default();
        Exchange { digests, members }
    }

    async fn push_members(&self, members: Vec<MemberState>) {
        let (done, result) = oneshot::channel();
        // As above. Waiting for the result bounds how many pushes of a peer queue up.
        let _ = self.commands.send(Command::PushMembers { from: caller(), members, done });
        let _ = result.await;
    }
}

fn caller() -> SocketAddr {
    context().caller().addr()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::Service;

    #[test]
    fn the_names_on_the_wire_are_those_of_the_first_version() {
        let (commands, _) = mpsc::unbounded_channel();
        let handler = InternalHandler { commands, region: Region::LOCAL };
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
