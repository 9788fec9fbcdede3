//! Clusters of real nodes: many nodes, restarts, and two clusters with the same seeds.

use flyrpc::{Event, Node, Peer, RpcError, StartError, Support};
use futures_util::future::join_all;

use super::{GENEROUS_TIMEOUT, builder, count_panics, eventually};
use crate::support::{Counts, ProbeClient, Prober, ServeProbe, millis, prober, process::free_addr};

fn serve(name: &str) -> ServeProbe<Prober> {
    prober(name, &Counts::default())
}

/// Waits until `node` has links to `count` other nodes.
async fn linked(node: &Node, count: usize) {
    eventually("the links are open", async || {
        let peers = node.peers();
        peers.iter().filter(|peer| peer.support == Support::Supported).count() == count
    })
    .await;
}

#[tokio::test]
async fn twenty_nodes_find_and_call_each_other() {
    count_panics();
    let name = |number: usize| format!("n{number}");
    let region = |number: usize| format!("r{number}");
    // The heartbeat is long, so that the load of the machine is not mistaken for silence.
    let start = |number, seeds: Vec<_>| {
        let builder = builder(&name(number), &region(number)).heartbeat(millis(500));
        builder.seeds(seeds).serve(serve(&name(number))).start()
    };
    let first = start(0, vec![]).await.unwrap();
    let rest = join_all((1..20).map(|number| start(number, vec![first.addr()]))).await;
    let mut nodes = vec![first];
    nodes.extend(rest.into_iter().map(Result::unwrap));
    for node in &nodes {
        linked(node, 19).await;
    }
    let calls = nodes.iter().flat_map(|node| {
        let probe = node.client::<ProbeClient>().timeout(GENEROUS_TIMEOUT);
        (0..20).map(move |number| (number, probe.on_region(region(number)).shout(String::new())))
    });
    let calls = calls.map(|(number, call)| async move {
        assert_eq!(call.await.unwrap().1, name(number));
    });
    join_all(calls).await;
    for node in &nodes {
        for number in 0..20 {
            assert_eq!(node.nodes_in(region(number)).len(), 1);
        }
    }
}

#[tokio::test]
async fn clusters_that_have_each_other_as_seeds_never_mix() {
    count_panics();
    let addrs = [free_addr(), free_addr(), free_addr(), free_addr()];
    let start = |at: usize, cluster: &str| {
        let builder = builder(&format!("{cluster}-{at}"), "iad").cluster(cluster);
        builder.listen(addrs[at]).seeds(addrs).serve(serve(cluster)).start()
    };
    let nodes = [
        start(0, "blue").await.unwrap(),
        start(1, "blue").await.unwrap(),
        start(2, "green").await.unwrap(),
        start(3, "green").await.unwrap(),
    ];
    for (at, node) in nodes.iter().enumerate() {
        node.ready().await;
        linked(node, 1).await;
        let own = if at < 2 { "blue" } else { "green" };
        assert_eq!(node.nodes_in("iad").len(), 2, "{:?}", node.peers());
        for _ in 0..10 {
            let served = node.client::<ProbeClient>().shout(String::new()).await.unwrap().1;
            assert_eq!(served, own);
        }
        eventually("the nodes of the other cluster are refused", async || {
            let refused = |peer: &Peer| match &peer.support {
                Support::Unsupported(why) => why.to_string().contains("cluster"),
                _ => false,
            };
            node.peers().iter().filter(|peer| refused(peer)).count() == 2
        })
        .await;
    }
}

#[tokio::test]
async fn a_node_restarted_on_its_port_is_found_and_its_earlier_boot_is_not_called() {
    count_panics();
    let addr = free_addr();
    let iad = builder("iad-0", "iad").listen(addr).serve(serve("first")).start().await.unwrap();
    let earlier_boot = iad.id().clone();
    let hkg = builder("hkg-0", "hkg").seeds([addr]).start().await.unwrap();
    hkg.ready().await;
    let probe = hkg.client::<ProbeClient>();
    assert_eq!(probe.on_region("iad").shout(String::new()).await.unwrap().1, "first");
    // Like a crash, this does not announce a leave.
    drop(iad);
    let mut restarted = None;
    eventually("the port is free", async || {
        restarted = builder("iad-0", "iad").listen(addr).serve(serve("second")).start().await.ok();
        restarted.is_some()
    })
    .await;
    let wait = probe.on_region("iad").timeout(GENEROUS_TIMEOUT).wait(GENEROUS_TIMEOUT);
    eventually("the restarted node is called", async || {
        wait.shout(String::new()).await.is_ok_and(|(_, by)| by == "second")
    })
    .await;
    let error = probe.on_node(&earlier_boot).shout(String::new()).await.unwrap_err();
    assert!(matches!(error, RpcError::NoNode { .. }), "{error:?}");
    assert_eq!(hkg.nodes_in("iad").len(), 1);
    assert_eq!(hkg.peers().len(), 1);
}

