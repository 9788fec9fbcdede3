//! Traces of small runs recorded by hand, and of runs with real nodes.

mod diagrams;
mod executions;

use std::{env, fs, net::SocketAddr, sync::Arc, time::Duration};

use flyrpc::{Event, Node, NodeId, NodeInfo, Region, RpcError, Support, Target, fly_rpc};
use tokio::time::{Instant, advance};

use super::{
    call::{AttemptNumber, CallNumber, CallOutcome, Request},
    event::Occurrence,
    execution::{ExecutionNumber, ExecutionOutcome, ServedRequest},
    log::{Recorder, TraceLog},
    run_trace::Trace,
    time::millis,
};
use crate::SimNet;

#[fly_rpc]
trait Strings {
    async fn upcase(&self, text: String) -> String;
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn node(name: &str, region: &str) -> NodeInfo {
    let addr = SocketAddr::from(([10, 0, 0, 1], 4100));
    NodeInfo::new(NodeId::new(name, 0x2a), region.into(), addr)
}

fn log() -> TraceLog {
    TraceLog::new(7, Instant::now())
}

fn recorder(log: &TraceLog, name: &str, region: &str) -> Recorder {
    log.observer(name, &Region::from(region))
}

/// Returns attempt `attempt` of call `call`, to this node, or to a region without nodes.
fn upcase(call: u64, attempt: u32, node: Option<NodeInfo>, bytes: Option<usize>) -> Request {
    let region = node.as_ref().map_or("syd".into(), |node| node.region().clone());
    let target = Target::Region(region);
    let (call, attempt) = (CallNumber(call), AttemptNumber(attempt));
    Request { call, attempt, service: "Strings", method: "upcase", target, node, bytes }
}

/// Returns attempt `attempt` of a call of `caller`, as `node` observes it.
fn served(caller: &NodeInfo, node: &NodeInfo, attempt: u32) -> ServedRequest {
    ServedRequest {
        node: node.clone(),
        caller: caller.clone(),
        service: "Strings".to_owned(),
        method: "upcase".to_owned(),
        attempt,
        is_local: caller == node,
    }
}

/// Returns the error of a call to a region that has no node.
async fn no_node() -> CallOutcome {
    let env = SimNet::builder().build().add_host("iad-0", "iad");
    let node = Node::builder().env(env).name("iad-0").start().await.expect("the node starts");
    let strings: StringsClient = node.client();
    let outcome = strings.on_region("syd").upcase("fly".into()).await;
    CallOutcome::Failed(Arc::new(outcome.expect_err("syd has no node")))
}

/// Records a call that succeeds on the second attempt, a local call, a call without a node, a canceled
/// call, and a call in flight.
async fn busy_run() -> Trace {
    let failure = no_node().await;
    let log = log();
    let iad = recorder(&log, "iad-0", "iad");
    let hkg = recorder(&log, "hkg-0", "hkg");
    hkg.on_event(Occurrence::Membership(Event::Up(node("iad-0", "iad"))));
    hkg.on_event(Occurrence::Membership(Event::SupportChanged {
        addr: SocketAddr::from(([10, 0, 0, 1], 4100)),
        node: None,
        support: Support::Supported,
    }));
    iad.on_event(Occurrence::LinkOpened(node("hkg-0", "hkg")));
    log.fault("iad and hkg are partitioned");
    advance(ms(9_000)).await;
    iad.on_start(upcase(1, 1, Some(node("hkg-0", "hkg")), Some(3)));
    advance(ms(1_004)).await;
    iad.on_end(CallNumber(1), AttemptNumber(1), failure.clone(), None);
    iad.on_event(Occurrence::LinkClosed(node("hkg-0", "hkg"), "timed\nout".into()));
    iad.on_start(upcase(1, 2, Some(node("hkg-0", "hkg")), Some(3)));
    let (iad_0, hkg_0) = (node("iad-0", "iad"), node("hkg-0", "hkg"));
    hkg.on_execution_start(ExecutionNumber(1), served(&iad_0, &hkg_0, 2));
    hkg.on_start(upcase(1, 1, Some(hkg_0.clone()), None));
    hkg.on_execution_start(ExecutionNumber(2), served(&hkg_0, &hkg_0, 1));
    hkg.on_execution_end(ExecutionNumber(2), ExecutionOutcome::RepliedErr);
    hkg.on_end(CallNumber(1), AttemptNumber(1), CallOutcome::Replied, None);
    advance(Duration::from_micros(202_250)).await;
    hkg.on_execution_end(ExecutionNumber(1), ExecutionOutcome::Replied);
    iad.on_end(CallNumber(1), AttemptNumber(2), CallOutcome::Replied, Some(4));
    hkg.on_start(upcase(2, 1, None, None));
    hkg.on_end(CallNumber(2), AttemptNumber(1), failure, None);
    iad.on_start(upcase(2, 1, Some(node("hkg-1", "hkg")), Some(12_000)));
    iad.on_start(upcase(3, 1, Some(node("hkg-1", "hkg")), Some(5)));
    advance(ms(1)).await;
    iad.on_end(CallNumber(2), AttemptNumber(1), CallOutcome::Cancelled, None);
    log.note("the test stopped waiting");
    log.snapshot()
}

#[tokio::test(start_paused = true)]
async fn a_table_has_a_line_for_each_entry_in_the_order_of_the_run() {
    let expected = "\
seed 7
       0 ms  up        hkg-0 (hkg)  iad-0/000000000000002a in iad
       0 ms  support   hkg-0 (hkg)  10.0.0.1:4100: supported
       0 ms  linked    iad-0 (iad)  hkg-0/000000000000002a in hkg
       0 ms  fault     iad and hkg are partitioned
    9000 ms  call 1    iad-0 (iad)  → hkg-0 (hkg)   Strings.upcase #1  3 B → -        1004 ms  no live node in region \"syd\" for Strings.upcase; live regions: local
   10004 ms  unlinked  iad-0 (iad)  hkg-0/000000000000002a in hkg: timed\\nout
   10004 ms  call 1    iad-0 (iad)  → hkg-0 (hkg)   Strings.upcase #2  3 B → 4 B    202.25 ms  ok
   10004 ms  run       hkg-0 (hkg)  ← iad-0 (iad)   Strings.upcase #2               202.25 ms  ok
   10004 ms  call 1    hkg-0 (hkg)  → hkg-0 (hkg)   Strings.upcase #1  in process        0 ms  ok
   10004 ms  run       hkg-0 (hkg)  ← hkg-0 (hkg)   Strings.upcase #1                    0 ms  Err
10206.25 ms  call 2    hkg-0 (hkg)  → region \"syd\"  Strings.upcase #1  -                 0 ms  no live node in region \"syd\" for Strings.upcase; live regions: local
10206.25 ms  call 2    iad-0 (iad)  → hkg-1 (hkg)   Strings.upcase #1  12000 B → -       1 ms  cancelled
10206.25 ms  call 3    iad-0 (iad)  → hkg-1 (hkg)   Strings.upcase #1  5 B → -              -  in flight
10207.25 ms  note      the test stopped waiting
";
    let table = busy_run().await.to_string();
    assert_eq!(table, expected, "\n{table}");
}

#[tokio::test(start_paused = true)]
async fn filters_of_calls_combine() {
    let trace = busy_run().await;
    let calls = || trace.calls();
    assert_eq!(calls().len(), 6);
    assert_eq!(calls().to_region("HKG").from_region(" Iad").count(), 4);
    assert_eq!(calls().to_node("hkg-1").from_node("iad-0").count(), 2);
    assert_eq!(calls().to_no_node().failed().count(), 1);
    assert_eq!(calls().service("Strings").method("upcase").attempt(2).ok().count(), 1);
    assert_eq!(calls().service("strings").count() + calls().method("Strings").count(), 0);
    assert_eq!((calls().local().count(), calls().remote().count()), (1, 4));
    assert_eq!((calls().cancelled().count(), calls().under_way().count()), (1, 1));
    assert_eq!(calls().since(ms(10_004)).between(..=ms(10_004)).count(), 2);
    assert!(calls().failed().all(|call| matches!(call.error(), Some(RpcError::NoNode { .. }))));

    let second = calls().attempt(2).next().expect("the call was retried");
    assert_eq!((second.start(), second.took()), (ms(10_004), Some(Duration::from_micros(202_250))));
    assert_eq!((second.request_bytes(), second.reply_bytes()), (Some(3), Some(4)));
    assert_eq!(second.call(), calls().next().expect("there are calls").call());
    let last = calls().next_back().expect("there are calls");
    assert_eq!((last.outcome(), last.end()), (None, None));
}

#[tokio::test(start_paused = true)]
async fn filters_of_events_combine() {
    let trace = busy_run().await;
    let events = || trace.events();
    assert_eq!(events().len(), 6);
    assert_eq!(events().membership().of_node("hkg-0").of_region("HKG").count(), 2);
    assert_eq!(events().up("iad-0").count(), 1);
    assert_eq!(events().up("hkg-0").count() + events().down("iad-0").count(), 0);
    assert_eq!(events().about("hkg-0").links().count(), 2);
    assert_eq!(events().left("hkg-0").count(), 0);
    assert_eq!((events().faults().count(), events().notes().count()), (1, 1));
    assert_eq!(events().since(ms(1)).between(..ms(10_005)).links().count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_restarted_node_numbers_its_calls_from_the_start() {
    let log = log();
    let first = recorder(&log, "iad-0", "iad");
    first.on_start(upcase(1, 1, None, None));
    let second = recorder(&log, "iad-0", "iad");
    second.on_start(upcase(1, 1, None, None));
    second.on_end(CallNumber(1), AttemptNumber(1), CallOutcome::Replied, None);
    second.on_end(CallNumber(1), AttemptNumber(1), CallOutcome::Cancelled, None);

    let trace = log.snapshot();
    let calls: Vec<_> = trace.calls().map(|call| (call.caller_boot(), call.outcome())).collect();
    assert_eq!(calls, [(1, None), (2, Some(&CallOutcome::Replied))]);
    assert_eq!(trace.to_mermaid().matches("participant").count(), 1);
}

#[tokio::test(start_paused = true)]
async fn traces_are_equal_if_their_events_are_in_the_same_order() {
    let trace = busy_run().await;
    assert_eq!(trace, busy_run().await);

    let either_first = |first: u64, second: u64| {
        let log = log();
        let iad = recorder(&log, "iad-0", "iad");
        iad.on_start(upcase(1, 1, None, None));
        iad.on_start(upcase(2, 1, None, None));
        iad.on_end(CallNumber(first), AttemptNumber(1), CallOutcome::Replied, None);
        iad.on_end(CallNumber(second), AttemptNumber(1), CallOutcome::Replied, None);
        log.snapshot()
    };
    assert_eq!(either_first(1, 2), either_first(1, 2));
    assert_ne!(either_first(1, 2), either_first(2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_part_of_a_trace_has_the_events_in_its_range() {
    let part = busy_run().await.between(ms(10_004)..ms(10_206));
    let counts = (part.calls().count(), part.executions().count(), part.events().count());
    assert_eq!(counts, (2, 2, 1));
    assert_eq!(part.seed(), 7);
}

#[tokio::test(start_paused = true)]
async fn the_extension_of_a_file_selects_the_table_or_the_diagram() {
    let trace = busy_run().await;
    let dir = env::temp_dir().join(format!("flyrpc-trace-{}", std::process::id()));
    let [table, diagram] = ["run.txt", "run.mmd"].map(|name| dir.join("of/a").join(name));
    trace.write_to(&table).expect("the table is written");
    trace.write_to(&diagram).expect("the diagram is written");
    let written =
        [&table, &diagram].map(|path| fs::read_to_string(path).expect("the file is read"));
    fs::remove_dir_all(&dir).expect("the directory is removed");
    assert_eq!(written, [trace.to_string(), trace.to_mermaid()]);
}

#[test]
fn times_have_as_many_decimals_as_they_need() {
    let check =
        |nanos: u64, expected: &str| assert_eq!(millis(Duration::from_nanos(nanos)), expected);
    check(0, "0 ms");
    check(10_004_000_000, "10004 ms");
    check(202_250_000, "202.25 ms");
    check(1, "0.000001 ms");
}

struct Shout;

impl Strings for Shout {
    async fn upcase(&self, text: String) -> String {
        text.to_uppercase()
    }
}

/// Runs a call from iad to hkg and a local call in hkg, then a partition during which a call times out and
/// the link is closed.
async fn run_of_real_nodes(seed: u64) -> Trace {
    let net = SimNet::builder().seed(seed).rtt("iad", "hkg", ms(202)).build();
    let log = TraceLog::new(seed, Instant::now());
    let [iad_env, hkg_env] =
        ["iad", "hkg"].map(|region| net.add_host(format!("{region}-0"), region));
    let start = async |env: &crate::SimEnv, name: &str| {
        let region = Region::from(&name[..3]);
        let builder = Node::builder().env(env.clone()).name(name).region(&region);
        let builder = builder.listen(env.addr(4100)).seeds([iad_env.addr(4100)]);
        let builder = builder.serve(ServeStrings::new(Shout)).observer(log.observer(name, &region));
        builder.start().await.expect("the node starts")
    };
    let iad = start(&iad_env, "iad-0").await;
    let hkg = start(&hkg_env, "hkg-0").await;
    hkg.ready().await;
    tokio::time::sleep(ms(2_000)).await;

    let (local, remote): (StringsClient, StringsClient) = (hkg.client(), iad.client());
    let remote = remote.on_region("hkg");
    assert_eq!(remote.upcase("fly".into()).await.expect("hkg replies"), "FLY");
    assert_eq!(local.upcase("fly".into()).await.expect("hkg serves it"), "FLY");
    let _cut = net.partition("iad", "hkg");
    log.fault("partition between iad and hkg");
    remote.timeout(ms(1_000)).upcase("fly".into()).await.expect_err("hkg is partitioned");
    tokio::time::sleep(ms(20_000)).await;
    log.snapshot()
}

#[tokio::test(start_paused = true)]
async fn calls_and_events_of_real_nodes_are_recorded() {
    let trace = run_of_real_nodes(1).await;
    let remote = trace.calls().to_region("hkg").from_node("iad-0");
    assert_eq!((remote.clone().remote().count(), remote.clone().ok().count()), (2, 1), "{trace}");
    let replied = remote.clone().ok().next().expect("one call succeeded");
    assert_eq!(replied.took(), Some(ms(202)), "{trace}");
    assert!(replied.request_bytes() > Some(3) && replied.reply_bytes() > Some(3), "{trace}");
    let lost = remote.failed().next().expect("one call was lost");
    assert!(matches!(lost.error(), Some(RpcError::Timeout { .. })), "{trace}");
    assert_eq!(lost.took(), Some(ms(1_000)), "{trace}");
    let local = trace.calls().local().next().expect("one call was local in hkg");
    assert_eq!((local.caller(), local.request_bytes()), ("hkg-0", None), "{trace}");

    for (node, other) in [("iad-0", "hkg-0"), ("hkg-0", "iad-0")] {
        let seen = || trace.events().of_node(node).about(other);
        assert!(seen().up(other).count() == 1 && seen().down(other).count() == 1, "{trace}");
        let opened = seen().filter(|event| matches!(event.what(), Occurrence::LinkOpened(_)));
        assert_eq!(opened.count(), 1, "{trace}");
        assert_eq!(seen().links().count(), 2, "{trace}");
    }
}

#[tokio::test(start_paused = true)]
async fn real_nodes_give_equal_traces_for_equal_seeds_only() {
    let trace = run_of_real_nodes(1).await;
    let again = run_of_real_nodes(1).await;
    assert_eq!(trace, again);
    assert_eq!(trace.to_string(), again.to_string());
    assert_eq!(trace.to_mermaid(), again.to_mermaid());
    let other = Trace { seed: 1, ..run_of_real_nodes(2).await };
    assert_ne!(trace.to_string(), other.to_string());
}
