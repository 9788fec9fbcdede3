//! The envelope of gossip on the wire, and a check of the enclosed packet before foca handles it.
//!
//! A datagram starts with two magic bytes and a version. In an open datagram (version 1), the cluster's name and the
//! optional fields follow (each preceded by its length), then foca's packet. The name is included in full, because a
//! hash would be longer than most names and could collide. A sealed datagram (version 2) is described in
//! [`datagram`](crate::proto::seal::datagram); the cluster's name is authenticated, but not sent. Therefore clusters
//! never mix, even if they share addresses.

use std::{borrow::Cow, collections::BTreeMap, net::SocketAddr};

use foca::{Header, Incarnation, Member, Message, State};

use super::identity::{Identity, InvalidIdentity};
use crate::{
    codec::bytes::{
        fields::understood,
        varint::{put_prefixed, take_prefixed},
    },
    config::Sealing,
    proto::seal::{
        datagram::{self, GossipKey, Numbers, SealedDatagram},
        replay::{ReplayWindows, Salt},
    },
    types::{KeyId, MAX_LABEL},
};

const MAGIC: [u8; 2] = [0xf1, 0x7c];

/// The versions of a datagram. Nodes ignore datagrams of versions that they do not know.
const OPEN: u8 = 1;
const SEALED: u8 = 2;

/// The start of a sealed datagram.
const SEALED_PREFIX: [u8; 3] = [MAGIC[0], MAGIC[1], SEALED];

/// How many boots are remembered to reject replayed datagrams, in addition to the maximum number of members: earlier
/// boots of members.
const EXTRA_WINDOWS: usize = 256;

/// Why a datagram was ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rejected {
    /// The datagram is not gossip, or has an unsupported version.
    Foreign,
    /// The datagram belongs to another cluster.
    Cluster,
    /// The datagram is open, and this node accepts only sealed ones.
    NotSealed,
    /// The datagram was sealed with a key that this node does not hold.
    UnknownKey(KeyId),
    /// The datagram was changed, or belongs to another cluster with the same secret.
    NotAuthentic,
    /// The datagram was received before, or many later ones of its sender were.
    Replayed,
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

impl Rejected {
    /// Returns the reason, for metrics.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Rejected::Foreign => "FOREIGN",
            Rejected::Cluster => "OTHER_CLUSTER",
            Rejected::NotSealed => "NOT_SEALED",
            Rejected::UnknownKey(_) => "UNKNOWN_KEY",
            Rejected::NotAuthentic => "NOT_AUTHENTIC",
            Rejected::Replayed => "REPLAYED",
            Rejected::Field => "UNKNOWN_FIELD",
            Rejected::Malformed => "MALFORMED",
            Rejected::Stranger => "STRANGER",
            Rejected::Excessive => "EXCESSIVE",
        }
    }
}

/// How the datagrams between two nodes are protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Channel {
    Open,
    /// Sealed with this key.
    Sealed(KeyId),
}

/// Wraps and unwraps the gossip of one cluster.
#[derive(Debug)]
pub(super) struct Envelope {
    cluster: String,
    /// The start of an open datagram.
    prefix: Vec<u8>,
    accepts_open: bool,
    /// The keys of this node. Empty if it seals nothing.
    keys: Vec<GossipKey>,
    numbers: Numbers,
    received: ReplayWindows,
    /// How the last datagram of each peer, or its link, was protected.
    channels: BTreeMap<SocketAddr, Channel>,
    max_channels: usize,
}

impl Envelope {
    /// Creates the envelope of one boot. `salt` must be random if the boot has keys. At most `max_members` peers are
    /// remembered.
    pub(super) fn new(
        cluster: &str,
        sealing: &Sealing,
        salt: Salt,
        max_members: usize,
    ) -> Result<Self, InvalidIdentity> {
        if cluster.len() > MAX_LABEL {
            return Err(InvalidIdentity::Cluster);
        }
        let mut prefix = MAGIC.to_vec();
        prefix.push(OPEN);
        put_prefixed(cluster.as_bytes(), &mut prefix);
        put_prefixed(&[], &mut prefix);
        let keys = sealing.keyring().into_iter().flat_map(|keyring| keyring.keys());
        Ok(Envelope {
            cluster: cluster.to_owned(),
            prefix,
            accepts_open: sealing.accepts_open(),
            keys: keys.map(GossipKey::new).collect(),
            numbers: Numbers::new(salt),
            received: ReplayWindows::new(max_members + EXTRA_WINDOWS),
            channels: BTreeMap::new(),
            max_channels: max_members,
        })
    }

    /// The number of bytes that [`wrap`](Self::wrap) adds at most.
    pub(super) fn overhead(&self) -> usize {
        let open = if self.accepts_open { self.prefix.len() } else { 0 };
        let sealed =
            if self.keys.is_empty() { 0 } else { SEALED_PREFIX.len() + datagram::OVERHEAD };
        open.max(sealed)
    }

