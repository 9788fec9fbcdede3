//! The attacks that need no recording, on nodes without a secret: there, they must have an effect.

use std::{
    net::{Ipv4Addr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use flyrpc::Node;

use crate::{
    Result, attacks,
    gossip::{self, Identity},
    node::{self, Counts},
};

const NODES: usize = 3;

/// Upper bound on the attempts of each kind, and the time in which one has an effect.
const MAX_ROUNDS: u64 = 100;
const ROUND: Duration = Duration::from_millis(100);

/// Forges gossip and links to one of several open nodes, until both have had an effect. Prints the effects, and returns
/// whether there were any.
pub(crate) async fn run() -> Result<bool> {
    let counts = Arc::default();
    let nodes = start(&counts).await?;
    let members: Vec<_> = nodes.iter().map(|node| Identity::from(node.info())).collect();
    let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    let (foreign, target) = (udp.local_addr()?, nodes[0].addr());
    let gossip = until_seen(&counts.events, async |round| {
        for datagram in gossip::forged(&members[0], &members, foreign, round)? {
            udp.send_to(&datagram, target)?;
        }
        Ok(())
    });
    let events = gossip.await?;
    let links = until_seen(&counts.links_opened, async |round| {
        for link in attacks::open_links(&Identity::new("foreign", round, foreign), round) {
            // The node ends the connection at any time.
            let _ = tokio::task::spawn_blocking(move || attacks::send(target, &link)).await?;
        }
        Ok(())
    });
    let links = links.await?;
    println!("without a secret: {events} membership events by gossip, {links} links");
    Ok(events > 0 && links > 0)
}

/// Starts nodes without a secret, and waits until they are linked.
async fn start(counts: &Arc<Counts>) -> Result<Vec<Node>> {
    let mut nodes: Vec<Node> = Vec::new();
    for index in 0..NODES {
        let node = node::counting(&format!("node-{index}"), counts);
        let node = node.seeds(nodes.iter().map(Node::addr)).start().await?;
        node.ready().await;
        nodes.push(node);
    }
    while nodes.iter().any(|node| node.nodes().len() < NODES) {
        tokio::time::sleep(ROUND).await;
    }
    Ok(nodes)
}

/// Attacks until `count` increases. Returns by how much it has increased.
async fn until_seen(count: &AtomicU64, attack: impl AsyncFn(u64) -> Result<()>) -> Result<u64> {
    let before = count.load(Ordering::Relaxed);
    let mut more = 0;
    for round in 0..MAX_ROUNDS {
        attack(round).await?;
        tokio::time::sleep(ROUND).await;
        more = count.load(Ordering::Relaxed) - before;
        if more > 0 {
            break;
        }
    }
    Ok(more)
}
