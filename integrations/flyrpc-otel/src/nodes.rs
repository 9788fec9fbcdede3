//! The attributes that describe nodes, whose texts are shared by all spans.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use flyrpc::{NodeId, NodeInfo};
use opentelemetry::{KeyValue, StringValue, Value};

/// Upper bound on the nodes whose texts are kept. The map is cleared when it is full.
const MAX_NODES: usize = 4096;

/// The texts of nodes.
#[derive(Debug, Default)]
pub(crate) struct Nodes(RwLock<HashMap<NodeId, Arc<Texts>>>);

/// The texts of one node. Formatting them for each span would cost more than the rest of a call.
#[derive(Debug)]
pub(crate) struct Texts {
    node: NodeInfo,
    id: Arc<str>,
    region: Arc<str>,
    ip: Arc<str>,
    port: i64,
}

impl Nodes {
    pub(crate) fn get(&self, node: &NodeInfo) -> Arc<Texts> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner).get(node.id()).cloned();
        // The region and the address are claims of the node, which may differ.
        if let Some(texts) = known.filter(|texts| texts.node == *node) {
            return texts;
        }
        let texts = Arc::new(Texts {
            node: node.clone(),
            id: node.id().to_string().into(),
            region: node.region().as_str().into(),
            ip: node.addr().ip().to_string().into(),
            port: node.addr().port().into(),
        });
        let mut nodes = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if nodes.len() >= MAX_NODES {
            nodes.clear();
        }
        nodes.insert(node.id().clone(), Arc::clone(&texts));
        texts
    }
}

impl Texts {
    /// The attributes of an attempt on this node.
    pub(crate) fn attempt(&self) -> [KeyValue; 2] {
        [KeyValue::new("node", text(&self.id)), KeyValue::new("region", text(&self.region))]
    }

    /// The region of this node, which runs the handler.
    pub(crate) fn server(&self) -> KeyValue {
        KeyValue::new("server.address", text(&self.region))
    }

    /// The address of this node, which is at the other end.
    pub(crate) fn peer(&self) -> [KeyValue; 2] {
        [
            KeyValue::new("network.peer.address", text(&self.ip)),
            KeyValue::new("network.peer.port", self.port),
        ]
    }
}

fn text(text: &Arc<str>) -> Value {
    StringValue::from(Arc::clone(text)).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_number_of_nodes_is_bounded() {
        let node = flyrpc::Node::builder().start().await.unwrap();
        let nodes = Nodes::default();
        let texts = nodes.get(node.info());
        assert!(Arc::ptr_eq(&texts, &nodes.get(node.info())));
        let other = |boot: usize| format!("other/{boot:016x}").parse().unwrap();
        let others = (1..MAX_NODES).map(|boot| (other(boot), Arc::clone(&texts)));
        nodes.0.write().unwrap().extend(others);
        assert!(Arc::ptr_eq(&texts, &nodes.get(node.info())));
        let info = flyrpc::Node::builder().start().await.unwrap().info().clone();
        nodes.get(&info);
        assert_eq!(nodes.0.read().unwrap().len(), 1);
    }
}
