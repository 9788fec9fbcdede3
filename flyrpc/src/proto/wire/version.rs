//! How an end of a connection identifies the protocol.

/// The first bytes of each end of a connection. The empty line makes an HTTP server respond at once
/// that it does not understand, instead of waiting for more.
pub(crate) const PREFACE: &[u8; 10] = b"flyrpc\r\n\r\n";

/// The oldest and the newest version of the protocol that this code speaks.
pub(crate) const VERSIONS: (u64, u64) = (1, 1);
