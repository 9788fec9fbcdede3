//! Faults as data, and schedules of them.

use flyrpc_testkit::{Fault, FaultKind, RandomFaults, Schedule, SimCluster};
use tokio::{
    runtime,
    time::{Instant, sleep},
};

use super::service::{builder, cluster, desk, ms, secs};

/// Returns the texts of the faults and notes in the trace, with their times.
fn log(cluster: &SimCluster) -> Vec<String> {
    let trace = cluster.trace();
    let entries = trace.events().filter(|event| event.node().is_none());
    entries.map(|event| format!("{} ms: {}", event.at().as_millis(), event.what())).collect()
}

/// Returns one fault of each kind.
fn one_of_each() -> Vec<Fault> {
    let (a, b) = ("iad".to_owned(), "hkg-0".to_owned());
    let node = a.clone() + "-1";
    vec![
        Fault::Partition { a: a.clone(), b: b.clone() },
        Fault::PartitionOneWay { from: a.clone(), to: b.clone() },
        Fault::Hold { a: a.clone(), b: b.clone() },
        Fault::Slow { a: a.clone(), b: b.clone(), by: ms(30) },
        Fault::Jitter { a: a.clone(), b: b.clone(), up_to: ms(30) },
        Fault::Lose { a: a.clone(), b: b.clone(), share: 0.2 },
        Fault::FilterTcp { a: a.clone(), b: b.clone() },
        Fault::Throttle { a, b, bytes_per_second: 100_000 },
        Fault::Crash { node: node.clone() },
        Fault::CrashMachine { node: node.clone() },
        Fault::Shutdown { node: node.clone() },
        Fault::Freeze { node: node.clone() },
        Fault::SkewAhead { node: node.clone(), by: secs(3) },
        Fault::SkewBehind { node: node.clone(), by: secs(3) },
        Fault::Drift { node, parts_per_million: -200 },
    ]
}

#[tokio::test(start_paused = true)]
async fn each_kind_of_fault_starts_and_ends() {
    let cluster = cluster().await;
    let mut kinds = Vec::new();
    for fault in one_of_each() {
        kinds.push(fault.kind());
        let before = log(&cluster).len();
        let mut active = cluster.inject(&fault);
        assert_eq!(active.fault(), &fault);
        active.in_effect().await;
        let stops = [FaultKind::Crash, FaultKind::CrashMachine, FaultKind::Shutdown];
        assert_eq!(cluster.is_up("iad-1"), !stops.contains(&fault.kind()), "{fault}");
        active.end().await;
        assert!(cluster.is_up("iad-1"), "{fault}");
        let log = &log(&cluster)[before..];
        let [start, end] = log else { panic!("{fault}: {log:?}") };
        assert!(start.ends_with(&fault.to_string().replace("machine ", "")), "{fault}: {start}");
        let ends = ["heal", "restart", "resume"];
        assert!(ends.iter().any(|text| end.contains(text)), "{fault}: {end}");
        cluster.settled().await;
    }
    assert_eq!(kinds, FaultKind::ALL);
}

#[tokio::test(start_paused = true)]
async fn dropping_a_fault_heals_it_and_leaves_a_stopped_node_down() {
    let cluster = cluster().await;
    let partition = cluster.inject(&Fault::Partition { a: "iad".into(), b: "hkg".into() });
    sleep(secs(1)).await;
    drop(partition);
    desk(&cluster, "hkg-0").on_primary().name().await.unwrap();
    drop(cluster.inject(&Fault::Crash { node: "iad-1".into() }));
    drop(cluster.inject(&Fault::Shutdown { node: "hkg-0".into() }));
    assert!(cluster.is_up("hkg-0"), "the shutdown takes time");
    sleep(secs(10)).await;
    assert!(!cluster.is_up("iad-1") && !cluster.is_up("hkg-0"));
}

