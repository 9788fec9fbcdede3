use std::time::Duration;

use flyrpc::fly_rpc;
use flyrpc_testkit::{ExecutionOutcome, SimCluster, Trace};
use tokio::{runtime, time::sleep};

use super::service::{builder, desk, ms, secs, v2};

/// Records a run with calls, faults and a rollout.
fn run(seed: u64) -> Trace {
    let runtime = runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    runtime.unwrap().block_on(async {
        let cluster = builder().seed(seed).start().await;
        busy(&cluster).await;
        cluster.trace()
    })
}

async fn busy(cluster: &SimCluster) {
    let hkg = desk(cluster, "hkg-0");
    for _ in 0..10 {
        hkg.on_primary().name().await.unwrap();
    }
    let cut = cluster.partition("iad-0", "hkg");
    let _ = hkg.on_primary().timeout(ms(300)).slow(1).await;
    drop(cut);
    cluster.slow("iad", "hkg", ms(5)).keep();
    cluster.freeze("iad-1");
    let _ = hkg.on_primary().timeout(secs(1)).echo(vec![1; 100_000]).await;
    cluster.resume("iad-1");
    cluster.crash("iad-0");
    cluster.restart("iad-0").await;
    cluster.settled().await;
    cluster.roll(v2()).await;
}

#[test]
fn equal_seeds_give_equal_traces_and_others_do_not() {
    let (first, second, other) = (run(1).to_string(), run(1).to_string(), run(2).to_string());
    assert!(first == second, "two runs with the same seed differ:\n{first}\n\n{second}");
    assert_ne!(first, other);
}

#[tokio::test(start_paused = true)]
async fn calls_can_be_counted_by_target_and_outcome() {
    let cluster = builder().start().await;
    let hkg = desk(&cluster, "hkg-0");
    for _ in 0..3 {
        hkg.on_primary().name().await.unwrap();
    }
    hkg.on_region("hkg").name().await.unwrap();
    hkg.on_region("nowhere").name().await.unwrap_err();
    let trace = cluster.trace();
    assert_eq!(trace.calls().count(), 5);
    assert_eq!(trace.calls().to_region("iad").count(), 3);
    assert_eq!(trace.calls().to_region("hkg").count(), 1);
    assert_eq!(trace.calls().failed().count(), 1);
    assert!(trace.calls().to_region("iad").all(|call| call.took() == Some(ms(202))));
    let diagram = trace.to_mermaid();
    assert!(diagram.starts_with("sequenceDiagram"), "{diagram}");
    assert!(diagram.contains("Desk.name"), "{diagram}");
}

#[tokio::test(start_paused = true)]
async fn a_part_of_the_trace_is_selected_by_the_clusters_time() {
    let cluster = builder().start().await;
    let hkg = desk(&cluster, "hkg-0").on_primary();
    hkg.name().await.unwrap();
    let middle = cluster.elapsed();
    hkg.echo(vec![1]).await.unwrap();
    assert_eq!(cluster.elapsed(), middle + ms(202));
    let later = cluster.trace().between(middle..);
    assert_eq!(later.calls().map(|call| call.method()).collect::<Vec<_>>(), ["echo"]);
}

