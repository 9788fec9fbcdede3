//! Comparing memberships with a peer, since gossip alone does not give everyone everyone.

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
};

use super::{Cluster, Message, internal::Exchange};
use crate::{error::RpcError, proto::membership::MemberState, types::NodeInfo};

/// How many exchanges may be under way at first.
const FIRST: usize = 2;

/// Whom to compare memberships with, and when.
///
/// A node that joins is linked to many at once. Were they all asked at once, each would tell it of
/// all members. So it asks a few, and with each answer one more than before, as TCP starts slowly:
/// those asked later find that it knows what they know, and after a few round trips all are asked.
#[derive(Debug)]
pub(super) struct Exchanges {
    queue: VecDeque<SocketAddr>,
    waiting: BTreeMap<SocketAddr, NodeInfo>,
    under_way: usize,
    at_once: usize,
}

impl Default for Exchanges {
    fn default() -> Self {
        Exchanges { queue: VecDeque::new(), waiting: BTreeMap::new(), under_way: 0, at_once: FIRST }
    }
}

impl Exchanges {
    fn ask(&mut self, node: NodeInfo) {
        let addr = node.addr();
        if self.waiting.insert(addr, node).is_none() {
            self.queue.push_back(addr);
        }
    }

    /// The next to start now.
    fn next(&mut self) -> Option<NodeInfo> {
        while self.under_way < self.at_once {
            let Some(addr) = self.queue.pop_front() else { break };
            if let Some(node) = self.waiting.remove(&addr) {
                self.under_way += 1;
                return Some(node);
            }
        }
        None
    }

    /// Asks the node at an address no more, unless that is under way.
    fn spare(&mut self, addr: SocketAddr) {
        if self.waiting.remove(&addr).is_some() {
            self.queue.retain(|waiting| *waiting != addr);
        }
    }

    fn ended(&mut self) {
        self.under_way -= 1;
        let idle = self.under_way == 0 && self.queue.is_empty();
        self.at_once = if idle { FIRST } else { self.at_once + 1 };
    }
}

impl Cluster {
    /// Compares memberships with a random node.
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
        self.exchange_with(linked[place].clone());
    }

    /// Compares memberships with a node once its turn comes.
    pub(super) fn exchange_with(&mut self, node: NodeInfo) {
        self.exchanges.ask(node);
    }

    /// Starts the exchanges whose turn it is.
    pub(super) fn start_exchanges(&mut self) {
        while let Some(node) = self.exchanges.next() {
            self.start_exchange(node);
        }
    }

    /// Notes that the node at an address told whom it knows, without being asked.
    pub(super) fn compared(&mut self, addr: SocketAddr) {
        if let Some(peer) = self.peers.get_mut(addr) {
            peer.exchanged = true;
            self.changed = true;
        }
        self.exchanges.spare(addr);
    }

    fn start_exchange(&mut self, node: NodeInfo) {
        let (client, to) = (self.client.on_node(node.id()), self.sender.clone());
        let digests = self.membership.digests();
        self.hub.env().spawn(Box::pin(async move {
            let answer = client.exchange(digests).await;
            // The node is shut down if nobody receives it.
            let _ = to.send(Message::Exchanged(node, answer));
        }));
    }

    pub(super) fn exchanged(&mut self, node: &NodeInfo, answer: Result<Exchange, RpcError>) {
        self.exchanges.ended();
        if let Some(peer) = self.peers.get_mut(node.addr()) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{NodeId, Region};

    fn node(port: u16) -> NodeInfo {
        NodeInfo::new(NodeId::new("n", 1), Region::LOCAL, ([10, 0, 0, 1], port).into())
    }

    fn started(exchanges: &mut Exchanges) -> Vec<u16> {
        std::iter::from_fn(|| exchanges.next()).map(|node| node.addr().port()).collect()
    }

    #[test]
    fn each_answer_lets_one_more_be_asked_at_once() {
        let mut exchanges = Exchanges::default();
        (1..=9).for_each(|port| exchanges.ask(node(port)));
        assert_eq!(started(&mut exchanges), [1, 2]);
        exchanges.ended();
        assert_eq!(started(&mut exchanges), [3, 4]);
        exchanges.ended();
        exchanges.ended();
        assert_eq!(started(&mut exchanges), [5, 6, 7, 8]);
        (0..5).for_each(|_| exchanges.ended());
        assert_eq!(started(&mut exchanges), [9]);
        exchanges.ended();
        (1..=9).for_each(|port| exchanges.ask(node(port)));
        assert_eq!(started(&mut exchanges), [1, 2]);
    }

    #[test]
    fn who_told_already_or_waits_already_is_not_asked_again() {
        let mut exchanges = Exchanges::default();
        [1, 2, 3, 4, 3].into_iter().for_each(|port| exchanges.ask(node(port)));
        assert_eq!(started(&mut exchanges), [1, 2]);
        exchanges.spare(node(3).addr());
        exchanges.ended();
        assert_eq!(started(&mut exchanges), [4]);
    }
}
