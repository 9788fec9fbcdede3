//! The envelope of gossip on the wire, and a check of the enclosed packet before foca handles it.
//!
//! A datagram consists of two magic bytes, the gossip version, the cluster's name and the optional
//! fields (each preceded by its length), and foca's packet. The name is included in full, because a
//! hash would be longer than most names and could collide. Therefore clusters never mix, even if
//! they share addresses.

use foca::{Header, Incarnation, Member, Message, State};

use super::identity::{Identity, InvalidIdentity};
use crate::{
    codec::bytes::{
        fields::understood,
        varint::{put_prefixed, take_prefixed},
    },
    types::MAX_LABEL,
};

const MAGIC: [u8; 2] = [0xf1, 0x7c];

/// Increment this when nodes of the previous version cannot read the rest of the datagram.
const VERSION: u8 = 1;

/// Why a datagram was ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rejected {
    /// The datagram is not gossip, or has an unsupported version.
    Foreign,
    /// The datagram belongs to another cluster.
    Cluster,
    /// The datagram carries an unknown field that must be understood.
    Field,
    /// The datagram is truncated or inconsistent, was sent by this node itself, or was sent by an
    /// unknown member when there was no room for more.
    Malformed,
    /// The sender is neither a member nor linked.
    Stranger,
    /// The sender claims too many renewals, or asks too often for a renewal or for members.
    Excessive,
}

/// Wraps and unwraps the gossip of one cluster.
#[derive(Debug)]
pub(super) struct Envelope {
    cluster: String,
    prefix: Vec<u8>,
}

impl Envelope {
    pub(super) fn new(cluster: &str) -> Result<Self, InvalidIdentity> {
        if cluster.len() > MAX_LABEL {
            return Err(InvalidIdentity::Cluster);
        }
        let mut prefix = MAGIC.to_vec();
        prefix.push(VERSION);
        put_prefixed(cluster.as_bytes(), &mut prefix);
        put_prefixed(&[], &mut prefix);
        Ok(Envelope { cluster: cluster.to_owned(), prefix })
    }

    /// The number of bytes that [`wrap`](Self::wrap) adds.
    pub(super) fn overhead(&self) -> usize {
        self.prefix.len()
    }

    pub(super) fn wrap(&self, packet: &[u8]) -> Vec<u8> {
        [&self.prefix, packet].concat()
    }

    pub(super) fn unwrap<'a>(&self, datagram: &'a [u8]) -> Result<&'a [u8], Rejected> {
        let rest = datagram.strip_prefix(&MAGIC).ok_or(Rejected::Foreign)?;
        let mut rest = rest.strip_prefix(&[VERSION]).ok_or(Rejected::Foreign)?;
        let cluster = take_prefixed(&mut rest).map_err(|_| Rejected::Malformed)?;
        if cluster != self.cluster.as_bytes() {
            return Err(Rejected::Cluster);
        }
        let fields = take_prefixed(&mut rest).map_err(|_| Rejected::Malformed)?;
        match understood(fields) {
            Ok(true) => Ok(rest),
            Ok(false) => Err(Rejected::Field),
            Err(_) => Err(Rejected::Malformed),
        }
    }
}

/// The parts of a foca packet that are needed before foca reads it.
#[derive(Debug)]
pub(super) struct Packet<'a> {
    /// The sender.
    pub(super) from: Identity,
    pub(super) message: Message<Identity>,
    /// The member updates that the packet carries.
    pub(super) updates: Vec<Member<Identity>>,
    /// The packet without its updates, which is still a valid packet.
    pub(super) bare: &'a [u8],
}

impl<'a> Packet<'a> {
    /// Parses the packet as foca will, and fails in every case in which foca would fail.
    pub(super) fn read(packet: &'a [u8]) -> Result<Self, Rejected> {
        let malformed = |_| Rejected::Malformed;
        let (header, mut rest) =
            postcard::take_from_bytes::<Header<Identity>>(packet).map_err(malformed)?;
        let bare = &packet[..packet.len() - rest.len()];
        let mut updates = Vec::new();
        if let Some((count, members)) = rest.split_first_chunk() {
            rest = members;
            // No capacity is reserved, because a sender may claim any count.
            for _ in 0..u16::from_be_bytes(*count) {
                let member;
                (member, rest) = postcard::take_from_bytes(rest).map_err(malformed)?;
                updates.push(member);
            }
        }
        if !rest.is_empty() {
            return Err(Rejected::Malformed);
        }
        Ok(Packet { from: header.src, message: header.message, updates, bare })
    }
}

/// Returns the packet `bare`, which has no updates, with the given updates added.
pub(super) fn with_updates(
    bare: &[u8],
    updates: &[Member<Identity>],
) -> Result<Vec<u8>, postcard::Error> {
    let mut packet = bare.to_vec();
    if !updates.is_empty() {
        packet.extend_from_slice(&(updates.len() as u16).to_be_bytes());
    }
    updates.iter().try_fold(packet, |packet, update| postcard::to_extend(update, packet))
}

/// Creates a packet that notifies `suspect` of the suspicion and pings it.
///
/// It carries the lowest possible incarnation of the sender, because foca does not expose the
/// actual one. An incarnation lower than the known one has no effect.
pub(super) fn warning(
    from: &Identity,
    suspect: &Identity,
    incarnation: Incarnation,
) -> Result<Vec<u8>, postcard::Error> {
    let header = Header {
        src: from.clone(),
        src_incarnation: 0,
        dst: suspect.clone(),
        message: Message::Ping(0),
    };
    let mut packet = postcard::to_stdvec(&header)?;
    packet.extend_from_slice(&1u16.to_be_bytes());
    postcard::to_extend(&Member::new(suspect.clone(), incarnation, State::Suspect), packet)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(datagram: &[u8], expected: Result<&[u8], Rejected>) {
        assert_eq!(Envelope::new("app").unwrap().unwrap(datagram), expected, "{datagram:?}");
    }

    #[test]
    fn only_gossip_of_the_same_cluster_and_version_is_unwrapped() {
        let packet = b"packet".as_slice();
        let ours = Envelope::new("app").unwrap().wrap(packet);
        check(&ours, Ok(packet));
        check(&Envelope::new("app2").unwrap().wrap(packet), Err(Rejected::Cluster));
        check(&Envelope::new("").unwrap().wrap(packet), Err(Rejected::Cluster));
        check(&[&[0xf1, 0x7c, 2][..], &ours[3..]].concat(), Err(Rejected::Foreign));
        check(b"GET / HTTP/1.1", Err(Rejected::Foreign));
        check(&[], Err(Rejected::Foreign));
        check(&ours[..5], Err(Rejected::Malformed));
    }

    #[test]
    fn fields_of_later_versions_are_skipped_unless_they_must_be_understood() {
        let with = |fields: &[u8]| {
            let mut datagram = vec![0xf1, 0x7c, 1];
            put_prefixed(b"app", &mut datagram);
            put_prefixed(fields, &mut datagram);
            datagram.extend_from_slice(b"packet");
            datagram
        };
        check(&with(&[2, 1, 9]), Ok(b"packet"));
        check(&with(&[3, 1, 9]), Err(Rejected::Field));
        check(&with(&[2, 9, 9]), Err(Rejected::Malformed));
    }

    #[test]
    fn a_cluster_name_that_leaves_no_room_is_refused() {
        assert!(Envelope::new(&"c".repeat(64)).is_ok());
        assert_eq!(Envelope::new(&"c".repeat(65)).err(), Some(InvalidIdentity::Cluster));
    }
}
