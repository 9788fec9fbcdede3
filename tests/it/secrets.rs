//! Nodes in separate processes with and without a secret, as they are deployed.

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use flyrpc::{
    Keyring, LinkSecurity, NoSupport, Node, NodeBuilder, NodeInfo, Peer, RpcError, StartError,
    Support, fly_rpc,
    operations::{VisitOptions, Visitor},
};
use futures_util::future::join_all;
use tokio::{
    sync::oneshot,
    task::JoinHandle,
    time::{Instant, interval, sleep, timeout},
};

use crate::support::{
    EventLog, Log, millis,
    process::{GENEROUS_TIMEOUT, HEARTBEAT, Process, any_port, free_addr},
    secs,
};

const OLD: &str = "6f6c64206b65792c20333220627974657320696e2068657861646563696d616c";
const NEW: &str = "bmV3IGtleSwgMzIgYnl0ZXMgaW4gYmFzZTY0IGZvcm0=";

/// An address of no machine, which nodes beyond loopback advertise here. They are dialed at 127.0.0.1.
const ADVERTISED: (&str, &str) = ("FLYRPC_ADVERTISE", "10.9.9.9");

#[fly_rpc]
trait Worker {
    async fn work(&self, millis: u64) -> String;
}

fn caller() -> NodeBuilder {
    Node::builder().name("caller").region("hkg").primary_region("iad").heartbeat(HEARTBEAT)
}

fn keyring(keys: &str) -> Keyring {
    keys.parse().unwrap()
}

/// Starts a node that listens on every interface. Returns its address on loopback.
async fn beyond_loopback(variables: &[(&str, &str)]) -> Result<(Process, SocketAddr), String> {
    let variables = [&[ADVERTISED], variables].concat();
    let process = Process::start_with("a", (Ipv4Addr::UNSPECIFIED, 0).into(), &[], &variables);
    let process = process.await?;
    let addr = (Ipv4Addr::LOCALHOST, process.addr.port()).into();
    Ok((process, addr))
}

/// Starts a caller, and returns the result of a call to the node at `addr` and how the caller sees the node.
async fn call(addr: SocketAddr, caller: NodeBuilder) -> (Result<String, String>, Peer) {
    let node = caller.seeds([addr]).start().await.unwrap();
    node.ready().await;
    let worker: WorkerClient = node.client();
    let reply = worker.on_region("iad").work(0).await.map_err(|error| error.to_string());
    let peers = node.peers();
    let peer = peers.iter().find(|peer| peer.addr == addr || peer.node.is_some());
    (reply, peer.expect("the seed is a peer").clone())
}

#[track_caller]
fn assert_unsupported(peer: &Peer, expected: &NoSupport) {
    assert_eq!(peer.support, Support::Unsupported(expected.clone()));
}

#[tokio::test]
async fn a_node_on_loopback_without_a_secret_is_open() {
    let a = Process::start("a", any_port(), &[]).await;
    let (reply, peer) = call(a.addr, caller()).await;
    assert_eq!(reply.as_deref(), Ok("a"));
    assert_eq!((peer.security, peer.keys), (Some(LinkSecurity::Open), Vec::new()));
    let (_, peer) = call(a.addr, caller().secret(keyring(OLD))).await;
    assert_unsupported(&peer, &NoSupport::NoSecret);
}

#[tokio::test]
async fn a_node_on_loopback_with_a_secret_is_sealed() {
    let secret = [("FLYRPC_SECRET", OLD)];
    let a = Process::start_with("a", any_port(), &[], &secret).await.unwrap();
    let (reply, peer) = call(a.addr, caller().secret(keyring(OLD))).await;
    assert_eq!(reply.as_deref(), Ok("a"));
    let key = keyring(OLD).ids().next().unwrap();
    assert_eq!((peer.security, peer.keys), (Some(LinkSecurity::Sealed(key)), vec![key]));
    let (reply, peer) = call(a.addr, caller()).await;
    assert!(reply.is_err());
    assert_unsupported(&peer, &NoSupport::SecretRequired);
    let (reply, peer) = call(a.addr, caller().secret(keyring(NEW))).await;
    assert!(reply.is_err());
    assert_unsupported(&peer, &NoSupport::OtherSecret(vec![key]));
    assert_eq!(a.started(), 1);
}

