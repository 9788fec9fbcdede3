//! What is said to a child, and what it answers.

use std::{net::SocketAddr, time::Duration};

use serde::{Deserialize, Serialize};

use super::Snapshot;

/// What a child is to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Command {
    /// Serve, and say where.
    Serve,
    /// Connect to a server.
    Connect { to: SocketAddr },
    /// Call for some time.
    Load(Load),
    /// Say what this process has used so far.
    Snapshot,
}

/// A call of one of the functions that all contenders serve.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) enum Call {
    Upcase,
    Echo { bytes: usize },
    Pause { micros: u32 },
    Burn { micros: u32 },
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

/// What came of a [`Load`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Measured {
    /// Calls that began and ended within the time, a second.
    pub(crate) per_second: f64,
    /// Percentiles of their latency, in microseconds.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    /// All calls, those beside and those of the warm-up included.
    pub(crate) all: u64,
}

/// What a child answers.
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
