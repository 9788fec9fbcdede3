//! Visitors: connections of operators to one node.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use flyrpc::{
    Admission, Denied, ErrorInfo, ErrorKind, Keyring, Node,
    operations::{NodeAction, RelayTarget, VisitError, VisitOptions, Visitor},
};
use flyrpc_testkit::{SimCluster, SimEnv};
use serde_json::{Value, json};

use crate::support::{
    Counts, ProbeClient, iad_and_hkg, millis, probe_cluster, probe_release, prober, secs, sleep,
    wait_until,
};

/// A cluster of iad-0, which is primary, and hkg-0, whose rule denies `produce` and records which calls are relayed. Returns
/// the environment of hkg-0's host, too.
async fn cluster() -> (SimCluster, SimEnv, Relayed) {
    let (env, relayed) = (Arc::new(Mutex::new(None)), Relayed::default());
    let (to, rule) = (Arc::clone(&env), relayed.clone());
    let release = probe_release(&Counts::default()).configure(move |node, builder| {
        *to.lock().unwrap() = Some(node.env().clone());
        let rule = rule.clone();
        builder.version("2").authorize(move |admission| rule.decide(admission))
    });
    let cluster = probe_cluster(&Counts::default()).region("iad", 1).region("hkg", 1);
    let cluster = cluster.node("hkg-0", release).start().await;
    let env = env.lock().unwrap().take().unwrap();
    (cluster, env, relayed)
}

/// The calls that a rule has decided on: the method, the region of the caller, and whether the call was relayed.
#[derive(Clone, Default)]
struct Relayed(Arc<Mutex<Vec<(String, String, bool)>>>);

impl Relayed {
    fn decide(&self, call: &Admission<'_>) -> Result<(), Denied> {
        let region = call.caller().region().to_string();
        self.0.lock().unwrap().push((call.method().to_owned(), region, call.is_relayed()));
        if call.method() == "produce" { Err(Denied::new("as the test decides")) } else { Ok(()) }
    }

