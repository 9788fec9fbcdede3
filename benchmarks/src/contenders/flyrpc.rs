//! flyrpc: two nodes of one cluster; calls are aimed at the other's region, and routed.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use ::flyrpc::{Node, NodeBuilder, NodeInfo, fly_rpc};
use anyhow::{Result, ensure};
use bytes::Bytes;

use super::{Contender, MAX_CALLS, Served};
use crate::handlers;

/// The regions of the two.
pub(crate) const SERVER: &str = "hkg";
pub(crate) const CLIENT: &str = "iad";

#[fly_rpc]
pub(crate) trait Strings {
    async fn upcase(&self, text: String) -> String;
    async fn echo(&self, body: Bytes) -> Bytes;
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

    async fn pause(&self, micros: u32) {
        handlers::pause(micros).await;
    }

    async fn burn(&self, micros: u32) {
        handlers::burn(micros);
    }
}

#[derive(Clone)]
pub(crate) struct Flyrpc {
    node: Arc<Node>,
    strings: StringsClient,
}

impl Flyrpc {
    /// A node that serves, in the region that calls are aimed at.
    pub(crate) fn server() -> NodeBuilder {
        node(SERVER).serve(ServeStrings::new(Handlers)).max_in_flight(MAX_CALLS)
    }

    /// The nodes that can be called.
    pub(crate) fn nodes(&self) -> Vec<NodeInfo> {
        self.node.nodes_in(SERVER)
    }

    /// Calls one of them.
    pub(crate) async fn upcase_on(&self, node: &NodeInfo, text: String) -> Result<String> {
        Ok(self.strings.on_node(node.id()).upcase(text).await?)
    }
}

impl Contender for Flyrpc {
    async fn serve(advertised: Option<SocketAddr>) -> Result<Served> {
        let mut builder = Flyrpc::server();
        if let Some(addr) = advertised {
            builder = builder.advertise(addr);
        }
        let node = builder.start().await?;
        // Where it listens, which is what a proxy must know.
        Ok(Served::new(node.addr(), node))
    }

    async fn connect(to: SocketAddr) -> Result<Self> {
        let node = node(CLIENT).seeds([to]).start().await?;
        node.ready().await;
        ensure!(!node.nodes_in(SERVER).is_empty(), "no node answers at {to}: {:?}", node.peers());
        let strings = node.client();
        Ok(Flyrpc { node: Arc::new(node), strings })
    }

    async fn upcase(&self, text: String) -> Result<String> {
        Ok(self.strings.on_region(SERVER).upcase(text).await?)
    }

    async fn echo(&self, body: Bytes) -> Result<Bytes> {
        Ok(self.strings.on_region(SERVER).timeout(Duration::from_secs(60)).echo(body).await?)
    }

    async fn pause(&self, micros: u32) -> Result<()> {
        Ok(self.strings.on_region(SERVER).pause(micros).await?)
    }

    async fn burn(&self, micros: u32) -> Result<()> {
        Ok(self.strings.on_region(SERVER).burn(micros).await?)
    }
}

/// The settings of both.
fn node(region: &str) -> NodeBuilder {
    Node::builder().name(region).region(region).primary_region(SERVER)
}
