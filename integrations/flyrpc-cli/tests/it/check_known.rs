//! `flyrpc check` of nodes that are known by name or id, of nodes that are unknown, and of nodes without links.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use flyrpc::Node;
use tokio::net::TcpListener;

use crate::{
    check::{alone, diagnosed, start_at, web_server},
    support::{
        CLOSED, Flyrpc, OTHER_SECRET, SECRET, free_addr, keyring, node, start, tcp_proxy,
        wait_until,
    },
};

/// Starts hkg-0, which advertises an address at which something else answers this machine, and is linked to `iad`.
async fn start_behind(iad: &Node, advertise: SocketAddr) -> Node {
    loop {
        if let Some(hkg) = start_at(free_addr().await, advertise, Some(iad)).await {
            wait_until(iad, || iad.nodes().iter().any(|it| it.id() == hkg.id())).await;
            return hkg;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_linked_node_is_not_confused_with_what_has_its_address_here() {
    let dev = node("hkg-0").cluster("dev").start().await.unwrap();
    let sealed = node("dev-0").secret(keyring(OTHER_SECRET)).start().await.unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let others = [web_server().await, dev.addr(), sealed.addr(), silent.local_addr().unwrap()];
    for other in others {
        let iad = alone("iad-0").await;
        let hkg = start_behind(&iad, other).await;
        let flyrpc = Flyrpc::at(iad.addr());
        for target in ["hkg-0", &hkg.id().to_string()] {
            let ran = flyrpc.run(["check", target, "--timeout", "1s"]).await;
            assert_eq!(ran.code, 0, "{}", ran.out);
            assert!(ran.out.contains("not from here, but from iad-0"), "{}", ran.out);
            let notes: Vec<_> = ran.out.lines().filter(|it| it.starts_with("note: ")).collect();
            assert_eq!(notes.len(), 1, "{}", ran.out);
            let expected = ["another program", &format!("answers at {other}")];
            assert!(expected.iter().all(|it| notes[0].contains(it)), "{}", ran.out);
        }
        hkg.hold();
        wait_until(&iad, || !iad.peers()[0].accepting).await;
        let ran = flyrpc.run(["check", "--timeout", "1s"]).await;
        diagnosed(&ran, "held", "flyrpc accept hkg-0");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_node_at_the_address_of_a_node_that_is_gone_is_not_reported_as_it() {
    let iad = alone("iad-0").await;
    let at = free_addr().await;
    let Some(hkg) = start_at(at, at, Some(&iad)).await else { return };
    let id = hkg.id().to_string();
    hkg.shutdown().await;
    let Ok(_syd) = node("syd-0").listen(at).start().await else { return };
    let ran = Flyrpc::at(iad.addr()).run(["check", &id]).await;
    assert_eq!(ran.code, 1, "{}", ran.out);
    assert!(!ran.out.contains("✓ listed"), "{}", ran.out);
    let cause = ran.last_line();
    assert!(cause.starts_with("other node: ") || cause.starts_with("unknown node: "), "{cause}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_not_in_the_list_is_reported_with_the_names_that_are() {
    let (iad, [hkg]) = start(node("iad-0"), [node("hkg-0")]).await;
    let flyrpc = Flyrpc::at(iad.addr());
    for target in ["hkg-1", "hkg-1/0123456789abcdef"] {
        let ran = flyrpc.run(["check", target]).await;
        diagnosed(&ran, "unknown node", "flyrpc check HOST:PORT");
        assert!(ran.out.contains("iad-0 knows no node"), "{}", ran.out);
        assert!(ran.out.contains("it knows hkg-0, iad-0"), "{}", ran.out);
        assert!(!ran.out.contains("name service"), "{}", ran.out);
    }
    let ran = flyrpc.run(["check", "hkg-0/0123456789abcdef"]).await;
    diagnosed(&ran, "unknown node", "flyrpc check HOST:PORT");
    assert!(ran.out.contains(&format!("{} has this name", hkg.id())), "{}", ran.out);
    let ran = flyrpc.run(["check", "no-such-host.invalid"]).await;
    diagnosed(&ran, "name unknown", "name service");
    assert!(ran.out.contains("it knows hkg-0, iad-0"), "{}", ran.out);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_links_is_a_failure_unless_it_can_be_a_cluster_of_one_node() {
    let iad = alone("iad-0").await;
    for args in [["check", "iad-0"], ["check", "--ascii"]] {
        let ran = Flyrpc::at(iad.addr()).run(args).await;
        assert_eq!(ran.code, 0, "{}", ran.out);
        let note = ran.out.lines().find(|line| line.starts_with("note: ")).unwrap_or_default();
        assert!(note.contains("FLYRPC_SEEDS"), "{}", ran.out);
    }
    let hkg = alone("hkg-0").await;
    let ran = Flyrpc::at(hkg.addr()).run(["check"]).await;
    diagnosed(&ran, "alone", "FLYRPC_SEEDS");
    assert!(ran.last_line().contains("PRIMARY_REGION"), "{}", ran.out);
    let ran = Flyrpc::at(CLOSED).run(["check", &hkg.addr().to_string()]).await;
    diagnosed(&ran, "alone", "FLYRPC_SEEDS");
    let lost = node("iad-1").seeds([CLOSED.parse::<SocketAddr>().unwrap()]).start().await.unwrap();
    wait_until(&lost, || lost.peers().iter().any(|peer| peer.support.to_string() != "unknown"))
        .await;
    let ran = Flyrpc::at(lost.addr()).run(["check", "iad-1"]).await;
    diagnosed(&ran, "alone", "FLYRPC_SEEDS");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_region_without_nodes_is_diagnosed() {
    let (hkg, [_syd]) = start(node("hkg-0"), [node("syd-0")]).await;
    for args in [["check", "hkg-0"], ["check", "syd-0"]] {
        let ran = Flyrpc::at(hkg.addr()).run(args).await;
        diagnosed(&ran, "no primary node", "PRIMARY_REGION");
        assert!(ran.last_line().contains("MY_REGION"), "{}", ran.out);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_several_nodes_have_is_refused() {
    let (iad, hkgs) = start(node("iad-0"), [node("hkg-0"), node("hkg-0")]).await;
    let ran = Flyrpc::at(iad.addr()).run(["check", "hkg-0"]).await;
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.err.contains("several nodes are named `hkg-0`"), "{ran:?}");
    for hkg in hkgs {
        let id = hkg.id().to_string();
        assert!(ran.err.contains(&id), "{ran:?}");
        let ran = Flyrpc::at(iad.addr()).run(["check", &id]).await;
        assert!(ran.code == 0 && ran.out.contains(&format!("{id} in hkg runs")), "{}", ran.out);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_process_is_told_from_a_closed_network_with_a_short_timeout_too() {
    let stopped = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = stopped.local_addr().unwrap().to_string();
    let iad = alone("iad-0").await;
    for asked in [iad.addr().to_string(), CLOSED.to_owned()] {
        let begin = Instant::now();
        let ran = Flyrpc::at(asked).run(["check", &at, "--timeout", "1s"]).await;
        let took = begin.elapsed();
        diagnosed(&ran, "no handshake", "SIGSTOP");
        assert!(took < Duration::from_millis(1_900), "{took:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_linked_node_that_refuses_the_key_of_this_command_is_diagnosed_by_name() {
    let both = format!("{SECRET},{OTHER_SECRET}");
    let (iad, [_hkg]) =
        start(node("iad-0").secret(keyring(&both)), [node("hkg-0").secret(keyring(OTHER_SECRET))])
            .await;
    let flyrpc = Flyrpc::at(tcp_proxy(iad.addr()).await).secret(SECRET);
    diagnosed(&flyrpc.run(["check", "hkg-0"]).await, "wrong key", "same secret");
    let permissive = node("iad-0").secret(keyring(SECRET)).insecure();
    let (iad, [_hkg]) = start(permissive, [node("hkg-0")]).await;
    let ran = Flyrpc::at(iad.addr()).secret(SECRET).run(["check", "hkg-0"]).await;
    diagnosed(&ran, "no key there", "FLYRPC_SECRET");
}
