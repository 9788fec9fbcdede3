//! Comparing memberships with a peer, since gossip alone does not give everyone everyone.

use std::net::SocketAddr;

use super::{Cluster, Message, internal::Exchange};
use crate::{NodeInfo, RpcError, membership::MemberState};

impl Cluster {
    pub(super) fn exchange_with_somebody(&mut self) {
        let now = self.now();
        let linked: Vec<NodeInfo> = self
            .peers
            .values()
            .filter_map(|peer| peer.link())
            .map(|link| link.peer().clone())
            .collect();
        linked.iter().for_each(|node| self.discovery.reached(now, node.addr()));
        if linked.is_empty() {
            return;
        }
        let place = (self.hub.env().random() % linked.len() as u64) as usize;
        let node = linked[place].clone();
        self.exchange_with(node.addr(), node);
    }

    pub(super) fn exchange_with(&mut self, addr: SocketAddr, node: NodeInfo) {
        // The call looks for the link in the table.
        self.publish();
        let (client, to) = (self.client.on_node(node.id()), self.sender.clone());
        let digests = self.membership.digests();
        self.hub.env().spawn(Box::pin(async move {
            let answer = client.exchange(digests).await;
            // The node is shut down if nobody receives it.
            let _ = to.send(Message::Exchanged(addr, node, answer));
        }));
    }

    pub(super) fn exchanged(
        &mut self,
        addr: SocketAddr,
        node: &NodeInfo,
        answer: Result<Exchange, RpcError>,
    ) {
        if let Some(peer) = self.peers.get_mut(&addr) {
            peer.exchanged = true;
        }
        let Exchange { digests, members } = match answer {
            Ok(exchange) => exchange,
            Err(error) => return tracing::debug!(%node, %error, "memberships were not compared"),
        };
        self.learn(&members);
        let news = self.membership.difference(&digests);
        if news.is_empty() {
            return;
        }
        let client = self.client.on_node(node.id());
        self.hub.env().spawn(Box::pin(async move {
            if let Err(error) = client.learn(news).await {
                tracing::debug!(%error, "a peer was not told of members");
            }
        }));
    }

    pub(super) fn learn(&mut self, members: &[MemberState]) {
        let now = self.now();
        self.membership.apply(now, members);
        self.drain_membership();
    }
}
