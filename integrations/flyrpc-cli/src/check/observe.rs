//! Gathers what is known about a node.

use std::net::SocketAddr;

use flyrpc::{
    Keyring, NodeId, NodeInfo,
    operations::{NodeReport, PeerReport},
};
use futures_util::{
    StreamExt as _,
    future::{Either, select},
    stream,
};

use super::{
    answered::peer_of,
    dial::{Asked, Deadline, NoAnswer, ask, dial_advertised, status},
};
use crate::{
    exit::Failure,
    options::Options,
    session::{find_node, is_linked},
};

/// Upper bound on the peers that are observed at the same time.
const CONCURRENT: usize = 8;

/// A node sends the same report again for this long, in seconds (`REUSE_FOR` in `flyrpc`). It contains the time at which it was
/// made.
pub(super) const MAX_REPORT_AGE: f64 = 0.1;

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
    /// What answers this machine at the address of a node that was reached only through the node that was asked.
    pub(crate) impostor: Option<Impostor>,
}

/// Another program at the address of a node, in the network of this machine.
#[derive(Debug, PartialEq)]
pub(crate) struct Impostor {
    pub(crate) addr: SocketAddr,
    /// What it sent, or which node it is.
    pub(crate) response: String,
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
    /// It was not dialed: the node that was asked knows no node of this name or id, and it is no address.
    UnknownNode,
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
///
/// # Errors
///
/// If several nodes have the name that was given.
pub(crate) async fn observe(
    options: &Options,
    target: Option<&str>,
) -> Result<Vec<Observed>, Failure> {
    let asked = ask(options, &options.addr, Deadline::of(options)).await;
    Ok(match (target, &asked) {
        (Some(target), Ok(known)) => vec![observe_target(options, target, known).await?],
        (Some(target), Err(failed)) => observe_alone(options, target, failed).await,
        (None, Ok(known)) => {
            let mut all = vec![observe_asked(options, known).await];
            all.extend(observe_doubtful(options, known).await);
            all
        }
        (None, Err(failed)) => vec![observe_failed(options, failed)],
    })
}

/// Observes a target that is the name, the id or the address of a node.
async fn observe_target(
    options: &Options,
    target: &str,
    asked: &Asked,
) -> Result<Observed, Failure> {
    let report = &asked.answered.report;
    let found = match find_node(report, target) {
        Ok(id) => Some(id),
        Err(Failure::NoNode(_)) => None,
        Err(several) => return Err(several),
    };
    let Some(id) = found else {
        if is_bare_name(target) {
            return Ok(observe_unknown(options, target, asked));
        }
        return Ok(observe_addr(options, target.to_owned(), target, asked).await);
    };
    if id == *report.node.id() {
        return Ok(observe_asked(options, asked).await);
    }
    Ok(match report.peers.iter().find(|peer| has_id(peer, &id)) {
        Some(peer) => observe_peer(options, target.to_owned(), &id, peer, asked).await,
        None => observe_unknown(options, target, asked),
    })
}

/// Whether a text can only be the name of a node: a host without a port is looked up only if its name contains a dot.
fn is_bare_name(text: &str) -> bool {
    !text.contains([':', '.'])
}

fn observe_unknown(options: &Options, target: &str, asked: &Asked) -> Observed {
    let answer = Answer::UnknownNode;
    Observed { answer, ..not_dialed(options, target.to_owned(), asked) }
}

/// The facts about a target before it is dialed.
fn not_dialed(options: &Options, target: String, asked: &Asked) -> Observed {
    Observed {
        target,
        addrs: Ok(Vec::new()),
        answer: Answer::Dialing,
        keys: keys(options),
        asked: Ok(asked.answered.clone()),
        advertised: Advertised::NotTried,
        impostor: None,
    }
}

/// Observes a target without the view of another node.
async fn observe_alone(options: &Options, target: &str, failed: &NoAnswer) -> Vec<Observed> {
    let deadline = Deadline::of(options);
    let dialed = ask(options, target, deadline).await;
    let mut all = Vec::new();
    // It may be the name of a node, which is unknown without the node that was to be asked.
    if !target.contains(':')
        && let Err(no_answer) = &dialed
    {
        all.push(observe_failed(options, failed));
        if no_answer.addrs.is_err() && is_bare_name(target) {
            return all;
        }
    }
    let asked = Err(failed.message());
    all.push(observed(options, target.to_owned(), dialed, asked, deadline).await);
    all
}

async fn observe_doubtful(options: &Options, asked: &Asked) -> Vec<Observed> {
    let doubtful = asked.answered.report.peers.iter().filter(|peer| is_doubtful(peer));
    let observed = stream::iter(doubtful).map(|peer| async move {
        let addr = peer.addr.to_string();
        match peer.node.as_ref().map(NodeInfo::id) {
            Some(id) => observe_peer(options, id.to_string(), id, peer, asked).await,
            None if is_first_dial(peer) => {
                let addrs = Ok(vec![peer.addr]);
                Observed { addrs, ..not_dialed(options, addr, asked) }
            }
            None => observe_addr(options, addr.clone(), &addr, asked).await,
        }
    });
    observed.buffered(CONCURRENT).collect().await
}

/// Whether a peer should be checked: calls may not reach it.
pub(crate) fn is_doubtful(peer: &PeerReport) -> bool {
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

async fn observe_asked(options: &Options, asked: &Asked) -> Observed {
    Observed {
        target: options.addr.clone(),
        addrs: Ok(asked.addrs.clone()),
        answer: Answer::Node(Box::new(asked.answered.clone())),
        keys: keys(options),
        advertised: dial_advertised(options, &asked.answered, Deadline::of(options)).await,
        asked: Ok(asked.answered.clone()),
        impostor: None,
    }
}

/// Describes why the node that was to be asked did not answer.
fn observe_failed(options: &Options, failed: &NoAnswer) -> Observed {
    let NoAnswer { addrs, kind, message, keys: theirs, .. } = failed.clone();
    Observed {
        target: options.addr.clone(),
        addrs,
        answer: Answer::Failed { kind, message, keys: theirs },
        keys: keys(options),
        asked: Err(failed.message()),
        advertised: Advertised::NotTried,
        impostor: None,
    }
}

/// Observes an address, from here and from the node that was asked.
async fn observe_addr(options: &Options, target: String, addr: &str, asked: &Asked) -> Observed {
    let deadline = Deadline::of(options);
    let dialed = ask(options, addr, deadline).await;
    let known = Ok(asked.answered.clone());
    let observed = observed(options, target, dialed, known, deadline).await;
    let Answer::Failed { kind, .. } = &observed.answer else { return observed };
    if !is_no_connection(kind) {
        return observed;
    }
    // This machine may not be in the network of the nodes.
    let Some(peer) = observed.peer().cloned() else { return observed };
    if let Some(node) = peer.node.as_ref().filter(|_| is_linked(&peer))
        && let Ok(answered) = status(&asked.visitor, Some(node.id()), Deadline::of(options)).await
    {
        return Observed { answer: Answer::Node(Box::new(answered)), ..observed };
    }
    as_reported(observed, &peer, asked)
}

/// Observes a node that the one that was asked knows, from here and from that node.
async fn observe_peer(
    options: &Options,
    target: String,
    id: &NodeId,
    peer: &PeerReport,
    asked: &Asked,
) -> Observed {
    let deadline = Deadline::of(options);
    let addr = peer.addr.to_string();
    let dial = Box::pin(ask(options, &addr, deadline));
    let by_link = Box::pin(async {
        if is_linked(peer) { status(&asked.visitor, Some(id), deadline).await.ok() } else { None }
    });
    // A node that is frozen answers neither of them, so they share the time.
    let (dialed, by_link) = match select(dial, by_link).await {
        Either::Left((Ok(dialed), _)) if dialed.is(id) => (Ok(dialed), None),
        Either::Left((dialed, by_link)) => (dialed, by_link.await),
        Either::Right((by_link, dial)) => (dial.await, by_link),
    };
    let impostor = Impostor::of(id, peer, &dialed, &keys(options));
    if let Some(answered) = by_link
        && (impostor.is_some() || dialed.as_ref().is_err_and(|it| is_no_connection(&it.kind)))
    {
        let answer = Answer::Node(Box::new(answered));
        let addrs = Ok(vec![peer.addr]);
        return Observed { addrs, answer, impostor, ..not_dialed(options, target, asked) };
    }
    // A node that was asked for by its name may have been restarted since.
    let is_expected = |other: &Asked| other.is(id) || target == id.name() && target == other.name();
    let dialed = match dialed {
        Ok(other) if !is_expected(&other) => Err(other.instead_of(id)),
        dialed => dialed,
    };
    let known = Ok(asked.answered.clone());
    let observed = observed(options, target, dialed, known, deadline).await;
    match &observed.answer {
        Answer::Failed { kind, .. } if is_no_connection(kind) => as_reported(observed, peer, asked),
        _ => observed,
    }
}

impl Impostor {
    /// Returns what responded at the address of a node, unless it can be the node. `ours` are the ids of the keys that this
    /// command holds.
    fn of(
        id: &NodeId,
        peer: &PeerReport,
        dialed: &Result<Asked, NoAnswer>,
        ours: &[String],
    ) -> Option<Self> {
        let response = match dialed {
            Ok(other) if other.is(id) => return None,
            Ok(other) => other.to_string(),
            Err(failed) if failed.node.as_ref() == Some(id) => return None,
            Err(failed) if is_no_connection(&failed.kind) => return None,
            Err(failed) if refuses_key(peer, failed, ours) => return None,
            Err(failed) => failed.message(),
        };
        Some(Impostor { addr: peer.addr, response })
    }
}

/// Whether a node itself, which holds the keys of `peer`, would refuse the keys of this command as in `failed`.
fn refuses_key(peer: &PeerReport, failed: &NoAnswer, ours: &[String]) -> bool {
    match &*failed.kind {
        "SECRET_REQUIRED" => !peer.keys.is_empty(),
        "NO_SECRET" => peer.keys.is_empty(),
        "OTHER_SECRET" | "UNKNOWN_KEY" if failed.keys.is_empty() => {
            !ours.iter().any(|key| peer.keys.contains(key))
        }
        "OTHER_SECRET" | "UNKNOWN_KEY" => failed.keys == peer.keys,
        _ => false,
    }
}

/// Whether no connection was opened.
fn is_no_connection(kind: &str) -> bool {
    matches!(kind, "CONNECT" | "CONNECT_TIMEOUT" | "TIMEOUT")
}

/// Replaces the error of a dial that failed from here by what the node that was asked reports, if that says more.
fn as_reported(observed: Observed, peer: &PeerReport, asked: &Asked) -> Observed {
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
    deadline: Deadline,
) -> Observed {
    let (addrs, answer, advertised) = match dialed {
        Ok(Asked { addrs, answered, .. }) => {
            let advertised = dial_advertised(options, &answered, deadline).await;
            (Ok(addrs), Answer::Node(Box::new(answered)), advertised)
        }
        Err(NoAnswer { addrs, kind, message, keys, .. }) => {
            (addrs, Answer::Failed { kind, message, keys }, Advertised::NotTried)
        }
    };
    Observed { target, addrs, answer, keys: keys(options), asked, advertised, impostor: None }
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