#[tokio::test]
async fn a_node_beyond_loopback_without_a_secret_does_not_start() {
    let refused = beyond_loopback(&[]).await.err().unwrap();
    assert_eq!(
        refused,
        "failed: this node would be reached at 10.9.9.9:0 by whatever is on that network. Set \
         FLYRPC_SECRET, the same on every node: `export FLYRPC_SECRET=$(openssl rand -base64 32)`. \
         If all that can reach it may call it, set FLYRPC_INSECURE=1"
    );
    let on_fly = [("FLY_APP_NAME", "shop"), ("FLYRPC_LISTEN", "[fdaa::3]:3590")];
    let refused = Process::start_with("a", any_port(), &[], &on_fly).await.err().unwrap();
    assert_eq!(
        refused,
        "failed: this node would be reached at [fdaa::3]:3590 by whatever is on that network. Set \
         FLYRPC_SECRET, the same on every node: `fly secrets set FLYRPC_SECRET=$(openssl rand \
         -base64 32)`. If all that can reach it may call it, set FLYRPC_INSECURE=1"
    );
}

#[tokio::test]
async fn a_truncated_secret_is_an_error_that_does_not_contain_it() {
    let variables = [("FLYRPC_SECRET", &OLD[2..])];
    let refused = Process::start_with("a", any_port(), &[], &variables).await.err().unwrap();
    assert_eq!(
        refused,
        "failed: FLYRPC_SECRET cannot be used: the value is not a key: expected 32 bytes as base64 \
         or as 64 hexadecimal digits, as `flyrpc secret` or `openssl rand -base64 32` prints them"
    );
}

#[tokio::test]
async fn a_node_beyond_loopback_that_is_insecure_is_open() {
    let (_a, addr) = beyond_loopback(&[("FLYRPC_INSECURE", "1")]).await.unwrap();
    let (reply, peer) = call(addr, caller()).await;
    assert_eq!(reply.as_deref(), Ok("a"));
    assert_eq!(peer.security, Some(LinkSecurity::Open));
}

#[tokio::test]
async fn a_node_beyond_loopback_with_a_secret_is_sealed() {
    let (_a, addr) = beyond_loopback(&[("FLYRPC_SECRET", OLD)]).await.unwrap();
    let (reply, _) = call(addr, caller().secret(keyring(OLD))).await;
    assert_eq!(reply.as_deref(), Ok("a"));
    let (_, peer) = call(addr, caller()).await;
    assert_unsupported(&peer, &NoSupport::SecretRequired);
}

#[tokio::test]
async fn a_node_with_a_secret_that_is_insecure_accepts_both() {
    let both = [("FLYRPC_SECRET", OLD), ("FLYRPC_INSECURE", "1")];
    let (_a, addr) = beyond_loopback(&both).await.unwrap();
    let key = keyring(OLD).ids().next().unwrap();
    for (caller, security) in [
        (caller(), LinkSecurity::Open),
        (caller().secret(keyring(OLD)), LinkSecurity::Sealed(key)),
        (caller().secret(keyring(OLD)).insecure(), LinkSecurity::Sealed(key)),
    ] {
        let (reply, peer) = call(addr, caller).await;
        assert_eq!(reply.as_deref(), Ok("a"));
        assert_eq!((peer.security, peer.keys), (Some(security), vec![key]));
    }
}

#[tokio::test]
async fn only_an_insecure_node_beyond_loopback_warns_at_its_start() {
    let start = async |builder: NodeBuilder| {
        let (log, _guard) = Log::collect(tracing::Level::WARN);
        let started = builder.start().await;
        (started, log.lines())
    };
    let everywhere: SocketAddr = (Ipv4Addr::UNSPECIFIED, 0).into();
    let beyond = || caller().listen(everywhere).advertise("10.9.9.9:0".parse().unwrap());
    for quiet in [caller(), caller().insecure(), beyond().secret(keyring(OLD))] {
        let (started, warnings) = start(quiet).await;
        assert_eq!((started.is_ok(), warnings.len()), (true, 0), "{warnings:?}");
    }
    for insecure in [beyond().insecure(), beyond().insecure().secret(keyring(OLD))] {
        let (started, warnings) = start(insecure).await;
        assert_eq!((started.is_ok(), warnings.len()), (true, 1), "{warnings:?}");
        assert!(warnings[0].contains("this node is insecure"), "{warnings:?}");
    }
    let (started, _) = start(beyond()).await;
    assert!(matches!(started, Err(StartError::NoSecret { .. })));
}

