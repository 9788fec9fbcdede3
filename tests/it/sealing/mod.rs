//! Clusters with a secret, in virtual time: who is accepted, what is on the wire, and what attackers on the path
//! achieve.

mod corruption;
mod dropped_gossip;
mod handshakes;
mod long_bodies;
mod replay;
mod rotation;
mod strangers;
mod wire;

use std::sync::{Arc, Mutex};

use flyrpc::{KeyId, Keyring, LinkSecurity, Node};
use flyrpc_testkit::{Sent, SimCluster};

/// A keyring with one key for each of these numbers, in this order.
fn keyring(keys: &[u8]) -> Keyring {
    let keys: Vec<_> = keys.iter().map(|number| format!("{number:02x}").repeat(32)).collect();
    Keyring::parse(&keys.join(",")).unwrap()
}

fn key_ids(keys: &[u8]) -> Vec<KeyId> {
    keys.iter().flat_map(|&key| keyring(&[key]).ids().collect::<Vec<_>>()).collect()
}

/// A link that is sealed with this key.
fn sealed_with(key: u8) -> Option<LinkSecurity> {
    key_ids(&[key]).first().copied().map(LinkSecurity::Sealed)
}

/// Checks the security of all links of `node`, and the keys that its peers hold.
#[track_caller]
fn assert_peers(node: &Node, security: Option<LinkSecurity>, keys: &[u8]) {
    for peer in node.peers() {
        assert_eq!((peer.security, &peer.keys), (security, &key_ids(keys)), "{peer:?}");
    }
}

/// Everything that was sent while a tap was set, in order.
#[derive(Clone, Default)]
struct Recording(Arc<Mutex<Vec<Sent>>>);

impl Recording {
    /// Records everything that the hosts of `cluster` send from now on.
    fn of(cluster: &SimCluster) -> Self {
        let recording = Recording::default();
        cluster.tap(recording.tap());
        recording
    }

    fn tap(&self) -> impl Fn(&Sent) + Send + Sync + use<> {
        let recording = self.clone();
        move |sent| recording.0.lock().unwrap().push(sent.clone())
    }

    /// Takes everything that was recorded since the last time.
    fn take(&self) -> Vec<Sent> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}
