//! The description of one member that two nodes exchange when they sync.

use std::{fmt, net::SocketAddr};

use foca::{Incarnation, Member, State};
use serde::{Deserialize, Serialize};

use super::identity::{Identity, InvalidIdentity, Parts};

/// One member in the view of one node. Fields that later versions add are ignored, and absent
/// fields get defaults.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MemberState {
    name: String,
    boot: u64,
    region: String,
    addr: SocketAddr,
    #[serde(default)]
    bump: u32,
    #[serde(default)]
    incarnation: u16,
    #[serde(default)]
    protocol: u32,
    /// Also false for a suspect, because a node that adopted the suspicion would have no timer to
    /// end it.
    #[serde(default, skip_serializing_if = "is_false")]
    down: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    extra: Vec<u8>,
}

fn is_false(flag: &bool) -> bool {
    !flag
}

impl MemberState {
    pub(super) fn new(id: &Identity, incarnation: Incarnation, state: State) -> Self {
        let parts = id.parts();
        MemberState {
            name: parts.name.to_owned(),
            boot: id.boot(),
            region: parts.region.to_owned(),
            addr: parts.addr,
            bump: parts.bump,
            incarnation,
            protocol: parts.protocol,
            down: state == State::Down,
            extra: parts.extra.to_vec(),
        }
    }

    pub(super) fn check(&self) -> Result<Claim, InvalidIdentity> {
        let parts = Parts {
            addr: self.addr,
            boot: self.boot.to_le_bytes(),
            bump: self.bump,
            protocol: self.protocol,
            name: &self.name,
            region: &self.region,
            extra: &self.extra,
        };
        Ok(Claim { id: parts.check()?, incarnation: self.incarnation, down: self.down })
    }
}

/// A checked member in the view of a peer.
#[derive(Clone)]
pub(super) struct Claim {
    pub(super) id: Identity,
    pub(super) incarnation: Incarnation,
    pub(super) down: bool,
}

impl Claim {
    /// Returns whether this claim changes our record of `member`, which we list as alive at the same
    /// address.
    pub(super) fn is_news_of(&self, member: &Member<Identity>) -> bool {
        self.id != *member.id() || self.incarnation > member.incarnation()
    }
}

impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = if self.down { "down" } else { "alive" };
        write!(f, "{:?} {state}@{}", self.id, self.incarnation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{NodeId, NodeInfo, Region};

    fn identity(n: u8) -> Identity {
        let addr = SocketAddr::from(([10, 0, 0, n], 80));
        let node = NodeInfo::new(NodeId::new("a", u64::from(n)), Region::LOCAL, addr);
        Identity::new(&node, 1).unwrap()
    }

    #[test]
    fn a_state_survives_the_wire_and_skips_fields_of_later_versions() {
        let state = MemberState::new(&identity(1).with_bump(2), 3, State::Down);
        let bytes = rmp_serde::to_vec_named(&state).unwrap();
        assert_eq!(rmp_serde::from_slice::<MemberState>(&bytes).unwrap(), state);
        assert_eq!(state.check().unwrap().id, identity(1).with_bump(2));

        #[derive(Serialize)]
        struct Later<'a> {
            name: &'a str,
            boot: u64,
            region: &'a str,
            addr: SocketAddr,
            mood: &'a str,
        }
        let addr = identity(1).addr();
        let later = Later { name: "a", boot: 1, region: "local", addr, mood: "good" };
        let bytes = rmp_serde::to_vec_named(&later).unwrap();
        let read: MemberState = rmp_serde::from_slice(&bytes).unwrap();
        assert_eq!(read.check().unwrap().id, identity(1));
    }
}