    fn take(&self) -> Vec<(String, String, bool)> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

async fn visit(env: &SimEnv, node: &Node) -> Visitor {
    Visitor::connect(node.addr(), VisitOptions::new().env(env.clone())).await.unwrap()
}

async fn call(
    visitor: &Visitor,
    target: RelayTarget,
    method: &str,
    arguments: Value,
) -> Result<Value, ErrorInfo> {
    visitor.call(target, "Probe", method, &arguments, secs(2)).await
}

fn region(name: &str) -> RelayTarget {
    RelayTarget::Region(name.into())
}

#[tokio::test(start_paused = true)]
async fn a_visitor_sees_what_the_node_sees_and_no_node_lists_it() {
    let (cluster, env, _) = cluster().await;
    let (iad, hkg) = (cluster.node("iad-0"), cluster.node("hkg-0"));
    let (peers, nodes) = (iad.peers().len(), iad.nodes());
    let visitor = visit(&env, &iad).await;
    assert_eq!(visitor.node(), iad.info());
    let report = visitor.status(None).await.unwrap();
    assert_eq!((&report.node, report.peers.len()), (iad.info(), 1));
    assert!(report.accepting && report.ready && !report.draining);
    assert_eq!(report.services.len(), 1);
    assert_eq!(report.services[0].name, "Probe");
    let peer = &report.peers[0];
    assert_eq!((peer.node.as_ref(), &*peer.state), (Some(hkg.info()), "linked"));
    assert_eq!((&*peer.version, peer.supported, &*peer.security), ("2", Some(true), "open"));
    assert!(peer.round_trip > Some(0.0) && peer.gossip_age.is_some() && !peer.gossip_missing);
    // The node asks another one.
    let other = visitor.status(Some(hkg.id())).await.unwrap();
    assert_eq!((&other.node, &*other.version), (hkg.info(), "2"));
    assert_eq!(other.peers[0].node.as_ref(), Some(iad.info()));
    sleep(secs(60)).await;
    for node in [&iad, &hkg] {
        assert_eq!((node.peers().len(), node.nodes()), (peers, nodes.clone()));
    }
    assert!(visitor.status(None).await.is_ok(), "the link stays open");
    let unknown = visitor.status(Some(&"x/0000000000000001".parse().unwrap())).await.unwrap_err();
    assert_eq!(unknown.kind, ErrorKind::NoNode);
}

#[tokio::test(start_paused = true)]
async fn a_visitor_calls_methods_through_the_node() {
    let (cluster, env, _) = cluster().await;
    let (iad, hkg) = (cluster.node("iad-0"), cluster.node("hkg-0"));
    let visitor = visit(&env, &iad).await;
    let text = json!({"text": "fly"});
    let targets = [
        (region("hkg"), "hkg-0"),
        (region("iad"), "iad-0"),
        (RelayTarget::Primary, "iad-0"),
        (RelayTarget::Nearest, "iad-0"),
        (RelayTarget::Node(hkg.id().clone()), "hkg-0"),
    ];
    for (target, node) in targets {
        let reply = call(&visitor, target.clone(), "shout", text.clone()).await;
        assert_eq!(reply, Ok(json!(["FLY", node])), "{target}");
    }
    // An `Err` of the handler is a value.
    let reply = call(&visitor, region("hkg"), "fail", json!({})).await;
    assert_eq!(reply, Ok(json!({"Err": "no"})));
    let reply = call(&visitor, RelayTarget::Primary, "write", json!({"value": 7})).await;
    assert_eq!(reply, Ok(json!("7 on iad-0")));
    let long = vec![7_u8; 100_000];
    let reply = call(&visitor, region("hkg"), "echo", json!({"bytes": &long})).await;
    assert_eq!(reply, Ok(json!(long)));
}

#[tokio::test(start_paused = true)]
async fn the_errors_of_relayed_calls_have_the_kinds_of_those_of_the_node() {
    let (cluster, env, _) = cluster().await;
    let iad = cluster.node("iad-0");
    let visitor = visit(&env, &iad).await;
    for at in ["iad", "hkg"] {
        let errors = [
            ("panic", json!({"message": "boom"}), ErrorKind::Panicked, true),
            ("slow", json!({"millis": 5_000}), ErrorKind::Timeout, true),
            ("shout", json!({"text": 1}), ErrorKind::Unsupported, false),
            ("missing", json!({}), ErrorKind::Unsupported, false),
        ];
        for (method, arguments, kind, executed) in errors {
            let error = call(&visitor, region(at), method, arguments).await.unwrap_err();
            assert_eq!((error.kind, error.may_have_executed), (kind, executed), "{error}");
            assert!(error.node.is_some_and(|node| node.region() == at));
            assert_eq!((&*error.service, &*error.method), ("Probe", method));
        }
    }
    let error = call(&visitor, region("hkg"), "write", json!({"value": 7})).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotPrimary, "{error}");
    let error = call(&visitor, region("syd"), "shout", json!({"text": ""})).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NoNode, "{error}");
    let error = visitor.call::<Value>(region("iad"), "flyrpc", "region", &json!({}), secs(1)).await;
    assert_eq!(error.unwrap_err().kind, ErrorKind::Denied);
    let error = call(&visitor, region("a\nb"), "shout", json!({"text": ""})).await.unwrap_err();
    assert!(error.message.contains("the region must have 1 to 64 bytes"), "{error}");
    for size in [4 << 20, 40 << 20] {
        let text = json!({"text": "x".repeat(size)});
        let error = call(&visitor, region("hkg"), "shout", text).await.unwrap_err();
        assert_eq!((error.kind, &*error.service), (ErrorKind::ArgumentsTooLarge, "Probe"));
        assert!(error.message.contains("through a visitor"), "{error}");
    }
    // The visitor is on the machine of hkg-0.
    let visitor = visit(&env, &cluster.node("hkg-0")).await;
    cluster.crash("iad-0");
    let error = call(&visitor, region("iad"), "shout", json!({"text": ""})).await.unwrap_err();
    assert!(matches!(error.kind, ErrorKind::Disconnected | ErrorKind::NoNode), "{error}");
}

