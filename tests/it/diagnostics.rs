//! What logs, events and error messages report to an operator.

use flyrpc::{Event, Known, RpcError};
use flyrpc_testkit::SimNet;
use tracing::Level;

use crate::support::{
    Counts, EventLog, Log, ProbeClient, iad_and_hkg, millis, node_names, node_on, probe_cluster,
    prober, secs, sleep, wait_until,
};

#[tokio::test(start_paused = true)]
async fn log_lines_of_a_node_have_its_name_as_a_span_field() {
    let (log, _guard) = Log::collect(Level::DEBUG);
    let cluster = iad_and_hkg(&Counts::default()).await;
    let (iad, hkg) = (cluster.node("iad-0"), cluster.node("hkg-0"));
    hkg.client::<ProbeClient>().on_region("iad").shout("a".into()).await.unwrap();
    iad.hold();
    sleep(secs(1)).await;
    cluster.crash("iad-0");
    sleep(secs(20)).await;
    hkg.shutdown().await;
    let nodes = ["flyrpc{node=iad-0 }: ", "flyrpc{node=hkg-0 }: "];
    for message in ["node started", "node linked", "node state changed", "link lost", "node down"] {
        assert!(!log.with(&[message]).is_empty(), "{message}: {:#?}", log.lines());
    }
    for line in log.lines() {
        assert!(nodes.iter().any(|node| line.contains(node)), "{line}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_node_of_a_cluster_warns_once_for_all_its_seeds() {
    let (log, _guard) = Log::collect(Level::INFO);
    let net = SimNet::builder().build();
    let mut nodes = Vec::new();
    let seeds = ["iad-0:3590", "iad-1:3590", "iad-2:3590"];
    let envs = ["iad-0", "iad-1", "iad-2"].map(|name| (name, net.add_host(name, "iad")));
    for (name, env) in envs {
        let node = node_on(&env).serve(prober(name, &Counts::default())).seeds(seeds);
        nodes.push(node.start().await.unwrap());
        nodes.last().unwrap().ready().await;
    }
    sleep(secs(60)).await;
    let warnings = log.with(&["will keep trying"]);
    assert_eq!(warnings.len(), 1, "{:#?}", log.lines());
    assert!(warnings[0].contains("node=iad-0 "), "{warnings:?}");
    assert!(log.with(&["not a compatible"]).is_empty(), "{:#?}", log.lines());
    assert!(!log.with(&["nothing responds"]).is_empty());
}

#[tokio::test(start_paused = true)]
async fn seed_names_that_do_not_resolve_are_warned_of_once_when_the_node_is_ready() {
    let (log, _guard) = Log::collect(Level::WARN);
    let net = SimNet::builder().build();
    let seeds = ["hkg-0:3590", "hkg-1:3590", "hgk-2:3590"];
    let env = net.add_host("hkg-0", "hkg");
    let first = node_on(&env).seeds(seeds).start().await.unwrap();
    assert_eq!(log.lines(), [""; 0]);
    first.ready().await;
    sleep(secs(60)).await;
    // A node that finds no other warns of all of them in one line.
    let warnings = log.lines();
    assert_eq!(warnings.len(), 1, "{warnings:#?}");
    for part in ["will keep trying", "hkg-1:3590", "hgk-2:3590", "has no address"] {
        assert!(warnings[0].contains(part), "{part}: {warnings:?}");
    }

    let env = net.add_host("hkg-1", "hkg");
    let second = node_on(&env).seeds(seeds).start().await.unwrap();
    second.ready().await;
    assert_eq!(node_names(&second, "hkg"), ["hkg-0", "hkg-1"]);
    sleep(secs(60)).await;
    let warnings = &log.lines()[1..];
    assert_eq!(warnings.len(), 1, "{warnings:#?}");
    for part in ["node=hkg-1 ", "could not be resolved; will retry", "hgk-2:3590"] {
        assert!(warnings[0].contains(part), "{part}: {warnings:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_seed_name_that_stops_resolving_is_one_warning_until_it_resolves() {
    let (log, _guard) = Log::collect(Level::WARN);
    let net = SimNet::builder().build();
    let iad = node_on(&net.add_host("iad-0", "iad")).start().await.unwrap();
    let hkg = node_on(&net.add_host("hkg-0", "hkg")).seeds(["iad-0:3590"]).start().await.unwrap();
    hkg.ready().await;
    for times in 1..=2 {
        net.set_name("iad-0", []);
        sleep(secs(600)).await;
        let warnings = log.with(&["could not be resolved", "iad-0:3590"]);
        assert_eq!(warnings.len(), times, "{:#?}", log.lines());
        net.set_name("iad-0", [iad.addr().ip()]);
        sleep(secs(120)).await;
    }
    assert_eq!(log.lines().len(), 2, "{:#?}", log.lines());
}

#[tokio::test(start_paused = true)]
async fn an_error_for_an_unknown_region_lists_the_live_ones() {
    let cluster = probe_cluster(&Counts::default()).region("iad", 1).region("hkg", 1);
    let cluster = cluster.region("lhr", 1).start().await;
    let hkg = cluster.node("hkg-0");
    let misspelled = hkg.client::<ProbeClient>().on_region("idd").shout("a".into());
    let error = misspelled.await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "no live node in region \"idd\" for Probe.shout; live regions: hkg, iad, lhr"
    );
    cluster.crash("iad-0");
    sleep(secs(10)).await;
    let error = hkg.client::<ProbeClient>().on_region("iad").shout("a".into()).await.unwrap_err();
    let RpcError::NoNode { live_regions, .. } = &error else { panic!("{error:?}") };
    assert_eq!(**live_regions, ["hkg", "lhr"]);
    let id = cluster.node("lhr-0").id().clone();
    cluster.crash("lhr-0");
    sleep(secs(60)).await;
    let error = hkg.client::<ProbeClient>().on_node(&id).shout("a".into()).await.unwrap_err();
    assert!(!error.to_string().contains("regions"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_held_or_accepts_is_an_event_that_says_so() {
    let cluster = iad_and_hkg(&Counts::default()).await;
    let (iad, hkg) = (cluster.node("iad-0"), cluster.node("hkg-0"));
    let mut events = hkg.events();
    iad.hold();
    iad.accept();
    iad.set_serving::<ProbeClient>(false);
    sleep(millis(200)).await;
    let node = iad.info().clone();
    // The two changes of the same moment are one, which changed nothing.
    let Some(Event::SupportChanged { node: Some(of), .. }) = events.next().await else {
        panic!("the service was withdrawn")
    };
    assert_eq!(of, node);
    let log = EventLog::of(&hkg);
    iad.hold();
    sleep(millis(200)).await;
    assert_eq!(
        events.next().await,
        Some(Event::AcceptingChanged { node: node.clone(), accepting: false })
    );
    iad.accept();
    assert_eq!(
        events.next().await,
        Some(Event::AcceptingChanged { node: node.clone(), accepting: true })
    );
    iad.drain().await;
    assert_eq!(events.next().await, Some(Event::AcceptingChanged { node, accepting: false }));
    assert_eq!(log.nodes(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_call_to_a_node_that_stopped_responding_always_counts_it() {
    let cluster = iad_and_hkg(&Counts::default()).await;
    let probe = cluster.node("hkg-0").client::<ProbeClient>().on_region("iad");
    probe.shout(String::new()).await.unwrap();
    for crash in [false, true] {
        if crash {
            cluster.crash("iad-0");
        } else {
            cluster.freeze("iad-0");
        }
        let mut missing = 0;
        for _ in 0..60 {
            if let Err(RpcError::NoNode { known, .. }) = probe.shout(String::new()).await {
                missing += 1;
                assert!(known.unlinked + known.unreachable > 0, "crash: {crash}: {known:?}");
                assert_eq!(known.not_flyrpc, 0, "crash: {crash}: {known:?}");
            }
            sleep(millis(700)).await;
        }
        assert!(missing > 10, "crash: {crash}: {missing}");
        if !crash {
            cluster.resume("iad-0");
            wait_until(&cluster.node("hkg-0"), || {
                !cluster.node("hkg-0").nodes_in("iad").is_empty()
            })
            .await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_left_is_not_counted() {
    let net = SimNet::builder().build();
    let iad = node_on(&net.add_host("iad-0", "iad")).start().await.unwrap();
    let hkg = node_on(&net.add_host("hkg-0", "hkg")).seeds([iad.addr()]);
    let hkg = hkg.serve(prober("hkg-0", &Counts::default())).start().await.unwrap();
    hkg.ready().await;
    let probe = iad.client::<ProbeClient>().on_region("hkg");
    probe.shout("a".into()).await.unwrap();
    hkg.shutdown().await;
    sleep(secs(1)).await;
    let Err(RpcError::NoNode { known, .. }) = probe.shout("a".into()).await else {
        panic!("the node is still called");
    };
    assert_eq!(known, Known::default());
}