#[tokio::test(start_paused = true)]
async fn a_kept_fault_lasts() {
    let cluster = cluster().await;
    cluster.inject(&Fault::Partition { a: "iad".into(), b: "hkg".into() }).keep();
    let desk = desk(&cluster, "hkg-0").on_primary();
    desk.timeout(secs(1)).name().await.unwrap_err();
    cluster.heal_all();
    desk.name().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_fault_accepts_a_node_that_was_restarted_already() {
    let cluster = cluster().await;
    let crash = cluster.inject(&Fault::Crash { node: "iad-1".into() });
    cluster.restart("iad-1").await;
    crash.end().await;
    cluster.settled().await;
}

#[tokio::test(start_paused = true)]
async fn a_machine_without_a_node_is_restarted_without_one() {
    let cluster = cluster().await;
    cluster.add_host("front-0", "iad");
    let fault = Fault::CrashMachine { node: "front-0".into() };
    cluster.inject(&fault).end().await;
    cluster.run_schedule(&Schedule::new().with(secs(1), secs(1), fault)).await;
    let texts: Vec<_> = log(&cluster).iter().map(|entry| entry.contains("front-0")).collect();
    assert_eq!(texts, [true; 4]);
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "there is no host or region `syd`")]
async fn a_fault_of_an_unknown_scope() {
    let fault = Fault::Hold { a: "iad".into(), b: "syd".into() };
    let _held = cluster().await.inject(&fault);
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "node `iad-1` is down: `restart` it before you shut it down")]
async fn a_shutdown_of_a_node_that_is_down() {
    let cluster = cluster().await;
    cluster.crash("iad-1");
    let _shutdown = cluster.inject(&Fault::Shutdown { node: "iad-1".into() });
}