#[tokio::test]
async fn only_a_process_that_is_insecure_beyond_loopback_warns_and_only_once() {
    const SECRET: (&str, &str) = ("FLYRPC_SECRET", OLD);
    const INSECURE: (&str, &str) = ("FLYRPC_INSECURE", "1");
    const LOG: (&str, &str) = ("LOG_LEVEL", "info");
    let (open, permissive) = (
        "links and gossip are open: everything that can reach this address may call it",
        "peers without the secret are also accepted",
    );
    for (variables, warning) in [
        (&[][..], None),
        (&[SECRET], None),
        (&[INSECURE], Some(open)),
        (&[SECRET, INSECURE], Some(permissive)),
    ] {
        let variables = [variables, &[LOG]].concat();
        let on_loopback = Process::start_with("a", any_port(), &[], &variables).await.unwrap();
        assert_warnings(&on_loopback.log().await, None);
        // Without both, it does not start.
        if variables.len() > 1 {
            let (beyond, _) = beyond_loopback(&variables).await.unwrap();
            assert_warnings(&beyond.log().await, warning);
        }
    }
}

/// Checks that a node has logged that it is insecure, because of `why`, and otherwise nothing about security, and no
/// other warning.
#[track_caller]
fn assert_warnings(log: &[String], why: Option<&str>) {
    assert!(
        log.iter().any(|line| line.contains("INFO") && line.contains("node started")),
        "{log:#?}"
    );
    let words = ["WARN", "ERROR", "secret", "secure", "seal", "open"];
    let is_about = |line: &&String| words.iter().any(|word| line.contains(word));
    let lines: Vec<_> = log.iter().filter(is_about).collect();
    let expected = why.map(|why| format!("this node is insecure: {why} addr=10.9.9.9:"));
    assert_eq!(lines.len(), usize::from(why.is_some()), "{log:#?}");
    for (line, expected) in lines.iter().zip(&expected) {
        assert!(line.trim_start().starts_with("WARN ") && line.contains(expected), "{line}");
    }
}

/// The processes of a cluster, which are replaced one by one.
struct Cluster {
    addrs: Vec<SocketAddr>,
    processes: Vec<Process>,
}

impl Cluster {
    async fn start(variables: &[(&str, &str)]) -> Self {
        let addrs: Vec<SocketAddr> = (0..5).map(|_| free_addr()).collect();
        let mut cluster = Cluster { addrs, processes: Vec::new() };
        for index in 0..cluster.addrs.len() {
            let process = cluster.process(index, variables).await;
            cluster.processes.push(process);
        }
        cluster
    }

    async fn process(&self, index: usize, variables: &[(&str, &str)]) -> Process {
        let name = format!("node-{index}");
        Process::start_with(&name, self.addrs[index], &self.addrs, variables).await.unwrap()
    }

    /// Replaces all processes, as a rolling deploy does: each one stops gracefully, and the next one follows once it is
    /// linked to `observer`.
    async fn roll(&mut self, variables: &[(&str, &str)], observer: &Node) {
        for index in 0..self.addrs.len() {
            let old = self.processes.remove(index);
            old.signal("-TERM").await;
            assert_eq!(old.last_line().await, "down");
            let new = self.process(index, variables).await;
            self.processes.insert(index, new);
            let linked = async {
                while observer.nodes_in("iad").len() < self.addrs.len() {
                    sleep(millis(5)).await;
                }
            };
            timeout(GENEROUS_TIMEOUT, linked).await.expect("the new process is linked");
        }
    }
}

/// Makes 500 calls per second until it is stopped.
struct Load {
    stop: oneshot::Sender<()>,
    /// Returns the time, the number of calls, and the errors of calls that failed.
    task: JoinHandle<(Duration, usize, Vec<String>)>,
}

impl Load {
    const CALL_INTERVAL: Duration = millis(2);

    /// Upper bound on a scheduling delay at the end.
    const MAX_DELAY: Duration = secs(1);

    fn start(node: &Node) -> Self {
        let worker: WorkerClient = node.client();
        let worker = worker.on_region("iad").wait(secs(5));
        let (stop, mut stopped) = oneshot::channel();
        let task = tokio::spawn(async move {
            let start = Instant::now();
            let mut calls = Vec::new();
            // Makes up for calls that are late.
            let mut ticks = interval(Self::CALL_INTERVAL);
            while stopped.try_recv().is_err() {
                ticks.tick().await;
                calls.push(tokio::spawn(worker.work(0)));
            }
            let (time, made) = (start.elapsed(), calls.len());
            let results = join_all(calls).await.into_iter().map(|call| call.unwrap());
            let errors = results.filter_map(Result::err).map(|error| error.to_string());
            (time, made, errors.collect())
        });
        Load { stop, task }
    }

    /// Stops. Checks that as many calls were made as planned, and that none failed.
    async fn stop(self) {
        self.stop.send(()).expect("the task runs");
        let (time, made, errors) = self.task.await.unwrap();
        let planned = time.saturating_sub(Self::MAX_DELAY).div_duration_f64(Self::CALL_INTERVAL);
        assert!(made as f64 >= planned, "{made} calls in {time:?}");
        assert_eq!(errors, [""; 0], "of {made} calls");
    }
}

