//! Two releases side by side. The first one has no tags.

use std::cell::Cell;

use flyrpc::{RpcError, Unsupported};
use flyrpc_examples::notes::Database;
use flyrpc_testkit::Release;
use tokio::time::sleep;

use crate::{fresh, ms, notes, read, regions, release, v1, write};

#[flyrpc_testkit::test]
async fn clients_of_the_first_release_are_served() {
    let cluster = crate::cluster().await;
    let hkg: v1::NotesClient = cluster.node("hkg-0").client();
    assert_eq!(hkg.write("1".into(), "tea".into(), "green".into()).await.unwrap(), 1);
    assert_eq!(read(&notes(&cluster, "fra-0")).await, fresh("green"));
}

#[flyrpc_testkit::test]
async fn the_first_release_accepts_only_notes_without_a_tag() {
    let database = Database::default();
    let cluster =
        regions().release(v1::release(&database)).node("hkg-0", release(&database)).start().await;
    let hkg = notes(&cluster, "hkg-0");

    assert_eq!(write(&hkg, "green").await.unwrap(), 1);

    let tag = Some("drinks".to_owned());
    let error = hkg.write("2".into(), "tea".into(), "black".into(), tag).await.unwrap_err();
    assert!(
        matches!(error, RpcError::Unsupported { why: Unsupported::Arguments(_), .. }),
        "{error}"
    );
    assert!(!error.may_have_executed());
}

#[flyrpc_testkit::test]
async fn calls_with_a_new_argument_go_to_nodes_that_know_it() {
    let database = Database::default();
    let cluster =
        regions().release(release(&database)).node("iad-0", v1::release(&database)).start().await;
    let hkg = notes(&cluster, "hkg-0");
    for cup in 0..20 {
        let (cup, tag) = (format!("cup {cup}"), Some("drinks".to_owned()));
        hkg.write(cup.clone(), cup.clone(), cup, tag).await.unwrap();
    }
    assert_eq!(hkg.tagged("drinks".into()).await.unwrap().len(), 20);
    let trace = cluster.trace();
    assert_eq!(trace.calls().to_node("iad-0").method("write").count(), 0, "{trace}");
}

#[flyrpc_testkit::test]
async fn a_rollout_under_load_fails_no_call() {
    let database = Database::default();
    let cluster =
        regions().release(v1::release(&database)).node("hkg-0", release(&database)).start().await;

    // Replaces all nodes except the one that makes the calls.
    let rolling = Cell::new(true);
    let rollout = async {
        let mut rollout = cluster.roll(release(&database));
        while rollout.left() != ["hkg-0"] {
            rollout.step().await;
        }
        rolling.set(false);
    };
    let load = async {
        let hkg = notes(&cluster, "hkg-0");
        let mut cups = 0;
        while rolling.get() {
            cups += 1;
            write(&hkg, &format!("cup {cups}")).await.unwrap();
            assert_eq!(read(&hkg).await, fresh(&format!("cup {cups}")));
            sleep(ms(10)).await;
        }
        cups
    };
    let ((), cups) = tokio::join!(rollout, load);
    assert!(cups > 3, "only {cups} notes were written during the rollout");
    assert!(
        notes(&cluster, "hkg-0").tagged("drinks".into()).await.is_ok(),
        "all nodes run the current release"
    );
}

#[flyrpc_testkit::test]
async fn the_first_rollout_begins_on_machines_without_flyrpc() {
    let database = Database::default();
    let cluster = regions()
        .release(release(&database))
        .node("iad-1", Release::without_flyrpc())
        .node("fra-0", Release::http_server())
        .start()
        .await;
    assert_eq!(write(&notes(&cluster, "hkg-0"), "green").await.unwrap(), 1);

    cluster.roll(release(&database)).await;
    assert_eq!(read(&notes(&cluster, "fra-0")).await, fresh("green"));
}
