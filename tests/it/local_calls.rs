//! Local calls, which use no socket but otherwise behave like calls to other nodes.

use flyrpc::{Node, RpcError, Unsupported, fly_rpc};
use flyrpc_testkit::SimCluster;
use tokio::time::Instant;

use crate::support::{Counts, ProbeClient, iad_and_hkg, probe_cluster, secs, sleep};

/// The version of "Notes" that the nodes serve. Clients use the one in `new`.
mod old {
    use super::*;

    #[fly_rpc(name = "Notes")]
    pub(super) trait Notes {
        async fn add(&self, text: String) -> u64;
        async fn slow(&self, millis: u64) -> u64;
        async fn panic(&self);
        async fn gone(&self);
        async fn context(&self) -> (bool, u32, String);
        #[rpc(primary)]
        async fn write(&self);
        async fn number(&self) -> i64;
        async fn kind(&self, of: u64) -> u8;
    }

    pub(super) struct Served;

    impl Notes for Served {
        async fn add(&self, text: String) -> u64 {
            text.len() as u64
        }

        async fn slow(&self, millis: u64) -> u64 {
            sleep(std::time::Duration::from_millis(millis)).await;
            millis
        }

        async fn panic(&self) {
            panic!("of old");
        }

        async fn gone(&self) {}

        async fn context(&self) -> (bool, u32, String) {
            let context = flyrpc::context();
            (context.is_local(), context.attempt(), context.caller().name().to_owned())
        }

        async fn write(&self) {}

        async fn number(&self) -> i64 {
            -1
        }

        async fn kind(&self, of: u64) -> u8 {
            of as u8
        }
    }
}

mod new {
    use super::*;

    #[fly_rpc(name = "Notes")]
    pub(super) trait Notes {
        async fn number(&self) -> u64;
        async fn write(&self);
        async fn add(&self, text: String, tag: Option<String>) -> u64;
        async fn context(&self) -> (bool, u32, String);
        async fn slow(&self, millis: u64) -> u64;
        async fn panic(&self);
        async fn list(&self) -> Vec<String>;
        async fn kind(&self, of: String) -> u8;
    }
}

/// Starts iad-0 and hkg-0, which serve the old version. Clients use the new one.
async fn old_nodes() -> (SimCluster, Vec<Node>) {
    let cluster = SimCluster::builder().region("iad", 1).region("hkg", 1);
    let cluster = cluster.serve(|_| old::ServeNotes::new(old::Served)).start().await;
    sleep(secs(1)).await;
    let nodes = cluster.nodes();
    (cluster, nodes)
}

/// Outcomes of every kind are the same for a local call and a remote call.
#[tokio::test(start_paused = true)]
async fn another_version_of_the_trait_is_served_by_name_locally_and_remotely() {
    let (_cluster, nodes) = old_nodes().await;
    let notes: new::NotesClient = nodes[1].client();
    for (region, local) in [("hkg", true), ("iad", false)] {
        let notes = notes.on_region(region);
        assert_eq!(notes.add("four".into(), None).await.unwrap(), 4);
        assert_eq!(notes.context().await.unwrap(), (local, 1, "hkg-0".to_owned()));

        let error = notes.add("four".into(), Some("tag".into())).await.unwrap_err();
        let lacks = |error: &RpcError, what: &str| match error {
            RpcError::Unsupported { why: Unsupported::Arguments(detail), node, .. } => {
                node.region().as_str() == region && detail.contains(what)
            }
            _ => false,
        };
        assert!(lacks(&error, "tag"), "{error:?}");
        let error = notes.kind("a".into()).await.unwrap_err();
        assert!(lacks(&error, "of"), "{error:?}");
        assert!(!error.may_have_executed());

        let error = notes.list().await.unwrap_err();
        assert!(
            matches!(&error, RpcError::Unsupported { why: Unsupported::Method, .. }),
            "{region}: {error:?}"
        );
        let error = notes.number().await.unwrap_err();
        assert!(matches!(&error, RpcError::BadReply { encoded: true, .. }), "{error:?}");
        assert!(error.to_string().contains("could not be decoded"), "{error}");
        assert!(error.may_have_executed());

        let error = notes.panic().await.unwrap_err();
        assert!(matches!(&error, RpcError::Panicked { message, .. } if message == "of old"));
        let start = Instant::now();
        let error = notes.timeout(secs(2)).slow(60_000).await.unwrap_err();
        assert!(matches!(&error, RpcError::Timeout { sent: true, .. }), "{error:?}");
        assert_eq!(start.elapsed(), secs(2));
    }
}

#[tokio::test(start_paused = true)]
async fn a_method_that_the_serving_node_declares_primary_is_refused_locally_and_remotely() {
    let (_cluster, nodes) = old_nodes().await;
    let (iad, hkg) = (&nodes[0], &nodes[1]);
    for node in [iad, hkg] {
        let error = node.client::<new::NotesClient>().on_region("hkg").write().await.unwrap_err();
        assert!(matches!(error, RpcError::NotPrimary { .. }), "{error:?}");
        node.client::<new::NotesClient>().on_region("iad").write().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_selector_a_method_that_this_node_lacks_is_called_remotely() {
    let (_cluster, nodes) = old_nodes().await;
    let error = nodes[1].client::<new::NotesClient>().list().await.unwrap_err();
    assert!(matches!(error, RpcError::Unsupported { .. }), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn a_detached_local_call_outlives_its_caller_and_its_deadline() {
    let counts = Counts::default();
    let cluster = probe_cluster(&counts).region("iad", 1).start().await;
    let iad = cluster.node("iad-0");
    let probe: ProbeClient = iad.client();
    let error = probe.timeout(secs(1)).slow_and_detached(3_000).await.unwrap_err();
    assert!(matches!(error, RpcError::Timeout { sent: true, .. }), "{error:?}");
    let call = tokio::spawn(probe.slow_and_detached(3_000));
    sleep(secs(1)).await;
    call.abort();
    assert_eq!(counts.finished(), 0);
    sleep(secs(4)).await;
    assert_eq!((counts.started(), counts.finished()), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn an_error_of_the_methods_own_type_is_returned_locally_and_remotely() {
    let cluster = iad_and_hkg(&Counts::default()).await;
    let hkg = cluster.node("hkg-0");
    for region in ["iad", "hkg"] {
        let probe = hkg.client::<ProbeClient>().on_region(region);
        assert_eq!(probe.fail().await.unwrap(), Err("no".to_owned()));
        assert_eq!(probe.shout("a".into()).await.unwrap().0, "A");
    }
}
