//! What an observer of a node is shown of its calls, links and neighbours.

use std::sync::{Arc, Mutex};

use flyrpc::{Attempt, Node, NodeInfo, Observed, Observer, Outcome, RpcError};

use crate::support::{ProbeClient, World, millis, secs, sleep};

/// Writes down what it is shown, each thing as a line such as `1.1 shout on iad-0: sent`.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    /// All lines since the last time.
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }

    /// Those that are about calls, which have numbers.
    fn calls(&self) -> Vec<String> {
        let is_call = |line: &String| line.starts_with(|first: char| first.is_ascii_digit());
        self.take().into_iter().filter(is_call).collect()
    }
}

impl Observer for Log {
    fn observe(&self, observed: &Observed<'_>) {
        let line = match observed {
            Observed::Started(attempt) => match attempt.request_bytes {
                Some(_) => format!("{}: sent", named(attempt)),
                None => format!("{}: begun", named(attempt)),
            },
            Observed::Ended(attempt, outcome) => {
                let outcome = match outcome {
                    Outcome::Replied(Some(_)) => "reply received".to_owned(),
                    Outcome::Replied(None) => "value returned".to_owned(),
                    Outcome::Failed(error) => variant(error),
                    Outcome::Cancelled => "cancelled".to_owned(),
                    other => format!("{other:?}"),
                };
                format!("{}: {outcome}", named(attempt))
            }
            Observed::LinkOpened(node) => format!("link to {} opened", node.name()),
            Observed::LinkClosed(node, why) => format!("link to {} closed, {why}", node.name()),
            Observed::Event(event) => event.to_string(),
            other => format!("{other:?}"),
        };
        self.0.lock().unwrap().push(line);
    }
}

fn named(attempt: &Attempt<'_>) -> String {
    let node = attempt.node.map_or("no node", NodeInfo::name);
    format!("{}.{} {} on {node}", attempt.call, attempt.number, attempt.method)
}

/// The name of the variant.
fn variant(error: &RpcError) -> String {
    let debug = format!("{error:?}");
    debug.split([' ', '{', '(']).next().unwrap_or_default().to_owned()
}

/// A node that serves, and what its observer sees.
async fn observed(world: &mut World, name: &str, region: &str) -> (Node, Log) {
    let log = Log::default();
    let (_, builder) = world.builder(name, region);
    let builder = builder.serve(world.prober(name)).observer(log.clone());
    let node = builder.start().await.unwrap();
    node.ready().await;
    (node, log)
}

/// iad-0, and hkg-0, which is observed.
async fn two(world: &mut World) -> (Node, Node, Log) {
    let iad = world.start("iad-0", "iad").await;
    let (hkg, log) = observed(world, "hkg-0", "hkg").await;
    sleep(secs(2)).await;
    log.take();
    (iad, hkg, log)
}

