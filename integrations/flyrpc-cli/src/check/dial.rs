//! Connects to nodes and asks them.

use std::{
    fmt,
    net::SocketAddr,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use flyrpc::{NodeId, operations::Visitor};
use tokio::time::timeout_at;

use super::{
    noting_env::NotingEnv,
    observe::{Advertised, Answered, MAX_REPORT_AGE, is_forward},
};
use crate::{exit::error_message, options::Options, session::resolve};

/// A node that answered, and the connection to it.
pub(super) struct Asked {
    pub(super) visitor: Visitor,
    pub(super) addrs: Vec<SocketAddr>,
    pub(super) answered: Answered,
}

/// Why nothing answered.
#[derive(Debug, Clone)]
pub(super) struct NoAnswer {
    pub(super) addrs: Result<Vec<SocketAddr>, String>,
    pub(super) kind: String,
    pub(super) message: String,
    pub(super) keys: Vec<String>,
    /// The node, if its handshake succeeded.
    pub(super) node: Option<NodeId>,
}

/// The end of the time that `--timeout` allows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline {
    at: tokio::time::Instant,
    timeout: Duration,
}

impl Asked {
    pub(super) fn name(&self) -> &str {
        self.answered.report.node.name()
    }

    pub(super) fn is(&self, id: &NodeId) -> bool {
        self.answered.report.node.id() == id
    }

    /// Describes that this node answered at the address of another one.
    pub(super) fn instead_of(self, id: &NodeId) -> NoAnswer {
        NoAnswer {
            kind: "OTHER_NODE".to_owned(),
            message: format!("{self} answers there, instead of {id}"),
            keys: Vec::new(),
            node: Some(self.answered.report.node.id().clone()),
            addrs: Ok(self.addrs),
        }
    }
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let report = &self.answered.report;
        write!(f, "{} of the cluster {:?}", report.node.id(), report.cluster)
    }
}

impl NoAnswer {
    pub(super) fn message(&self) -> String {
        match &self.addrs {
            Err(why) => why.clone(),
            Ok(_) => format!("{} ({})", self.message, self.kind),
        }
    }
}

impl Deadline {
    /// Returns the deadline of a check that begins now.
    pub(super) fn of(options: &Options) -> Self {
        let timeout = options.timeout;
        Deadline { at: tokio::time::Instant::now() + timeout, timeout }
    }

    /// Returns an equal share of the remaining time for the first of `count` attempts.
    fn share(self, count: usize) -> tokio::time::Instant {
        let now = tokio::time::Instant::now();
        let count = u32::try_from(count.max(1)).unwrap_or(u32::MAX);
        now + self.at.saturating_duration_since(now) / count
    }
}

/// Connects to an address and asks the node there.
pub(super) async fn ask(
    options: &Options,
    addr: &str,
    deadline: Deadline,
) -> Result<Asked, NoAnswer> {
    let failed = |addrs: &Result<Vec<SocketAddr>, String>, kind: &str, message: String| NoAnswer {
        addrs: addrs.clone(),
        kind: kind.to_owned(),
        message,
        keys: Vec::new(),
        node: None,
    };
    let timeout = deadline.timeout;
    let addrs = timeout_at(deadline.at, resolve(addr)).await;
    let addrs = addrs.unwrap_or_else(|_| Err(format!("`{addr}` was not found within {timeout:?}")));
    let Ok(found) = &addrs else { return Err(failed(&addrs, "NAME", String::new())) };
    let mut last = None;
    for (position, reached) in found.iter().enumerate() {
        let env = NotingEnv::default();
        let visitor = Visitor::connect(*reached, options.visit().env(env.clone()));
        let visitor = match timeout_at(deadline.share(found.len() - position), visitor).await {
            Ok(Ok(visitor)) => visitor,
            Ok(Err(error)) => {
                let keys = error.keys().iter().map(ToString::to_string).collect();
                let (kind, message) = (error.kind(), error_message(&error));
                last = Some(NoAnswer { keys, ..failed(&addrs, kind, message) });
                continue;
            }
            Err(_elapsed) if env.has_connected() => {
                let message =
                    format!("a connection was opened, but no handshake within {timeout:?}");
                last = Some(failed(&addrs, "HANDSHAKE_TIMEOUT", message));
                continue;
            }
            Err(_elapsed) => {
                last = Some(failed(&addrs, "TIMEOUT", format!("no answer within {timeout:?}")));
                continue;
            }
        };
        let answered = status(&visitor, None, deadline).await;
        let answered = answered.map_err(|message| NoAnswer {
            node: Some(visitor.node().id().clone()),
            ..failed(&addrs, "STATUS", message)
        })?;
        let answered = Answered {
            reached: Some(*reached),
            sealed: visitor.sealed_with().map(|key| key.to_string()),
            ..answered
        };
        return Ok(Asked { visitor, addrs: found.clone(), answered });
    }
    Err(last.expect("a name has at least one address"))
}

/// Asks a node, through the one that the visitor is connected to.
pub(super) async fn status(
    visitor: &Visitor,
    node: Option<&NodeId>,
    deadline: Deadline,
) -> Result<Answered, String> {
    let (begin, wall) = (Instant::now(), unix_time());
    let report = match timeout_at(deadline.at, visitor.status(node)).await {
        Ok(Ok(report)) => report,
        Ok(Err(error)) => return Err(format!("{}: {error}", error.kind)),
        Err(_elapsed) => return Err(format!("no answer within {:?}", deadline.timeout)),
    };
    let took = begin.elapsed().as_secs_f64();
    // It read its clock in the middle of the time in which the answer can have been made.
    let clock = report.unix_time - (wall + (took - MAX_REPORT_AGE) / 2.0);
    Ok(Answered { report, reached: None, took, clock, sealed: None })
}

fn unix_time() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// Dials the address that a node advertises, if it was reached at another one.
pub(super) async fn dial_advertised(
    options: &Options,
    node: &Answered,
    deadline: Deadline,
) -> Advertised {
    let addr = node.report.node.addr();
    let Some(reached) = node.reached.filter(|reached| *reached != addr) else {
        return Advertised::NotTried;
    };
    if is_forward(reached, addr) {
        return Advertised::NotTried;
    }
    let visitor = Visitor::connect(addr, options.visit());
    match timeout_at(deadline.at, visitor).await {
        Ok(Ok(visitor)) if visitor.node().id() == node.report.node.id() => Advertised::SameNode,
        Ok(Ok(visitor)) => Advertised::Other(format!("{} answers there", visitor.node())),
        Ok(Err(error)) if is_no_answer(error.kind()) => {
            Advertised::Unreachable(error_message(&error))
        }
        Ok(Err(error)) => Advertised::Other(error_message(&error)),
        Err(_elapsed) => {
            Advertised::Unreachable(format!("no answer within {:?}", deadline.timeout))
        }
    }
}

/// Whether nothing answered. A proxy or a firewall on the path may accept a connection and not answer, or close it.
fn is_no_answer(kind: &str) -> bool {
    matches!(
        kind,
        "CONNECT" | "CONNECT_TIMEOUT" | "TIMEOUT" | "HANDSHAKE_TIMEOUT" | "CLOSED" | "BROKEN"
    )
}
