//! The handshake: the first bytes that each end of a new connection sends, and the checks of the other
//! end's hello.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use bytes::{Buf, BytesMut};

use crate::{
    codec::bytes::{Malformed, varint},
    config::Sealing,
    proto::{
        seal::{
            NotAuthentic,
            handshake::{OVERHEAD, PAYLOAD_MAX, SUITE},
        },
        wire::{
            PREFACE, VERSIONS,
            frame::{self, MAX_FRAME},
            hello::{EncodedHello, Hello, HelloOutcome, IncompatiblePeer},
            state::State,
        },
    },
    types::{KeyId, NodeInfo, is_label, is_node_addr},
};

/// Timeout of connecting. It leaves time for two retransmissions of the first packet, which most kernels
/// send after 1 s and after 2 s more. It is shorter than the default timeout of calls, so a call that
/// waits for a node behind a packet filter learns in time that the node is unreachable.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_millis(3_500);

/// Timeout of the handshake after that.
pub(crate) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// Upper bound on the bytes of a seal frame: its kind, the suite, the id of the key, and a message.
pub(crate) const SEAL_FRAME_MAX: usize = 16 + OVERHEAD + PAYLOAD_MAX;

/// Upper bound on peer-supplied text quoted in an error: characters of a name, or bytes of a first
/// line.
const SHOWN_NAME: usize = 60;

/// This node's hello, which it sends on every link, and the values used in the handshake.
#[derive(Debug)]
pub(crate) struct LocalHello {
    pub(crate) cluster: String,
    pub(crate) node: NodeInfo,
    /// The state in the encoded hello.
    pub(crate) state: Arc<State>,
    pub(crate) encoded: EncodedHello,
    pub(crate) heartbeat: Duration,
    /// Which peers this node accepts.
    pub(crate) sealing: Sealing,
}

impl LocalHello {
    /// Returns a hello frame. `stamp` is the time on this end's clock, `echo` the stamp of the hello to which
    /// this one responds.
    pub(crate) fn frame(&self, stamp: u64, echo: Option<u64>) -> Vec<u8> {
        let mut bytes = Vec::new();
        frame::put_hello(&self.encoded.encode(stamp, echo), &mut bytes);
        bytes
    }

    /// Decodes the payload of the other end's hello.
    ///
    /// # Errors
    ///
    /// If it is not the hello of a compatible node of this cluster.
    pub(crate) fn read_peer(&self, hello: &[u8]) -> Result<Hello, DialError> {
        check(Hello::decode_with(hello, Some(&self.encoded))?, self)
    }

    /// Upper bound on the bytes of the first frame of a connection that another node opened. A node that requires
    /// a seal has no use for a longer one.
    pub(crate) fn first_frame_max(&self) -> usize {
        if self.sealing.accepts_open() { MAX_FRAME } else { SEAL_FRAME_MAX }
    }
}

/// Why a connection did not become a link.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum DialError {
    #[error("cannot connect: {0}")]
    Connect(Arc<io::Error>),
    #[error("connecting timed out after {CONNECT_TIMEOUT:?}")]
    ConnectTimeout,
    #[error("the peer did not complete the handshake within {HANDSHAKE_TIMEOUT:?}")]
    HandshakeTimeout,
    #[error("the peer closed the connection before the handshake was complete")]
    ClosedDuringHandshake,
    #[error("the peer is not a flyrpc node: it sent {0:?}")]
    NotFlyrpc(String),
    #[error("the peer speaks versions {first} to {last} of the protocol; this node speaks {ours_first} to {ours_last}", ours_first = VERSIONS.0, ours_last = VERSIONS.1)]
    OtherVersions {
        first: u64,
        last: u64,
        /// The peer's identity, if its hello contains a valid one of this cluster.
        node: Option<NodeInfo>,
    },
    #[error("the peer holds another secret; the ids of its keys are {}", KeyId::list(.0))]
    OtherSecret(Vec<KeyId>),
    #[error("the peer offered the key {0}, which this node does not hold")]
    UnknownKey(KeyId),
    #[error("the peer requires a secret, and this node has none")]
    SecretRequired,
    #[error("the peer has no secret, and this node requires one")]
    NoSecret,
    #[error("the peer holds keys, and did not use them")]
    KeyNotUsed,
    #[error("the peer seals links with the suite {0}, and this node with {SUITE}")]
    OtherSuite(u64),
    #[error("the peer sent {0}")]
    NotAuthentic(NotAuthentic),
    #[error("the peer belongs to the cluster {0:?}")]
    OtherCluster(String),
    #[error("the address reaches this node itself")]
    SelfConnect,
    #[error(
        "the peer advertises an invalid identity: \
         name {name:?}, region {region:?}, address {addr}"
    )]
    InvalidPeer { name: String, region: String, addr: SocketAddr },
    #[error("the connection failed during the handshake: {0}")]
    Broken(Arc<io::Error>),
    #[error("the peer sent a {0} during the handshake")]
    Malformed(Malformed),
}