/// Replaces the processes by ones with each of `steps`, and the caller along with them. No call may fail, and no node that
/// did not stop may be down. Returns the last caller, too.
async fn check_deploys(steps: &[&[(&str, &str)]]) -> (Cluster, Node) {
    let builder = |variables: &[(&str, &str)]| {
        let mut builder = caller();
        for &(name, value) in variables {
            builder = match name {
                "FLYRPC_SECRET" => builder.secret(keyring(value)),
                _ => builder.insecure(),
            };
        }
        builder
    };
    let mut cluster = Cluster::start(steps[0]).await;
    let mut node = builder(steps[0]).seeds(&cluster.addrs).start().await.unwrap();
    node.ready().await;
    for step in &steps[1..] {
        let load = Load::start(&node);
        let events = EventLog::of(&node);
        cluster.roll(step, &node).await;
        load.stop().await;
        let nodes = events.nodes();
        // The caller of the step before has stopped, and its goodbye may get lost.
        let downs = nodes.iter().filter(|event| event.starts_with("down node-"));
        assert_eq!(downs.count(), 0, "processes left, and none was declared down: {nodes:?}");
        // The caller is deployed last.
        node.shutdown().await;
        node = builder(step).seeds(&cluster.addrs).start().await.unwrap();
        node.ready().await;
        let load = Load::start(&node);
        sleep(millis(300)).await;
        load.stop().await;
    }
    (cluster, node)
}

/// Checks that every process of `cluster`, which has this secret, refuses a node that `outsider` starts, which reports `why`,
/// and that neither they nor `member` list that node.
async fn assert_refused(
    cluster: Cluster,
    member: &Node,
    secret: &str,
    outsider: NodeBuilder,
    why: &NoSupport,
) {
    let events = EventLog::of(member);
    let outsider = outsider.name("outsider").seeds(&cluster.addrs).start().await.unwrap();
    outsider.ready().await;
    let peers = outsider.peers();
    assert_eq!(peers.len(), cluster.addrs.len(), "{peers:?}");
    for peer in &peers {
        assert_eq!((&peer.node, peer.security), (&None, None));
        assert_unsupported(peer, why);
    }
    let error = outsider.client::<WorkerClient>().on_region("iad").work(0).await.unwrap_err();
    assert!(matches!(error, RpcError::NoNode { .. }), "{error}");
    // It continues to dial, and gossip has time to spread.
    let load = Load::start(member);
    sleep(5 * HEARTBEAT).await;
    load.stop().await;
    assert_eq!(outsider.nodes(), [outsider.info().clone()]);
    for &addr in &cluster.addrs {
        let visitor = Visitor::connect(addr, VisitOptions::new().secret(keyring(secret))).await;
        let report = visitor.unwrap().status(None).await.unwrap();
        let peers = report.peers.iter().filter_map(|peer| peer.node.as_ref());
        let nodes: BTreeSet<_> = peers.chain([&report.node]).map(NodeInfo::name).collect();
        assert_eq!(nodes, ["caller", "node-0", "node-1", "node-2", "node-3", "node-4"].into());
        assert!(report.peers.iter().all(|peer| peer.addr != outsider.addr()), "{report:?}");
    }
    let is_about = |event: &String| event.contains("outsider");
    assert!(!events.all().iter().any(is_about), "{:?}", events.all());
}

#[tokio::test]
async fn a_secret_is_rotated_in_two_deploys_without_a_failed_call() {
    let both = format!("{NEW},{OLD}");
    let (cluster, caller_with_new) = check_deploys(&[
        &[("FLYRPC_SECRET", OLD)],
        &[("FLYRPC_SECRET", &both)],
        &[("FLYRPC_SECRET", NEW)],
    ])
    .await;
    let why = NoSupport::OtherSecret(keyring(NEW).ids().collect());
    let with_old = caller().secret(keyring(OLD));
    assert_refused(cluster, &caller_with_new, NEW, with_old, &why).await;
}

#[tokio::test]
async fn a_cluster_is_secured_in_two_deploys_without_a_failed_call() {
    let (cluster, caller_with_secret) = check_deploys(&[
        &[],
        &[("FLYRPC_SECRET", OLD), ("FLYRPC_INSECURE", "1")],
        &[("FLYRPC_SECRET", OLD)],
    ])
    .await;
    let why = NoSupport::SecretRequired;
    assert_refused(cluster, &caller_with_secret, OLD, caller(), &why).await;
}
