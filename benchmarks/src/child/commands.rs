//! The commands that a child receives, and its replies.

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
    Connect { to: SocketAddr, count: usize },
    /// Call for some time.
    Load(Load),
    /// Make a number of calls, one caller after the other's reply, `calls` divided by `callers` each.
    Count { call: Call, callers: usize, calls: u64 },
    /// Begin this many calls whose handlers wait, and do not wait for them.
    Begin { micros: u32, calls: usize },
    /// Make calls within this process, without a server.
    Local { way: LocalPath, calls: u64 },
    /// Repeat an operation on a routing table, without the nodes in it.
    #[serde(rename = "Picking")]
    Routing {
        #[serde(rename = "doing")]
        op: TableOp,
        nodes: u16,
        times: u64,
    },
    /// Reply with what this process has used so far.
    Snapshot,
}

/// A call of one of the functions that all contenders serve.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) enum Call {
    Upcase,
    Echo {
        bytes: usize,
    },
    Pause {
        micros: u32,
    },
    Burn {
        micros: u32,
    },
    /// `upcase` on so many nodes at once.
    FanOut {
        nodes: usize,
    },
}

/// Callers that call one after the other's reply, for some time.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Load {
    pub(crate) call: Call,
    pub(crate) callers: usize,
    /// What others call meanwhile, on the same connection, and how many of them there are.
    pub(crate) beside: Option<(Call, usize)>,
    /// Calls that begin in this time are not counted, save in [`Measured::all`].
    pub(crate) warm_up: Duration,
    pub(crate) time: Duration,
}

/// The measurements of a [`Load`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Measured {
    /// Calls that began and ended within the time, a second.
    pub(crate) per_second: f64,
    /// Percentiles of the latency of all that began in it, in microseconds: those that took until after
    /// its end count, or the slowest would not.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    /// All calls, those beside and those of the warm-up included.
    pub(crate) all: u64,
}

/// A reply of a child.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Reply {
    Served {
        addr: SocketAddr,
    },
    /// Done, after this long.
    Done {
        took: Duration,
    },
    Measured(Measured),
    Snapshot(Snapshot),
    Failed {
        why: String,
    },
}