impl DialError {
    /// Returns the kind of the error, for metrics.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            DialError::Connect(_) => "CONNECT",
            DialError::ConnectTimeout => "CONNECT_TIMEOUT",
            DialError::HandshakeTimeout => "HANDSHAKE_TIMEOUT",
            DialError::ClosedDuringHandshake => "CLOSED",
            DialError::NotFlyrpc(_) => "NOT_FLYRPC",
            DialError::OtherVersions { .. } => "OTHER_VERSION",
            DialError::OtherSecret(_) => "OTHER_SECRET",
            DialError::UnknownKey(_) => "UNKNOWN_KEY",
            DialError::SecretRequired => "SECRET_REQUIRED",
            DialError::NoSecret => "NO_SECRET",
            DialError::KeyNotUsed => "KEY_NOT_USED",
            DialError::OtherSuite(_) => "OTHER_SUITE",
            DialError::NotAuthentic(_) => "NOT_AUTHENTIC",
            DialError::OtherCluster(_) => "OTHER_CLUSTER",
            DialError::SelfConnect => "ITSELF",
            DialError::InvalidPeer { .. } => "INVALID_PEER",
            DialError::Broken(_) => "BROKEN",
            DialError::Malformed(_) => "MALFORMED",
        }
    }

    /// Whether the peer does not hold this node's secret, or this node does not hold the peer's.
    pub(crate) fn is_about_the_secret(&self) -> bool {
        matches!(
            self,
            DialError::OtherSecret(_)
                | DialError::UnknownKey(_)
                | DialError::SecretRequired
                | DialError::NoSecret
                | DialError::NotAuthentic(_)
        )
    }

    /// Returns whether the peer is a flyrpc node. Such a peer should receive this node's
    /// hello, so that it can report the mismatch.
    pub(crate) fn is_from_a_node(&self) -> bool {
        matches!(
            self,
            DialError::OtherVersions { .. } | DialError::OtherCluster(_) | DialError::SelfConnect
        )
    }
}

impl From<NotAuthentic> for DialError {
    fn from(error: NotAuthentic) -> Self {
        DialError::NotAuthentic(error)
    }
}

impl From<Malformed> for DialError {
    fn from(malformed: Malformed) -> Self {
        DialError::Malformed(malformed)
    }
}

impl From<io::Error> for DialError {
    fn from(error: io::Error) -> Self {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
        // Which of these errors occurs depends on timing.
        if matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset) {
            return DialError::ClosedDuringHandshake;
        }
        DialError::Broken(Arc::new(error))
    }
}

/// Reads the preface and the first frames of the other end, which may arrive in pieces of any size.
#[derive(Debug, Default)]
pub(crate) struct HandshakeReader {
    buffer: BytesMut,
    /// Whether the preface has been read.
    preface_received: bool,
}