#[tokio::test(start_paused = true)]
async fn relayed_calls_reach_the_rules_of_a_node_marked() {
    let (cluster, env, relayed) = cluster().await;
    let (iad, hkg) = (cluster.node("iad-0"), cluster.node("hkg-0"));
    iad.client::<ProbeClient>().on_region("hkg").shout("a".into()).await.unwrap();
    assert_eq!(relayed.take(), [("shout".to_owned(), "iad".to_owned(), false)]);
    for (node, caller) in [(&iad, "iad"), (&hkg, "visitor")] {
        let visitor = visit(&env, node).await;
        call(&visitor, region("hkg"), "shout", json!({"text": ""})).await.unwrap();
        let error = call(&visitor, region("hkg"), "produce", json!({"size": 1})).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Denied);
        assert!(error.message.ends_with("as the test decides"), "{error}");
        let expected = ["shout", "produce"].map(|it| (it.to_owned(), caller.to_owned(), true));
        assert_eq!(relayed.take(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_records_its_calls_for_a_minute_after_it_was_asked() {
    let (cluster, env, _) = cluster().await;
    let (iad, hkg) = (cluster.node("iad-0"), cluster.node("hkg-0"));
    let visitor = visit(&env, &iad).await;
    let probe = iad.client::<ProbeClient>();
    let counts = async |method: &str| {
        let report = visitor.watch(Some(hkg.id())).await.unwrap();
        assert_eq!(&report.node, hkg.info());
        let found = report.methods.into_iter().find(|it| it.method == method).unwrap();
        (found.counts, found.in_flight)
    };
    probe.on_region("hkg").slow(100).await.unwrap();
    let (before, _) = counts("slow").await;
    assert_eq!(before.calls(), 0, "nothing was recorded before the first question");
    for _ in 0..10 {
        probe.on_region("hkg").slow(100).await.unwrap();
        // Calls of the node itself are recorded, too.
        hkg.client::<ProbeClient>().on_region("hkg").slow(100).await.unwrap();
    }
    let _ = probe.on_region("hkg").panic("boom".into()).await;
    let hanging = tokio::spawn(probe.on_region("hkg").slow(3_000));
    sleep(secs(1)).await;
    let (now, in_flight) = counts("slow").await;
    let calls = now.since(&before);
    assert_eq!((calls.calls(), calls.errors(), in_flight), (20, 0, 1));
    let p99 = calls.latencies.quantile(0.99).unwrap();
    assert!((millis(100)..millis(119)).contains(&p99), "{p99:?}");
    assert_eq!(counts("panic").await.0.errors(), 1);
    hanging.await.unwrap().unwrap();
    let (before, in_flight) = counts("slow").await;
    assert_eq!((before.calls(), in_flight), (21, 0));
    sleep(secs(61)).await;
    probe.on_region("hkg").slow(100).await.unwrap();
    assert_eq!(counts("slow").await.0.calls(), 21, "it stopped to record");
}

#[tokio::test(start_paused = true)]
async fn over_an_open_link_from_another_machine_a_visitor_controls_nothing() {
    let (cluster, env, _) = cluster().await;
    let visitor = visit(&env, &cluster.node("iad-0")).await;
    let error = visitor.control(None, NodeAction::Hold).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Denied, "{error}");
    assert!(error.message.ends_with("only over a sealed link, or over loopback"), "{error}");
}

/// Starts two nodes on loopback, in real time.
async fn on_loopback(secret: Option<&str>) -> (Node, Node) {
    let keyring = secret.map(|secret| secret.parse::<Keyring>().unwrap());
    let node = |name: &str| {
        let builder = Node::builder().name(name).region(name).primary_region("iad");
        let builder = builder.serve(prober(name, &Counts::default()));
        match &keyring {
            Some(keyring) => builder.secret(keyring.clone()),
            None => builder,
        }
    };
    let iad = node("iad").start().await.unwrap();
    let hkg = node("hkg").seeds([iad.addr()]).start().await.unwrap();
    hkg.ready().await;
    (iad, hkg)
}

#[tokio::test]
async fn a_visitor_on_the_same_machine_holds_and_drains_nodes() {
    let (iad, hkg) = on_loopback(None).await;
    let visitor = Visitor::connect(iad.addr(), VisitOptions::new()).await.unwrap();
    visitor.control(None, NodeAction::Hold).await.unwrap();
    assert!(!visitor.status(None).await.unwrap().accepting);
    visitor.control(None, NodeAction::Accept).await.unwrap();
    assert!(visitor.status(None).await.unwrap().accepting);
    visitor.control(Some(hkg.id()), NodeAction::Drain).await.unwrap();
    assert!(hkg.is_draining());
    wait_until(&iad, || !iad.peers()[0].accepting).await;
    let error = call(&visitor, region("hkg"), "shout", json!({"text": ""})).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Refused, "{error}");
    hkg.shutdown().await;
    iad.shutdown().await;
    let error = visitor.status(None).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Disconnected, "{error}");
}

async fn refusal(addr: SocketAddr, options: VisitOptions) -> VisitError {
    Visitor::connect(addr, options).await.unwrap_err()
}

