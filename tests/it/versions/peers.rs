//! A cluster of several versions from an operator's view: `peers()`, events and the log.

use flyrpc::{Node, RpcError, Unsupported, fly_rpc};
use flyrpc_testkit::{Release, SimCluster};
use serde::{Deserialize, Serialize};

use crate::support::{EventLog, Log, millis, peer_named, secs, sleep};

#[derive(Debug, Serialize, Deserialize)]
struct Note {
    text: String,
}

mod old {
    use super::*;

    #[fly_rpc(name = "Notes")]
    pub(super) trait Notes {
        async fn save(&self, note: Note) -> u64;
        async fn drop_all(&self);
    }

    impl Notes for Served {
        async fn save(&self, _: Note) -> u64 {
            1
        }

        async fn drop_all(&self) {}
    }
}

mod new {
    use super::*;

    #[fly_rpc(name = "Notes")]
    pub(super) trait Notes {
        async fn find(&self, by: Vec<(String, u8)>) -> Option<Note>;
        #[rpc(idempotent)]
        async fn save(
            &self,
            note: super::Note,
            dry_run: Option<bool>,
            #[rpc(default)] tags: std::collections::BTreeMap<String, [u8; 4]>,
        ) -> Result<u64, String>;
    }

    impl Notes for Served {
        async fn find(&self, _: Vec<(String, u8)>) -> Option<Note> {
            None
        }

        async fn save(
            &self,
            _: Note,
            _: Option<bool>,
            _: std::collections::BTreeMap<String, [u8; 4]>,
        ) -> Result<u64, String> {
            Ok(2)
        }
    }
}

struct Served;

fn v1() -> Release {
    Release::new().serve(|_| old::ServeNotes::new(Served))
}

fn v2() -> Release {
    Release::new().serve(|_| new::ServeNotes::new(Served))
}

/// Starts a node of the old version, one of the new version, and a caller that serves nothing.
async fn cluster() -> SimCluster {
    let cluster = SimCluster::builder()
        .region("iad", 2)
        .region("lhr", 1)
        .node("iad-0", v1())
        .node("iad-1", v2())
        .start()
        .await;
    sleep(secs(2)).await;
    cluster
}

fn methods(node: &Node, of: &str) -> Vec<String> {
    let services = peer_named(node, of).services;
    assert_eq!(services.len(), 1);
    assert_eq!(services[0].name, "Notes");
    services[0].methods.iter().map(ToString::to_string).collect()
}

