//! The commands to a child, and its replies.

use std::{net::SocketAddr, time::Duration};

use serde::{Deserialize, Serialize};

use super::{Snapshot, local::LocalPath, routing::TableOp};
use crate::contenders::Setup;

/// A command to a child.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Command {
    /// Serve, and reply with the address.
    Serve(Setup),
    /// Open this many connections to a server.
    Connect {
        to: SocketAddr,
        count: usize,
        /// Whether the first call may have to wait for the connection. Older builds ignore it.
        #[serde(default)]
        lazily: bool,
    },
    /// Make calls for some time.
    Load(Load),
    /// Make `calls` calls, divided evenly among `callers` callers. Each caller makes its next call when it
    /// has received the reply.
    Count { call: Call, callers: usize, calls: u64 },
    /// Start this many calls whose handlers sleep for `micros` microseconds, and do not wait for them.
    Begin { micros: u32, calls: usize },
    /// Make calls within this process, without a server.
    Local { way: LocalPath, calls: u64 },
    /// Repeat an operation on a routing table. The nodes in it do not exist.
    #[serde(rename = "Picking")]
    Routing {
        #[serde(rename = "doing")]
        op: TableOp,
        nodes: u16,
        times: u64,
    },
    /// Reply with the resources that this process has used so far.
    Snapshot,
}

/// A call of one of the functions that the contenders serve.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) enum Call {
    Upcase,
    Echo {
        bytes: usize,
    },
    EchoRecords {
        count: usize,
    },
    Pause {
        micros: u32,
    },
    Burn {
        micros: u32,
    },
    /// `upcase` on `nodes` nodes concurrently.
    FanOut {
        nodes: usize,
    },
}

/// Callers that make calls for some time. Each makes its next call when it has received the reply.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Load {
    pub(crate) call: Call,
    pub(crate) callers: usize,
    /// The call and the number of other callers, which run at the same time on the same connection.
    pub(crate) beside: Option<(Call, usize)>,
    /// Calls that begin in this time are counted only in [`Measured::all`].
    pub(crate) warm_up: Duration,
    pub(crate) time: Duration,
}

/// The measurements of a [`Load`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Measured {
    /// Calls per second that began and ended within the measured time.
    pub(crate) per_second: f64,
    /// Percentiles of the latency, in microseconds, of all calls that began within the measured time. Calls
    /// that ended later are included, because otherwise the slowest calls would be missing.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    /// Number of all calls, including the warm-up and the calls of the other callers.
    pub(crate) all: u64,
}

/// A reply of a child.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Reply {
    Served {
        addr: SocketAddr,
    },
    /// The command was carried out, in this time.
    Done {
        took: Duration,
    },
    Measured(Measured),
    Snapshot(Snapshot),
    Failed {
        why: String,
    },
}
