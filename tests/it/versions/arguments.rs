//! Routing of calls whose arguments some nodes know and others do not.

use flyrpc::{RpcError, Unsupported, fly_rpc};
use flyrpc_testkit::{Release, SimCluster};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::version_pair::Executed;
use crate::support::{millis, secs, sleep};

mod old {
    use super::*;

    #[derive(Debug, Serialize, Deserialize)]
    pub(super) struct Note {
        pub(super) text: String,
    }

    #[fly_rpc(name = "Notes")]
    pub(super) trait Notes {
        async fn save(&self, note: Note) -> String;
        async fn list(&self, from: u64) -> String;
        async fn drop_all(&self, region: String) -> String;
        async fn count(&self, of: Option<u8>) -> String;
    }

    pub(super) struct Served(pub(super) Executed);

    impl Notes for Served {
        async fn save(&self, note: Note) -> String {
            self.0.add();
            format!("old {}", note.text)
        }

        async fn list(&self, from: u64) -> String {
            self.0.add();
            format!("old {from}")
        }

        async fn drop_all(&self, region: String) -> String {
            self.0.add();
            format!("old {region}")
        }

        async fn count(&self, of: Option<u8>) -> String {
            self.0.add();
            format!("old {of:?}")
        }
    }
}

mod new {
    use super::*;

    #[derive(Debug, Serialize, Deserialize)]
    pub(super) struct Note {
        pub(super) text: String,
        pub(super) author: String,
    }

    #[fly_rpc(name = "Notes")]
    pub(super) trait Notes {
        async fn count(&self, of: u8) -> String;
        async fn drop_all(&self, place: String) -> String;
        async fn save(&self, note: Note) -> String;
        async fn list(&self, from: u64, most: Option<u32>, #[rpc(default)] by: String) -> String;
    }

    pub(super) struct Served(pub(super) Executed);

    impl Notes for Served {
        async fn count(&self, of: u8) -> String {
            self.0.add();
            format!("new {of:?}")
        }

        async fn drop_all(&self, place: String) -> String {
            self.0.add();
            format!("new {place}")
        }

        async fn save(&self, note: Note) -> String {
            self.0.add();
            format!("new {} {}", note.text, note.author)
        }

