//! The tasks that perform slow operations for the cluster task, and report back to it.

use std::{future::Future, net::SocketAddr, sync::Arc, time::Duration};

use tokio::sync::mpsc;

use super::{internal_service::InternalClient, local_hello::LocalHelloSource, message::Message};
use crate::{
    error::RpcError,
    proto::membership::MemberState,
    runtime::{link, shared::NodeShared},
    types::{NodeId, NodeInfo},
};

/// The time within which a node whose address another boot claims must answer a ping. It is longer than
/// a link takes to become quiet at the default heartbeat, so that a node on a slow path is not mistaken
/// for dead.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(3);

/// Starts tasks that report back as [`Message`]s.
pub(super) struct Tasks {
    pub(super) shared: Arc<NodeShared>,
    pub(super) reports: mpsc::UnboundedSender<Message>,
    pub(super) local_hello: LocalHelloSource,
    /// Must be weak, because the node's own tasks must not keep the node running.
    pub(super) client: InternalClient,
}

impl Tasks {
    /// Dials `addr`, and reports [`Message::Dialed`].
    pub(super) fn dial(&self, addr: SocketAddr) {
        let (hello, env) = (self.local_hello.get(), Arc::clone(self.shared.env()));
        self.spawn("dial", async move {
            let dialed = link::dial(&*env, addr, &hello).await;
            Message::Dialed(addr, dialed.map(Box::new))
        });
    }

    /// Looks up `name`, and reports [`Message::Resolved`].
    pub(super) fn resolve(&self, name: String) {
        let env = Arc::clone(self.shared.env());
        self.spawn("resolver", async move {
            let result = env.resolve(&name).await.map_err(|error| error.to_string());
            Message::Resolved(name, result)
        });
    }

    /// Asks `node` whether it is alive, and reports [`Message::Questioned`].
    pub(super) fn question(&self, node: NodeInfo) {
        let call = self.client.on_node(node.id()).timeout(QUESTION_TIMEOUT).region();
        self.spawn("question", async move {
            let is_silent = |error: &RpcError| {
                use RpcError::{Disconnected, NoNode, Timeout};
                matches!(error, Timeout { .. } | Disconnected { .. } | NoNode { .. })
            };
            let answered = !call.await.as_ref().is_err_and(is_silent);
            Message::Questioned(node, answered)
        });
    }

    /// Sends `digests` to `node`, and reports [`Message::Synced`].
    pub(super) fn sync_digest(&self, node: NodeInfo, digests: Vec<u64>) {
        let (client, reports) = (self.client.on_node(node.id()), self.reports.clone());
        // Not canceled by `stop`, because the call fails by itself when the node ends.
        self.shared.spawn("sync", async move {
            let result = client.sync_digest(digests).await;
            // An error means that the node has ended.
            let _ = reports.send(Message::Synced(node, result));
        });
    }

    /// Sends `members` to the node `id`, without a report.
    pub(super) fn push_members(&self, id: &NodeId, members: Vec<MemberState>) {
        let client = self.client.on_node(id);
        self.shared.spawn("sync", async move {
            if let Err(error) = client.push_members(members).await {
                tracing::debug!(%error, "failed to push members to a peer");
            }
        });
    }

    /// Runs `task` and reports its message, unless the node stops first.
    fn spawn(&self, name: &'static str, task: impl Future<Output = Message> + Send + 'static) {
        let (stop, reports) = (self.shared.stop().clone(), self.reports.clone());
        // Boxed, because a future that awaits one of its variables contains it twice.
        let task = Box::pin(task);
        self.shared.spawn(name, async move {
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                // An error means that the node has ended.
                message = task => drop(reports.send(message)),
            }
        });
    }
}
