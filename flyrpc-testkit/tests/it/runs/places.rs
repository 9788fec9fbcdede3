//! Panics name the line of the test that called the testkit.

use std::{env, time::Duration};

use flyrpc_testkit::{Release, SimCluster};

use super::{
    failure,
    service::{Worker, regions},
};

const CASE: &str = "FLYRPC_TESTKIT_CASE";

#[tokio::test(start_paused = true)]
#[ignore = "started by another test"]
async fn panics() {
    let cluster = regions(Worker::default()).start().await;
    let failing = || Release::new().boot(|_node, _builder| async { Err("no luck") });
    match env::var(CASE).unwrap().as_str() {
        "restart" => cluster.restart("iad-0").await,
        "shutdown" => cluster.shutdown("iad-7").await,
        "replace" => cluster.replace("iad-7", Release::new()).await,
        "replace-failing" => cluster.replace("iad-0", failing()).await,
        "add" => drop(cluster.add_node("fra").await),
        "add-failing" => drop(cluster.add_node_with("fra", failing()).await),
        "roll" => cluster.roll(failing()).await,
        "freeze" => cluster.freeze("iad-7"),
        "barrier" => drop(cluster.barrier("iad-7", "committed")),
        "always" => cluster.always("never", |_cluster| Err("no")),
        "start" => drop(SimCluster::builder().start().await),
        "region" => drop(SimCluster::builder().region("iad", 0)),
        "jitter" => drop(SimCluster::builder().jitter(Duration::from_micros(1))),
        "release" => drop(Release::without_flyrpc().insecure()),
        "settled" => {
            cluster.partition("iad", "hkg").keep();
            tokio::time::sleep(Duration::from_secs(30)).await;
            cluster.settled().await;
        }
        case => panic!("unknown case {case}"),
    }
}

#[test]
fn a_panic_names_the_line_of_the_test() {
    let source = include_str!("places.rs");
    let line_of = |text: &str| {
        1 + source.lines().position(|line| line.contains(text)).expect("the case is in the source")
    };
    let cases = [
        "restart",
        "shutdown",
        "replace",
        "replace-failing",
        "add",
        "add-failing",
        "roll",
        "freeze",
        "barrier",
        "always",
        "start",
        "region",
        "jitter",
        "release",
    ];
    let cases = cases.map(|case| (case, line_of(&format!("\"{case}\" =>"))));
    for (case, line) in cases.into_iter().chain([("settled", line_of("cluster.settled()"))]) {
        let output = failure("runs::places::panics", &[(CASE, case)]).expect("it panics");
        let place = format!("{}:{line}:", file!());
        assert!(output.contains(&place), "{case} does not name {place}:\n{output}");
    }
}
