//! The bytes of a link: encoding and decoding only, without a socket.
//!
//! A connection begins with [`PREFACE`] in each direction, followed by [`frame`]s. The first frame is a
//! [`hello`], or contains a sealed hello ([`seal`]); then requests, replies and control frames follow in any order.
//!
//! Bytes from a peer are never trusted: every decoder returns an error for invalid bytes, and allocates
//! memory only in proportion to the bytes received.

pub(crate) mod frame;
#[cfg(test)]
mod golden;
pub(crate) mod hello;
pub(crate) mod ids;
pub(crate) mod request_fields;
pub(crate) mod seal;
pub(crate) mod service_limits;
pub(crate) mod state;
pub(crate) mod status;
mod version;

pub(crate) use self::version::{PREFACE, VERSIONS};
