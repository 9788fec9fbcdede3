//! Gossip that does not arrive although links work.

use std::{
    io,
    net::{Ipv6Addr, SocketAddr},
    sync::Arc,
};

use flyrpc::{Datagram, Env, Node};
use flyrpc_testkit::SimNet;
use flyrpc_tests::hooked_env::HookedEnv;
use futures_util::future::BoxFuture;

use crate::support::{
    Counts, EventLog, Log, ProbeClient, node_names, node_on, prober, secs, sleep,
};

#[tokio::test(start_paused = true)]
async fn a_node_without_gossip_is_one_warning_per_peer_and_can_be_called() {
    let (log, _guard) = Log::collect(tracing::Level::WARN);
    let net = SimNet::builder().build();
    let mut nodes = Vec::new();
    for (name, region) in [("iad-0", "iad"), ("hkg-0", "hkg"), ("lhr-0", "lhr")] {
        let env = net.add_host(name, region);
        let builder = node_on(&env).serve(prober(name, &Counts::default()));
        nodes.push(
            builder.seeds((!nodes.is_empty()).then_some("iad-0:3590")).start().await.unwrap(),
        );
        nodes.last().unwrap().ready().await;
    }
    sleep(secs(120)).await;
    assert_eq!(log.with(&["no gossip"]), [""; 0]);
    let events = EventLog::of(&nodes[0]);
    net.lose("hkg-0", "iad-0", 1.0).keep();
    net.lose("hkg-0", "lhr-0", 1.0).keep();
    for _ in 0..60 {
        sleep(secs(10)).await;
        for (from, to) in [(0, "hkg"), (1, "iad"), (2, "hkg")] {
            let probe = nodes[from].client::<ProbeClient>();
            probe.on_region(to).shout("a".into()).await.unwrap();
        }
    }
    // Each of the other two nodes warns of hkg-0, and hkg-0 warns of both.
    let warned = log.with(&["no gossip"]);
    assert_eq!(warned.len(), 4, "{warned:#?}");
    assert_eq!(log.with(&["no gossip", "hkg-0/"]).len(), 2, "{warned:#?}");
    assert_eq!(events.nodes(), [""; 0]);
    assert_eq!(node_names(&nodes[0], "hkg"), ["hkg-0"]);
}

/// A socket that cannot send to one host, as a socket for IPv4 cannot send to an IPv6 address.
struct OneFamily {
    socket: Arc<dyn Datagram>,
    other_family: SocketAddr,
}

impl Datagram for OneFamily {
    fn send<'a>(&'a self, data: &'a [u8], to: SocketAddr) -> BoxFuture<'a, io::Result<()>> {
        if to != self.other_family {
            return self.socket.send(data, to);
        }
        let error = "address family not supported by protocol";
        Box::pin(async move { Err(io::Error::new(io::ErrorKind::Unsupported, error)) })
    }

    fn receive<'a>(&'a self, into: &'a mut [u8]) -> BoxFuture<'a, io::Result<(usize, SocketAddr)>> {
        self.socket.receive(into)
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_cannot_send_gossip_to_the_other_ip_version_is_one_warning_per_peer() {
    let (log, _guard) = Log::collect(tracing::Level::WARN);
    let net = SimNet::builder().build();
    let hosts = ["iad-0", "hkg-0"].map(|name| net.add_host(name, &name[..3]));
    let at = |host: usize| SocketAddr::new(hosts[host].ip(), 3590);
    let mut nodes = Vec::new();
    for (host, other_family) in [(0, at(1)), (1, at(0))] {
        let hooked = HookedEnv::new(hosts[host].clone(), |env, to| env.connect(to));
        let hooked =
            hooked.wrap_datagrams(move |socket| Arc::new(OneFamily { socket, other_family }));
        let builder = node_on(&hosts[host]).env(hooked).serve(prober("a", &Counts::default()));
        nodes.push(builder.seeds([at(0)]).start().await.unwrap());
        nodes[host].ready().await;
    }
    for _ in 0..60 {
        sleep(secs(10)).await;
        for (from, to) in [(0, "hkg"), (1, "iad")] {
            let probe = nodes[from].client::<ProbeClient>();
            probe.on_region(to).shout("a".into()).await.unwrap();
        }
    }
    let warned = log.with(&["no gossip", "IP version"]);
    assert_eq!(warned.len(), 2, "{warned:#?}");
    assert_eq!(log.lines().len(), 2, "{:#?}", log.lines());
}

/// Needs IPv6 on loopback; without it, only the failure of `start` is tested.
#[tokio::test]
async fn a_node_on_ipv4_and_a_node_on_ipv6_call_each_other() {
    let start = |name: &str, listen: SocketAddr, seeds: &[SocketAddr]| {
        let builder = Node::builder().name(name).region(name).listen(listen);
        builder.seeds(seeds).serve(prober(name, &Counts::default())).start()
    };
    let v4 = start("v4", ([127, 0, 0, 1], 0).into(), &[]).await.unwrap();
    let v6 = match start("v6", (Ipv6Addr::LOCALHOST, 0).into(), &[v4.addr()]).await {
        Ok(node) => node,
        Err(error) => return assert!(error.to_string().contains("[::1]:0"), "{error}"),
    };
    v6.ready().await;
    for (node, other) in [(&v6, "v4"), (&v4, "v6")] {
        let probe = node.client::<ProbeClient>().on_region(other).wait(secs(10));
        assert_eq!(probe.shout("a".into()).await.unwrap(), ("A".into(), other.into()));
    }
}