#[tokio::test(start_paused = true)]
async fn a_schedule_injects_and_ends_faults_at_their_times() {
    let cluster = cluster().await;
    let start = cluster.elapsed().as_millis();
    let schedule = Schedule::new()
        .with(secs(3), secs(4), Fault::Freeze { node: "hkg-0".into() })
        .with(secs(1), secs(5), Fault::Partition { a: "iad-0".into(), b: "hkg".into() })
        .with(secs(2), secs(20), Fault::Crash { node: "iad-1".into() });
    let times = schedule.faults().iter().map(|planned| planned.at.as_secs());
    assert_eq!(times.collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(schedule.end(), secs(22));
    cluster.run_schedule(&schedule).await;
    let expected = [
        (1_000, "partition iad-0 <> hkg"),
        (2_000, "crash iad-1"),
        (3_000, "freeze hkg-0"),
        (6_000, "heal partition iad-0 <> hkg"),
        (7_000, "resume hkg-0"),
        (22_000, "restart iad-1"),
    ];
    let expected = expected.map(|(at, text)| format!("{} ms: {text}", start + at));
    assert_eq!(log(&cluster), expected);
    assert!(cluster.is_up("iad-1"));
    cluster.settled().await;
}

#[tokio::test(start_paused = true)]
async fn a_schedule_skips_faults_that_stop_a_node_which_is_down() {
    let cluster = cluster().await;
    let node = "iad-1".to_owned();
    let schedule = Schedule::new()
        .with(secs(1), secs(5), Fault::Crash { node: node.clone() })
        .with(secs(2), secs(5), Fault::Shutdown { node: node.clone() })
        .with(secs(6), secs(5), Fault::CrashMachine { node: node.clone() })
        .with(secs(20), secs(5), Fault::Crash { node });
    let crashed_by_the_test = async {
        sleep(secs(15)).await;
        cluster.crash("iad-1");
    };
    tokio::join!(cluster.run_schedule(&schedule), crashed_by_the_test);
    let texts: Vec<_> = log(&cluster);
    let skipped: Vec<_> = texts.iter().filter_map(|text| text.split_once("skip ")).collect();
    let [(_, shutdown), (_, machine), (_, crash)] = skipped[..] else { panic!("{texts:#?}") };
    assert_eq!(shutdown, "shut down iad-1: iad-1 is down");
    assert_eq!(machine, "crash machine iad-1: iad-1 is down");
    assert_eq!(crash, "crash iad-1: iad-1 is down");
    assert!(!cluster.is_up("iad-1"));
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_shut_down_stays_down_as_long_as_planned() {
    let cluster = cluster().await;
    let call = tokio::spawn(desk(&cluster, "iad-0").on_region("hkg").slow(2_000));
    sleep(ms(500)).await;
    let start = Instant::now();
    let fault = Fault::Shutdown { node: "hkg-0".into() };
    cluster.run_schedule(&Schedule::new().with(ms(0), secs(5), fault)).await;
    assert_eq!(call.await.unwrap().unwrap(), 2_000);
    assert!(start.elapsed() > secs(6) && start.elapsed() < secs(8), "{:?}", start.elapsed());
}

/// Runs a random schedule, and returns the table of the trace.
fn run(seed: u64) -> String {
    let runtime = runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    runtime.unwrap().block_on(async {
        let cluster = builder().seed(seed).announce(false).start().await;
        let schedule = Schedule::random(seed, &RandomFaults::of(&cluster));
        cluster.run_schedule(&schedule).await;
        cluster.settled().await;
        desk(&cluster, "hkg-0").on_primary().name().await.unwrap();
        cluster.trace().to_string()
    })
}

#[test]
fn clusters_recover_from_random_schedules() {
    for seed in 0..40 {
        run(seed);
    }
}

#[test]
fn a_random_schedule_gives_equal_traces_for_equal_seeds() {
    assert!(run(7) == run(7), "two runs with the same seed differ");
    assert_ne!(run(7), run(8));
}

#[cfg(feature = "proptest")]
mod shrinking {
    use flyrpc_testkit::{Fault, RandomFaults, Schedule, strategy::schedules};
    use proptest::test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner};

    use super::super::service::{ms, secs};

    /// Returns the smallest schedule that fails `check`.
    fn shrink(check: impl Fn(&Schedule) -> bool) -> Schedule {
        match run(check) {
            Err(TestError::Fail(_, schedule)) => schedule,
            other => panic!("no schedule fails: {other:?}"),
        }
    }

    fn run(check: impl Fn(&Schedule) -> bool) -> Result<(), TestError<Schedule>> {
        let config = Config { failure_persistence: None, cases: 1_000, ..Config::default() };
        let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
        let faults = RandomFaults::new([("iad", 2), ("hkg", 1)]).count(0..=8);
        TestRunner::new_with_rng(config, rng).run(&schedules(faults), |schedule| {
            proptest::prop_assert!(check(&schedule));
            Ok(())
        })
    }

    #[test]
    fn a_failing_schedule_shrinks_to_the_fault_that_matters() {
        let is_crash = |fault: &Fault| matches!(fault, Fault::Crash { .. });
        let smallest =
            shrink(|schedule| !schedule.faults().iter().any(|planned| is_crash(&planned.fault)));
        let [planned] = smallest.faults() else { panic!("{smallest}") };
        assert_eq!((planned.at, planned.lasts), (ms(0), ms(20)), "{smallest}");
        assert_eq!(planned.fault, Fault::Crash { node: "iad-0".into() });
    }

    #[test]
    fn a_failing_schedule_shrinks_to_the_duration_that_matters() {
        let long = |schedule: &Schedule| {
            schedule.faults().iter().filter(|planned| planned.lasts >= secs(2)).count()
        };
        let smallest = shrink(|schedule| long(schedule) < 2);
        assert_eq!(smallest.faults().len(), 2, "{smallest}");
        assert!(smallest.faults().iter().all(|planned| planned.lasts < ms(2_010)), "{smallest}");
    }

    #[test]
    fn all_schedules_are_within_the_bounds() {
        let result = run(|schedule| schedule.end() <= secs(20) && schedule.faults().len() <= 8);
        assert_eq!(result, Ok(()));
    }
}
