//! Assertions on the trace: which node calls which, what runs how often, and how large the frames are.

use flyrpc_examples::notes::{Database, STATEMENT};
use flyrpc_testkit::SimCluster;

use crate::{cluster, fresh, ms, notes, read, release, write};

#[flyrpc_testkit::test]
async fn a_note_is_copied_once_to_each_node_of_the_other_regions() {
    let cluster = cluster().await;
    write(&notes(&cluster, "hkg-0"), "green").await.unwrap();
    let trace = cluster.trace();
    let kept: Vec<_> = trace.calls().method("keep").ok().filter_map(|call| call.node()).collect();
    assert_eq!(kept.len(), 2, "{trace}");
    assert_eq!(trace.executions().method("write").count(), 1, "{trace}");
    assert!(kept.contains(&"fra-0") && kept.contains(&"hkg-0"), "{trace}");
}

#[flyrpc_testkit::test]
async fn a_read_of_a_copy_makes_no_remote_call() {
    let cluster = cluster().await;
    write(&notes(&cluster, "iad-0"), "green").await.unwrap();
    let written = cluster.elapsed();
    read(&notes(&cluster, "hkg-0")).await;
    let trace = cluster.trace().between(written..);
    assert_eq!(trace.calls().count(), 1, "the read itself: {trace}");
    assert_eq!(trace.calls().remote().count(), 0, "{trace}");
}

#[flyrpc_testkit::test]
async fn a_write_as_a_diagram() {
    let cluster = SimCluster::builder()
        .region("iad", 1)
        .region("hkg", 1)
        .rtt("iad", "hkg", ms(200))
        .release(release(&Database::default()))
        .seed(1)
        .start()
        .await;
    let start = cluster.elapsed();
    write(&notes(&cluster, "hkg-0"), "green").await.unwrap();

    let (written, kept) = (start.as_millis(), (start + ms(100) + STATEMENT).as_millis());
    let expected = format!(
        "\
sequenceDiagram
    %% seed 1
    box transparent iad
        participant iad_0 as iad-0
    end
    box transparent hkg
        participant hkg_0 as hkg-0
    end
    hkg_0->>+iad_0: #35;1 Notes.write (43 B) at {written} ms
    iad_0->>+hkg_0: #35;1 Notes.keep (42 B) at {kept} ms
    hkg_0-->>-iad_0: #35;1 ok, 200 ms
    iad_0-->>-hkg_0: #35;1 ok, 405 ms
"
    );
    assert_eq!(cluster.trace().between(start..).to_mermaid(), expected);
}

#[flyrpc_testkit::test]
async fn all_arguments_and_replies_survive_encoding() {
    let cluster = SimCluster::builder()
        .region("iad", 1)
        .release(release(&Database::default()))
        .force_wire(true)
        .start()
        .await;
    let iad = notes(&cluster, "iad-0");
    iad.write("1".into(), "tea".into(), "green".into(), Some("drinks".into())).await.unwrap();
    assert_eq!(read(&iad).await, fresh("green"));
    assert_eq!(iad.tagged("drinks".into()).await.unwrap(), ["tea"]);
    let trace = cluster.trace();
    assert!(trace.calls().all(|call| call.reply_bytes().is_some()), "{trace}");
}
