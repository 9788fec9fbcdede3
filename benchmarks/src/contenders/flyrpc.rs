//! flyrpc: two nodes of one cluster. Calls target the region of the other node, and are routed.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use ::flyrpc::{Node, NodeBuilder, PeerState, fly_rpc, unstable::InlineMode};
use anyhow::{Result, ensure};
use bytes::Bytes;
use futures_util::future::try_join_all;

use super::{Contender, MAX_CALLS, Served, Setup};
use crate::handlers::{self, Record};

/// The regions of the two nodes.
pub(crate) const SERVER: &str = "hkg";
const CLIENT: &str = "iad";

/// Upper bound on the time until all links of a cluster are open.
const LINK_TIMEOUT: Duration = Duration::from_secs(60);

#[fly_rpc]
pub(crate) trait Strings {
    async fn upcase(&self, text: String) -> String;
    async fn echo(&self, body: Bytes) -> Bytes;
    async fn echo_records(&self, records: Vec<Record>) -> Vec<Record>;
    #[rpc(timeout = "1h")]
    async fn pause(&self, micros: u32);
    async fn burn(&self, micros: u32);
}

/// The handlers.
#[derive(Debug)]
pub(crate) struct Handlers;

impl Strings for Handlers {
    async fn upcase(&self, text: String) -> String {
        handlers::upcase(&text)
    }

    async fn echo(&self, body: Bytes) -> Bytes {
        body
    }

    async fn echo_records(&self, records: Vec<Record>) -> Vec<Record> {
        records
    }

    async fn pause(&self, micros: u32) {
        handlers::pause(micros).await;
    }

    async fn burn(&self, micros: u32) {
        handlers::burn(micros);
    }
}

/// The secret of both nodes, if their links are sealed.
const SECRET: &str = "b25lIHNlY3JldCBmb3IgYWxsIGJlbmNobWFya3MuLi4=";

/// How many nodes start before all are linked with each other. If many start at once, the allocator keeps most of the memory
/// that their handshakes need, which would count as memory of their links.
const START_TOGETHER: usize = 8;

/// A flyrpc node, whose links are sealed or open.
#[derive(Clone)]
pub(crate) struct Flyrpc<const SEALED: bool> {
    node: Arc<Node>,
    strings: StringsClient,
}

impl<const SEALED: bool> Contender for Flyrpc<SEALED> {
    type Record = Record;

    async fn serve(setup: &Setup) -> Result<Served> {
        let mut first = server::<SEALED>()?.listen(setup.listen());
        if setup.never_inline {
            first = first.inline_mode(InlineMode::Never);
        }
        if let Some(addr) = setup.advertise {
            first = first.advertise(addr);
        }
        let mut elsewhere = 0;
        if let Some((seed, nodes)) = setup.elsewhere {
            first = first.seeds([seed]);
            elsewhere = nodes;
        }
        let first = first.start().await?;
        let addr = first.addr();
        let mut nodes = vec![first];
        for number in 1..=setup.more {
            let node = server::<SEALED>()?;
            let node = if setup.apart { node } else { node.seeds([addr]) };
            nodes.push(node.start().await?);
            if !setup.apart && number % START_TOGETHER == 0 {
                all_linked(&nodes, elsewhere).await?;
            }
        }
        if !setup.apart {
            all_linked(&nodes, elsewhere).await?;
        }
        Ok(Served::new(addr, nodes))
    }

    async fn connect(to: SocketAddr) -> Result<Self> {
        let flyrpc = Self::start(to).await?;
        let node = &flyrpc.node;
        node.ready().await;
        ensure!(!node.nodes_in(SERVER).is_empty(), "no node at {to}: {:?}", node.peers());
        Ok(flyrpc)
    }

    async fn start(to: SocketAddr) -> Result<Self> {
        let node = node::<SEALED>(CLIENT)?.seeds([to]).start().await?;
        let strings = node.client();
        Ok(Flyrpc { node: Arc::new(node), strings })
    }

    async fn upcase(&self, text: String) -> Result<String> {
        Ok(self.strings.on_region(SERVER).upcase(text).await?)
    }

    async fn echo(&self, body: Bytes) -> Result<Bytes> {
        Ok(self.strings.on_region(SERVER).timeout(Duration::from_secs(60)).echo(body).await?)
    }

    async fn echo_records(&self, records: Vec<Record>) -> Result<Vec<Record>> {
        Ok(self.strings.on_region(SERVER).echo_records(records).await?)
    }

    async fn pause(&self, micros: u32) -> Result<()> {
        Ok(self.strings.on_region(SERVER).pause(micros).await?)
    }

    async fn burn(&self, micros: u32) -> Result<()> {
        Ok(self.strings.on_region(SERVER).burn(micros).await?)
    }

    async fn fan_out(&self, nodes: usize, text: &str) -> Result<()> {
        let mut found = self.node.nodes_in(SERVER);
        if found.len() < nodes {
            linked(&self.node, nodes).await?;
            found = self.node.nodes_in(SERVER);
        }
        ensure!(found.len() == nodes, "found {} nodes instead of {nodes}", found.len());
        let calls =
            found.iter().map(|node| self.strings.on_node(node.id()).upcase(text.to_owned()));
        try_join_all(calls).await?;
        Ok(())
    }
}

/// Returns the settings of a serving node, in the region that calls target.
pub(crate) fn server<const SEALED: bool>() -> Result<NodeBuilder> {
    Ok(node::<SEALED>(SERVER)?.serve(ServeStrings::new(Handlers)).max_in_flight(MAX_CALLS))
}

/// Waits until each of these nodes has links to the others, and to as many nodes `elsewhere`.
async fn all_linked(nodes: &[Node], elsewhere: usize) -> Result<()> {
    for node in nodes {
        linked(node, elsewhere + nodes.len() - 1).await?;
    }
    Ok(())
}

/// Waits until a node has links to `others`.
async fn linked(node: &Node, others: usize) -> Result<()> {
    let start = Instant::now();
    loop {
        let (up, down): (Vec<_>, Vec<_>) =
            node.peers().into_iter().partition(|peer| peer.state == PeerState::Linked);
        if up.len() >= others {
            return Ok(());
        }
        ensure!(
            start.elapsed() < LINK_TIMEOUT,
            "{} of {others} links opened within {LINK_TIMEOUT:?}; {} has no link to {down:?}",
            up.len(),
            node.info(),
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Returns the settings that both nodes share.
fn node<const SEALED: bool>(region: &str) -> Result<NodeBuilder> {
    let node = Node::builder().name(region).region(region).primary_region(SERVER);
    Ok(if SEALED { node.secret(SECRET.parse()?) } else { node })
}
