//! What programs send, for a tap of the network.

use std::net::SocketAddr;

use bytes::Bytes;

/// Bytes that a program on a simulated host sends, as a [tap](crate::SimNet::tap) receives them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Sent {
    /// The sender's address and port.
    pub from: SocketAddr,
    /// The address to which the sender sends.
    pub to: SocketAddr,
    /// How the bytes are sent.
    pub via: Via,
    /// The bytes of one datagram, or of one write to a stream.
    pub bytes: Bytes,
}

/// How bytes are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Via {
    /// As a datagram.
    Datagram,
    /// On a stream. The bytes of all writes, in order, are the bytes of the stream.
    Stream {
        /// The number of the connection among all connections of the network.
        connection: u64,
        /// Whether the sender opened the connection.
        by_dialer: bool,
    },
}
