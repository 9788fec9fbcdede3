//! [`StartError`].

use std::{io, net::SocketAddr};

/// The reason why a node could not start.
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
        /// A description of the accepted values.
        expected: String,
    },
    /// A setting that has no default in this environment was not given.
    #[error("{setting} is not set: {why}")]
    #[non_exhaustive]
    Missing {
        /// The environment variable or builder method.
        setting: String,
        /// The reason why it is required, and what to set.
        why: String,
    },
    /// The secret of the cluster cannot be used. The error never contains the secret.
    #[error("{setting} cannot be used: {why}")]
    #[non_exhaustive]
    Secret {
        /// The environment variable.
        setting: String,
        /// The problem, and what to set instead.
        why: String,
    },
    /// The node listens beyond loopback, but has no secret, so everything that can reach it could call it.
    #[error(
        "this node would be reached at {addr} by whatever is on that network. Set FLYRPC_SECRET, the same on every \
         node: `{command}`. If all that can reach it may call it, set FLYRPC_INSECURE=1"
    )]
    #[non_exhaustive]
    NoSecret {
        /// The address to listen on, or the one to advertise if the node would listen on every interface. The
        /// port is 0 if the node would listen on a free port.
        addr: SocketAddr,
        /// The command that sets a new secret.
        command: &'static str,
    },
    /// Two services of the node have the same name on the wire.
    #[error(
        "`{first}` and `{second}` are both called \"{name}\" on the wire; rename one of them with `#[fly_rpc(name = \"…\")]`"
    )]
    #[non_exhaustive]
    DuplicateService {
        /// The name on the wire.
        name: String,
        /// The type of the service that was given first.
        first: &'static str,
        /// The type of the service that was given second.
        second: &'static str,
    },
    /// The node has more services than peers accept.
    #[error("the node serves {count} {what}, and other nodes accept {limit}")]
    #[non_exhaustive]
    TooManyServices {
        /// The kind of items that exceeds its limit, for example `methods`.
        what: &'static str,
        /// The number of these items.
        count: usize,
        /// The limit.
        limit: usize,
    },
    /// The host name of the listening address could not be looked up.
    #[error("cannot look up `{name}`, the name to listen on")]
    #[non_exhaustive]
    Resolve {
        /// The host name and the port.
        name: String,
        /// The resolver's error.
        source: io::Error,
    },
    /// The node was started where it cannot run.
    #[error("a node needs a tokio runtime with time and I/O: {why}")]
    #[non_exhaustive]
    Runtime {
        /// What is missing, and what to write instead.
        why: &'static str,
    },
    /// The node could not listen on this address.
    #[error("cannot listen on {addr}")]
    #[non_exhaustive]
    Listen {
        /// The address.
        addr: SocketAddr,
        /// The operating system's error.
        source: io::Error,
    },
}
