//! Gathers what is known about a node.

use std::{
    net::SocketAddr,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use flyrpc::{
    Keyring, NodeId, NodeInfo,
    operations::{NodeReport, PeerReport, Visitor},
};
use futures_util::{StreamExt as _, stream};

use super::answered::peer_of;
use crate::{
    exit::error_message,
    options::Options,
    session::{is_linked, resolve},
};

/// Upper bound on the peers that are observed at the same time.
const CONCURRENT: usize = 8;

/// A node sends the same report again for this long, in seconds (`REUSE_FOR` in `flyrpc`). It contains the time at which it was
/// made.
const MAX_REPORT_AGE: f64 = 0.1;

/// What is known about a node.
#[derive(Debug)]
pub(crate) struct Observed {
    /// The address or the name that was given.
    pub(crate) target: String,
    /// The addresses that the name has, or why it has none.
    pub(crate) addrs: Result<Vec<SocketAddr>, String>,
    pub(crate) answer: Answer,
    /// The ids of the keys that this command holds.
    pub(crate) keys: Vec<String>,
    /// The node at `--addr`, which was asked for its view. `Err` says why there is none.
    pub(crate) asked: Result<Answered, String>,
    /// What answers at the address that the node advertises, if it was reached at another one.
    pub(crate) advertised: Advertised,
}

/// What answered at the address.
#[derive(Debug)]
pub(crate) enum Answer {
    Node(Box<Answered>),
    /// The kind and the message of the error, and the ids of the keys that the node holds, if it told them.
    Failed {
        kind: String,
        message: String,
        keys: Vec<String>,
    },
    /// It was not dialed: the node that was asked is dialing it for the first time.
    Dialing,
}

/// A node that answered.
#[derive(Debug, Clone)]
pub(crate) struct Answered {
    pub(crate) report: NodeReport,
    /// The address at which it was reached. `None` if another node asked it.
    pub(crate) reached: Option<SocketAddr>,
    /// How long the answer took, in seconds.
    pub(crate) took: f64,
    /// By how much its wall clock is ahead of this machine's, in seconds.
    pub(crate) clock: f64,
    /// The id of the key that seals the connection.
    pub(crate) sealed: Option<String>,
}

impl Answered {
    /// Upper bound on the error of `clock`, in seconds.
    pub(crate) fn clock_error(&self) -> f64 {
        (self.took + MAX_REPORT_AGE) / 2.0
    }
}

/// What answers at the address that a node advertises.
#[derive(Debug, PartialEq)]
pub(crate) enum Advertised {
    /// It is the address at which it was reached, or it was not tried.
    NotTried,
    /// The same node.
    SameNode,
    /// Another node, or another program.
    Other(String),
    /// Nothing answers this machine, which may be outside of the network of the nodes.
    Unreachable(String),
}

impl Observed {
    /// The node that was asked, unless it is itself the target.
    pub(crate) fn other(&self) -> Option<&Answered> {
        let asked = self.asked.as_ref().ok()?;
        match &self.answer {
            Answer::Node(node) if node.report.node.id() == asked.report.node.id() => None,
            _ => Some(asked),
        }
    }

    /// What the node that was asked knows about the target.
    pub(crate) fn peer(&self) -> Option<&PeerReport> {
        let report = &self.other()?.report;
        if let Answer::Node(node) = &self.answer {
            let id = node.report.node.id();
            let found = report.peers.iter().find(|peer| has_id(peer, id));
            return found.or_else(|| at(report, &[node.report.node.addr()]));
        }
        at(report, self.addrs.as_deref().unwrap_or_default())
    }

    /// Whether a link between the target and the node that was asked is open. `None` if no other node was asked.
    pub(crate) fn has_link(&self) -> Option<bool> {
        let (asked, Answer::Node(node)) = (self.other()?, &self.answer) else { return None };
        Some(self.peer().is_some_and(is_linked) || peer_of(node, asked).is_some_and(is_linked))
    }
}

fn has_id(peer: &PeerReport, id: &NodeId) -> bool {
    peer.node.as_ref().is_some_and(|node| node.id() == id)
}

fn at<'a>(report: &'a NodeReport, addrs: &[SocketAddr]) -> Option<&'a PeerReport> {
    report.peers.iter().find(|peer| addrs.contains(&peer.addr))
}