#[tokio::test]
async fn a_visitor_needs_the_secret() {
    let (first, second) = ("11".repeat(32), "22".repeat(32));
    let (iad, _hkg) = on_loopback(Some(&first)).await;
    let with = |secret: &str| VisitOptions::new().secret(secret.parse().unwrap());
    let visitor = Visitor::connect(iad.addr(), with(&first)).await.unwrap();
    assert!(visitor.sealed_with().is_some());
    visitor.control(None, NodeAction::Hold).await.unwrap();
    assert_eq!(refusal(iad.addr(), VisitOptions::new()).await.kind(), "SECRET_REQUIRED");
    let other = refusal(iad.addr(), with(&second)).await;
    assert_eq!((other.kind(), other.keys().len()), ("OTHER_SECRET", 1));
    let (open, _) = on_loopback(None).await;
    assert_eq!(refusal(open.addr(), with(&first)).await.kind(), "NO_SECRET");
    assert_eq!(
        refusal(open.addr(), VisitOptions::new().cluster("x")).await.kind(),
        "OTHER_CLUSTER"
    );
}

#[tokio::test(start_paused = true)]
async fn a_node_has_room_for_16_visitors() {
    let (cluster, env, _) = cluster().await;
    let iad = cluster.node("iad-0");
    let mut visitors = Vec::new();
    for _ in 0..16 {
        visitors.push(visit(&env, &iad).await);
    }
    let surplus = visit(&env, &iad).await;
    sleep(millis(500)).await;
    let error = surplus.status(None).await.unwrap_err();
    assert_eq!((error.kind, error.may_have_executed), (ErrorKind::Disconnected, false));
    assert!(error.message.contains("at most 16 visitors at a time; it did not"), "{error}");
    visitors.pop();
    sleep(millis(500)).await;
    let next = visit(&env, &iad).await;
    assert!(next.status(None).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_cluster_without_visitors_records_nothing() {
    let cluster = iad_and_hkg(&Counts::default()).await;
    let (iad, hkg) = (cluster.node("iad-0"), cluster.node("hkg-0"));
    iad.client::<ProbeClient>().on_region("hkg").shout("a".into()).await.unwrap();
    let report = iad.watch(hkg.id()).await.unwrap();
    assert_eq!(report.recording, 0.0);
    assert!(report.methods.iter().all(|method| method.counts.calls() == 0));
    let status = iad.status_of(hkg.id()).await.unwrap();
    assert_eq!(&status.node, hkg.info());
}

#[tokio::test(start_paused = true)]
async fn a_visitor_without_the_secret_does_not_reach_nodes_that_require_it() {
    let keyring: Keyring = "11".repeat(32).parse().unwrap();
    let env = Arc::new(Mutex::new(None));
    let (to, permissive, sealed) = (Arc::clone(&env), keyring.clone(), keyring.clone());
    let first = probe_release(&Counts::default()).configure(move |node, builder| {
        *to.lock().unwrap() = Some(node.env().clone());
        builder.secret(permissive.clone()).insecure()
    });
    let second = probe_release(&Counts::default())
        .configure(move |_, builder| builder.secret(sealed.clone()));
    let cluster = SimCluster::builder().primary("iad").region("iad", 1).region("hkg", 1);
    let cluster = cluster.node("iad-0", first).node("hkg-0", second).start().await;
    let (iad, hkg) = (cluster.node("iad-0"), cluster.node("hkg-0"));
    let env = env.lock().unwrap().take().unwrap();
    let text = json!({"text": "fly"});

    let visitor = visit(&env, &iad).await;
    assert!(visitor.sealed_with().is_none() && visitor.status(None).await.is_ok());
    assert!(call(&visitor, region("iad"), "shout", text.clone()).await.is_ok());
    for denied in [
        call(&visitor, region("hkg"), "shout", text.clone()).await.unwrap_err(),
        visitor.status(Some(hkg.id())).await.unwrap_err(),
        visitor.watch(Some(hkg.id())).await.unwrap_err(),
        visitor.control(Some(hkg.id()), NodeAction::Drain).await.unwrap_err(),
    ] {
        assert_eq!(denied.kind, ErrorKind::Denied, "{denied}");
    }
    assert!(!hkg.is_draining());

    let options = VisitOptions::new().env(env).secret(keyring);
    let visitor = Visitor::connect(iad.addr(), options).await.unwrap();
    assert!(visitor.status(Some(hkg.id())).await.is_ok());
    assert!(call(&visitor, region("hkg"), "shout", text).await.is_ok());
    visitor.control(Some(hkg.id()), NodeAction::Hold).await.unwrap();
}

/// On real sockets, because visitors from loopback may do more than others.
#[tokio::test(flavor = "multi_thread")]
async fn a_visitor_on_the_same_machine_without_the_secret_does_not_reach_sealed_nodes() {
    let counts = Counts::default();
    let node = |name: &str, region: &str| {
        let builder = Node::builder().name(name).region(region).primary_region("iad");
        builder.secret("11".repeat(32).parse().unwrap()).serve(prober(name, &counts))
    };
    let iad = node("iad-0", "iad").insecure().start().await.unwrap();
    let hkg = node("hkg-0", "hkg").seeds([iad.addr()]).start().await.unwrap();
    wait_until(&iad, || !iad.nodes_in("hkg").is_empty()).await;

    let visitor = Visitor::connect(iad.addr(), VisitOptions::new()).await.unwrap();
    let text = json!({"text": "fly"});
    assert!(call(&visitor, region("iad"), "shout", text.clone()).await.is_ok());
    visitor.control(None, NodeAction::Hold).await.unwrap();
    for denied in [
        call(&visitor, region("hkg"), "shout", text).await.unwrap_err(),
        visitor.status(Some(hkg.id())).await.unwrap_err(),
        visitor.control(Some(hkg.id()), NodeAction::Drain).await.unwrap_err(),
    ] {
        assert_eq!(denied.kind, ErrorKind::Denied, "{denied}");
    }
    assert!(!hkg.is_draining());
}

#[tokio::test(start_paused = true)]
async fn calls_for_visitors_eject_no_node() {
    let (cluster, env, _) = cluster().await;
    let (iad, hkg) = (cluster.node("iad-0"), cluster.node("hkg-0"));
    let visitor = visit(&env, &iad).await;
    for _ in 0..30 {
        let (target, arguments) = (region("hkg"), json!({"millis": 1_000}));
        let late = visitor.call::<Value>(target, "Probe", "slow", &arguments, millis(250));
        assert_eq!(late.await.unwrap_err().kind, ErrorKind::Timeout);
        call(&visitor, region("hkg"), "panic", json!({"message": "boom"})).await.unwrap_err();
    }
    assert!(!iad.peers().iter().any(|peer| peer.ejected));
    assert_eq!(iad.stats().links[0].calls, 0);
    assert_eq!(&iad.stats().links[0].node, hkg.info());
}

#[tokio::test(start_paused = true)]
async fn calls_for_visitors_on_the_node_itself_are_counted_like_those_of_other_nodes() {
    let (cluster, env, _) = cluster().await;
    let hkg = cluster.node("hkg-0");
    let visitor = visit(&env, &hkg).await;
    visitor.watch(None).await.unwrap();
    call(&visitor, region("hkg"), "slow", json!({"millis": 40})).await.unwrap();
    call(&visitor, region("hkg"), "produce", json!({"size": 1})).await.unwrap_err();
    let stats = hkg.stats();
    assert_eq!(stats.refusals, [("DENIED", 1)].into());
    let slow = stats.handlers.iter().find(|it| it.method == "slow").unwrap();
    assert_eq!((slow.calls, slow.time), (1, millis(40)));
    sleep(millis(200)).await;
    let watched = visitor.watch(None).await.unwrap().methods;
    let found = |method: &str| watched.iter().find(|it| it.method == method).unwrap();
    assert_eq!(found("slow").counts.by_status, [("OK".to_owned(), 1)].into());
    assert_eq!(found("produce").counts.by_status, [("DENIED".to_owned(), 1)].into());
}

#[test]
fn a_runtime_that_ends_after_it_asked_a_node_does_not_end_the_node() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let of_node = runtime();
    let node = of_node.block_on(async {
        Node::builder().serve(prober("n", &Counts::default())).start().await.unwrap()
    });
    let other = runtime();
    assert_eq!(other.block_on(node.watch(node.id())).unwrap().methods.len(), 10);
    drop(other);
    of_node.block_on(async {
        assert!(node.watch(node.id()).await.is_ok());
        node.shutdown().await;
        assert_eq!(node.closed().await, flyrpc::Closed::ShutDown);
    });
}
