//! `flyrpc check` of broken nodes. The unit tests cover what cannot be produced on loopback.

use std::{net::SocketAddr, time::Duration};

use flyrpc::Node;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use crate::support::{
    CLOSED, Flyrpc, OTHER_SECRET, Ran, SECRET, client, free_addr, keyring, node, start, tcp_proxy,
    wait_until,
};

#[track_caller]
pub(crate) fn diagnosed(ran: &Ran, cause: &str, remedy: &str) {
    assert_eq!(ran.code, 1, "{ran:?}");
    let last = ran.last_line();
    assert!(last.starts_with(&format!("{cause}: ")), "{}", ran.out);
    assert!(last.contains(remedy), "{}", ran.out);
}

/// Starts a node that listens on the first address and advertises the second one.
pub(crate) async fn start_at(
    listen: SocketAddr,
    advertise: SocketAddr,
    seed: Option<&Node>,
) -> Option<Node> {
    let node = node("hkg-0").listen(listen).advertise(advertise).seeds(seed.map(Node::addr));
    // Another test may have taken the port.
    let node = node.start().await.ok()?;
    node.ready().await;
    Some(node)
}

pub(crate) async fn alone(name: &str) -> Node {
    node(name).start().await.unwrap()
}

/// Starts a web server, which refuses every request.
pub(crate) async fn web_server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 64]).await;
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    addr
}

