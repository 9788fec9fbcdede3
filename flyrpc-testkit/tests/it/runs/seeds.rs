//! Many seeds, seeds from the environment, and the check that runs repeat.

use std::{
    cell::Cell,
    env, fs, process,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use flyrpc_testkit::{Seeds, Simulation, for_seeds, simulate};

use super::{
    failure,
    service::{JobsClient, Worker, regions},
};

#[test]
fn a_body_runs_once_for_each_seed() {
    let seen = Mutex::new(Vec::new());
    for_seeds(10..40, |seed| {
        let seen = &seen;
        async move { seen.lock().unwrap().push(seed) }
    });
    let mut seen = seen.into_inner().unwrap();
    seen.sort_unstable();
    assert_eq!(seen, (10..40).collect::<Vec<u64>>());
}

#[flyrpc_testkit::test(seeds = 3)]
#[ignore = "started by another test"]
async fn prints_its_seed(seed: u64) {
    eprintln!("runs with {seed}");
    assert_eq!(seed, u64::MAX);
}

#[test]
fn the_environment_replaces_the_seeds() {
    let test = "runs::seeds::prints_its_seed";
    let printed = failure(test, &[("FLYRPC_SIM_SEEDS", "20..=29,50")]).expect("the test fails");
    assert!(printed.contains("runs with 20\n") && !printed.contains("runs with 3\n"), "{printed}");
    let printed = failure(test, &[("FLYRPC_SIM_SEED", "7"), ("FLYRPC_SIM_SEEDS", "20..30")]);
    let printed = printed.expect("the test fails");
    assert!(printed.contains("runs with 7\n") && !printed.contains("runs with 20\n"), "{printed}");
    let printed = failure(test, &[("FLYRPC_SIM_SEEDS", "many")]).expect("the test fails");
    assert!(printed.contains("\"many\" is neither a seed"), "{printed}");
    assert_eq!(failure(test, &[("FLYRPC_SIM_SEED", &u64::MAX.to_string())]), None);
}

#[flyrpc_testkit::test(check_determinism)]
async fn equal_seeds_give_equal_traces() {
    let cluster = regions(Worker::default()).start().await;
    let jobs: JobsClient = cluster.node("hkg-0").client();
    for number in 0..20 {
        assert_eq!(jobs.on_primary().echo(number).await.unwrap(), number);
    }
}

#[test]
#[should_panic(expected = "two runs with the same seed differ, first in this line")]
fn a_run_that_does_not_repeat_shows_the_first_difference() {
    let runs = AtomicU64::new(0);
    Simulation::new().check_determinism().run(|_seed| async {
        let cluster = regions(Worker::default()).start().await;
        cluster.note(format!("run {}", runs.fetch_add(1, Ordering::Relaxed)));
    });
}

#[flyrpc_testkit::test(seeds = 3..5)]
#[ignore = "started by another test"]
async fn leaves_traces() {
    for text in ["first", "second"] {
        regions(Worker::default()).start().await.note(text);
    }
}

#[test]
fn the_environment_asks_for_the_traces_of_all_runs() {
    let directory = env::temp_dir().join(format!("flyrpc-testkit-{}", process::id()));
    let path = directory.to_str().expect("the path is text");
    assert_eq!(failure("runs::seeds::leaves_traces", &[("FLYRPC_SIM_TRACES", path)]), None);
    for (file, note) in [("3.txt", "first"), ("4-2.txt", "second")] {
        let file = directory.join(format!("runs-seeds-leaves_traces-{file}"));
        assert!(fs::read_to_string(file).unwrap().contains(note));
    }
    assert_eq!(fs::read_dir(&directory).unwrap().count(), 4);
    fs::remove_dir_all(directory).unwrap();
}

#[test]
fn a_simulation_returns_the_value_or_the_error_of_its_body() {
    assert_eq!(simulate(7, || async { Ok::<_, String>(5) }), Ok(5));
    assert_eq!(simulate(7, || async { Err::<(), _>("no") }), Err("no"));
}

#[test]
#[should_panic(expected = "at least one seed")]
fn a_simulation_without_seeds_is_an_error() {
    Simulation::new().seeds(Seeds::from(5..5)).run(|_seed| async {});
}

#[cfg(target_os = "linux")]
#[test]
fn runs_leave_no_open_files() {
    let open = || fs::read_dir("/proc/self/fd").unwrap().count();
    let run =
        || for_seeds(0..50, |_seed| async { tokio::time::sleep(Duration::from_secs(1)).await });
    run();
    let before = open();
    run();
    // Other tests of this program run meanwhile. Fifty runs would leave a hundred files.
    assert!(open() < before + 80, "{before} files were open, then {}", open());
}

#[test]
fn runs_do_not_share_thread_local_values() {
    thread_local!(static USED: Cell<bool> = const { Cell::new(false) });
    for_seeds(0..20, |_seed| async { assert!(!USED.replace(true)) });
}

#[tokio::test]
#[should_panic(expected = "a simulation has a runtime of its own")]
async fn a_simulation_cannot_run_within_a_runtime() {
    for_seeds(0..2, |_seed| async {});
}
