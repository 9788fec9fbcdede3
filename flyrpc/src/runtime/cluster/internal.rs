//! The service that every flyrpc node serves to the others, besides its users': an ordinary one.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use crate::{
    fly_rpc,
    proto::membership::MemberState,
    runtime::{context::context, shared::Command},
    types::Region,
};

/// What nodes ask each other.
#[fly_rpc(name = "flyrpc", crate = crate)]
pub(crate) trait Internal {
    /// The region of the node, as it says itself.
    async fn region(&self) -> Region;

    /// Compares memberships: takes the digests of the caller's, and returns the node's digests with
    /// the members of those buckets that differ.
    async fn exchange(&self, digests: Vec<u64>) -> Exchange;

    /// Tells the node of members that it may not know.
    async fn learn(&self, members: Vec<MemberState>);
}

/// One side of a comparison of memberships.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Exchange {
    pub(crate) digests: Vec<u64>,
    pub(crate) members: Vec<MemberState>,
}

fn caller() -> SocketAddr {
    context().caller().addr()
}

/// Answers with what the cluster task of the serving node knows.
pub(crate) struct Answers {
    pub(crate) commands: mpsc::UnboundedSender<Command>,
    pub(crate) region: Region,
}

impl Internal for Answers {
    async fn region(&self) -> Region {
        self.region.clone()
    }

    async fn exchange(&self, digests: Vec<u64>) -> Exchange {
        let (reply, result) = oneshot::channel();
        // Without the task, which ends when the node is shut down, there is nothing to exchange.
        let _ = self.commands.send(Command::Exchange { from: caller(), digests, reply });
        let (digests, members) = result.await.unwrap_or_default();
        Exchange { digests, members }
    }

    async fn learn(&self, members: Vec<MemberState>) {
        let (done, result) = oneshot::channel();
        // As above. Waiting bounds how much of what peers say piles up.
        let _ = self.commands.send(Command::Learn { from: caller(), members, done });
        let _ = result.await;
    }
}
