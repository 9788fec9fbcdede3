//! Gossip without a seal, as the members of an open cluster send it, with forged senders and contents.

use std::net::{Ipv4Addr, SocketAddr};

use flyrpc::NodeInfo;
use flyrpc_tests::frames::varint;
use foca::{Header, Member, Message, State};
use serde::{Deserialize, Serialize};

use crate::{Result, hellos::CONTROL};

/// The start of an open datagram.
const PREFIX: [u8; 3] = [0xf1, 0x7c, 1];

/// The name of a cluster by default.
const CLUSTER: &str = "local";

/// The invented members of one round.
const INVENTED: u8 = 20;

/// Forged datagrams are for identities that were renewed less often than this.
const MAX_BUMP: u64 = 4;

/// The identity of a member, with its fields in the order of their encoding.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub(crate) addr: SocketAddr,
    boot: [u8; 8],
    bump: u32,
    protocol: u32,
    pub(crate) name: String,
    pub(crate) region: String,
    extra: Vec<u8>,
}

impl Identity {
    pub(crate) fn new(name: &str, boot: u64, addr: SocketAddr) -> Self {
        let (name, region) = (name.to_owned(), "iad".to_owned());
        Identity {
            addr,
            boot: boot.to_le_bytes(),
            bump: 0,
            protocol: 1,
            name,
            region,
            extra: Vec::new(),
        }
    }

    pub(crate) fn boot(&self) -> u64 {
        u64::from_le_bytes(self.boot)
    }

    fn with_bump(&self, bump: u32) -> Self {
        Identity { bump, ..self.clone() }
    }
}

impl From<&NodeInfo> for Identity {
    fn from(node: &NodeInfo) -> Self {
        let region = node.region().to_string();
        Identity { region, ..Identity::new(node.name(), node.id().boot(), node.addr()) }
    }
}

/// Members that do not exist. No program listens at their addresses.
pub(crate) fn invented(round: u64) -> Vec<Identity> {
    let member = |number| {
        let addr = SocketAddr::from((Ipv4Addr::new(127, 1, round as u8, number), 1));
        Identity::new(&format!("invented-{round}-{number}"), round, addr)
    };
    (1..=INVENTED).map(member).collect()
}

/// The datagrams to the member `to` in one round, in the names of the other members. One request for members comes from the
/// address `foreign`, to which members have no reason to send anything. Datagrams that make a node renew its identity are
/// last, because all of them are for its earlier identity.
pub(crate) fn forged(
    to: &Identity,
    members: &[Identity],
    foreign: SocketAddr,
    round: u64,
) -> Result<Vec<Vec<u8>>> {
    let to = &to.with_bump((round % MAX_BUMP) as u32);
    let is_to = |id: &Identity| id.addr == to.addr;
    let alive = |ids: Vec<Identity>| ids.into_iter().map(Member::alive).collect::<Vec<_>>();
    let suspect = |id: &Identity| Member::new(id.clone(), u16::MAX, State::Suspect);
    let bumped: Vec<_> = members.iter().map(|id| id.with_bump(u32::MAX)).collect();
    let renamed = CONTROL.map(|name| Identity::new(name, round, foreign));
    let probe_number = round as u8;
    let mut datagrams = Vec::new();
    let mut add = |from: &Identity, message, updates: &[Member<Identity>]| {
        datagrams.push(datagram(from, to, message, updates)?);
        Result::Ok(())
    };
    add(&Identity::new("foreign", round, foreign), Message::Announce, &[])?;
    let others = || members.iter().filter(|id| !is_to(id));
    for from in others() {
        let third = others().find(|id| *id != from).unwrap_or(from).clone();
        add(from, Message::Announce, &[])?;
        add(from, Message::Ping(probe_number), &[])?;
        add(from, Message::Ack(probe_number), &[])?;
        add(from, Message::ForwardedAck { origin: third.clone(), probe_number }, &[])?;
        add(from, Message::PingReq { target: third, probe_number }, &[])?;
        add(from, Message::Gossip, &alive(bumped.clone()))?;
        add(&from.with_bump(u32::MAX), Message::Gossip, &[])?;
        for renamed in &renamed {
            add(from, Message::Gossip, &alive(vec![renamed.clone()]))?;
        }
        add(from, Message::Feed, &alive(invented(round)))?;
        let down = others().filter(|id| *id != from).cloned().map(Member::down);
        add(from, Message::Gossip, &down.collect::<Vec<_>>())?;
    }
    for from in others() {
        add(from, Message::Gossip, &members.iter().map(suspect).collect::<Vec<_>>())?;
        add(from, Message::Gossip, &[Member::down(to.clone())])?;
        add(from, Message::TurnUndead, &[])?;
    }
    Ok(datagrams)
}

fn datagram(
    from: &Identity,
    to: &Identity,
    message: Message<Identity>,
    updates: &[Member<Identity>],
) -> Result<Vec<u8>> {
    let mut datagram = PREFIX.to_vec();
    varint(CLUSTER.len() as u64, &mut datagram);
    datagram.extend_from_slice(CLUSTER.as_bytes());
    // No optional fields.
    varint(0, &mut datagram);
    let header = Header { src: from.clone(), src_incarnation: 0, dst: to.clone(), message };
    datagram = postcard::to_extend(&header, datagram)?;
    if !updates.is_empty() {
        datagram.extend_from_slice(&u16::try_from(updates.len())?.to_be_bytes());
    }
    Ok(updates
        .iter()
        .try_fold(datagram, |datagram, update| postcard::to_extend(update, datagram))?)
}
