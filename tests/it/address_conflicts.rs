//! Nodes that advertise the same address, and nodes that only appear to do so.

use std::net::SocketAddr;

use flyrpc::{Event, Node, NodeBuilder, PeerState};
use flyrpc_testkit::{SimEnv, SimNet};

use crate::support::{
    Counts, EventLog, Log, PORT, ProbeClient, millis, node_names, node_on, prober, secs, sleep,
};

fn probe_on(env: &SimEnv) -> NodeBuilder {
    node_on(env).serve(prober(&env.name(), &Counts::default()))
}

/// Counts the links that `node` opens and loses.
fn links_of(node: &Node) -> impl Fn() -> usize + use<> {
    let node = node.clone();
    move || node.peers().iter().filter(|peer| peer.state == PeerState::Linked).count()
}

fn conflicts(log: &EventLog) -> Vec<String> {
    let mut events = log.all();
    events.retain(|event| event.contains("AddressConflict"));
    events
}

/// Two nodes in hkg that advertise `shared`, with iad-0 as their seed.
async fn two_with_one_address(net: &SimNet, iad: &Node, shared: SocketAddr) -> [(SimEnv, Node); 2] {
    let start = async |name: &str| {
        let env = net.add_host(name, "hkg");
        let node = probe_on(&env).advertise(shared).seeds([iad.addr()]).start().await.unwrap();
        node.ready().await;
        (env, node)
    };
    [start("hkg-0").await, start("hkg-1").await]
}

#[tokio::test(start_paused = true)]
async fn two_nodes_that_advertise_one_address_stay_linked_and_callable() {
    // No node, one of the two, or a third node answers at the address.
    for case in 0..3 {
        let (warnings, _guard) = Log::collect(tracing::Level::WARN);
        let net = SimNet::builder().seed(case).build();
        let iad = probe_on(&net.add_host("iad-0", "iad")).start().await.unwrap();
        let other = net.add_host("hkg-9", "hkg");
        let shared = match case {
            0 => other.addr(9),
            // The address of the first of the two. Hosts of a region are numbered in the order of their
            // creation.
            1 => SocketAddr::from(([10, 2, 0, 2], PORT)),
            _ => other.addr(PORT),
        };
        let log = EventLog::of(&iad);
        let [(first_env, first), (_, second)] = two_with_one_address(&net, &iad, shared).await;
        if case == 1 {
            assert_eq!(first_env.addr(PORT), shared);
        }
        sleep(secs(10)).await;
        let count = links_of(&iad);
        assert_eq!(count(), 2, "{:?}", iad.peers());
        let probe: ProbeClient = iad.client();
        for round in 0..120 {
            for node in [&first, &second] {
                let (_, by) = probe.on_node(node.id()).shout("a".into()).await.unwrap();
                assert_eq!(by, node.id().name(), "case {case}, round {round}");
                node.client::<ProbeClient>().on_region("iad").shout("a".into()).await.unwrap();
            }
            probe.on_region("hkg").shout("a".into()).await.unwrap();
            sleep(secs(1)).await;
        }
        assert_eq!(node_names(&iad, "hkg"), ["hkg-0", "hkg-1"]);
        assert_eq!(count(), 2);
        // Neither link was ever lost, and both nodes are named once.
        assert_eq!(log.nodes(), ["up hkg-0", "up hkg-1"], "case {case}");
        let conflicts = conflicts(&log);
        assert_eq!(conflicts.len(), 1, "{conflicts:?}");
        for node in [&first, &second] {
            assert!(conflicts[0].contains(&node.id().to_string()), "{conflicts:?}");
        }
        let ids = [first.id().to_string(), second.id().to_string()];
        let warned = warnings.with(&["advertise the same address", &ids[0], &ids[1]]);
        let warned: Vec<_> = warned.iter().filter(|line| !line.contains("iad-0/")).collect();
        assert!(!warned.is_empty() && warned.len() <= 3, "{:#?}", warnings.lines());

        // When one of them leaves, the other stays.
        first.shutdown().await;
        sleep(secs(5)).await;
        probe.on_region("hkg").shout("a".into()).await.unwrap();
        assert_eq!(node_names(&iad, "hkg"), ["hkg-1"]);
        assert_eq!(log.nodes()[2..], ["left hkg-0"]);
    }
}