#[tokio::test(start_paused = true)]
async fn peers_list_methods_with_arguments_and_types_as_declared() {
    let cluster = cluster().await;
    let lhr = cluster.node("lhr-0");
    assert_eq!(methods(&lhr, "iad-0"), ["save(note: Note) -> u64", "drop_all() -> ()"]);
    assert_eq!(
        methods(&lhr, "iad-1"),
        [
            "find(by: Vec<(String, u8)>) -> Option<Note>",
            "save(note: super::Note, dry_run: Option<bool>, \
             tags: std::collections::BTreeMap<String, [u8; 4]>) -> Result<u64, String>",
        ]
    );
    let save = &peer_named(&lhr, "iad-1").services[0].methods[1];
    let optional: Vec<_> = save.arguments.iter().map(|argument| argument.optional).collect();
    assert_eq!((save.idempotent, save.primary, optional), (true, false, vec![false, true, true]));
    // The two serving nodes list each other's methods. They list no services of the caller, which
    // serves nothing.
    assert_eq!(methods(&cluster.node("iad-1"), "iad-0").len(), 2);
    assert!(peer_named(&cluster.node("iad-0"), "lhr-0").services.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_replaced_node_is_one_event_and_one_log_line_and_lists_its_new_methods() {
    let cluster = cluster().await;
    let lhr = cluster.node("lhr-0");
    let events = EventLog::of(&lhr);
    let (log, _guard) = Log::collect(tracing::Level::INFO);
    let before = cluster.node("iad-0").id().clone();
    cluster.replace("iad-0", v2()).await;
    sleep(secs(5)).await;
    assert_eq!(methods(&lhr, "iad-0"), methods(&lhr, "iad-1"));
    let count = |text: &str| events.all().into_iter().filter(|event| event == text).count();
    // The node drains, and then its new boot is linked.
    assert_eq!(count("iad-0 accepts no calls"), 1, "{:?}", events.all());
    assert_eq!(count("support iad-0: supported"), 1, "{:?}", events.all());
    assert_eq!(events.nodes(), ["left iad-0", "up iad-0"]);
    let now = cluster.node("iad-0").id().clone();
    let (before, now) = (before.to_string(), now.to_string());
    // One line from each of its two peers.
    assert_eq!(log.with(&["message=node state changed", &before]).len(), 2, "{log:?}");
    assert_eq!(log.with(&["message=node linked", &now]).len(), 2, "{log:?}");
}

#[tokio::test(start_paused = true)]
async fn a_version_that_a_client_cannot_call_completely_is_logged_once_per_boot() {
    let cluster = cluster().await;
    let lhr = cluster.node("lhr-0");
    let (log, _guard) = Log::collect(tracing::Level::INFO);
    let new: new::NotesClient = lhr.client();
    for _ in 0..5 {
        assert!(new.on_region("iad").find(vec![]).await.unwrap().is_none());
    }
    let lines = log.with(&["another version"]);
    assert_eq!(lines.len(), 1, "{lines:?}");
    for part in ["iad-0", "service=\"Notes\"", "find: it does not have the method"] {
        assert!(lines[0].contains(part), "{lines:?}");
    }
    let old: old::NotesClient = lhr.client();
    for _ in 0..5 {
        old.on_region("iad").drop_all().await.unwrap();
    }
    assert_eq!(log.with(&["another version", "iad-1", "drop_all"]).len(), 1, "{log:?}");
    assert_eq!(log.with(&["another version"]).len(), 2, "{log:?}");
}

#[tokio::test(start_paused = true)]
async fn a_withdrawn_service_is_one_event_and_one_log_line_within_one_message() {
    let cluster = cluster().await;
    let (lhr, iad) = (cluster.node("lhr-0"), cluster.node("iad-1"));
    let new = lhr.client::<new::NotesClient>().on_region("iad");
    new.find(vec![]).await.unwrap();
    let events = EventLog::of(&lhr);
    let (log, _guard) = Log::collect(tracing::Level::INFO);
    iad.set_serving::<new::NotesClient>(false);
    // The service is withdrawn before this call arrives.
    let error = new.find(vec![]).await.unwrap_err();
    assert!(matches!(error, RpcError::Refused { .. } | RpcError::NoNode { .. }), "{error:?}");
    assert!(!error.may_have_executed());
    // Calls that the other version supports are sent to the node of that version.
    for _ in 0..5 {
        let saved = lhr.client::<old::NotesClient>().on_region("iad");
        assert_eq!(saved.save(Note { text: "a".into() }).await.unwrap(), 1);
    }
    assert_eq!(peer_named(&lhr, "iad-1").withdrawn, ["Notes"]);
    assert_eq!(events.all(), ["support iad-1: supported"]);
    assert_eq!(log.with(&["iad-1", "withdrawn=[\"Notes\"]"]).len(), 2, "one per peer: {log:?}");
    iad.set_serving::<new::NotesClient>(true);
    sleep(millis(100)).await;
    new.find(vec![]).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_service_of_a_new_version_is_called_once_a_node_serves_it() {
    let cluster = SimCluster::builder()
        .region("iad", 2)
        .region("lhr", 1)
        .node("iad-0", Release::new())
        .node("iad-1", Release::new())
        .start()
        .await;
    sleep(secs(2)).await;
    let new = cluster.node("lhr-0").client::<new::NotesClient>().on_region("iad");
    let error = new.find(vec![]).await.unwrap_err();
    assert!(matches!(error, RpcError::Unsupported { why: Unsupported::Service, .. }), "{error:?}");
    assert_eq!(cluster.trace().calls().service("Notes").remote().to_region("iad").count(), 0);
    cluster.replace("iad-1", v2()).await;
    for _ in 0..10 {
        new.find(vec![]).await.unwrap();
    }
    // The service becomes unsupported again when the node is replaced by a release without it.
    cluster.replace("iad-1", Release::new()).await;
    let error = new.find(vec![]).await.unwrap_err();
    assert!(matches!(error, RpcError::Unsupported { why: Unsupported::Service, .. }), "{error:?}");
}
