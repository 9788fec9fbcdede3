//! What the attacker is given.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::{Result, gossip::Identity, recording::Recording};

/// What the attacker is given.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(crate) recording: Recording,
    /// The members. A sealed cluster does not reveal their boots, but the attacker knows them, for example from a time
    /// without a secret.
    pub(crate) members: Vec<Identity>,
    /// For each node, the addresses that it dials and at which the attacker listens.
    pub(crate) decoys: Vec<Vec<SocketAddr>>,
    /// The address of a member that was killed. All nodes dial it.
    pub(crate) at_killed: Option<SocketAddr>,
    /// The seed of the random order.
    pub(crate) seed: u64,
}

impl Plan {
    /// Returns the member at `addr`.
    pub(crate) fn member(&self, addr: SocketAddr) -> Result<&Identity> {
        let member = self.members.iter().find(|member| member.addr == addr);
        member.ok_or_else(|| "no member has this address".into())
    }
}
