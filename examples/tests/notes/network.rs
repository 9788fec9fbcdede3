//! Guarantees while the network is partitioned, slow, or loses data.

use flyrpc::RpcError;
use flyrpc_examples::notes::{COPY_TIMEOUT, FRESH, NotesClient, STATEMENT};
use tokio::time::{Instant, sleep};

use crate::{Seen, cluster, fresh, ms, notes, read, secs, stale, write};

#[flyrpc_testkit::test]
async fn behind_a_partition_copies_are_read_and_nothing_is_written() {
    let cluster = cluster().await;
    let hkg = notes(&cluster, "hkg-0");
    write(&hkg, "green").await.unwrap();

    let _cut = cluster.partition("iad", "hkg");
    assert_eq!(read(&hkg).await, fresh("green"));
    let error = write(&hkg, "black").await.unwrap_err();
    assert!(matches!(error, RpcError::Timeout { .. } | RpcError::Disconnected { .. }), "{error}");
}

#[flyrpc_testkit::test]
async fn behind_a_partition_a_copy_is_marked_stale_after_a_minute() {
    let cluster = cluster().await;
    let (iad, hkg) = (notes(&cluster, "iad-0"), notes(&cluster, "hkg-0"));
    write(&iad, "green").await.unwrap();

    let cut = cluster.partition("iad", "hkg");
    write(&iad, "black").await.unwrap();
    sleep(FRESH).await;
    assert_eq!(read(&hkg).await, stale("green"));

    drop(cut);
    cluster.settled().await;
    assert_eq!(read(&hkg).await, fresh("black"));
}

#[flyrpc_testkit::test]
async fn a_note_without_a_copy_is_unavailable_behind_a_partition() {
    let cluster = cluster().await;
    let _cut = cluster.partition("iad", "hkg");
    let start = Instant::now();
    assert_eq!(read(&notes(&cluster, "hkg-0")).await, Seen::Unavailable);
    assert_eq!(start.elapsed(), secs(1), "the timeout of a look-up is one second");
}

#[flyrpc_testkit::test]
async fn a_write_waits_a_second_for_a_region_that_is_cut_off() {
    let cluster = cluster().await;
    let _cut = cluster.partition("iad", "hkg");
    let start = Instant::now();
    write(&notes(&cluster, "fra-0"), "green").await.unwrap();
    assert_eq!(start.elapsed(), ms(90) + STATEMENT + COPY_TIMEOUT);
}

#[flyrpc_testkit::test]
async fn a_write_whose_reply_is_lost_executes_once_even_if_it_is_repeated() {
    let cluster = cluster().await;
    let (fra, hkg) = (notes(&cluster, "fra-0"), notes(&cluster, "hkg-0"));

    let cut = cluster.partition_one_way("iad", "hkg");
    let error = write(&hkg.timeout(secs(2)), "green").await.unwrap_err();
    assert!(error.may_have_executed(), "{error}");
    assert_eq!(read(&fra).await, fresh("green"), "the write executed");

    drop(cut);
    assert_eq!(write(&hkg, "green").await.unwrap(), 1, "the version of the first write");
    assert_eq!(write(&hkg, "black").await.unwrap(), 2);
}

#[flyrpc_testkit::test]
async fn a_late_copy_does_not_replace_a_later_version() {
    let cluster = cluster().await;
    let (iad_0, iad_1) = (cluster.node("iad-0"), cluster.node("iad-1"));
    let (iad, hkg) = (notes(&cluster, "iad-0"), notes(&cluster, "hkg-0"));

    let held = cluster.hold("iad-0", "hkg-0");
    let green = tokio::spawn(write(&iad.on_node(iad_0.id()), "green"));
    sleep(ms(100)).await;
    write(&iad.on_node(iad_1.id()), "black").await.unwrap();
    assert_eq!(read(&hkg).await, fresh("black"));

    drop(held); // releases the copy of `green`
    green.await.unwrap().unwrap();
    assert_eq!(read(&hkg).await, fresh("black"));
}

#[flyrpc_testkit::test]
async fn a_slow_link_delays_only_the_nodes_behind_it() {
    let cluster = cluster().await;
    let _slow = cluster.slow("iad", "hkg", ms(300)); // each way

    for (node, round_trip) in [("fra-0", ms(90)), ("hkg-0", ms(200) + ms(600))] {
        let start = Instant::now();
        read(&notes(&cluster, node)).await;
        assert_eq!(start.elapsed(), round_trip + STATEMENT, "from {node}");
    }
}

#[flyrpc_testkit::test]
async fn a_long_note_takes_its_transmission_time() {
    let cluster = cluster().await;
    let text = "a".repeat(200_000);
    notes(&cluster, "iad-0").write("1".into(), "novel".into(), text, None).await.unwrap();
    let newcomer: NotesClient = cluster.add_node("hkg").await.client();

    let _narrow = cluster.throttle("iad", "hkg", 400_000); // bytes per second
    let start = Instant::now();
    newcomer.read("novel".into()).await.unwrap().unwrap();
    let expected = ms(200) + STATEMENT + ms(500);
    assert!((expected..expected + ms(10)).contains(&start.elapsed()), "{:?}", start.elapsed());
}

#[flyrpc_testkit::test]
async fn a_note_too_long_for_its_link_is_unavailable_after_a_second() {
    let cluster = cluster().await;
    let text = "a".repeat(200_000);
    notes(&cluster, "iad-0").write("1".into(), "novel".into(), text, None).await.unwrap();
    let newcomer: NotesClient = cluster.add_node("hkg").await.client();

    let _narrow = cluster.throttle("iad", "hkg", 100_000);
    let start = Instant::now();
    newcomer.read("novel".into()).await.unwrap().unwrap_err();
    assert_eq!(start.elapsed(), secs(1));
}

#[flyrpc_testkit::test]
async fn all_copies_converge_despite_jitter() {
    let cluster = cluster().await;
    for (a, b) in [("iad", "fra"), ("iad", "hkg"), ("iad-0", "iad-1")] {
        cluster.jitter(a, b, ms(80)).keep();
    }
    let writes: Vec<_> = ["fra-0", "hkg-0", "iad-0", "iad-1"].iter().cycle().take(40).collect();
    let writes = writes
        .iter()
        .enumerate()
        .map(|(cup, node)| tokio::spawn(write(&notes(&cluster, node), &format!("cup {cup}"))));
    for write in writes.collect::<Vec<_>>() {
        write.await.unwrap().unwrap();
    }
    let last = read(&notes(&cluster, "iad-0")).await;
    for node in ["fra-0", "hkg-0"] {
        assert_eq!(read(&notes(&cluster, node)).await, last, "on {node}");
    }
}

#[flyrpc_testkit::test]
async fn lost_datagrams_delay_no_call_and_take_no_node_down() {
    let cluster = cluster().await;
    cluster.lose("iad", "hkg", 0.05).keep();
    sleep(secs(60)).await;
    let start = Instant::now();
    write(&notes(&cluster, "hkg-0"), "green").await.unwrap();
    assert_eq!(start.elapsed(), ms(200) + STATEMENT + ms(200));
    assert_eq!(cluster.trace().events().down("hkg-0").count(), 0, "{}", cluster.trace());
}
