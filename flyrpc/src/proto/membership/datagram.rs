//! What surrounds gossip on the wire, and a look inside before foca acts on it.
//!
//! A datagram is: two magic bytes, the gossip version, the cluster's name and optional fields (each
//! preceded by its length), then foca's packet. The name is there in full, because a hash would be
//! longer than most names and could collide: clusters never mix, whatever addresses they share.

use foca::{Header, Incarnation, Member, Message, State};

use super::identity::{Identity, MAX_NAME, Unfit};
use crate::codec::bytes::{
    fields::understood,
    varint::{put_prefixed, take_prefixed},
};

const MAGIC: [u8; 2] = [0xf1, 0x7c];

/// Raised when a node of the version before could not read what follows.
const VERSION: u8 = 1;

/// Why a datagram was not looked at any further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rejected {
    /// Not gossip, or of a version that is not spoken here.
    Foreign,
    /// Gossip of another cluster.
    Cluster,
    /// It carries a field that must be understood, and is not.
    Field,
    /// It ends too early, or says what cannot be.
    Malformed,
}

/// Wraps and unwraps the gossip of one cluster.
#[derive(Debug)]
pub(super) struct Envelope {
    cluster: String,
    prefix: Vec<u8>,
}

impl Envelope {
    pub(super) fn new(cluster: &str) -> Result<Self, Unfit> {
        if cluster.len() > MAX_NAME {
            return Err(Unfit::Cluster);
        }
        let mut prefix = MAGIC.to_vec();
        prefix.push(VERSION);
        put_prefixed(cluster.as_bytes(), &mut prefix);
        put_prefixed(&[], &mut prefix);
        Ok(Envelope { cluster: cluster.to_owned(), prefix })
    }

    /// How many bytes [`wrap`](Self::wrap) adds.
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

/// Whom a packet of foca's is from, and whom it brings news of.
#[derive(Debug)]
pub(super) struct Packet<'a> {
    pub(super) from: Identity,
    pub(super) news: Vec<Member<Identity>>,
    /// The packet without its news: still a valid packet.
    pub(super) bare: &'a [u8],
}

impl<'a> Packet<'a> {
    /// Reads what foca will read. Fails wherever foca would.
    pub(super) fn read(packet: &'a [u8]) -> Result<Self, Rejected> {
        let malformed = |_| Rejected::Malformed;
        let (header, mut rest) =
            postcard::take_from_bytes::<Header<Identity>>(packet).map_err(malformed)?;
        let bare = &packet[..packet.len() - rest.len()];
        let mut news = Vec::new();
        if let Some((count, members)) = rest.split_first_chunk() {
            rest = members;
            // Not reserved ahead: the count is the sender's word.
            for _ in 0..u16::from_be_bytes(*count) {
                let member;
                (member, rest) = postcard::take_from_bytes(rest).map_err(malformed)?;
                news.push(member);
            }
        }
        if !rest.is_empty() {
            return Err(Rejected::Malformed);
        }
        Ok(Packet { from: header.src, news, bare })
    }
}

/// A packet that tells `suspect` of the suspicion, and asks for an answer.
///
/// It claims the lowest incarnation for its sender, as foca keeps the true one to itself: one that
/// is lower than what is known changes nothing.
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
        assert_eq!(Envelope::new(&"c".repeat(65)).err(), Some(Unfit::Cluster));
    }
}