/// Observes the target. Without one, observes the node at `--addr`, and every peer that it lists as not callable.
pub(crate) async fn observe(options: &Options, target: Option<&str>) -> Vec<Observed> {
    let asked = ask(options, &options.addr).await;
    match (target, &asked) {
        (Some(target), Ok(known)) => vec![observe_target(options, target, known).await],
        (Some(target), Err(failed)) => observe_alone(options, target, failed).await,
        (None, Ok(known)) => {
            let mut all = vec![observe_asked(options, known).await];
            all.extend(observe_doubtful(options, known).await);
            all
        }
        (None, Err(failed)) => vec![observe_failed(options, failed)],
    }
}

/// Observes a target that is the name, the id or the address of a node.
async fn observe_target(options: &Options, target: &str, asked: &Asked) -> Observed {
    let report = &asked.answered.report;
    let is_it = |node: &NodeInfo| node.name() == target || node.id().to_string() == target;
    if is_it(&report.node) {
        return observe_asked(options, asked).await;
    }
    let named = |peer: &&PeerReport| peer.node.as_ref().is_some_and(is_it);
    let found: Vec<&PeerReport> = report.peers.iter().filter(named).collect();
    let peer = found.iter().find(|peer| is_linked(peer)).or(found.first());
    let addr = peer.map_or_else(|| target.to_owned(), |peer| peer.addr.to_string());
    observe_addr(options, target.to_owned(), &addr, asked).await
}

/// Observes a target without the view of another node.
async fn observe_alone(options: &Options, target: &str, failed: &NoAnswer) -> Vec<Observed> {
    let dialed = ask(options, target).await;
    let mut all = Vec::new();
    // It may be the name of a node, which is unknown without the node that was to be asked.
    if !target.contains(':') && dialed.is_err() {
        all.push(observe_failed(options, failed));
    }
    all.push(observed(options, target.to_owned(), dialed, Err(failed.message())).await);
    all
}

async fn observe_doubtful(options: &Options, asked: &Asked) -> Vec<Observed> {
    let doubtful = asked.answered.report.peers.iter().filter(|peer| is_doubtful(peer));
    let observed = stream::iter(doubtful).map(|peer| async move {
        let addr = peer.addr.to_string();
        let name = peer.node.as_ref().map_or_else(|| addr.clone(), |node| node.id().to_string());
        if is_first_dial(peer) {
            return Observed {
                target: name,
                addrs: Ok(vec![peer.addr]),
                answer: Answer::Dialing,
                keys: keys(options),
                asked: Ok(asked.answered.clone()),
                advertised: Advertised::NotTried,
            };
        }
        observe_addr(options, name, &addr, asked).await
    });
    observed.buffered(CONCURRENT).collect().await
}

/// Whether a peer should be checked: calls may not reach it.
fn is_doubtful(peer: &PeerReport) -> bool {
    // A seed may lead to the node itself, as behind a load balancer.
    if peer.state == "left" || kind_of_reason(&peer.reason) == Some("ITSELF") {
        return false;
    }
    !is_linked(peer) || peer.supported != Some(true) || !peer.accepting || peer.gossip_missing
}

/// Whether a peer is a seed whose first dial is in progress.
pub(crate) fn is_first_dial(peer: &PeerReport) -> bool {
    let is_new = matches!(&*peer.state, "unlinked" | "unreached");
    peer.node.is_none() && is_new && peer.reason.is_empty()
}

/// A node that answered, and the connection to it.
struct Asked {
    visitor: Visitor,
    addrs: Vec<SocketAddr>,
    answered: Answered,
}

/// Why nothing answered.
#[derive(Clone)]
struct NoAnswer {
    addrs: Result<Vec<SocketAddr>, String>,
    kind: String,
    message: String,
    keys: Vec<String>,
}