impl HandshakeReader {
    /// Returns the buffer to which received bytes are appended.
    pub(crate) fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// Returns the kind and the payload of the next frame, after the preface, once all of it has arrived. Returns
    /// `None` if more bytes are needed.
    ///
    /// # Errors
    ///
    /// If the bytes are not the preface of a flyrpc node, or not the start of a frame of at most `max` bytes.
    pub(crate) fn poll(&mut self, max: usize) -> Result<Option<BytesMut>, DialError> {
        if !self.preface_received && !self.take_preface()? {
            return Ok(None);
        }
        if varint::peek(&self.buffer)?.is_some_and(|(length, _)| length > max as u64) {
            return Err(Malformed::new("long frame").into());
        }
        Ok(frame::take(&mut self.buffer)?)
    }

    /// Removes the preface from the buffer and returns true, once all of it has arrived. Returns an
    /// error if the bytes are not the preface of a flyrpc node.
    fn take_preface(&mut self) -> Result<bool, DialError> {
        let received_len = self.buffer.len().min(PREFACE.len());
        if self.buffer[..received_len] != PREFACE[..received_len] {
            return Err(DialError::NotFlyrpc(first_line(&self.buffer)));
        }
        self.preface_received = received_len == PREFACE.len();
        if self.preface_received {
            self.buffer.advance(received_len);
        }
        Ok(self.preface_received)
    }

    /// Returns the bytes received after the frames.
    pub(crate) fn into_rest(self) -> BytesMut {
        self.buffer
    }
}

/// Checks whether a link to the node at the other end is possible, and returns its hello.
fn check(outcome: HelloOutcome, local: &LocalHello) -> Result<Hello, DialError> {
    match outcome {
        HelloOutcome::OtherVersions(IncompatiblePeer { first, last, who }) => {
            let ours = who.filter(|(cluster, node)| {
                *cluster == local.cluster && is_valid(node) && node.id() != local.node.id()
            });
            Err(DialError::OtherVersions { first, last, node: ours.map(|(_, node)| node) })
        }
        HelloOutcome::Hello(hello) if hello.cluster != local.cluster => {
            Err(DialError::OtherCluster(hello.cluster))
        }
        HelloOutcome::Hello(hello) if hello.node.id() == local.node.id() => {
            Err(DialError::SelfConnect)
        }
        HelloOutcome::Hello(hello) if !is_valid(&hello.node) => {
            let short = |text: &str| text.chars().take(SHOWN_NAME).collect();
            let (name, region) = (short(hello.node.name()), short(hello.node.region().as_str()));
            Err(DialError::InvalidPeer { name, region, addr: hello.node.addr() })
        }
        HelloOutcome::Hello(hello) => Ok(*hello),
    }
}

/// Returns whether a node can have this name, region and address. Starting a node checks the same.
fn is_valid(node: &NodeInfo) -> bool {
    is_label(node.name()) && is_label(node.region().as_str()) && is_node_addr(node.addr())
}

