//! Where to look for nodes: seeds are looked up, and addresses dialled when that is due.

use std::{net::SocketAddr, sync::Arc};

use super::{Cluster, Message};
use crate::{
    runtime::link::{self, DialError},
    types,
};

impl Cluster {
    pub(super) fn look_up(&mut self) {
        let due = self.discovery.due(self.now());
        for name in due.resolve {
            let (env, to) = (Arc::clone(self.hub.env()), self.sender.clone());
            let stop = self.hub.stop().clone();
            self.hub.env().spawn(Box::pin(async move {
                let answer = tokio::select! {
                    biased;
                    () = stop.cancelled() => return,
                    answer = env.resolve(&name) => answer.map_err(|error| error.to_string()),
                };
                // The node is shut down if nobody receives it.
                let _ = to.send(Message::Resolved(name, answer));
            }));
        }
        for addr in due.forgotten {
            if let Some(peer) = self.peers.get_mut(addr) {
                peer.seed = false;
                self.changed = true;
            }
        }
    }

    /// Notes addresses that discovery came to list.
    pub(super) fn add_seeds(&mut self, addrs: Vec<SocketAddr>) {
        for addr in addrs {
            self.peers.at(addr).seed = true;
            self.changed = true;
        }
    }

    pub(super) fn dial_what_is_due(&mut self) {
        let due = self.peers.due(self.now());
        due.into_iter().for_each(|addr| self.dial(addr));
    }

    pub(super) fn dial(&mut self, addr: SocketAddr) {
        let now = self.now();
        if !self.peers.at(addr).begin_dial(now) {
            return;
        }
        let (me, env, to) =
            (self.introduce.introduction(), Arc::clone(self.hub.env()), self.sender.clone());
        let stop = self.hub.stop().clone();
        self.hub.env().spawn(Box::pin(async move {
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                // The node is shut down if nobody receives it.
                dialled = link::dial(&*env, addr, &me) => drop(to.send(Message::Dialled(addr, dialled))),
            }
        }));
    }

    pub(super) fn dialled(&mut self, addr: SocketAddr, error: Option<&DialError>) {
        let (now, random) = (self.now(), self.hub.env().random());
        let Some(peer) = self.peers.get_mut(addr) else { return };
        let before = peer.support();
        peer.dialled(now, error, random);
        let after = peer.support();
        let Some(error) = error else { return };
        let known = |support: &types::Support| match support {
            types::Support::Unsupported(why) => Some(std::mem::discriminant(why)),
            _ => None,
        };
        if known(&before) == known(&after) {
            return;
        }
        tracing::warn!(%addr, %error, "no flyrpc node of this cluster answers there; it is asked again from time to time");
        let node = peer.info.clone();
        self.news.push(types::Event::SupportChanged { addr, node, support: after });
    }
}
