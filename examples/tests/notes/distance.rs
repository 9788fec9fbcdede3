//! Results and times of reads and writes without faults.

use flyrpc_examples::notes::STATEMENT;
use tokio::time::Instant;

use crate::{Seen, cluster, fresh, ms, notes, read, write};

#[flyrpc_testkit::test]
async fn a_note_written_in_one_region_is_read_on_all_nodes() {
    let cluster = cluster().await;
    write(&notes(&cluster, "hkg-0"), "green").await.unwrap();
    for node in cluster.names() {
        assert_eq!(read(&notes(&cluster, &node)).await, fresh("green"), "on {node}");
    }
}

#[flyrpc_testkit::test]
async fn a_write_takes_a_round_trip_to_the_database_and_one_to_the_farthest_copy() {
    let cluster = cluster().await;
    for (node, to_the_database) in [("iad-0", ms(0)), ("fra-0", ms(90)), ("hkg-0", ms(200))] {
        let start = Instant::now();
        write(&notes(&cluster, node), node).await.unwrap();
        assert_eq!(start.elapsed(), to_the_database + STATEMENT + ms(200), "from {node}");
    }
}

#[flyrpc_testkit::test]
async fn a_read_of_a_copy_takes_no_time() {
    let cluster = cluster().await;
    write(&notes(&cluster, "iad-0"), "green").await.unwrap();
    let start = Instant::now();
    assert_eq!(read(&notes(&cluster, "hkg-0")).await, fresh("green"));
    assert_eq!(start.elapsed(), ms(0));
}

#[flyrpc_testkit::test]
async fn a_note_without_a_copy_is_looked_up_in_the_database() {
    let cluster = cluster().await;
    let start = Instant::now();
    assert_eq!(read(&notes(&cluster, "hkg-0")).await, Seen::Nothing);
    assert_eq!(start.elapsed(), ms(200) + STATEMENT);
}

#[flyrpc_testkit::test]
async fn concurrent_writes_take_no_longer_than_one() {
    let cluster = cluster().await;
    let hkg = notes(&cluster, "hkg-0");
    let start = Instant::now();
    let writes: Vec<_> =
        (0..100).map(|cup| tokio::spawn(write(&hkg, &format!("cup {cup}")))).collect();
    let mut versions = Vec::new();
    for write in writes {
        versions.push(write.await.unwrap().unwrap());
    }
    assert_eq!(start.elapsed(), ms(200) + STATEMENT + ms(200));
    versions.sort_unstable();
    assert!(versions.into_iter().eq(1..=100), "each write has its own version");
}