    /// Records how the datagrams of the peer at `addr` are protected. Datagrams to it will be protected alike.
    pub(super) fn set_channel(&mut self, addr: SocketAddr, channel: Channel) {
        if self.channels.len() < self.max_channels || self.channels.contains_key(&addr) {
            self.channels.insert(addr, channel);
        }
    }

    /// Like [`set_channel`](Self::set_channel), for a datagram that the peer at `addr` sent. An open one, which anyone
    /// can send, does not end the sealing of datagrams to the peer.
    pub(super) fn on_datagram(&mut self, addr: SocketAddr, channel: Channel) {
        let is_sealed = matches!(self.channels.get(&addr), Some(Channel::Sealed(_)));
        if channel != Channel::Open || !is_sealed {
            self.set_channel(addr, channel);
        }
    }

    /// Forgets how the datagrams of the peer at `addr` were protected.
    pub(super) fn forget_channel(&mut self, addr: SocketAddr) {
        self.channels.remove(&addr);
    }

    /// Creates the datagram with `packet` for the peer at `to`.
    ///
    /// A peer that is not known yet may not hold the first keys of this node's keyring, but every node holds the last
    /// one until it is removed from all keyrings. If open datagrams are accepted, it may hold no key.
    pub(super) fn wrap(&mut self, to: SocketAddr, packet: &[u8]) -> Vec<u8> {
        let key = match self.channels.get(&to) {
            Some(Channel::Sealed(id)) => self.keys.iter().find(|key| key.id() == *id),
            Some(Channel::Open) | None => None,
        };
        let key = key.or_else(|| self.keys.last().filter(|_| !self.accepts_open));
        match key {
            Some(key) => key.seal(&SEALED_PREFIX, &self.cluster, &mut self.numbers, packet),
            None => [&self.prefix, packet].concat(),
        }
    }

    /// Returns the packet in a datagram, and how it was protected.
    pub(super) fn unwrap<'a>(
        &mut self,
        datagram: &'a [u8],
    ) -> Result<(Cow<'a, [u8]>, Channel), Rejected> {
        let rest = datagram.strip_prefix(&MAGIC).ok_or(Rejected::Foreign)?;
        match rest.split_first() {
            Some((&OPEN, rest)) if self.accepts_open => {
                Ok((Cow::Borrowed(self.unwrap_open(rest)?), Channel::Open))
            }
            Some((&OPEN, _)) => Err(Rejected::NotSealed),
            Some((&SEALED, _)) => {
                let (packet, key) = self.unwrap_sealed(datagram)?;
                Ok((Cow::Owned(packet), Channel::Sealed(key)))
            }
            _ => Err(Rejected::Foreign),
        }
    }

    fn unwrap_open<'a>(&self, mut rest: &'a [u8]) -> Result<&'a [u8], Rejected> {
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

    fn unwrap_sealed(&mut self, datagram: &[u8]) -> Result<(Vec<u8>, KeyId), Rejected> {
        let sealed = SealedDatagram::split(datagram, SEALED_PREFIX.len());
        let sealed = sealed.ok_or(Rejected::Malformed)?;
        let key = self.keys.iter().find(|key| key.id() == sealed.key);
        let key = key.ok_or(Rejected::UnknownKey(sealed.key))?;
        let packet = key.open(&sealed, &self.cluster).map_err(|_| Rejected::NotAuthentic)?;
        if !self.received.accept(sealed.salt, sealed.number) {
            return Err(Rejected::Replayed);
        }
        Ok((packet, sealed.key))
    }
}

