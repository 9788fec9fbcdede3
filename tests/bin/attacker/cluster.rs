//! The clusters: the one under attack, and others whose traffic the attacker records.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use flyrpc::{Node, NodeBuilder};

use crate::{
    NODES, Result,
    node::{self, Counts, NodeProcess},
    noise::Key,
    plan::Plan,
    recording::{Recorder, Recording},
};

/// The settings that the nodes of a cluster share.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    cluster: &'static str,
    secret: Option<&'static str>,
}

/// The cluster under attack.
pub(crate) const TARGET: Settings = Settings {
    cluster: "local",
    secret: Some("746865207365637265742061747461636b657273206c61636b20303930383635"),
};

/// A cluster without a secret.
pub(crate) const OPEN: Settings = Settings { cluster: "local", secret: None };

/// A cluster with another secret.
pub(crate) const OTHER: Settings = Settings {
    cluster: "local",
    secret: Some("616e6f746865722073656372657420666f7220616e6f7468657220636c757374"),
};

/// A cluster with another secret whose key has the same id as that of the target.
pub(crate) const SAME_ID: Settings = Settings {
    cluster: "local",
    secret: Some("7468652073616d652069642c20616e6f74686572206b65792020303033393838"),
};

/// A cluster of another name with the secret of the target.
const SAME_SECRET: Settings = Settings { cluster: "else", secret: TARGET.secret };

/// The nodes of a cluster that is only recorded.
const RECORDED_NODES: usize = 2;

/// The addresses at which the attacker answers one node. The node dials each of them about every 15 s.
const DECOYS: u8 = 40;

/// Time between two checks whether nodes are linked.
const POLL: Duration = Duration::from_millis(20);

impl Settings {
    /// A node of this cluster.
    pub(crate) fn node(&self, name: &str) -> Result<NodeBuilder> {
        let node = Node::builder().name(name).cluster(self.cluster);
        let node = node.region("iad").primary_region("iad");
        Ok(match self.secret {
            Some(secret) => node.secret(secret.parse()?),
            None => node,
        })
    }

    /// The key with which nodes of this cluster seal.
    pub(crate) fn key(&self) -> Result<Key> {
        Ok(Key::derive(self.secret.ok_or("the cluster has no secret")?)?)
    }

    /// A node that counts what happens at it, except that the support at the address `at_killed` changes.
    pub(crate) fn counting(
        &self,
        name: &str,
        counts: &Arc<Counts>,
        at_killed: Option<SocketAddr>,
    ) -> Result<NodeBuilder> {
        Ok(node::counting(self.node(name)?, counts, at_killed))
    }

    /// Starts `count` nodes, which share `counts`, with additional seeds. Waits until they are linked.
    pub(crate) async fn start(
        &self,
        count: usize,
        counts: &Arc<Counts>,
        seeds: &[SocketAddr],
    ) -> Result<Vec<Node>> {
        let mut nodes: Vec<Node> = Vec::new();
        for index in 0..count {
            let node = self.counting(&format!("node-{index}"), counts, None)?;
            let seeds = seeds.iter().copied().chain(nodes.iter().map(Node::addr));
            nodes.push(node.seeds(seeds).start().await?);
        }
        for node in &nodes {
            wait_for_nodes(node, count).await;
        }
        Ok(nodes)
    }

    /// Records the traffic of two nodes and a third one that joins them and leaves.
    pub(crate) async fn record(&self) -> Result<Recording> {
        let nodes = self.start(RECORDED_NODES, &Arc::default(), &[]).await?;
        let addrs: Vec<_> = nodes.iter().map(Node::addr).collect();
        let recorder = Recorder::new(&addrs).await?;
        recorder.record_visit(self).await?;
        for node in nodes {
            node.shutdown().await;
        }
        Ok(recorder.recording())
    }
}

/// Waits until a node sees this many nodes in the region of the nodes under attack.
pub(crate) async fn wait_for_nodes(node: &Node, count: usize) {
    node.ready().await;
    while node.nodes_in("iad").len() < count {
        tokio::time::sleep(POLL).await;
    }
}

