//! What the observer of a node learns about the calls that the node serves.

use std::sync::{Arc, Mutex};

use flyrpc::{Denied, Observed, Observer, ServeOutcome, Served, fly_rpc};
use flyrpc_testkit::{Release, SimCluster};
use tokio::time::timeout;

use crate::support::{Counts, ProbeClient, millis, probe_cluster, probe_release, secs, sleep};

/// Records the served calls as lines such as `shout of hkg-0: started`.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl Observer for Log {
    fn observe(&self, observed: &Observed<'_>) {
        let (served, what) = match observed {
            Observed::Admitted(served) => (served, "admitted".to_owned()),
            Observed::Refused(served, kind) => (served, format!("refused {kind}")),
            Observed::ServeStarted(served) => (served, "started".to_owned()),
            Observed::ServeEnded(served, outcome, took) => {
                let outcome = match outcome {
                    ServeOutcome::Replied => "replied".to_owned(),
                    ServeOutcome::RepliedErr => "replied with an error".to_owned(),
                    ServeOutcome::Failed(kind) => kind.to_string(),
                    other => format!("{other:?}").to_lowercase(),
                };
                (served, format!("{outcome} after {took:?}"))
            }
            _ => return,
        };
        let Served { caller, service, method, local, .. } = **served;
        assert_eq!(service, "Probe");
        let process = if local { "this process" } else { caller.name() };
        self.0.lock().unwrap().push(format!("{method} of {process}: {what}"));
    }
}

/// A cluster of iad-0 and hkg-0, and a client of hkg-0 that calls iad-0, whose served calls are logged.
async fn observed() -> (SimCluster, ProbeClient, Log) {
    let log = Log::default();
    let observer = log.clone();
    let release = probe_release(&Counts::default()).configure(move |_, builder| {
        let denies = |admission: &flyrpc::Admission<'_>| match admission.method() {
            "produce" => Err(Denied::new("as the test decides")),
            _ => Ok(()),
        };
        builder.observer(observer.clone()).authorize(denies)
    });
    let cluster = probe_cluster(&Counts::default()).region("iad", 1).region("hkg", 1);
    let cluster = cluster.node("iad-0", release).start().await;
    let probe = cluster.node("hkg-0").client::<ProbeClient>().on_region("iad");
    sleep(secs(2)).await;
    assert_eq!(log.take(), [""; 0], "calls between nodes are not reported");
    (cluster, probe, log)
}

#[tokio::test(start_paused = true)]
async fn a_request_is_admitted_and_its_handler_starts_and_ends() {
    let (_cluster, probe, log) = observed().await;
    probe.slow(10).await.unwrap();
    let lines =
        ["slow of hkg-0: admitted", "slow of hkg-0: started", "slow of hkg-0: replied after 10ms"];
    assert_eq!(log.take(), lines);
    probe.echo(vec![1; 100_000]).await.unwrap();
    let lines =
        ["echo of hkg-0: admitted", "echo of hkg-0: started", "echo of hkg-0: replied after 0ns"];
    assert_eq!(log.take(), lines);
}

#[tokio::test(start_paused = true)]
async fn handlers_that_panic_or_exceed_their_deadline_or_are_canceled_end_once() {
    let (_cluster, probe, log) = observed().await;
    probe.panic("no".to_owned()).await.unwrap_err();
    probe.timeout(secs(1)).slow(2_000).await.unwrap_err();
    timeout(secs(1), probe.slow(3_000)).await.unwrap_err();
    sleep(secs(1)).await;
    timeout(secs(1), probe.slow_and_detached(3_000)).await.unwrap_err();
    sleep(secs(3)).await;
    let lines: Vec<_> = log.take().into_iter().filter(|line| line.contains("after")).collect();
    let [panicked, timed_out, canceled, detached] = &lines[..] else { panic!("{lines:#?}") };
    assert_eq!(panicked, "panic of hkg-0: PANICKED after 0ns");
    assert_eq!(detached, "slow_and_detached of hkg-0: replied after 3s");
    // The caller gives up a round trip of 200 ms earlier, in time for its reply.
    assert!(timed_out.starts_with("slow of hkg-0: TIMEOUT after 79"), "{timed_out}");
    assert!(canceled.starts_with("slow of hkg-0: cancelled after 1s"), "{canceled}");
}

/// Records which executions start and end, such as `+1` and `-1`.
#[derive(Clone, Default)]
struct Executions(Arc<Mutex<Vec<String>>>);

impl Observer for Executions {
    fn observe(&self, observed: &Observed<'_>) {
        let (sign, execution) = match observed {
            Observed::ServeStarted(served) => ('+', served.execution),
            Observed::ServeEnded(served, ..) => ('-', served.execution),
            Observed::Admitted(served) | Observed::Refused(served, _) => {
                return assert_eq!(served.execution, None);
            }
            _ => return,
        };
        let execution = execution.expect("an execution has a number");
        self.0.lock().unwrap().push(format!("{sign}{execution}"));
    }
}

