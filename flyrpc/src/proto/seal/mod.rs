//! Sealing: what makes links and gossip unreadable and unforgeable without the cluster's secret.
//!
//! A link is sealed by the Noise protocol `NNpsk0` (<https://noiseprotocol.org/noise.html>, revision 34): a
//! [`handshake`] of two messages, whose payloads are the hellos, and then [`record`]s. Gossip is sealed
//! [`datagram`] by datagram with XChaCha20-Poly1305, and a [`replay`] window.

pub(crate) mod datagram;
pub(crate) mod handshake;
pub(crate) mod record;
pub(crate) mod records;
pub(crate) mod replay;

/// Data that the holder of the expected key did not seal, or that was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("data that was not sealed with the expected key")]
pub(crate) struct NotAuthentic;