#[tokio::test(start_paused = true)]
async fn a_call_here_begins_and_returns_without_bytes() {
    let mut world = World::new();
    let (_iad, hkg, log) = two(&mut world).await;
    let probe: ProbeClient = hkg.client();
    probe.shout("a".into()).await.unwrap();
    probe.slow_and_detached(5).await.unwrap();
    probe.panic("no".into()).await.unwrap_err();
    probe.timeout(millis(5)).slow(10).await.unwrap_err();
    probe.on_region("hkg").write(1).await.unwrap_err();
    assert_eq!(
        log.take(),
        [
            "1.1 shout on hkg-0: begun",
            "1.1 shout on hkg-0: value returned",
            "2.1 slow_and_detached on hkg-0: begun",
            "2.1 slow_and_detached on hkg-0: value returned",
            "3.1 panic on hkg-0: begun",
            "3.1 panic on hkg-0: Panicked",
            "4.1 slow on hkg-0: begun",
            "4.1 slow on hkg-0: Timeout",
            "5.1 write on hkg-0: begun",
            "5.1 write on hkg-0: NotPrimary",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_call_here_that_is_encoded_has_bytes() {
    let mut world = World::new();
    let log = Log::default();
    let (_, builder) = world.builder("hkg-0", "hkg");
    let builder = builder.serve(world.prober("hkg-0")).observer(log.clone());
    let hkg = builder.encode_local_calls(true).max_body(1_000).start().await.unwrap();
    let probe: ProbeClient = hkg.client();
    probe.shout("a".into()).await.unwrap();
    probe.produce(2_000).await.unwrap_err();
    probe.echo(vec![0; 2_000]).await.unwrap_err();
    assert_eq!(
        log.calls(),
        [
            "1.1 shout on hkg-0: sent",
            "1.1 shout on hkg-0: reply received",
            "2.1 produce on hkg-0: sent",
            "2.1 produce on hkg-0: ReplyTooLarge",
            "3.1 echo on no node: begun",
            "3.1 echo on no node: ArgumentsTooLarge",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_call_elsewhere_is_sent_and_ends_with_what_comes_back() {
    let mut world = World::new();
    let (_iad, hkg, log) = two(&mut world).await;
    let probe = hkg.client::<ProbeClient>().on_region("iad");
    probe.shout("a".into()).await.unwrap();
    probe.panic("no".into()).await.unwrap_err();
    probe.timeout(millis(100)).slow(1).await.unwrap_err();
    assert_eq!(
        log.take(),
        [
            "1.1 shout on iad-0: sent",
            "1.1 shout on iad-0: reply received",
            "2.1 panic on iad-0: sent",
            "2.1 panic on iad-0: Panicked",
            "3.1 slow on iad-0: sent",
            "3.1 slow on iad-0: Timeout",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn an_attempt_says_what_was_called_and_how_long_it_was_on_the_wire() {
    #[derive(Clone, Default)]
    struct Sizes(Arc<Mutex<Vec<[Option<usize>; 2]>>>);

    impl Observer for Sizes {
        fn observe(&self, observed: &Observed<'_>) {
            if let Observed::Ended(attempt, Outcome::Replied(reply)) = observed {
                assert_eq!((attempt.service, attempt.method), ("Probe", "produce"));
                assert_eq!(attempt.target.to_string(), "region \"iad\"");
                self.0.lock().unwrap().push([attempt.request_bytes, *reply]);
            }
        }
    }

    let mut world = World::new();
    let _iad = world.start("iad-0", "iad").await;
    let sizes = Sizes::default();
    let (_, builder) = world.builder("hkg-0", "hkg");
    let hkg = builder.observer(sizes.clone()).start().await.unwrap();
    hkg.ready().await;
    hkg.client::<ProbeClient>().on_region("iad").produce(1_000).await.unwrap();
    // A map of one argument: its name, and an integer. A sequence of thousand integers of a byte.
    assert_eq!(*sizes.0.lock().unwrap(), [[Some(1 + 5 + 3), Some(3 + 1_000)]]);
}

/// A node in iad that executes all that it may already, for a minute.
async fn full(world: &mut World, hkg: &Node, name: &str) -> Node {
    let (_, builder) = world.builder(name, "iad");
    let node = builder.serve(world.prober(name)).max_in_flight(1).start().await.unwrap();
    sleep(secs(3)).await;
    tokio::spawn(hkg.client::<ProbeClient>().on_node(node.id()).timeout(secs(60)).slow(60_000));
    sleep(secs(1)).await;
    node
}

#[tokio::test(start_paused = true)]
async fn each_attempt_of_a_call_is_shown_and_what_it_ends_with_not_twice() {
    let mut world = World::new();
    let (hkg, log) = observed(&mut world, "hkg-0", "hkg").await;
    let _full = [full(&mut world, &hkg, "iad-0").await, full(&mut world, &hkg, "iad-1").await];
    log.take();
    let probe = hkg.client::<ProbeClient>().on_region("iad");
    probe.shout("a".into()).await.unwrap_err();
    let lines = log.take();
    let (first, second) = if lines[0].contains("iad-0") { (0, 1) } else { (1, 0) };
    assert_eq!(
        lines,
        [
            format!("3.1 shout on iad-{first}: sent"),
            format!("3.1 shout on iad-{first}: Refused"),
            format!("3.2 shout on iad-{second}: sent"),
            format!("3.2 shout on iad-{second}: Refused"),
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_call_that_fails_in_another_way_than_its_attempts_shows_that_too() {
    let mut world = World::new();
    let (hkg, log) = observed(&mut world, "hkg-0", "hkg").await;
    let iad = full(&mut world, &hkg, "iad-0").await;
    log.take();
    let probe = hkg.client::<ProbeClient>().on_region("iad").wait(secs(3));
    let gives_up = async {
        sleep(millis(50)).await;
        iad.set_serving::<ProbeClient>(false);
    };
    let (outcome, ()) = futures_util::future::join(probe.shout("a".into()), gives_up).await;
    outcome.unwrap_err();
    assert_eq!(
        log.calls(),
        [
            "2.1 shout on iad-0: sent",
            "2.1 shout on iad-0: Refused",
            "2.2 shout on no node: begun",
            "2.2 shout on no node: NoNode",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_call_that_goes_nowhere_is_one_attempt_without_a_node() {
    let mut world = World::new();
    let (_iad, hkg, log) = two(&mut world).await;
    let probe: ProbeClient = hkg.client();
    probe.on_region("syd").shout("a".into()).await.unwrap_err();
    probe.on_region("iad").timeout(millis(0)).shout("a".into()).await.unwrap_err();
    drop(tokio::time::timeout(secs(1), probe.on_region("syd").wait(secs(4)).write(1)).await);
    hkg.shutdown().await;
    probe.shout("a".into()).await.unwrap_err();
    assert_eq!(
        log.calls(),
        [
            "1.1 shout on no node: begun",
            "1.1 shout on no node: NoNode",
            "2.1 shout on no node: begun",
            "2.1 shout on no node: Timeout",
            "3.1 write on no node: begun",
            "3.1 write on no node: cancelled",
            "4.1 shout on no node: begun",
            "4.1 shout on no node: ShutDown",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_dropped_call_is_cancelled() {
    let mut world = World::new();
    let (_iad, hkg, log) = two(&mut world).await;
    let probe: ProbeClient = hkg.client();
    for region in ["hkg", "iad"] {
        let call = tokio::spawn(probe.on_region(region).slow(1_000));
        sleep(millis(10)).await;
        call.abort();
        sleep(millis(10)).await;
    }
    // A future that was never polled has not begun a call.
    drop(probe.slow(1));
    assert_eq!(
        log.take(),
        [
            "1.1 slow on hkg-0: begun",
            "1.1 slow on hkg-0: cancelled",
            "2.1 slow on iad-0: sent",
            "2.1 slow on iad-0: cancelled",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn links_are_shown_as_they_open_and_close_and_neighbours_as_they_come_and_go() {
    let mut world = World::new();
    let (hkg, log) = observed(&mut world, "hkg-0", "hkg").await;
    let iad = world.start("iad-0", "iad").await;
    sleep(secs(5)).await;
    assert_eq!(log.take(), ["link to iad-0 opened", "support of iad-0: supported", "up iad-0"]);
    iad.shutdown().await;
    sleep(secs(5)).await;
    assert_eq!(
        log.take(),
        // It says that it takes no more calls, and then goodbye.
        ["support of iad-0: supported", "left iad-0", "link to iad-0 closed, the link was retired",]
    );
    let iad = world.restart("iad-0", "iad").await;
    sleep(secs(10)).await;
    log.take();
    world.net.crash("iad-0");
    sleep(secs(1)).await;
    let lines = log.take();
    assert!(lines[0].starts_with("link to iad-0 closed, the connection broke"), "{lines:?}");
    assert_eq!(lines[1], "down iad-0");
    drop(iad);
    let _iad = world.restart("iad-0", "iad").await;
    sleep(secs(20)).await;
    log.take();
    drop(hkg);
    sleep(secs(1)).await;
    assert_eq!(log.take(), ["link to iad-0 closed, this node was shut down"]);
}

#[tokio::test(start_paused = true)]
async fn what_nodes_ask_each_other_is_not_shown() {
    let mut world = World::new();
    let (iad, hkg, log) = two(&mut world).await;
    hkg.region_of(iad.id()).await.unwrap();
    hkg.region_of(hkg.id()).await.unwrap();
    // Long enough for several exchanges of members.
    sleep(secs(200)).await;
    assert_eq!(log.calls(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn equal_seeds_show_equal_things() {
    async fn run() -> Vec<String> {
        let mut world = World::seeded(11);
        let (hkg, log) = observed(&mut world, "hkg-0", "hkg").await;
        let mut nodes = Vec::new();
        for name in ["iad-0", "iad-1"] {
            nodes.push(world.start(name, "iad").await);
        }
        let probe = hkg.client::<ProbeClient>().on_region("iad");
        for _ in 0..10 {
            probe.shout("a".into()).await.unwrap();
        }
        world.net.crash("iad-0");
        for _ in 0..10 {
            let _ = probe.timeout(millis(300)).shout("a".into()).await;
        }
        sleep(secs(20)).await;
        log.take()
    }
    assert_eq!(run().await, run().await);
}