#[tokio::test]
async fn a_seed_that_left_and_restarted_without_seeds_is_found() {
    count_panics();
    let addr = free_addr();
    let iad = builder("iad-0", "iad").listen(addr).serve(serve("first")).start().await.unwrap();
    let hkg = builder("hkg-0", "hkg").seeds([addr]).start().await.unwrap();
    hkg.ready().await;
    iad.shutdown().await;
    drop(iad);
    let mut restarted = None;
    eventually("the port is free", async || {
        restarted = builder("iad-0", "iad").listen(addr).serve(serve("second")).start().await.ok();
        restarted.is_some()
    })
    .await;
    let probe = hkg
        .client::<ProbeClient>()
        .on_region("iad")
        .timeout(GENEROUS_TIMEOUT)
        .wait(GENEROUS_TIMEOUT);
    assert_eq!(probe.shout(String::new()).await.unwrap().1, "second");
}

#[tokio::test]
async fn a_reply_in_flight_at_a_shutdown_arrives_complete() {
    count_panics();
    for delay in [0, 2, 5, 10, 20, 40] {
        let iad = builder("iad-0", "iad").serve(serve("iad-0")).start().await.unwrap();
        let hkg = builder("hkg-0", "hkg").seeds([iad.addr()]).start().await.unwrap();
        hkg.ready().await;
        let probe = hkg.client::<ProbeClient>().on_region("iad").timeout(GENEROUS_TIMEOUT);
        let call = probe.produce(1_000_000);
        let shutdown = async {
            tokio::time::sleep(millis(delay)).await;
            iad.shutdown().await;
        };
        match tokio::join!(call, shutdown).0 {
            Ok(bytes) => assert_eq!(bytes.len(), 1_000_000),
            Err(error) => assert!(!error.may_have_executed(), "after {delay} ms: {error:?}"),
        }
    }
}

#[tokio::test]
async fn a_port_that_is_taken_is_an_error_that_names_it() {
    let node = builder("a", "iad").serve(serve("a")).start().await.unwrap();
    let addr = node.addr();
    let error = builder("b", "iad").listen(addr).serve(serve("b")).start().await.unwrap_err();
    assert!(matches!(error, StartError::Listen { .. }), "{error:?}");
    assert_eq!(error.to_string(), format!("cannot listen on {addr}"));
    // A port that is taken only for datagrams is also an error.
    let socket = std::net::UdpSocket::bind(super::LOOPBACK).unwrap();
    let addr = socket.local_addr().unwrap();
    let error = builder("c", "iad").listen(addr).serve(serve("c")).start().await.unwrap_err();
    assert!(matches!(error, StartError::Listen { .. }), "{error:?}");
}

#[tokio::test]
async fn two_services_of_one_name_are_an_error_that_names_both() {
    let error = builder("a", "iad").serve(serve("a")).serve(serve("b")).start().await.unwrap_err();
    let StartError::DuplicateService { name, .. } = &error else { panic!("{error:?}") };
    assert_eq!(name, "Probe");
    assert_eq!(error.to_string().matches("ServeProbe").count(), 2, "{error}");
}

#[tokio::test]
async fn nodes_that_advertise_the_same_address_do_not_replace_each_other() {
    let a = builder("a", "iad").serve(serve("a")).start().await.unwrap();
    let b = builder("b", "iad").advertise(a.addr()).seeds([a.addr()]).serve(serve("b"));
    // A node ignores a seed that is its own address, so it has no peers.
    let b = b.start().await.unwrap();
    let c = builder("c", "iad").advertise(a.addr()).serve(serve("c")).start().await.unwrap();
    b.ready().await;
    assert_eq!(a.nodes_in("iad"), [a.info().clone()]);
    drop((b, c));
}

#[tokio::test]
async fn nodes_that_advertise_the_same_address_are_both_called_by_a_third_one() {
    count_panics();
    let c = builder("c", "hkg").serve(serve("c")).start().await.unwrap();
    let mut events = c.events();
    let a = builder("a", "iad").seeds([c.addr()]).serve(serve("a")).start().await.unwrap();
    linked(&c, 1).await;
    let b = builder("b", "iad").advertise(a.addr()).seeds([c.addr()]).serve(serve("b"));
    let b = b.start().await.unwrap();
    let conflict = async {
        loop {
            if let Event::AddressConflict { holder, claimant, .. } = events.next().await.unwrap() {
                break (holder, claimant);
            }
        }
    };
    let conflict = tokio::time::timeout(GENEROUS_TIMEOUT, conflict).await.unwrap();
    assert_eq!(conflict, (a.info().clone(), b.info().clone()));
    linked(&c, 2).await;
    let probe = c.client::<ProbeClient>();
    for _ in 0..20 {
        for node in [&a, &b] {
            let call = probe.on_node(node.id()).timeout(GENEROUS_TIMEOUT);
            assert_eq!(call.shout(String::new()).await.unwrap().1, node.id().name());
            node.client::<ProbeClient>().on_region("hkg").shout(String::new()).await.unwrap();
        }
        probe.on_region("iad").shout(String::new()).await.unwrap();
    }
}

#[tokio::test]
async fn a_small_body_limit_keeps_no_node_from_joining() {
    let start = |name: &'static str, seeds: Vec<std::net::SocketAddr>| {
        builder(name, name).max_body(64).seeds(seeds).serve(serve(name)).start()
    };
    let a = start("a", vec![]).await.unwrap();
    let b = start("b", vec![a.addr()]).await.unwrap();
    let c = start("c", vec![a.addr()]).await.unwrap();
    for node in [&a, &b, &c] {
        linked(node, 2).await;
    }
}