        async fn list(&self, from: u64, most: Option<u32>, by: String) -> String {
            self.0.add();
            format!("new {from} {most:?} {by:?}")
        }
    }
}

use new::NotesClient as New;
use old::NotesClient as Old;

fn v1(executed: &Executed) -> Release {
    let executed = executed.clone();
    Release::new().serve(move |_| old::ServeNotes::new(old::Served(executed.clone())))
}

fn v2(executed: &Executed) -> Release {
    let executed = executed.clone();
    Release::new().serve(move |_| new::ServeNotes::new(new::Served(executed.clone())))
}

/// Starts a cluster of `nodes` nodes in iad and one caller in lhr. The last node in iad has the new
/// version, and the others have the old version.
async fn iad_of(nodes: usize) -> (SimCluster, Executed) {
    let executed = Executed::default();
    let mut builder = SimCluster::builder().region("iad", nodes).region("lhr", 1);
    for node in 0..nodes - 1 {
        builder = builder.node(format!("iad-{node}"), v1(&executed));
    }
    builder = builder.node(format!("iad-{}", nodes - 1), v2(&executed));
    let cluster = builder.rtt("iad", "lhr", millis(76)).start().await;
    sleep(secs(2)).await;
    (cluster, executed)
}

fn arguments(error: &RpcError) -> &str {
    assert!(!error.may_have_executed());
    match error {
        RpcError::Unsupported { why: Unsupported::Arguments(detail), .. } => detail,
        error => panic!("{error:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_renamed_argument_is_detected_before_a_request_is_sent() {
    let (cluster, executed) = iad_of(2).await;
    let lhr = cluster.node("lhr-0");
    let (old, new) = (lhr.client::<Old>(), lhr.client::<New>());
    let ids: Vec<_> = lhr.nodes_in("iad").iter().map(|node| node.id().clone()).collect();
    let start = Instant::now();
    let error = old.on_node(&ids[1]).drop_all("iad".into()).await.unwrap_err();
    assert_eq!(arguments(&error), "it needs `place: String`, which this caller does not have");
    let error = new.on_node(&ids[0]).drop_all("iad".into()).await.unwrap_err();
    assert_eq!(arguments(&error), "it needs `region: String`, which this caller does not have");
    assert_eq!((start.elapsed(), executed.count()), (millis(0), 0));
    assert_eq!(cluster.trace().calls().method("drop_all").to_region("iad").count(), 0);
    // Each client finds the node of its own version.
    for _ in 0..10 {
        assert_eq!(old.on_region("iad").drop_all("a".into()).await.unwrap(), "old a");
        assert_eq!(new.on_region("iad").drop_all("a".into()).await.unwrap(), "new a");
    }
    assert_eq!(executed.count(), 20);
}

#[tokio::test(start_paused = true)]
async fn nodes_that_lack_an_argument_are_skipped_however_many_there_are() {
    let (cluster, executed) = iad_of(8).await;
    let new: New = cluster.node("lhr-0").client();
    for _ in 0..20 {
        let start = Instant::now();
        let listed = new.on_region("iad").list(1, Some(2), String::new()).await;
        assert_eq!(listed.unwrap(), "new 1 Some(2) \"\"");
        assert_eq!(start.elapsed(), millis(76));
    }
    assert_eq!(executed.count(), 20);
    let trace = cluster.trace();
    assert_eq!(trace.calls().method("list").count(), 20);
    assert_eq!(trace.calls().method("list").to_node("iad-7").ok().count(), 20);
    // A call without values for the new arguments can be served by every node.
    let mut replies = Vec::new();
    for _ in 0..30 {
        replies.push(new.on_region("iad").list(1, None, String::new()).await.unwrap());
    }
    assert!(replies.contains(&"old 1".to_owned()), "{replies:?}");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_a_node_cannot_decode_is_retried_on_one_that_can() {
    let (cluster, executed) = iad_of(2).await;
    let lhr = cluster.node("lhr-0");
    let (old, new) = (lhr.client::<Old>().on_region("iad"), lhr.client::<New>().on_region("iad"));
    for count in 1..=20 {
        let note = old::Note { text: "a".into() };
        assert_eq!(old.save(note).await.unwrap(), "old a");
        assert_eq!(executed.count(), 2 * count - 1);
        // The old version ignores a field that it does not know.
        let note = new::Note { text: "a".into(), author: "me".into() };
        let saved = new.save(note).await.unwrap();
        assert!(["old a", "new a me"].contains(&&*saved), "{saved}");
        assert_eq!(executed.count(), 2 * count);
    }
    let trace = cluster.trace();
    let refused: Vec<_> = trace.calls().method("save").failed().collect();
    assert!(!refused.is_empty() && refused.iter().all(|call| call.attempt() == 1), "{trace}");
    assert!(trace.calls().method("save").attempt(2).all(|call| call.error().is_none()));
}

#[tokio::test(start_paused = true)]
async fn an_error_names_the_field_when_no_node_can_decode_a_call() {
    let (cluster, executed) = iad_of(2).await;
    cluster.shutdown("iad-0").await;
    let old: Old = cluster.node("lhr-0").client();
    for _ in 0..3 {
        let error = old.on_region("iad").save(old::Note { text: "a".into() }).await.unwrap_err();
        assert_eq!(arguments(&error), "note: missing field `author`");
        // The error does not affect the next call.
        assert_eq!(old.on_region("iad").list(7).await.unwrap(), "new 7 None \"\"");
    }
    assert_eq!(executed.count(), 3);
}

#[tokio::test(start_paused = true)]
async fn an_argument_that_became_an_option_is_required_by_the_earlier_version() {
    let (cluster, executed) = iad_of(2).await;
    let lhr = cluster.node("lhr-0");
    let (old, new) = (lhr.client::<Old>(), lhr.client::<New>());
    for _ in 0..10 {
        assert_eq!(old.on_region("iad").count(None).await.unwrap(), "old None");
        let counted = new.on_region("iad").count(7).await.unwrap();
        assert!(["old Some(7)", "new 7"].contains(&&*counted), "{counted}");
    }
    assert_eq!(executed.count(), 20);
    let [_, id] = [0, 1].map(|at| lhr.nodes_in("iad")[at].id().clone());
    let error = old.on_node(&id).count(None).await.unwrap_err();
    assert!(arguments(&error).contains("of"), "{error}");
    assert_eq!(old.on_node(&id).count(Some(1)).await.unwrap(), "new 1");
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_serves_another_version_itself_finds_a_compatible_node() {
    let (cluster, executed) = iad_of(3).await;
    let iad = cluster.node("iad-0");
    let new: New = iad.client();
    for client in [new.clone(), new.on_region("iad"), new.on_primary()] {
        // The local node lacks an argument of these calls, or requires one that they do not have.
        assert_eq!(client.drop_all("a".into()).await.unwrap(), "new a");
        let listed = client.list(1, Some(2), String::new()).await;
        assert_eq!(listed.unwrap(), "new 1 Some(2) \"\"");
        // A call that the local node supports runs locally.
        assert_eq!(client.list(1, None, String::new()).await.unwrap(), "old 1");
    }
    assert_eq!(executed.count(), 9);
    let old: Old = cluster.node("iad-2").client();
    let saved = old.on_region("iad").save(old::Note { text: "a".into() }).await;
    assert_eq!(saved.unwrap(), "old a");
    // A call to this node is not sent elsewhere. If no node is compatible, the error is that of
    // this node.
    let error = new.on_node(iad.id()).drop_all("a".into()).await.unwrap_err();
    assert!(arguments(&error).contains("region"), "{error}");
    cluster.shutdown("iad-2").await;
    let error = new.on_region("iad").list(1, None, "me".into()).await.unwrap_err();
    assert!(arguments(&error).contains("by"), "{error}");
    assert_eq!(error.node().map(|node| node.name()), Some("iad-0"));
    assert_eq!(executed.count(), 10);
}