/// The cluster under attack.
pub(crate) struct Cluster {
    pub(crate) nodes: Vec<NodeProcess>,
    pub(crate) addrs: Vec<SocketAddr>,
    recorded: Option<Recorded>,
}

/// What an attacker records.
struct Recorded {
    /// A node whose connections are recorded, and stay open.
    witness: Node,
    witness_counts: Arc<Counts>,
    recorder: Recorder,
    /// What was sent at other times and in other clusters.
    others: Recording,
    decoys: Vec<Vec<SocketAddr>>,
    at_killed: SocketAddr,
}

impl Cluster {
    /// Starts a cluster that strangers attack.
    pub(crate) fn start() -> Result<Self> {
        let nodes = start_nodes(None, &[])?;
        let addrs = nodes.iter().map(|node| node.identity.addr).collect();
        Ok(Cluster { nodes, addrs, recorded: None })
    }

    /// Starts a cluster, and records what is sent in it and in other clusters. The seeds of its nodes are also the
    /// address of a node that was killed, and addresses at which there has never been a node.
    pub(crate) async fn start_recorded() -> Result<Self> {
        let killed = TARGET.node("killed")?.region("nrt").start().await?;
        let at_killed = killed.addr();
        let decoys: Vec<Vec<SocketAddr>> =
            (0..NODES as u8).map(|node| decoys(node, at_killed.port())).collect();
        let nodes = start_nodes(Some(at_killed), &decoys)?;
        let addrs: Vec<_> = nodes.iter().map(|node| node.identity.addr).collect();
        wait_for_nodes(&killed, NODES).await;
        drop(killed);
        let mut others = Recording::receive_at(at_killed).await?;
        for other in [SAME_ID, SAME_SECRET] {
            others.extend(other.record().await?);
        }
        let recorder = Recorder::new(&addrs).await?;
        recorder.record_visit(&TARGET).await?;
        let witness_counts = Arc::default();
        let witness = TARGET.counting("witness", &witness_counts, Some(at_killed))?.region("nrt");
        let witness = recorder.start(witness).await?;
        wait_for_nodes(&witness, NODES).await;
        let recorded = Recorded { witness, witness_counts, recorder, others, decoys, at_killed };
        Ok(Cluster { nodes, addrs, recorded: Some(recorded) })
    }

    /// What the attacker needs to know, besides `member`, whose identity it claims, too.
    pub(crate) fn plan(&self, member: &Node, seed: u64) -> Plan {
        let mut plan = Plan { seed, ..Plan::default() };
        if let Some(recorded) = &self.recorded {
            let mut recording = recorded.recorder.recording();
            recording.extend(recorded.others.clone());
            let others = [&recorded.witness, member].map(|node| node.info().into());
            plan.recording = recording;
            plan.members = self.nodes.iter().map(|node| node.identity.clone()).collect();
            plan.members.extend(others);
            plan.decoys = recorded.decoys.clone();
            plan.at_killed = Some(recorded.at_killed);
        }
        plan
    }

    /// How many links of the witness have ended.
    pub(crate) fn ended_links_of_witness(&self) -> u64 {
        self.recorded.as_ref().map_or(0, |recorded| recorded.witness_counts.links_closed())
    }
}

/// The addresses at which the attacker answers one of the nodes. They are on loopback, like all others, but no program
/// uses them otherwise.
fn decoys(node: u8, port: u16) -> Vec<SocketAddr> {
    (1..=DECOYS).map(|number| (Ipv4Addr::new(127, 9, node, number), port).into()).collect()
}

/// Starts the nodes, whose seeds are also the address of a node that was killed, and of each the `decoys`.
fn start_nodes(
    at_killed: Option<SocketAddr>,
    decoys: &[Vec<SocketAddr>],
) -> Result<Vec<NodeProcess>> {
    let mut nodes: Vec<NodeProcess> = Vec::new();
    for index in 0..NODES {
        let mut seeds: Vec<SocketAddr> = nodes.iter().map(|node| node.identity.addr).collect();
        seeds.extend(decoys.get(index).into_iter().flatten());
        nodes.push(NodeProcess::start(&format!("node-{index}"), at_killed, &seeds)?);
    }
    Ok(nodes)
}
