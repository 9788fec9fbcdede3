//! The bytes between nodes, and nothing that reads or writes a socket.
//!
//! A connection begins with [`PREFACE`] in each direction, then carries [`frame`]s. The first frame
//! is a [`hello`]; after it come requests, replies and control frames in any order. What a peer
//! sends is never trusted: every reader here gives an error for bytes that it cannot make sense of,
//! and none allocates more than the bytes received warrant.

pub(crate) mod frame;
pub(crate) mod hello;
pub(crate) mod ids;
pub(crate) mod status;

/// What each end of a connection says first. The empty line makes an HTTP server answer at once
/// that it does not understand, instead of waiting for more.
pub(crate) const PREFACE: &[u8; 10] = b"flyrpc\r\n\r\n";

/// The oldest and the newest version of the protocol that this code speaks.
pub(crate) const VERSIONS: (u64, u64) = (1, 1);
