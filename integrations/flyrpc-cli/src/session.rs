//! A connection to a node.

use std::{future::Future, net::SocketAddr, time::Duration};

use flyrpc::{
    ErrorInfo, NodeId, NodeInfo,
    operations::{NodeReport, PeerReport, Visitor},
};

use crate::{exit::Failure, options::Options};

/// The port of a node unless another one is given.
const DEFAULT_PORT: u16 = 3590;

/// A visitor of the node at `--addr`.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) visitor: Visitor,
    timeout: Duration,
}

impl Session {
    pub(crate) async fn open(options: &Options) -> Result<Self, Failure> {
        let (_, visitor) = connect(options, &options.addr).await?;
        Ok(Session { visitor, timeout: options.timeout })
    }

    /// Returns the state of the node, and of the peers that it knows.
    pub(crate) async fn report(&self) -> Result<NodeReport, Failure> {
        self.limited("the state of the node", self.visitor.status(None)).await
    }

    /// Waits for an answer.
    pub(crate) async fn limited<T>(
        &self,
        what: &str,
        answer: impl Future<Output = Result<T, ErrorInfo>>,
    ) -> Result<T, Failure> {
        match tokio::time::timeout(self.timeout, answer).await {
            Ok(answer) => Ok(answer?),
            Err(_elapsed) => {
                Err(Failure::Timeout(format!("{what} did not arrive within {:?}", self.timeout)))
            }
        }
    }
}

/// Connects to the first address of a name that answers.
pub(crate) async fn connect(
    options: &Options,
    addr: &str,
) -> Result<(SocketAddr, Visitor), Failure> {
    let connect = async {
        let mut last = None;
        for candidate in resolve(addr).await.map_err(|message| Failure::Connect {
            addr: addr.to_owned(),
            kind: "NAME",
            message,
        })? {
            match Visitor::connect(candidate, options.visit()).await {
                Ok(visitor) => return Ok((candidate, visitor)),
                Err(error) => last = Some(Failure::connect(addr, &error)),
            }
        }
        Err(last.expect("a name has at least one address"))
    };
    match tokio::time::timeout(options.timeout, connect).await {
        Ok(connected) => connected,
        Err(_elapsed) => Err(Failure::Connect {
            addr: addr.to_owned(),
            kind: "TIMEOUT",
            message: format!("no answer within {:?}", options.timeout),
        }),
    }
}

/// Looks up a name. Returns at least one address, or why there is none.
pub(crate) async fn resolve(addr: &str) -> Result<Vec<SocketAddr>, String> {
    let (host, port) = host_and_port(addr)?;
    let found = tokio::net::lookup_host((host, port)).await;
    let found: Vec<SocketAddr> =
        found.map_err(|error| format!("cannot look up `{host}`: {error}"))?.collect();
    if found.is_empty() { Err(format!("`{host}` has no address")) } else { Ok(found) }
}

/// Splits `host`, `host:port`, `[v6]`, `[v6]:port` and `v6`.
pub(crate) fn host_and_port(addr: &str) -> Result<(&str, u16), String> {
    let wrong = || format!("`{addr}` is not an address: expected `host:port`");
    let (host, port) = match addr.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']').ok_or_else(wrong)?;
            (
                host,
                if port.is_empty() {
                    None
                } else {
                    Some(port.strip_prefix(':').ok_or_else(wrong)?)
                },
            )
        }
        None => match addr.split_once(':') {
            // More than one colon: an address of IPv6 without brackets.
            Some((_, rest)) if rest.contains(':') => (addr, None),
            Some((host, port)) => (host, Some(port)),
            None => (addr, None),
        },
    };
    let port = port.map_or(Ok(DEFAULT_PORT), str::parse).map_err(|_| wrong())?;
    if host.is_empty() { Err(wrong()) } else { Ok((host, port)) }
}

/// Whether a link to a peer is open.
pub(crate) fn is_linked(peer: &PeerReport) -> bool {
    matches!(&*peer.state, "linked" | "quiet")
}

/// The node that reports, and the nodes that it has links to.
pub(crate) fn live_nodes(report: &NodeReport) -> impl Iterator<Item = &NodeInfo> {
    let peers = report.peers.iter().filter(|peer| is_linked(peer));
    std::iter::once(&report.node).chain(peers.filter_map(|peer| peer.node.as_ref()))
}

/// Finds a node by its id or its name.
pub(crate) fn find_node(report: &NodeReport, text: &str) -> Result<NodeId, Failure> {
    if let Ok(id) = text.parse() {
        return Ok(id);
    }
    let named = |node: &&NodeInfo| node.name() == text;
    let mut found: Vec<&NodeInfo> = live_nodes(report).filter(named).collect();
    if found.is_empty() {
        let known = report.peers.iter().filter_map(|peer| peer.node.as_ref());
        found = known.filter(named).collect();
    }
    match found[..] {
        [node] => Ok(node.id().clone()),
        [] => {
            let names: Vec<&str> = live_nodes(report).map(NodeInfo::name).collect();
            let names = names.join(", ");
            Err(Failure::NoNode(format!("no node is named `{text}`; there are {names}")))
        }
        _ => {
            let ids: Vec<String> = found.iter().map(|node| node.id().to_string()).collect();
            let ids = ids.join(", ");
            Err(Failure::Usage(format!("several nodes are named `{text}`; name one of {ids}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_host_and_may_have_a_port() {
        assert_eq!(host_and_port("web.internal:80"), Ok(("web.internal", 80)));
        assert_eq!(host_and_port("web"), Ok(("web", 3590)));
        assert_eq!(host_and_port("[fdaa::1]:7"), Ok(("fdaa::1", 7)));
        assert_eq!(host_and_port("[fdaa::1]"), Ok(("fdaa::1", 3590)));
        assert_eq!(host_and_port("fdaa::1"), Ok(("fdaa::1", 3590)));
        for wrong in ["", ":80", "web:", "web:x", "web:70000", "[::1", "[::1]80"] {
            assert!(host_and_port(wrong).is_err(), "{wrong}");
        }
    }
}