#[tokio::test(start_paused = true)]
async fn when_one_of_two_nodes_with_one_address_ends_the_other_stays_a_member() {
    for (ends, crashes) in [(0, false), (1, false), (0, true), (1, true)] {
        let net = SimNet::builder().build();
        let iad = probe_on(&net.add_host("iad-0", "iad")).start().await.unwrap();
        // The address of the first of the two.
        let shared = SocketAddr::from(([10, 2, 0, 1], PORT));
        let log = EventLog::of(&iad);
        let mut both = Vec::from(two_with_one_address(&net, &iad, shared).await);
        assert_eq!(both[0].0.addr(PORT), shared);
        sleep(secs(30)).await;
        let (ended, node) = both.remove(ends);
        let (stays, _node) = &both[0];
        if crashes {
            net.crash(ended.name());
            drop(node);
        } else {
            node.shutdown().await;
        }
        sleep(secs(120)).await;
        let case = format!("{} ends, crash: {crashes}", ended.name());
        assert_eq!(node_names(&iad, "hkg"), [stays.name()], "{case}");
        let end = if crashes { "down" } else { "left" };
        assert_eq!(log.nodes()[2..], [format!("{end} {}", ended.name())], "{case}");

        // A node that joins later finds it.
        let late = probe_on(&net.add_host("lhr-0", "lhr")).seeds([iad.addr()]);
        let late = late.start().await.unwrap();
        late.ready().await;
        sleep(secs(30)).await;
        let call = late.client::<ProbeClient>().on_region("hkg");
        assert_eq!(call.shout("a".into()).await.unwrap().1, stays.name(), "{case}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_address_copied_to_all_machines_is_reported_by_all_and_a_third_node_calls_all() {
    let net = SimNet::builder().build();
    let iad = probe_on(&net.add_host("iad-0", "iad")).start().await.unwrap();
    let log = EventLog::of(&iad);
    let envs: Vec<_> = (0..4).map(|at| net.add_host(format!("hkg-{at}"), "hkg")).collect();
    let (mut nodes, mut logs) = (Vec::new(), Vec::new());
    for env in &envs {
        let seeds = envs.iter().map(|env| env.addr(PORT)).chain([iad.addr()]);
        let builder = probe_on(env).advertise(envs[0].addr(PORT)).seeds(seeds);
        let node = builder.start().await.unwrap();
        logs.push(EventLog::of(&node));
        node.ready().await;
        nodes.push(node);
    }
    sleep(secs(60)).await;
    let probe: ProbeClient = iad.client();
    for node in &nodes {
        let (_, by) = probe.on_node(node.id()).shout("a".into()).await.unwrap();
        assert_eq!(by, node.id().name());
        assert_eq!(node_names(node, "iad"), ["iad-0"]);
    }
    assert_eq!(log.nodes(), ["up hkg-0", "up hkg-1", "up hkg-2", "up hkg-3"]);
    assert!(!conflicts(&log).is_empty());
    for (node, log) in nodes.iter().zip(&logs) {
        let conflicts = conflicts(log);
        assert!(conflicts.iter().all(|event| event.contains(&node.id().to_string())));
        assert!(!conflicts.is_empty(), "{node:?} knows of no conflict");
    }
}

#[tokio::test(start_paused = true)]
async fn nodes_that_advertise_one_address_stay_linked_to_each_other() {
    let (warnings, _guard) = Log::collect(tracing::Level::WARN);
    let net = SimNet::builder().build();
    let shared = SocketAddr::from(([10, 9, 9, 9], PORT));
    let first_env = net.add_host("iad-0", "iad");
    let first = probe_on(&first_env).advertise(shared).start().await.unwrap();
    let first_log = EventLog::of(&first);
    let second = probe_on(&net.add_host("hkg-0", "hkg")).advertise(shared);
    let second = second.seeds([first_env.addr(PORT)]).start().await.unwrap();
    let second_log = EventLog::of(&second);
    second.ready().await;
    for _ in 0..120 {
        let from_first = first.client::<ProbeClient>().on_region("hkg");
        assert_eq!(from_first.shout("a".into()).await.unwrap().1, "hkg-0");
        let from_second = second.client::<ProbeClient>().on_primary();
        assert_eq!(from_second.shout("a".into()).await.unwrap().1, "iad-0");
        sleep(secs(1)).await;
    }
    let ids = [first.id().to_string(), second.id().to_string()];
    for log in [&first_log, &second_log] {
        let conflicts = conflicts(log);
        assert_eq!(conflicts.len(), 1, "{conflicts:?}");
        assert!(ids.iter().all(|id| conflicts[0].contains(id)), "{conflicts:?}");
    }
    // At most one warning of each node, and no other.
    let warned = warnings.with(&["advertise the same address", &ids[0], &ids[1]]);
    assert!((1..=2).contains(&warned.len()), "{warned:#?}");
    assert_eq!(warnings.lines(), warned);
    assert_eq!(first_log.nodes(), ["up hkg-0"]);
    second.shutdown().await;
    sleep(secs(1)).await;
    assert_eq!(node_names(&first, "hkg"), [""; 0]);
    assert_eq!(first_log.nodes(), ["up hkg-0", "left hkg-0"]);
}

#[tokio::test(start_paused = true)]
async fn a_restarted_node_takes_its_address_from_a_boot_that_no_longer_answers() {
    for cut in [false, true] {
        let net = SimNet::builder().build();
        let iad = probe_on(&net.add_host("iad-0", "iad")).start().await.unwrap();
        let shared = SocketAddr::from(([10, 9, 9, 9], PORT));
        let log = EventLog::of(&iad);
        let env = net.add_host("hkg-0", "hkg");
        let builder = probe_on(&env).advertise(shared).seeds([iad.addr()]);
        let first = builder.start().await.unwrap();
        first.ready().await;
        sleep(secs(2)).await;
        // The earlier boot disappears without a message, and the next one runs on another machine.
        if cut {
            net.partition("iad-0", "hkg-0").keep();
        } else {
            net.crash("hkg-0");
        }
        let env = net.add_host("hkg-1", "hkg");
        let builder = probe_on(&env).advertise(shared).seeds([iad.addr()]);
        let second = builder.start().await.unwrap();
        let probe: ProbeClient = iad.client();
        let call = probe.on_node(second.id()).wait(secs(10)).timeout(secs(10));
        assert_eq!(call.shout("a".into()).await.unwrap().1, "hkg-1");
        sleep(secs(5)).await;
        assert_eq!(node_names(&iad, "hkg"), ["hkg-1"]);
        assert_eq!(log.nodes(), ["up hkg-0", "down hkg-0", "up hkg-1"], "cut: {cut}");
        assert_eq!(conflicts(&log), [""; 0]);
        sleep(secs(120)).await;
        assert_eq!(node_names(&iad, "hkg"), ["hkg-1"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_boot_that_dies_right_after_it_was_linked_is_forgotten() {
    for pause in [0, 50, 101, 150, 202, 250, 303, 350, 404, 1_000] {
        let net = SimNet::builder().build();
        let iad = probe_on(&net.add_host("iad-0", "iad")).start().await.unwrap();
        let env = net.add_host("hkg-0", "hkg");
        for boot in 0..3 {
            let env = if boot == 0 { env.clone() } else { net.restart("hkg-0") };
            let node = probe_on(&env).seeds([iad.addr()]).start().await.unwrap();
            // One round trip connects, and another completes the handshake.
            sleep(millis(200 + pause)).await;
            net.crash("hkg-0");
            drop(node);
            sleep(millis(pause)).await;
        }
        sleep(secs(90)).await;
        assert_eq!(node_names(&iad, "hkg"), [""; 0], "after {pause} ms");
        let peers = iad.peers();
        assert!(peers.is_empty(), "after {pause} ms: {peers:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_conflict_is_an_event_with_both_nodes() {
    let net = SimNet::builder().build();
    let iad = probe_on(&net.add_host("iad-0", "iad")).start().await.unwrap();
    let shared = SocketAddr::from(([10, 9, 9, 9], PORT));
    let mut events = iad.events();
    let [(_, first), (_, second)] = two_with_one_address(&net, &iad, shared).await;
    let conflict = loop {
        match events.next().await.unwrap() {
            Event::AddressConflict { addr, holder, claimant } => break (addr, holder, claimant),
            _ => continue,
        }
    };
    assert_eq!(conflict, (shared, first.info().clone(), second.info().clone()));
}