/// Returns the start of the first line, by which an operator can recognize a peer that is not flyrpc.
fn first_line(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(SHOWN_NAME)]);
    text.lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{NodeId, Region};

    fn local(cluster: &str, name: &str, port: u16) -> LocalHello {
        let node =
            NodeInfo::new(NodeId::new(name, 1), Region::from("iad"), ([10, 0, 0, 1], port).into());
        let state = Arc::new(State {
            accepting: true,
            draining: false,
            primary_region: Region::from("iad"),
            withdrawn: Vec::new(),
        });
        let encoded = EncodedHello::new(cluster, &node, 1 << 20, &Arc::from([]), &state, &[], "");
        let (heartbeat, sealing) = (Duration::from_secs(1), Sealing::Open);
        LocalHello { cluster: cluster.to_owned(), node, state, encoded, heartbeat, sealing }
    }

    fn first_bytes(of: &LocalHello) -> Vec<u8> {
        [&PREFACE[..], &of.frame(7, None)].concat()
    }

    /// Reads bytes that arrive one by one. Returns the outcome and the bytes that were not consumed.
    fn received(bytes: &[u8], local: &LocalHello) -> (Result<Option<Hello>, DialError>, Vec<u8>) {
        let mut reader = HandshakeReader::default();
        for (at, byte) in bytes.iter().enumerate() {
            reader.buffer().extend_from_slice(&[*byte]);
            match reader.poll(MAX_FRAME) {
                Ok(None) => {}
                Ok(Some(frame)) => {
                    let hello = local.read_peer(&frame[1..]);
                    return (hello.map(Some), bytes[at + 1..].to_vec());
                }
                Err(error) => return (Err(error), bytes[at + 1..].to_vec()),
            }
        }
        (Ok(None), reader.into_rest().to_vec())
    }

    #[test]
    fn a_hello_is_read_from_pieces_of_any_size_and_later_bytes_are_left() {
        let mut bytes = first_bytes(&local("c", "b", 2));
        bytes.extend_from_slice(b"rest");
        let (hello, rest) = received(&bytes, &local("c", "a", 1));
        let hello = hello.unwrap().unwrap();
        assert_eq!((hello.node.name(), hello.stamp, hello.echo), ("b", 7, None));
        assert_eq!(rest, b"rest");
    }

    #[test]
    fn an_incomplete_hello_is_not_an_error() {
        let bytes = first_bytes(&local("c", "b", 2));
        let (hello, _) = received(&bytes[..bytes.len() - 1], &local("c", "a", 1));
        assert!(matches!(hello, Ok(None)));
    }

    #[test]
    fn a_node_that_requires_a_seal_reads_no_frame_that_is_longer_than_one() {
        let keyring = crate::config::Keyring::parse(&"00".repeat(32)).unwrap();
        let sealed = LocalHello { sealing: Sealing::Sealed(keyring), ..local("c", "a", 1) };
        let mut reader = HandshakeReader::default();
        reader.buffer().extend_from_slice(PREFACE);
        varint_of(sealed.first_frame_max() + 1, reader.buffer());
        assert!(matches!(reader.poll(sealed.first_frame_max()), Err(DialError::Malformed(_))));
        assert!(sealed.first_frame_max() < 64 << 10);
        assert!(matches!(reader.poll(local("c", "a", 1).first_frame_max()), Ok(None)));
    }

    fn varint_of(number: usize, to: &mut BytesMut) {
        let mut bytes = Vec::new();
        varint::put(number as u64, &mut bytes);
        to.extend_from_slice(&bytes);
    }

    #[test]
    fn a_peer_that_is_not_flyrpc_is_reported_with_its_first_line() {
        let (hello, _) = received(b"HTTP/1.1 400 Bad Request\r\n", &local("c", "a", 1));
        assert!(matches!(hello, Err(DialError::NotFlyrpc(_))));
    }

    #[test]
    fn a_node_that_cannot_be_linked_to_is_rejected_with_the_reason() {
        let me = local("c", "a", 1);
        let outcome = |other: &LocalHello| received(&first_bytes(other), &me).0.unwrap_err();
        assert!(matches!(outcome(&local("other", "b", 2)), DialError::OtherCluster(_)));
        assert!(matches!(outcome(&local("c", "a", 2)), DialError::SelfConnect));
        assert!(matches!(outcome(&local("c", "b", 0)), DialError::InvalidPeer { .. }));
        assert!(matches!(outcome(&local("c", "a\nb", 2)), DialError::InvalidPeer { .. }));
        let broadcast = SocketAddr::from(([255, 255, 255, 255], 2));
        let mut other = local("c", "b", 2);
        other.node = NodeInfo::new(other.node.id().clone(), Region::from("iad"), broadcast);
        other.encoded =
            EncodedHello::new("c", &other.node, 1, &Arc::from([]), &other.state, &[], "");
        assert!(matches!(outcome(&other), DialError::InvalidPeer { .. }));
        assert!(outcome(&local("c", "a", 2)).is_from_a_node());
        assert!(!outcome(&local("c", "b", 0)).is_from_a_node());
    }
}
