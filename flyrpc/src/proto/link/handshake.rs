//! What each end of a new connection sends first, and what it makes of the other's answer.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use bytes::{Buf, BytesMut};

use crate::{
    codec::bytes::Malformed,
    proto::wire::{
        PREFACE, VERSIONS,
        frame::{self, Frame},
        hello::{EncodedHello, Hello, HelloOutcome, IncompatiblePeer, State},
    },
    types::NodeInfo,
};

/// How long connecting, and then the handshake, may each take.
pub(crate) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// The longest name of a node or a region, in bytes.
const MAX_NAME: usize = 64;

/// How much of a name that another node claims is repeated in an error, in characters.
const SHOWN_NAME: usize = 60;

/// What this node says of itself on every link.
#[derive(Debug)]
pub(crate) struct LocalHello {
    pub(crate) cluster: String,
    pub(crate) node: NodeInfo,
    /// As in the encoded hello.
    pub(crate) state: Arc<State>,
    pub(crate) encoded: EncodedHello,
    pub(crate) heartbeat: Duration,
}

impl LocalHello {
    /// The bytes that begin a connection. `stamp` is this end's clock, `echo` the stamp of the hello
    /// that this one answers.
    pub(crate) fn preface_and_hello(&self, stamp: u64, echo: Option<u64>) -> Vec<u8> {
        let mut bytes = PREFACE.to_vec();
        frame::put_hello(&self.encoded.encode(stamp, echo), &mut bytes);
        bytes
    }
}

/// Why a connection did not become a link.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum DialError {
    #[error("cannot connect: {0}")]
    Connect(Arc<io::Error>),
    #[error("no connection within {HANDSHAKE_TIMEOUT:?}")]
    ConnectTimeout,
    #[error("it accepts connections, but sent nothing for {HANDSHAKE_TIMEOUT:?}")]
    HandshakeTimeout,
    #[error("it closed the connection before the handshake was complete")]
    ClosedDuringHandshake,
    #[error("something else answers there: {0:?}")]
    NotFlyrpc(String),
    #[error("it speaks versions {first} to {last} of the protocol, this node {ours_first} to {ours_last}", ours_first = VERSIONS.0, ours_last = VERSIONS.1)]
    OtherVersions {
        first: u64,
        last: u64,
        /// Who it is, if it names itself and is of this cluster.
        node: Option<NodeInfo>,
    },
    #[error("it belongs to the cluster {0:?}")]
    OtherCluster(String),
    #[error("the address is this node's own")]
    SelfConnect,
    #[error("the node there advertises this node's own address, {0}")]
    SameAddress(SocketAddr),
    #[error(
        "it advertises {addr}, the name {name:?} and the region {region:?}, which no node can have"
    )]
    InvalidPeer { name: String, region: String, addr: SocketAddr },
    #[error("the handshake broke: {0}")]
    Broken(Arc<io::Error>),
    #[error("the handshake contained a {0}")]
    Malformed(Malformed),
}

impl DialError {
    /// Whether the peer is a flyrpc node, which should learn what it has reached.
    pub(crate) fn is_from_a_node(&self) -> bool {
        matches!(
            self,
            DialError::OtherVersions { .. }
                | DialError::OtherCluster(_)
                | DialError::SelfConnect
                | DialError::SameAddress(_)
        )
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
        // Which of these it is depends on which end was quicker.
        if matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset) {
            return DialError::ClosedDuringHandshake;
        }
        DialError::Broken(Arc::new(error))
    }
}

/// Reads the preface and the hello of the other end from whatever pieces they arrive in.
#[derive(Debug, Default)]
pub(crate) struct HelloReader {
    buffer: BytesMut,
    /// Whether the preface has been read.
    preface_received: bool,
}

impl HelloReader {
    /// Where received bytes are appended.
    pub(crate) fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// The hello, once it has arrived; else more bytes are needed.
    ///
    /// # Errors
    ///
    /// If what arrived is not the hello of a compatible node of this cluster.
    pub(crate) fn poll(&mut self, local: &LocalHello) -> Result<Option<Hello>, DialError> {
        if !self.preface_received && !self.take_preface()? {
            return Ok(None);
        }
        let Some((first, length)) = frame::split(&self.buffer)? else { return Ok(None) };
        let Frame::Hello(hello) = frame::decode(first)? else {
            return Err(Malformed::new("frame before the hello").into());
        };
        let outcome = Hello::decode_with(hello, Some(&local.encoded))?;
        self.buffer.advance(length);
        check(outcome, local).map(Some)
    }