#[tokio::test(start_paused = true)]
async fn faults_notes_and_membership_events_are_in_the_trace_in_order() {
    let cluster = builder().start().await;
    cluster.note("the test begins");
    cluster.partition("iad", "hkg").keep();
    cluster.heal("iad", "hkg");
    cluster.crash("hkg-0");
    tokio::time::sleep(secs(1)).await;
    let trace = cluster.trace().to_string();
    let of = |text: &str| trace.find(text).unwrap_or_else(|| panic!("no {text:?} in\n{trace}"));
    let order = ["the test begins", "partition iad", "heal partition", "crash hkg-0", "down"];
    assert!(order.map(of).is_sorted(), "{trace}");
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_reply_is_lost_ran_exactly_once() {
    let cluster = builder().start().await;
    let cut = cluster.partition_one_way("iad", "hkg");
    let hkg = desk(&cluster, "hkg-0");
    hkg.on_primary().timeout(secs(1)).slow(5).await.unwrap_err();
    drop(cut);
    sleep(secs(1)).await;
    let trace = cluster.trace();
    let executions = || trace.executions().service("Desk").method("slow");
    assert_eq!(executions().count(), 1, "{trace}");
    assert_eq!(executions().on_region("iad").by_node("hkg-0").ok().count(), 1, "{trace}");
    assert_eq!(trace.calls().method("slow").failed().count(), 1, "{trace}");
    let diagram = trace.to_mermaid();
    assert!(diagram.contains("    Note over hkg_0: #35;1 timeout, 1000 ms\n"), "{diagram}");
    assert!(!diagram.contains("lost") && diagram.contains("deactivate iad_"), "{diagram}");
}

#[tokio::test(start_paused = true)]
async fn a_partitioned_request_has_no_execution_and_is_lost() {
    let cluster = builder().start().await;
    let _cut = cluster.partition("iad", "hkg");
    let hkg = desk(&cluster, "hkg-0");
    hkg.on_primary().timeout(secs(1)).slow(5).await.unwrap_err();
    let trace = cluster.trace();
    assert_eq!(trace.executions().count(), 0, "{trace}");
    let diagram = trace.to_mermaid();
    assert_eq!(diagram.matches(", lost\n").count(), 1, "{diagram}");
}

#[tokio::test(start_paused = true)]
async fn an_execution_shows_the_crash_of_its_node() {
    let cluster = builder().start().await;
    let iad = desk(&cluster, "iad-0");
    let hkg = cluster.node("hkg-0").id().clone();
    let remote = tokio::spawn(iad.on_node(&hkg).slow(60_000));
    let local = desk(&cluster, "hkg-0").slow(60_000);
    let local = tokio::spawn(local);
    sleep(secs(1)).await;
    assert_eq!(cluster.trace().executions().running().count(), 2);
    cluster.crash("hkg-0");
    remote.await.unwrap().unwrap_err();
    cluster.restart("hkg-0").await;
    let trace = cluster.trace();
    assert_eq!(trace.executions().on_node("hkg-0").crashed().count(), 2, "{trace}");
    assert!(trace.executions().crashed().all(|execution| execution.boot() == 1), "{trace}");
    let outcome = trace.executions().remote().next().and_then(|execution| execution.outcome());
    assert_eq!(outcome, Some(ExecutionOutcome::Crashed), "{trace}");
    local.abort();
}

/// The service of the guide.
#[fly_rpc]
trait Strings {
    async fn upcase(&self, text: String) -> String;
    async fn slow(&self, pause: Duration) -> Duration;
}

struct Shout;

impl Strings for Shout {
    async fn upcase(&self, text: String) -> String {
        text.to_uppercase()
    }

    async fn slow(&self, pause: Duration) -> Duration {
        sleep(pause).await;
        pause
    }
}

#[tokio::test(start_paused = true)]
async fn the_guide_shows_the_trace_of_its_example() {
    let builder = SimCluster::builder().region("iad", 2).region("hkg", 1).seed(0);
    let builder = builder.rtt("iad", "hkg", ms(202)).serve(|_| ServeStrings::new(Shout));
    let cluster = builder.start().await;
    let strings: StringsClient = cluster.node("hkg-0").client();
    let start = cluster.elapsed();
    strings.upcase("fly".into()).await.unwrap();
    strings.on_primary().upcase("fly".into()).await.unwrap();
    let _cut = cluster.partition("iad", "hkg");
    strings.on_primary().timeout(secs(1)).upcase("fly".into()).await.unwrap_err();
    let trace = cluster.trace().between(start..);
    let guide = include_str!("../../../src/guide.md");
    for output in [trace.to_string(), trace.to_mermaid()] {
        assert!(guide.contains(&format!("```text\n{output}```\n")), "not in the guide:\n{output}");
    }
}