#[tokio::test(flavor = "multi_thread")]
async fn a_healthy_node_passes_all_stages() {
    let (iad, [hkg]) = start(node("iad-0"), [node("hkg-0")]).await;
    wait_until(&hkg, || !hkg.peers().is_empty()).await;
    let flyrpc = Flyrpc::at(iad.addr());
    for target in [hkg.addr().to_string(), hkg.id().to_string(), "hkg-0".to_owned()] {
        let ran = flyrpc.run(["check", &target]).await;
        assert_eq!(
            (ran.last_line(), ran.code),
            ("ok: the node can be seen and called", 0),
            "{}",
            ran.out
        );
        assert_eq!(ran.out.lines().filter(|line| line.starts_with('✓')).count(), 13, "{}", ran.out);
    }
    let ran = flyrpc.run(["check"]).await;
    assert_eq!(ran.code, 0, "{}", ran.out);
    let ran = flyrpc.run(["check", "hkg-0", "--ascii"]).await;
    assert!(ran.out.is_ascii(), "{}", ran.out);
    let checks = flyrpc.run(["check", "hkg-0", "--json"]).await.json();
    assert_eq!(checks[0]["stages"][0]["result"], "passed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_port_and_a_web_server_are_told_apart() {
    let iad = alone("iad-0").await;
    let flyrpc = Flyrpc::at(iad.addr());
    diagnosed(&flyrpc.run(["check", CLOSED]).await, "port closed", "FLYRPC_LISTEN");
    diagnosed(&flyrpc.run(["check", "no-such-host.invalid:1"]).await, "name unknown", "correct");
    let web = web_server().await.to_string();
    let ran = flyrpc.run(["check", &web]).await;
    diagnosed(&ran, "not flyrpc", "web server");
    assert!(ran.out.contains("HTTP/1.1 400 Bad Request"), "{}", ran.out);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_do_not_match_are_named() {
    let iad = node("iad-0").secret(keyring(SECRET)).start().await.unwrap();
    let hkg = node("hkg-0").secret(keyring(OTHER_SECRET)).start().await.unwrap();
    let open = alone("syd-0").await;
    let flyrpc = Flyrpc::at(iad.addr()).secret(SECRET);
    let ran = flyrpc.run(["check", &hkg.addr().to_string()]).await;
    diagnosed(&ran, "wrong key", "same secret");
    let ids =
        [SECRET, OTHER_SECRET].map(|secret| keyring(secret).ids().next().unwrap().to_string());
    assert!(ids.iter().all(|id| ran.out.contains(id)), "{}", ran.out);
    let ran = flyrpc.run(["check", &open.addr().to_string()]).await;
    diagnosed(&ran, "no key there", "FLYRPC_SECRET");
    let ran = Flyrpc::at(open.addr()).run(["check", &hkg.addr().to_string()]).await;
    diagnosed(&ran, "no key", "FLYRPC_SECRET");
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_with_other_settings_are_diagnosed() {
    let iad = alone("iad-0").await;
    let flyrpc = Flyrpc::at(iad.addr());
    let other = node("hkg-0").cluster("other").start().await.unwrap();
    let ran = flyrpc.run(["check", &other.addr().to_string()]).await;
    diagnosed(&ran, "other cluster", "FLYRPC_CLUSTER");
    let ran = flyrpc.run(["check", &other.addr().to_string(), "--cluster", "local"]).await;
    diagnosed(&ran, "other cluster", "FLYRPC_CLUSTER");
    let differing =
        client("hkg-1").primary_region("hkg").seeds([iad.addr()]).start().await.unwrap();
    differing.ready().await;
    let ran = flyrpc.run(["check", &differing.addr().to_string()]).await;
    diagnosed(&ran, "primary differs", "PRIMARY_REGION");
    let stranger = node("hkg-2").start().await.unwrap();
    let ran = flyrpc.run(["check", &stranger.addr().to_string()]).await;
    diagnosed(&ran, "unlisted", "FLYRPC_SEEDS");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_advertises_another_address_is_diagnosed_if_it_has_no_link() {
    let iad = alone("iad-0").await;
    for seed in [None, Some(&iad)] {
        let (_nat, reached) = loop {
            let listen = free_addr().await;
            if let Some(nat) = start_at(listen, CLOSED.parse().unwrap(), seed).await {
                break (nat, listen.to_string());
            }
        };
        let ran = Flyrpc::at(iad.addr()).run(["check", &reached]).await;
        if seed.is_none() {
            diagnosed(&ran, "wrong address advertised", "FLYRPC_ADVERTISE");
        } else {
            assert!(ran.out.contains("outside of the network"), "{}", ran.out);
            assert!(!ran.out.contains("wrong address"), "{}", ran.out);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn held_and_draining_nodes_are_diagnosed_also_without_a_target() {
    let (iad, [hkg]) = start(node("iad-0"), [node("hkg-0")]).await;
    let flyrpc = Flyrpc::at(iad.addr());
    hkg.hold();
    diagnosed(&flyrpc.run(["check", "hkg-0"]).await, "held", "flyrpc accept hkg-0");
    wait_until(&iad, || !iad.peers()[0].accepting).await;
    diagnosed(&flyrpc.run(["check"]).await, "held", "flyrpc accept hkg-0");
    assert_eq!(flyrpc.run(["drain", "hkg-0"]).await.code, 0);
    diagnosed(&flyrpc.run(["check", "hkg-0"]).await, "draining", "restart");
    drop((iad, hkg));
}

#[tokio::test(flavor = "multi_thread")]
async fn through_a_tcp_proxy_nodes_are_checked_by_name() {
    let (iad, [hkg]) = start(node("iad-0"), [node("hkg-0")]).await;
    wait_until(&hkg, || !hkg.peers().is_empty()).await;
    let flyrpc = Flyrpc::at(tcp_proxy(iad.addr()).await);
    for args in [["check", "hkg-0"], ["check", "iad-0"]] {
        let ran = flyrpc.run(args).await;
        assert_eq!(ran.code, 0, "{}", ran.out);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn if_no_node_can_be_asked_that_is_diagnosed_first() {
    let iad = node("iad-0").secret(keyring(SECRET)).start().await.unwrap();
    let flyrpc = Flyrpc::at(iad.addr());
    diagnosed(&flyrpc.run(["check"]).await, "no key", "FLYRPC_SECRET");
    let ran = flyrpc.run(["check", "no-such-node.invalid"]).await;
    assert!(ran.out.contains("\nno key: "), "{}", ran.out);
    let ran = flyrpc.clone().secret(SECRET).run(["check"]).await;
    assert!(ran.code == 0 && ran.out.contains("sealed with"), "{}", ran.out);
    let ran = Flyrpc::at(CLOSED).secret(SECRET).run(["check", &iad.addr().to_string()]).await;
    assert!(ran.code == 0 && ran.last_line().contains("not compared"), "{}", ran.out);
}

/// Gossip must be absent for 30 s before a node reports that.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes 30 s"]
async fn a_node_to_which_udp_is_dropped_is_diagnosed() {
    let iad = alone("iad-0").await;
    let (hkg, proxy) = loop {
        let listen = free_addr().await;
        let proxy = tcp_proxy(listen).await;
        if let Some(hkg) = start_at(listen, proxy, Some(&iad)).await {
            break (hkg, proxy);
        }
    };
    let flyrpc = Flyrpc::at(iad.addr());
    let mut seconds = tokio::time::interval(Duration::from_secs(1));
    let mut ran = flyrpc.run(["check", "hkg-0"]).await;
    while ran.code == 0 {
        seconds.tick().await;
        ran = flyrpc.run(["check", "hkg-0"]).await;
    }
    diagnosed(&ran, "UDP dropped", &proxy.to_string());
    drop(hkg);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_is_stopped_accepts_connections_and_sends_nothing() {
    // The system accepts connections for a stopped process, too.
    let stopped = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let iad = alone("iad-0").await;
    let at = stopped.local_addr().unwrap().to_string();
    let ran = Flyrpc::at(iad.addr()).run(["check", &at]).await;
    diagnosed(&ran, "no handshake", "SIGSTOP");
}