/// The parts of a foca packet that are needed before foca reads it.
#[derive(Debug)]
pub(super) struct Packet<'a> {
    /// The sender.
    pub(super) from: Identity,
    /// The identity that the packet is for.
    pub(super) to: Identity,
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
        Ok(Packet { from: header.src, to: header.dst, message: header.message, updates, bare })
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
    use crate::config::Keyring;

    const ADDR: SocketAddr =
        SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 3590);

    fn open(cluster: &str) -> Envelope {
        Envelope::new(cluster, &Sealing::Open, [0; 16], 8).unwrap()
    }

    fn keyring(bytes: &[u8]) -> Keyring {
        let keys: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}").repeat(32)).collect();
        Keyring::parse(&keys.join(",")).unwrap()
    }

    fn sealed(keys: &[u8], salt: u8) -> Envelope {
        Envelope::new("app", &Sealing::Sealed(keyring(keys)), [salt; 16], 8).unwrap()
    }

    fn permissive(keys: &[u8], salt: u8) -> Envelope {
        Envelope::new("app", &Sealing::Permissive(keyring(keys)), [salt; 16], 8).unwrap()
    }

    fn id(key: u8) -> KeyId {
        keyring(&[key]).first().id()
    }

    #[track_caller]
    fn check(datagram: &[u8], expected: Result<&[u8], Rejected>) {
        let packet = open("app").unwrap(datagram).map(|(packet, channel)| {
            assert_eq!(channel, Channel::Open);
            packet.into_owned()
        });
        assert_eq!(packet.as_deref(), expected.as_deref(), "{datagram:?}");
    }

    #[test]
    fn only_gossip_of_the_same_cluster_and_version_is_unwrapped() {
        let packet = b"packet".as_slice();
        let ours = open("app").wrap(ADDR, packet);
        check(&ours, Ok(packet));
        check(&open("app2").wrap(ADDR, packet), Err(Rejected::Cluster));
        check(&open("").wrap(ADDR, packet), Err(Rejected::Cluster));
        check(&[&[0xf1, 0x7c, 3][..], &ours[3..]].concat(), Err(Rejected::Foreign));
        check(b"GET / HTTP/1.1", Err(Rejected::Foreign));
        check(&[], Err(Rejected::Foreign));
        check(&ours[..5], Err(Rejected::Malformed));
    }

    #[test]
    fn a_sealed_datagram_reveals_neither_the_cluster_nor_the_packet() {
        let mut from = sealed(&[7], 1);
        let datagram = from.wrap(ADDR, b"a packet");
        assert_eq!(datagram.len(), 8 + from.overhead());
        assert_eq!(from.overhead(), 47);
        for word in [&b"app"[..], b"packet"] {
            assert!(datagram.windows(word.len()).all(|bytes| bytes != word));
        }
        let mut to = sealed(&[7], 2);
        let packet = to.unwrap(&datagram);
        assert_eq!(packet, Ok((Cow::Borrowed(&b"a packet"[..]), Channel::Sealed(id(7)))));
        assert_eq!(to.unwrap(&datagram), Err(Rejected::Replayed));
    }

    #[test]
    fn a_sealed_node_ignores_open_datagrams_and_other_keys() {
        let mut to = sealed(&[7], 1);
        assert_eq!(to.unwrap(&open("app").wrap(ADDR, b"packet")), Err(Rejected::NotSealed));
        let other = sealed(&[8], 2).wrap(ADDR, b"packet");
        assert_eq!(to.unwrap(&other), Err(Rejected::UnknownKey(id(8))));
        check(&other, Err(Rejected::UnknownKey(id(8))));
        let mut changed = sealed(&[7], 2).wrap(ADDR, b"packet");
        *changed.last_mut().unwrap() ^= 1;
        assert_eq!(to.unwrap(&changed), Err(Rejected::NotAuthentic));
        assert_eq!(to.unwrap(&changed[..46]), Err(Rejected::Malformed));
    }

    #[test]
    fn a_peer_receives_what_it_sends_and_a_stranger_the_last_key() {
        let key_of = |datagram: &[u8]| SealedDatagram::split(datagram, 3).unwrap().key;
        let mut envelope = sealed(&[7, 8], 1);
        assert_eq!(key_of(&envelope.wrap(ADDR, b"")), id(8));
        envelope.set_channel(ADDR, Channel::Sealed(id(7)));
        assert_eq!(key_of(&envelope.wrap(ADDR, b"")), id(7));
        envelope.forget_channel(ADDR);
        assert_eq!(key_of(&envelope.wrap(ADDR, b"")), id(8));
    }

    #[test]
    fn a_permissive_node_seals_only_for_peers_that_do() {
        let mut envelope = permissive(&[7], 1);
        check(&envelope.wrap(ADDR, b"packet"), Ok(b"packet"));
        let datagram = sealed(&[7], 2).wrap(ADDR, b"packet");
        let (_, channel) = envelope.unwrap(&datagram).unwrap();
        envelope.on_datagram(ADDR, channel);
        assert_eq!(envelope.wrap(ADDR, b"packet")[..3], SEALED_PREFIX);
        let (_, channel) = envelope.unwrap(&open("app").wrap(ADDR, b"packet")).unwrap();
        envelope.on_datagram(ADDR, channel);
        assert_eq!(envelope.wrap(ADDR, b"packet")[..3], SEALED_PREFIX, "anyone may have sent it");
        envelope.set_channel(ADDR, channel);
        check(&envelope.wrap(ADDR, b"packet"), Ok(b"packet"));
        assert_eq!(envelope.overhead(), 47);
    }

    #[test]
    fn the_peers_that_are_remembered_are_bounded() {
        let mut envelope = sealed(&[7], 1);
        for port in 0..100 {
            envelope.set_channel(SocketAddr::new(ADDR.ip(), port), Channel::Open);
        }
        assert_eq!(envelope.channels.len(), 8);
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
        let envelope = |cluster: &str| Envelope::new(cluster, &Sealing::Open, [0; 16], 8);
        assert!(envelope(&"c".repeat(64)).is_ok());
        assert_eq!(envelope(&"c".repeat(65)).err(), Some(InvalidIdentity::Cluster));
    }
}
