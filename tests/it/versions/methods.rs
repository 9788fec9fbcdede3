//! Differences between versions that are detected before a call is sent.

use flyrpc::{RpcError, Unsupported, fly_rpc};
use flyrpc_testkit::{Release, SimCluster};
use tokio::time::Instant;

use crate::support::{millis, peer_named, secs, sleep};

mod first {
    use super::*;

    #[fly_rpc(name = "Notes")]
    pub(super) trait Notes {
        async fn add(&self, text: String) -> String;
        async fn count(&self) -> u64;
        async fn edit(&self, text: String, at: u64) -> u64;
    }

    pub(super) struct Served;

    impl Notes for Served {
        async fn add(&self, text: String) -> String {
            format!("first {text}")
        }

        async fn count(&self) -> u64 {
            1
        }

        async fn edit(&self, text: String, at: u64) -> u64 {
            at + text.len() as u64
        }
    }
}

mod second {
    use super::*;

    #[fly_rpc(name = "Notes")]
    pub(super) trait Notes {
        async fn list(&self) -> Vec<String>;
        async fn edit(&self, at: u64, text: String) -> u64;
        async fn add(&self, text: String, tag: Option<String>) -> String;
        async fn count(&self, of: String) -> u64;
    }

    pub(super) struct Served;

    impl Notes for Served {
        async fn list(&self) -> Vec<String> {
            vec!["second".to_owned()]
        }

        async fn edit(&self, at: u64, text: String) -> u64 {
            at + text.len() as u64
        }

        async fn add(&self, text: String, tag: Option<String>) -> String {
            format!("second {text} {tag:?}")
        }

        async fn count(&self, of: String) -> u64 {
            of.len() as u64
        }
    }
}

fn v1() -> Release {
    Release::new().serve(|_| first::ServeNotes::new(first::Served))
}

fn v2() -> Release {
    Release::new().serve(|_| second::ServeNotes::new(second::Served))
}

/// Starts the given nodes, each with its release, and lhr-0, which serves nothing.
async fn cluster<const N: usize>(nodes: [(&str, Release); N]) -> SimCluster {
    let cluster = nodes.into_iter().fold(SimCluster::builder(), |cluster, (name, release)| {
        cluster.region(&name[..3], 1).node(name, release)
    });
    cluster.region("lhr", 1).start().await
}

fn unsupported(outcome: Result<impl std::fmt::Debug, RpcError>) -> Unsupported {
    match outcome {
        Err(RpcError::Unsupported { why, .. }) => why,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn names_are_the_identity_of_methods_and_arguments() {
    let cluster = cluster([("iad-0", v1()), ("hkg-0", v2())]).await;
    let caller = cluster.node("lhr-0");
    let (old, new) =
        (caller.client::<first::NotesClient>(), caller.client::<second::NotesClient>());
    assert_eq!(old.on_region("hkg").edit("four".into(), 3).await.unwrap(), 7);
    assert_eq!(new.on_region("iad").edit(3, "four".into()).await.unwrap(), 7);
    assert_eq!(old.on_region("hkg").add("a".into()).await.unwrap(), "second a None");
    assert_eq!(new.on_region("iad").add("a".into(), None).await.unwrap(), "first a");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_no_node_supports_fails_before_it_is_sent() {
    let cluster = cluster([("iad-0", v1()), ("hkg-0", v2()), ("syd-0", Release::new())]).await;
    let caller = cluster.node("lhr-0");
    sleep(secs(2)).await;
    let (old, new) =
        (caller.client::<first::NotesClient>(), caller.client::<second::NotesClient>());
    let start = Instant::now();
    assert_eq!(unsupported(new.on_region("iad").list().await), Unsupported::Method);
    assert_eq!(unsupported(new.on_region("syd").list().await), Unsupported::Service);
    let Unsupported::Arguments(detail) = unsupported(old.on_region("hkg").count().await) else {
        panic!()
    };
    assert!(detail.contains("of"), "{detail}");
    let Unsupported::Arguments(detail) = unsupported(new.on_region("iad").count("a".into()).await)
    else {
        panic!()
    };
    assert!(detail.contains("of"), "{detail}");
    let tagged = new.on_region("iad").add("a".into(), Some("tag".into())).await;
    let Unsupported::Arguments(detail) = unsupported(tagged) else { panic!() };
    assert!(detail.contains("tag"), "{detail}");
    assert_eq!(start.elapsed(), millis(0));
}

#[tokio::test(start_paused = true)]
async fn calls_are_sent_to_the_nodes_of_a_region_that_support_them() {
    let cluster = cluster([("iad-0", v1()), ("iad-1", Release::new()), ("iad-2", v2())]).await;
    let caller = cluster.node("lhr-0");
    sleep(secs(2)).await;
    let (old, new) =
        (caller.client::<first::NotesClient>(), caller.client::<second::NotesClient>());
    for _ in 0..20 {
        assert_eq!(old.on_region("iad").count().await.unwrap(), 1);
        assert_eq!(new.on_region("iad").count("four".into()).await.unwrap(), 4);
        // A call with a value that the first node does not support is retried on the other node.
        // The first node does not execute it.
        let tagged = new.on_region("iad").add("a".into(), Some("t".into())).await.unwrap();
        assert_eq!(tagged, "second a Some(\"t\")");
        // Without a selector, the nearest node that supports the method is called.
        assert_eq!(new.list().await.unwrap(), ["second"]);
    }
}

#[tokio::test(start_paused = true)]
async fn peers_list_the_services_of_each_node() {
    let cluster = cluster([("iad-0", v1())]).await;
    let caller = cluster.node("lhr-0");
    let services = peer_named(&caller, "iad-0").services;
    let methods: Vec<_> = services[0].methods.iter().map(ToString::to_string).collect();
    assert_eq!(services[0].name, "Notes");
    assert_eq!(
        methods,
        ["add(text: String) -> String", "count() -> u64", "edit(text: String, at: u64) -> u64"]
    );
    assert!(peer_named(&caller, "iad-0").round_trip.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_node_replaced_by_a_compatible_one_is_called_at_once() {
    let cluster = cluster([("iad-0", v1())]).await;
    let caller = cluster.node("lhr-0");
    let new: second::NotesClient = caller.client();
    assert_eq!(unsupported(new.on_region("iad").list().await), Unsupported::Method);
    cluster.replace("iad-0", v2()).await;
    sleep(secs(2)).await;
    assert_eq!(new.on_region("iad").list().await.unwrap(), ["second"]);
    let methods = &peer_named(&caller, "iad-0").services[0].methods;
    assert!(methods.iter().any(|method| method.name == "list"));
}

#[tokio::test(start_paused = true)]
async fn an_unsupported_value_fails_only_its_call() {
    let cluster = cluster([("iad-0", v1())]).await;
    let caller = cluster.node("lhr-0");
    let new = caller.client::<second::NotesClient>().on_region("iad");
    for _ in 0..3 {
        unsupported(new.add("a".into(), Some("t".into())).await);
        assert_eq!(new.add("a".into(), None).await.unwrap(), "first a");
    }
}
