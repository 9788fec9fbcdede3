//! The constants by which each end of a connection identifies the protocol.

/// The first bytes that each end of a connection sends. The empty line makes an HTTP server respond
/// with an error immediately, instead of waiting for more bytes.
pub(crate) const PREFACE: &[u8; 10] = b"flyrpc\r\n\r\n";

/// The oldest and the newest version of the protocol that this code supports.
pub(crate) const VERSIONS: (u64, u64) = (1, 1);