#[tokio::test(start_paused = true)]
async fn the_number_of_an_execution_connects_its_end_to_its_start() {
    let executions = Executions::default();
    let observer = executions.clone();
    let release = probe_release(&Counts::default())
        .configure(move |_, builder| builder.observer(observer.clone()));
    let cluster = probe_cluster(&Counts::default()).region("iad", 1).region("hkg", 1);
    let cluster = cluster.node("iad-0", release).start().await;
    let remote = cluster.node("hkg-0").client::<ProbeClient>().on_region("iad");
    let local = cluster.node("iad-0").client::<ProbeClient>();
    let (long, short) = (remote.slow(30), remote.slow(10));
    let (long, short, quick) = tokio::join!(long, short, remote.shout("a".to_owned()));
    assert!(long.is_ok() && short.is_ok() && quick.is_ok());
    let (long, short) = tokio::join!(local.slow(30), local.slow_and_detached(10));
    assert!(long.is_ok() && short.is_ok());
    let expected = ["+1", "+2", "+3", "-3", "-2", "-1", "+4", "+5", "-5", "-4"];
    assert_eq!(*executions.0.lock().unwrap(), expected);
}

#[tokio::test(start_paused = true)]
async fn a_refused_request_starts_no_handler() {
    /// The service with another type of the argument, which cannot be decoded.
    #[fly_rpc(name = "Probe")]
    trait Other {
        async fn echo(&self, bytes: String) -> Vec<u8>;
    }

    let (cluster, probe, log) = observed().await;
    probe.produce(1).await.unwrap_err();
    assert_eq!(log.take(), ["produce of hkg-0: refused DENIED"]);
    let other = cluster.node("hkg-0").client::<OtherClient>().on_region("iad");
    other.echo("text".to_owned()).await.unwrap_err();
    let lines = ["echo of hkg-0: admitted", "echo of hkg-0: refused UNSUPPORTED"];
    assert_eq!(log.take(), lines);
}

#[tokio::test(start_paused = true)]
async fn calls_that_run_in_process_are_local_calls_of_the_node_itself() {
    let (cluster, _, log) = observed().await;
    let probe: ProbeClient = cluster.node("iad-0").client();
    probe.slow(10).await.unwrap();
    probe.slow_and_detached(10).await.unwrap();
    probe.panic("no".to_owned()).await.unwrap_err();
    timeout(millis(5), probe.slow(10)).await.unwrap_err();
    let lines = [
        "slow of this process: started",
        "slow of this process: replied after 10ms",
        "slow_and_detached of this process: started",
        "slow_and_detached of this process: replied after 10ms",
        "panic of this process: started",
        "panic of this process: PANICKED after 0ns",
        "slow of this process: started",
        "slow of this process: cancelled after 5ms",
    ];
    assert_eq!(log.take(), lines);
}

/// A `Result` of another name, and a type that is encoded like one.
mod results {
    use flyrpc::fly_rpc;
    use serde::{Deserialize, Serialize};

    pub(super) type Saved = Result<u64, String>;

    #[derive(Debug, Serialize, Deserialize)]
    pub(super) enum Level {
        Err(String),
    }

    #[fly_rpc(name = "Probe")]
    pub(super) trait Results {
        async fn save(&self, fails: bool) -> Saved;
        async fn level(&self) -> Level;
    }

    #[derive(Clone)]
    pub(super) struct Implementation;

    impl Results for Implementation {
        async fn save(&self, fails: bool) -> Saved {
            if fails { Err("as the test decides".to_owned()) } else { Ok(1) }
        }

        async fn level(&self) -> Level {
            Level::Err("a line of a log".to_owned())
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_err_that_a_handler_returns_is_told_from_other_replies() {
    use results::{Implementation, ResultsClient, ServeResults};

    let log = Log::default();
    let observer = log.clone();
    let release = Release::new()
        .serve(|_| ServeResults::new(Implementation))
        .configure(move |_, builder| builder.observer(observer.clone()));
    let cluster = SimCluster::builder().region("iad", 1).region("hkg", 1);
    let cluster = cluster.node("iad-0", release).start().await;
    let from = |node| cluster.node(node).client::<ResultsClient>().on_region("iad");
    for (node, caller) in [("hkg-0", "hkg-0"), ("iad-0", "this process")] {
        let results = from(node);
        results.save(true).await.unwrap().unwrap_err();
        results.save(false).await.unwrap().unwrap();
        results.level().await.unwrap();
        let lines: Vec<_> = log.take().into_iter().filter(|line| line.contains("after")).collect();
        let expected = [
            format!("save of {caller}: replied with an error after 0ns"),
            format!("save of {caller}: replied after 0ns"),
            format!("level of {caller}: replied after 0ns"),
        ];
        assert_eq!(lines, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn each_observer_receives_all_reports_although_another_panics() {
    struct Panics;

    impl Observer for Panics {
        fn observe(&self, _observed: &Observed<'_>) {
            panic!("as the test decides");
        }
    }

    let (first, second) = (Log::default(), Log::default());
    let observers = (first.clone(), second.clone());
    let release = probe_release(&Counts::default()).configure(move |_, builder| {
        let (first, second) = observers.clone();
        builder.observer(first).observer(Panics).observer(second)
    });
    let cluster = SimCluster::builder().region("iad", 1).release(release).start().await;
    cluster.node("iad-0").client::<ProbeClient>().shout("a".to_owned()).await.unwrap();
    let lines = first.take();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert_eq!(second.take(), lines);
}
