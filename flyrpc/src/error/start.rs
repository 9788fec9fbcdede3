//! [`StartError`].

use std::{io, net::SocketAddr};

/// Why a node could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A setting has a value that cannot be used.
    #[error("{setting} is `{value}`: expected {expected}")]
    #[non_exhaustive]
    Setting {
        /// The environment variable or builder method.
        setting: String,
        /// The value that was given.
        value: String,
        /// What would be accepted.
        expected: String,
    },
    /// A setting without a default here was not given.
    #[error("{setting} is not set: {why}")]
    #[non_exhaustive]
    Missing {
        /// The environment variable or builder method.
        setting: String,
        /// Why it is needed, and what to set.
        why: String,
    },
    /// Two served services have one name on the wire.
    #[error(
        "`{first}` and `{second}` are both called \"{name}\" on the wire; name one of them with `#[fly_rpc(name = \"…\")]`"
    )]
    #[non_exhaustive]
    DuplicateService {
        /// The name on the wire.
        name: String,
        /// The type that was given first.
        first: &'static str,
        /// The type that was given second.
        second: &'static str,
    },
    /// The node could not listen at this address.
    #[error("cannot listen at {addr}")]
    #[non_exhaustive]
    Listen {
        /// The address.
        addr: SocketAddr,
        /// The operating system's error.
        source: io::Error,
    },
}
