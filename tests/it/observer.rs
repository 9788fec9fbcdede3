//! The calls, links and membership events that an observer of a node receives.

use std::sync::{Arc, Mutex};

use flyrpc::{Attempt, Called, Node, NodeInfo, Observed, Observer, Outcome, RpcError};
use flyrpc_testkit::{Release, SimCluster, SimNet};

use crate::support::{
    Counts, ProbeClient, millis, node_on, probe_cluster, probe_release, prober, secs, sleep,
};

/// Records its observations as lines such as `1.1 shout on iad-0: sent`, and ended calls in a list of their own.
#[derive(Clone, Default)]
struct Log {
    lines: Arc<Mutex<Vec<String>>>,
    ended_calls: Arc<Mutex<Vec<String>>>,
}

impl Log {
    /// Takes all lines since the last call.
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.lines.lock().unwrap())
    }

    /// Takes the lines of ended calls since the last call: their nodes, outcomes, numbers of attempts and times, as in
    /// `1 shout on iad-0: reply received, 1 in 200ms`.
    fn take_ended_calls(&self) -> Vec<String> {
        std::mem::take(&mut self.ended_calls.lock().unwrap())
    }

    /// Takes all lines since the last call, and returns those of calls, which start with a number.
    fn take_calls(&self) -> Vec<String> {
        let is_call = |line: &String| line.starts_with(|first: char| first.is_ascii_digit());
        self.take().into_iter().filter(is_call).collect()
    }
}

impl Observer for Log {
    fn observe(&self, observed: &Observed<'_>) {
        if let Observed::Called(called, outcome) = observed {
            let Called { call, method, node, attempts, took, .. } = *called;
            let (node, outcome) = (node.map_or("no node", NodeInfo::name), described(outcome));
            let line = format!("{call} {method} on {node}: {outcome}, {attempts} in {took:?}");
            return self.ended_calls.lock().unwrap().push(line);
        }
        let line = match observed {
            Observed::Started(attempt) => match attempt.request_bytes {
                Some(_) => format!("{}: sent", named(attempt)),
                None => format!("{}: started", named(attempt)),
            },
            Observed::Ended(attempt, outcome) => {
                format!("{}: {}", named(attempt), described(outcome))
            }
            Observed::LinkOpened(node) => format!("link to {} opened", node.name()),
            Observed::LinkClosed(node, why) => format!("link to {} closed, {why}", node.name()),
            Observed::Event(event) => event.to_string(),
            // The tests of `served_calls` cover the calls that the node serves.
            _ => return,
        };
        self.lines.lock().unwrap().push(line);
    }
}

fn described(outcome: &Outcome<'_>) -> String {
    match outcome {
        Outcome::Replied(Some(_)) => "reply received".to_owned(),
        Outcome::RepliedErr(Some(_)) => "error received".to_owned(),
        Outcome::RepliedErr(None) => "error returned".to_owned(),
        Outcome::Replied(None) => "value returned".to_owned(),
        Outcome::Failed(error) => variant(error),
        Outcome::Cancelled => "cancelled".to_owned(),
        other => format!("{other:?}"),
    }
}

fn named(attempt: &Attempt<'_>) -> String {
    let node = attempt.node.map_or("no node", NodeInfo::name);
    format!("{}.{} {} on {node}", attempt.call, attempt.number, attempt.method)
}

/// The name of the error's variant.
fn variant(error: &RpcError) -> String {
    let debug = format!("{error:?}");
    debug.split([' ', '{', '(']).next().unwrap_or_default().to_owned()
}

/// A release that serves [`Probe`](crate::support::probe_release) and is observed by a log, beside the observer that
/// records the trace of the cluster.
fn observed() -> (Release, Log) {
    let log = Log::default();
    let observer = log.clone();
    let release = probe_release(&Counts::default());
    (release.configure(move |_, builder| builder.observer(observer.clone())), log)
}

/// A cluster of only hkg-0, which is observed. The primary region is iad, which has no node.
async fn observed_alone() -> (SimCluster, Node, Log) {
    let (release, log) = observed();
    let release = release.configure(|_, builder| builder.primary_region("iad"));
    let cluster = SimCluster::builder().region("hkg", 1).release(release).start().await;
    let hkg = cluster.node("hkg-0");
    (cluster, hkg, log)
}

/// A cluster of iad-0 and hkg-0. Only hkg-0 is observed.
async fn observed_beside_iad() -> (SimCluster, Node, Log) {
    let (release, log) = observed();
    let cluster = probe_cluster(&Counts::default()).region("iad", 1).region("hkg", 1);
    let cluster = cluster.node("hkg-0", release).start().await;
    let hkg = cluster.node("hkg-0");
    sleep(secs(2)).await;
    log.take();
    (cluster, hkg, log)
}

