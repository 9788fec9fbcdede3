//! Seeds that lead to one of several nodes, as load balancers do, or to the node itself.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use flyrpc::{BoxStream, Env, Node, NodeBuilder, PeerState, TokioEnv};
use flyrpc_testkit::{SimEnv, SimNet};
use tokio::time::Instant;

use crate::support::{
    Counts, HookedEnv, PORT, ProbeClient, node_names, node_on, prober, process::free_addr, secs,
    sleep,
};

/// An address that leads to one of several hosts. Each connection reaches another host, in an order that
/// a seed determines. Like the virtual address of a load balancer, the address has no host of its own.
#[derive(Clone)]
struct Balancer {
    addr: SocketAddr,
    targets: Arc<[SocketAddr]>,
    order: u64,
    dials: Arc<AtomicUsize>,
}

impl Balancer {
    fn new(targets: impl IntoIterator<Item = SocketAddr>, order: u64) -> Self {
        let addr = SocketAddr::from(([10, 200, 0, 1], PORT));
        Balancer { addr, targets: targets.into_iter().collect(), order, dials: Arc::default() }
    }

    fn pick(&self) -> SocketAddr {
        let dial = self.dials.fetch_add(1, Ordering::SeqCst) as u64;
        let hash = (self.order << 32 | dial).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.targets[(hash >> 40) as usize % self.targets.len()]
    }

    fn dials(&self) -> usize {
        self.dials.load(Ordering::SeqCst)
    }
}

/// Returns the environment of a host behind a balancer.
fn behind(env: &SimEnv, balancer: &Balancer) -> impl Env {
    let balancer = balancer.clone();
    HookedEnv::new(env.clone(), move |env, to| {
        env.connect(if to == balancer.addr { balancer.pick() } else { to })
    })
}

fn probe_on(env: &SimEnv) -> NodeBuilder {
    node_on(env).serve(prober(&env.name(), &Counts::default()))
}

async fn start_behind(envs: &[SimEnv], balancer: &Balancer) -> Vec<Node> {
    let mut nodes = Vec::new();
    for env in envs {
        let builder = probe_on(env).env(behind(env, balancer));
        nodes.push(builder.seeds([balancer.addr]).start().await.unwrap());
    }
    nodes
}

fn linked(node: &Node) -> usize {
    node.peers().iter().filter(|peer| peer.state == PeerState::Linked).count()
}

#[tokio::test(start_paused = true)]
async fn two_nodes_behind_one_address_find_each_other() {
    for order in 0..16 {
        let net = SimNet::builder().seed(order).build();
        let envs = [net.add_host("iad-0", "iad"), net.add_host("hkg-0", "hkg")];
        let balancer = Balancer::new(envs.iter().map(|env| env.addr(PORT)), order);
        let nodes = start_behind(&envs, &balancer).await;
        sleep(secs(60)).await;
        assert_eq!(node_names(&nodes[0], "hkg"), ["hkg-0"], "order {order}");
        assert_eq!(node_names(&nodes[1], "iad"), ["iad-0"], "order {order}");
        nodes[0].client::<ProbeClient>().on_region("hkg").shout("a".into()).await.unwrap();
        // Once the nodes are linked, each of them dials the address about once a minute.
        let (before, start) = (balancer.dials(), Instant::now());
        sleep(secs(300)).await;
        let dials = balancer.dials() - before;
        assert!(dials <= 30, "order {order}: {dials} dials in {:?}", start.elapsed());
        assert_eq!((linked(&nodes[0]), linked(&nodes[1])), (1, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn pairs_of_nodes_behind_one_address_become_one_cluster() {
    for order in 0..4 {
        let net = SimNet::builder().seed(order).build();
        let envs: Vec<_> = (0..6).map(|at| net.add_host(format!("iad-{at}"), "iad")).collect();
        let balancer = Balancer::new(envs.iter().map(|env| env.addr(PORT)), order);
        let nodes = start_behind(&envs, &balancer).await;
        sleep(secs(600)).await;
        for node in &nodes {
            assert_eq!(node.nodes_in("iad").len(), 6, "order {order}: {node:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_alone_behind_an_address_is_ready_soon_and_found_later() {
    let net = SimNet::builder().build();
    let envs = [net.add_host("iad-0", "iad"), net.add_host("hkg-0", "hkg")];
    let balancer = Balancer::new([envs[0].addr(PORT)], 0);
    let first = start_behind(&envs[..1], &balancer).await.remove(0);
    let start = Instant::now();
    first.ready().await;
    assert!(start.elapsed() < secs(5), "{:?}", start.elapsed());
    assert_eq!(first.nodes_in("iad").len(), 1);
    sleep(secs(600)).await;
    // The address is dialed at most once every 15 s, plus or minus the jitter.
    assert!(balancer.dials() < 70, "{} dials", balancer.dials());
    let balancer = Balancer::new([envs[0].addr(PORT)], 0);
    let second = start_behind(&envs[1..], &balancer).await.remove(0);
    second.ready().await;
    assert_eq!(node_names(&second, "iad"), ["iad-0"]);
}

#[tokio::test]
async fn a_connection_to_itself_does_not_hide_a_seed() {
    use tokio::net::TcpSocket;
    // A port without a listener. A connection to it from the same port connects to itself.
    let closed = free_addr();

    let connects = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&connects);
    let env = HookedEnv::new(TokioEnv, move |env, to| {
        if to != closed || counter.fetch_add(1, Ordering::SeqCst) > 0 {
            return env.connect(to);
        }
        Box::pin(async move {
            let socket = TcpSocket::new_v4()?;
            socket.set_reuseaddr(true)?;
            socket.bind(to)?;
            let (reader, writer) = socket.connect(to).await?.into_split();
            Ok(BoxStream { reader: Box::new(reader), writer: Box::new(Plain(writer)) })
        })
    });
    let node = Node::builder().name("a").env(env).seeds([closed]).start().await.unwrap();
    let until = async |condition: &dyn Fn() -> bool| {
        let start = Instant::now();
        while !condition() {
            assert!(start.elapsed() < secs(30));
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    until(&|| connects.load(Ordering::SeqCst) > 1).await;
    let seed = Node::builder().name("b").region("hkg").listen(closed).start().await.unwrap();
    until(&|| !node.nodes_in("hkg").is_empty()).await;
    assert_eq!(node.nodes_in("hkg"), [seed.info().clone()]);
}

struct Plain(tokio::net::tcp::OwnedWriteHalf);

impl tokio::io::AsyncWrite for Plain {
    fn poll_write(
        mut self: std::pin::Pin<&mut Self>,
        task: &mut std::task::Context<'_>,
        data: &[u8],
    ) -> std::task::Poll<io::Result<usize>> {
        std::pin::Pin::new(&mut self.0).poll_write(task, data)
    }

    fn poll_flush(
        mut self: std::pin::Pin<&mut Self>,
        task: &mut std::task::Context<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        std::pin::Pin::new(&mut self.0).poll_flush(task)
    }

    fn poll_shutdown(
        mut self: std::pin::Pin<&mut Self>,
        task: &mut std::task::Context<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        std::pin::Pin::new(&mut self.0).poll_shutdown(task)
    }
}

impl flyrpc::StreamWriter for Plain {
    fn abort_on_close(&mut self) {}
}