    /// Takes the preface if all of it has arrived; an error if something else speaks.
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

    /// What was received beyond the hello.
    pub(crate) fn into_rest(self) -> BytesMut {
        self.buffer
    }
}

/// Whether the node at the other end can be linked to.
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
        HelloOutcome::Hello(hello) if hello.node.addr() == local.node.addr() => {
            Err(DialError::SameAddress(hello.node.addr()))
        }
        HelloOutcome::Hello(hello) if !is_valid(&hello.node) => {
            let short = |text: &str| text.chars().take(SHOWN_NAME).collect();
            let (name, region) = (short(hello.node.name()), short(hello.node.region().as_str()));
            Err(DialError::InvalidPeer { name, region, addr: hello.node.addr() })
        }
        HelloOutcome::Hello(hello) => Ok(*hello),
    }
}

/// Whether a node can have this name, region and address: what starting one checks too.
fn is_valid(node: &NodeInfo) -> bool {
    let is_label =
        |text: &str| (1..=MAX_NAME).contains(&text.len()) && !text.contains(char::is_control);
    let (ip, port) = (node.addr().ip().to_canonical(), node.addr().port());
    is_label(node.name())
        && is_label(node.region().as_str())
        && port != 0
        && !ip.is_unspecified()
        && !ip.is_multicast()
}

/// The beginning of what something else sent, by which people recognize it.
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
        let encoded = EncodedHello::new(cluster, &node, 1 << 20, &Arc::from([]), &state);
        let heartbeat = Duration::from_secs(1);
        LocalHello { cluster: cluster.to_owned(), node, state, encoded, heartbeat }
    }

    /// What `local` makes of bytes that arrive one by one, and what it leaves unread.
    fn received(bytes: &[u8], local: &LocalHello) -> (Result<Option<Hello>, DialError>, Vec<u8>) {
        let mut reader = HelloReader::default();
        for (at, byte) in bytes.iter().enumerate() {
            reader.buffer().extend_from_slice(&[*byte]);
            match reader.poll(local) {
                Ok(None) => {}
                done => return (done, bytes[at + 1..].to_vec()),
            }
        }
        (Ok(None), reader.into_rest().to_vec())
    }

    #[test]
    fn a_hello_is_read_from_any_pieces_and_what_follows_is_left() {
        let mut bytes = local("c", "b", 2).preface_and_hello(7, None);
        bytes.extend_from_slice(b"rest");
        let (hello, rest) = received(&bytes, &local("c", "a", 1));
        let hello = hello.unwrap().unwrap();
        assert_eq!((hello.node.name(), hello.stamp, hello.echo), ("b", 7, None));
        assert_eq!(rest, b"rest");
    }

    #[test]
    fn an_incomplete_hello_is_no_error() {
        let bytes = local("c", "b", 2).preface_and_hello(7, None);
        let (hello, _) = received(&bytes[..bytes.len() - 1], &local("c", "a", 1));
        assert!(matches!(hello, Ok(None)));
    }

    #[test]
    fn what_is_not_flyrpc_is_told_by_its_first_line() {
        let (hello, _) = received(b"HTTP/1.1 400 Bad Request\r\n", &local("c", "a", 1));
        assert!(matches!(hello, Err(DialError::NotFlyrpc(_))));
    }

    #[test]
    fn a_node_that_cannot_be_linked_to_is_named_as_what_it_is() {
        let me = local("c", "a", 1);
        let outcome =
            |other: &LocalHello| received(&other.preface_and_hello(0, None), &me).0.unwrap_err();
        assert!(matches!(outcome(&local("other", "b", 2)), DialError::OtherCluster(_)));
        assert!(matches!(outcome(&local("c", "a", 2)), DialError::SelfConnect));
        assert!(matches!(outcome(&local("c", "b", 1)), DialError::SameAddress(_)));
        assert!(matches!(outcome(&local("c", "b", 0)), DialError::InvalidPeer { .. }));
        assert!(matches!(outcome(&local("c", "a\nb", 2)), DialError::InvalidPeer { .. }));
        assert!(outcome(&local("c", "a", 2)).is_from_a_node());
        assert!(!outcome(&local("c", "b", 0)).is_from_a_node());
    }
}