#[tokio::test(start_paused = true)]
async fn a_local_call_has_no_bytes() {
    let (_cluster, hkg, log) = observed_beside_iad().await;
    let probe: ProbeClient = hkg.client();
    probe.shout("a".into()).await.unwrap();
    probe.slow_and_detached(5).await.unwrap();
    probe.panic("no".into()).await.unwrap_err();
    probe.timeout(millis(5)).slow(10).await.unwrap_err();
    probe.on_region("hkg").write(1).await.unwrap_err();
    assert_eq!(
        log.take(),
        [
            "1.1 shout on hkg-0: started",
            "1.1 shout on hkg-0: value returned",
            "2.1 slow_and_detached on hkg-0: started",
            "2.1 slow_and_detached on hkg-0: value returned",
            "3.1 panic on hkg-0: started",
            "3.1 panic on hkg-0: Panicked",
            "4.1 slow on hkg-0: started",
            "4.1 slow on hkg-0: Timeout",
            "5.1 write on hkg-0: started",
            "5.1 write on hkg-0: NotPrimary",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn an_encoded_local_call_has_bytes() {
    let (release, log) = observed();
    let cluster = SimCluster::builder().region("hkg", 1).force_wire(true).release(release);
    let cluster = cluster.configure(|_, builder| builder.max_body(1_000)).start().await;
    let probe: ProbeClient = cluster.node("hkg-0").client();
    probe.shout("a".into()).await.unwrap();
    probe.produce(2_000).await.unwrap_err();
    probe.echo(vec![0; 2_000]).await.unwrap_err();
    assert_eq!(
        log.take_calls(),
        [
            "1.1 shout on hkg-0: sent",
            "1.1 shout on hkg-0: reply received",
            "2.1 produce on hkg-0: sent",
            "2.1 produce on hkg-0: ReplyTooLarge",
            "3.1 echo on no node: started",
            "3.1 echo on no node: ArgumentsTooLarge",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_remote_call_ends_with_its_reply_or_error() {
    let (_cluster, hkg, log) = observed_beside_iad().await;
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
async fn an_attempt_has_its_method_target_and_encoded_lengths() {
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

    let sizes = Sizes::default();
    let observer = sizes.clone();
    let caller = Release::new().configure(move |_, builder| builder.observer(observer.clone()));
    let cluster = probe_cluster(&Counts::default()).region("iad", 1).region("hkg", 1);
    let cluster = cluster.node("hkg-0", caller).start().await;
    cluster.node("hkg-0").client::<ProbeClient>().on_region("iad").produce(1_000).await.unwrap();
    // The request is a map of one argument (its name and an integer). The reply is a sequence of
    // 1,000 one-byte integers.
    assert_eq!(*sizes.0.lock().unwrap(), [[Some(1 + 5 + 3), Some(3 + 1_000)]]);
}

/// Adds a node to iad that is overloaded for one minute.
async fn add_overloaded(cluster: &SimCluster, hkg: &Node) -> Node {
    let limited = probe_release(&Counts::default());
    let limited = limited.configure(|_, builder| builder.max_in_flight(1));
    let node = cluster.node(cluster.add_node_with("iad", limited).await);
    sleep(secs(3)).await;
    tokio::spawn(hkg.client::<ProbeClient>().on_node(node.id()).timeout(secs(60)).slow(60_000));
    sleep(secs(1)).await;
    node
}

#[tokio::test(start_paused = true)]
async fn each_attempt_of_a_call_is_observed_once() {
    let (cluster, hkg, log) = observed_alone().await;
    for _ in 0..2 {
        add_overloaded(&cluster, &hkg).await;
    }
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
    let ended = log.take_ended_calls();
    // The error of a call is that of its first attempt.
    let expected = format!("3 shout on iad-{first}: Refused, 2 in ");
    assert!(ended.len() == 1 && ended[0].starts_with(&expected), "{ended:?}");
}

#[tokio::test(start_paused = true)]
async fn an_error_other_than_the_attempts_is_an_attempt_without_a_node() {
    let (cluster, hkg, log) = observed_alone().await;
    let iad = add_overloaded(&cluster, &hkg).await;
    log.take();
    let probe = hkg.client::<ProbeClient>().on_region("iad").wait(secs(3));
    let withdraw = async {
        sleep(millis(50)).await;
        iad.set_serving::<ProbeClient>(false);
    };
    let (outcome, ()) = futures_util::future::join(probe.shout("a".into()), withdraw).await;
    outcome.unwrap_err();
    assert_eq!(
        log.take_calls(),
        [
            "2.1 shout on iad-0: sent",
            "2.1 shout on iad-0: Refused",
            "2.2 shout on no node: started",
            "2.2 shout on no node: NoNode",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_not_sent_is_one_attempt_without_a_node() {
    let (_cluster, hkg, log) = observed_beside_iad().await;
    let probe: ProbeClient = hkg.client();
    probe.on_region("syd").shout("a".into()).await.unwrap_err();
    probe.on_region("iad").timeout(millis(0)).shout("a".into()).await.unwrap_err();
    drop(tokio::time::timeout(secs(1), probe.on_region("syd").wait(secs(4)).write(1)).await);
    hkg.shutdown().await;
    probe.shout("a".into()).await.unwrap_err();
    assert_eq!(
        log.take_calls(),
        [
            "1.1 shout on no node: started",
            "1.1 shout on no node: NoNode",
            "2.1 shout on no node: started",
            "2.1 shout on no node: Timeout",
            "3.1 write on no node: started",
            "3.1 write on no node: cancelled",
            "4.1 shout on no node: started",
            "4.1 shout on no node: ShutDown",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_dropped_call_is_cancelled() {
    let (_cluster, hkg, log) = observed_beside_iad().await;
    let probe: ProbeClient = hkg.client();
    for region in ["hkg", "iad"] {
        let call = tokio::spawn(probe.on_region(region).slow(1_000));
        sleep(millis(10)).await;
        call.abort();
        sleep(millis(10)).await;
    }
    // A future that was never polled has not started a call.
    drop(probe.slow(1));
    assert_eq!(
        log.take(),
        [
            "1.1 slow on hkg-0: started",
            "1.1 slow on hkg-0: cancelled",
            "2.1 slow on iad-0: sent",
            "2.1 slow on iad-0: cancelled",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn each_call_is_observed_once_when_it_ends() {
    let (_cluster, hkg, log) = observed_beside_iad().await;
    let probe: ProbeClient = hkg.client();
    let iad = probe.on_region("iad");
    probe.shout("a".into()).await.unwrap();
    iad.slow(100).await.unwrap();
    iad.panic("no".into()).await.unwrap_err();
    iad.timeout(millis(500)).slow(1_000).await.unwrap_err();
    probe.on_region("syd").shout("a".into()).await.unwrap_err();
    iad.metadata("too long", &"x".repeat(2_000)).shout("a".into()).await.unwrap_err();
    let call = tokio::spawn(iad.slow(1_000));
    sleep(millis(300)).await;
    call.abort();
    sleep(millis(1)).await;
    drop(probe.slow(1));
    assert_eq!(
        log.take_ended_calls(),
        [
            "1 shout on hkg-0: value returned, 1 in 0ns",
            "2 slow on iad-0: reply received, 1 in 302ms",
            "3 panic on iad-0: Panicked, 1 in 202ms",
            "4 slow on iad-0: Timeout, 1 in 500ms",
            "5 shout on no node: NoNode, 0 in 0ns",
            "6 shout on no node: Encode, 0 in 0ns",
            "7 slow on iad-0: cancelled, 1 in 300ms",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn links_and_membership_events_are_observed_in_order() {
    // Uses a raw SimNet, because a SimCluster keeps a handle of each node, and the last handle of
    // hkg-0 is dropped here.
    let net = SimNet::builder().build();
    let (log, counts) = (Log::default(), Counts::default());
    let hkg = node_on(&net.add_host("hkg-0", "hkg")).observer(log.clone());
    let hkg = hkg.serve(prober("hkg-0", &counts)).start().await.unwrap();
    let start_iad = async |env| {
        let builder = node_on(&env).seeds(["hkg-0:3590"]).serve(prober("iad-0", &counts));
        let iad = builder.start().await.unwrap();
        iad.ready().await;
        iad
    };
    let iad = start_iad(net.add_host("iad-0", "iad")).await;
    sleep(secs(5)).await;
    assert_eq!(log.take(), ["link to iad-0 opened", "support of iad-0: supported", "up iad-0"]);
    iad.shutdown().await;
    sleep(secs(5)).await;
    assert_eq!(
        log.take(),
        // The node announces that it accepts no more calls, and then that it leaves.
        ["iad-0 accepts no calls", "left iad-0", "link to iad-0 closed, the link was drained"]
    );
    let iad = start_iad(net.restart("iad-0")).await;
    sleep(secs(10)).await;
    log.take();
    net.crash("iad-0");
    sleep(secs(1)).await;
    let lines = log.take();
    assert!(lines[0].starts_with("link to iad-0 closed, the connection failed"), "{lines:?}");
    assert_eq!(lines[1], "down iad-0");
    drop(iad);
    let _iad = start_iad(net.restart("iad-0")).await;
    sleep(secs(20)).await;
    log.take();
    drop(hkg);
    sleep(secs(1)).await;
    assert_eq!(log.take(), ["link to iad-0 closed, this node was shut down"]);
}

#[tokio::test(start_paused = true)]
async fn internal_calls_are_not_observed() {
    let (cluster, hkg, log) = observed_beside_iad().await;
    hkg.region_of(cluster.node("iad-0").id()).await.unwrap();
    hkg.region_of(hkg.id()).await.unwrap();
    // Long enough for several anti-entropy syncs.
    sleep(secs(200)).await;
    assert_eq!(log.take_calls(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn equal_seeds_give_equal_observations() {
    async fn run() -> Vec<String> {
        let (release, log) = observed();
        let cluster = probe_cluster(&Counts::default()).seed(11).region("iad", 2).region("hkg", 1);
        let cluster = cluster.node("hkg-0", release).start().await;
        let probe = cluster.node("hkg-0").client::<ProbeClient>().on_region("iad");
        for _ in 0..10 {
            probe.shout("a".into()).await.unwrap();
        }
        cluster.crash_machine("iad-0");
        for _ in 0..10 {
            let _ = probe.timeout(millis(300)).shout("a".into()).await;
        }
        sleep(secs(20)).await;
        log.take()
    }
    assert_eq!(run().await, run().await);
}