impl NoAnswer {
    fn message(&self) -> String {
        match &self.addrs {
            Err(why) => why.clone(),
            Ok(_) => format!("{} ({})", self.message, self.kind),
        }
    }
}

/// A connection that does not become a link has timeouts of its own, whose errors say more. One of them is as long as the
/// default of `--timeout`, so this is added to it.
const GRACE: Duration = Duration::from_secs(1);

/// Connects to an address and asks the node there.
async fn ask(options: &Options, addr: &str) -> Result<Asked, NoAnswer> {
    let failed = |addrs: &Result<Vec<SocketAddr>, String>, kind: &str, message: String| NoAnswer {
        addrs: addrs.clone(),
        kind: kind.to_owned(),
        message,
        keys: Vec::new(),
    };
    let timeout = options.timeout;
    let addrs = tokio::time::timeout(timeout, resolve(addr)).await;
    let addrs = addrs.unwrap_or_else(|_| Err(format!("`{addr}` was not found within {timeout:?}")));
    let Ok(found) = &addrs else { return Err(failed(&addrs, "NAME", String::new())) };
    let mut last = None;
    for reached in found {
        let visitor = Visitor::connect(*reached, options.visit());
        let visitor = match tokio::time::timeout(timeout + GRACE, visitor).await {
            Ok(Ok(visitor)) => visitor,
            Ok(Err(error)) => {
                let keys = error.keys().iter().map(ToString::to_string).collect();
                let (kind, message) = (error.kind(), error_message(&error));
                last = Some(NoAnswer { keys, ..failed(&addrs, kind, message) });
                continue;
            }
            Err(_elapsed) => {
                last = Some(failed(&addrs, "TIMEOUT", format!("no answer within {timeout:?}")));
                continue;
            }
        };
        let answered = status(options, &visitor, None).await;
        let answered = answered.map_err(|message| failed(&addrs, "STATUS", message))?;
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
async fn status(
    options: &Options,
    visitor: &Visitor,
    node: Option<&NodeId>,
) -> Result<Answered, String> {
    let (begin, wall) = (Instant::now(), unix_time());
    let report = tokio::time::timeout(options.timeout, visitor.status(node)).await;
    let report = match report {
        Ok(Ok(report)) => report,
        Ok(Err(error)) => return Err(format!("{}: {error}", error.kind)),
        Err(_elapsed) => return Err(format!("no answer within {:?}", options.timeout)),
    };
    let took = begin.elapsed().as_secs_f64();
    // It read its clock in the middle of the time in which the answer can have been made.
    let clock = report.unix_time - (wall + (took - MAX_REPORT_AGE) / 2.0);
    Ok(Answered { report, reached: None, took, clock, sealed: None })
}

fn unix_time() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

async fn observe_asked(options: &Options, asked: &Asked) -> Observed {
    Observed {
        target: options.addr.clone(),
        addrs: Ok(asked.addrs.clone()),
        answer: Answer::Node(Box::new(asked.answered.clone())),
        keys: keys(options),
        advertised: dial_advertised(options, &asked.answered).await,
        asked: Ok(asked.answered.clone()),
    }
}

/// Describes why the node that was to be asked did not answer.
fn observe_failed(options: &Options, failed: &NoAnswer) -> Observed {
    let NoAnswer { addrs, kind, message, keys: theirs } = failed.clone();
    Observed {
        target: options.addr.clone(),
        addrs,
        answer: Answer::Failed { kind, message, keys: theirs },
        keys: keys(options),
        asked: Err(failed.message()),
        advertised: Advertised::NotTried,
    }
}

/// Observes an address, from here and from the node that was asked.
async fn observe_addr(options: &Options, target: String, addr: &str, asked: &Asked) -> Observed {
    let dialed = ask(options, addr).await;
    let observed = observed(options, target, dialed, Ok(asked.answered.clone())).await;
    let Answer::Failed { kind, .. } = &observed.answer else { return observed };
    if !matches!(&**kind, "CONNECT" | "CONNECT_TIMEOUT" | "TIMEOUT") {
        return observed;
    }
    // This machine may not be in the network of the nodes.
    let Some(peer) = observed.peer().cloned() else { return observed };
    if let Some(node) = peer.node.as_ref().filter(|_| is_linked(&peer))
        && let Ok(answered) = status(options, &asked.visitor, Some(node.id())).await
    {
        return Observed { answer: Answer::Node(Box::new(answered)), ..observed };
    }
    match kind_of_reason(&peer.reason) {
        Some(kind) if kind != "CONNECT" => {
            let by = asked.answered.report.node.name();
            let answer = Answer::Failed {
                kind: kind.to_owned(),
                message: format!("as {by} reports: {}", peer.reason),
                keys: Vec::new(),
            };
            Observed { answer, ..observed }
        }
        _ => observed,
    }
}

/// Returns the kind of error that the reason of a peer describes.
pub(crate) fn kind_of_reason(reason: &str) -> Option<&'static str> {
    let kinds = [
        ("nothing responds", "CONNECT"),
        ("something accepts connections", "HANDSHAKE_TIMEOUT"),
        ("not flyrpc", "NOT_FLYRPC"),
        ("speaks versions", "OTHER_VERSION"),
        ("belongs to the cluster", "OTHER_CLUSTER"),
        ("holds another secret", "OTHER_SECRET"),
        ("requires a secret", "SECRET_REQUIRED"),
        ("has no secret", "NO_SECRET"),
        ("this node itself", "ITSELF"),
    ];
    kinds.iter().find(|(start, _)| reason.starts_with(start)).map(|(_, kind)| *kind)
}

async fn observed(
    options: &Options,
    target: String,
    dialed: Result<Asked, NoAnswer>,
    asked: Result<Answered, String>,
) -> Observed {
    let (addrs, answer, advertised) = match dialed {
        Ok(Asked { addrs, answered, .. }) => {
            let advertised = dial_advertised(options, &answered).await;
            (Ok(addrs), Answer::Node(Box::new(answered)), advertised)
        }
        Err(NoAnswer { addrs, kind, message, keys }) => {
            (addrs, Answer::Failed { kind, message, keys }, Advertised::NotTried)
        }
    };
    Observed { target, addrs, answer, keys: keys(options), asked, advertised }
}

/// Dials the address that a node advertises, if it was reached at another one.
async fn dial_advertised(options: &Options, node: &Answered) -> Advertised {
    let addr = node.report.node.addr();
    let Some(reached) = node.reached.filter(|reached| *reached != addr) else {
        return Advertised::NotTried;
    };
    if is_forward(reached, addr) {
        return Advertised::NotTried;
    }
    let visitor = Visitor::connect(addr, options.visit());
    match tokio::time::timeout(options.timeout, visitor).await {
        Ok(Ok(visitor)) if visitor.node().id() == node.report.node.id() => Advertised::SameNode,
        Ok(Ok(visitor)) => Advertised::Other(format!("{} answers there", visitor.node())),
        Ok(Err(error)) if is_no_answer(error.kind()) => {
            Advertised::Unreachable(error_message(&error))
        }
        Ok(Err(error)) => Advertised::Other(error_message(&error)),
        Err(_elapsed) => Advertised::Unreachable(format!("no answer within {:?}", options.timeout)),
    }
}

/// Whether nothing answered. A proxy or a firewall on the path may accept a connection and not answer, or close it.
fn is_no_answer(kind: &str) -> bool {
    matches!(
        kind,
        "CONNECT" | "CONNECT_TIMEOUT" | "TIMEOUT" | "HANDSHAKE_TIMEOUT" | "CLOSED" | "BROKEN"
    )
}

/// Whether the address is that of a port forward on this machine.
pub(crate) fn is_forward(reached: SocketAddr, advertised: SocketAddr) -> bool {
    let is_loopback = |addr: SocketAddr| addr.ip().to_canonical().is_loopback();
    is_loopback(reached) && !is_loopback(advertised)
}

fn keys(options: &Options) -> Vec<String> {
    let keys = options.secret.iter().flat_map(Keyring::ids);
    keys.map(|key| key.to_string()).collect()
}
