//! Nodes of different versions, found out before they are called.

use flyrpc::{Node, RpcError, Unsupported, fly_rpc};
use tokio::time::Instant;

use crate::support::{World, millis, peer, secs, sleep};

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

async fn start(world: &mut World, name: &str, version: u32) -> Node {
    let (_, builder) = world.builder(name, &name[..3]);
    let builder = match version {
        0 => builder,
        1 => builder.serve(first::ServeNotes::new(first::Served)),
        _ => builder.serve(second::ServeNotes::new(second::Served)),
    };
    let node = builder.start().await.unwrap();
    node.ready().await;
    node
}

fn why(outcome: Result<impl std::fmt::Debug, RpcError>) -> Unsupported {
    match outcome {
        Err(RpcError::Unsupported { why, .. }) => why,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn names_are_the_identity_of_methods_and_arguments() {
    let mut world = World::new();
    let _old = start(&mut world, "iad-0", 1).await;
    let _new = start(&mut world, "hkg-0", 2).await;
    let caller = start(&mut world, "lhr-0", 0).await;
    let (old, new) =
        (caller.client::<first::NotesClient>(), caller.client::<second::NotesClient>());
    assert_eq!(old.on_region("hkg").edit("four".into(), 3).await.unwrap(), 7);
    assert_eq!(new.on_region("iad").edit(3, "four".into()).await.unwrap(), 7);
    assert_eq!(old.on_region("hkg").add("a".into()).await.unwrap(), "second a None");
    assert_eq!(new.on_region("iad").add("a".into(), None).await.unwrap(), "first a");
}

#[tokio::test(start_paused = true)]
async fn what_a_node_lacks_is_said_before_it_is_called() {
    let mut world = World::new();
    let _old = start(&mut world, "iad-0", 1).await;
    let _new = start(&mut world, "hkg-0", 2).await;
    let _none = start(&mut world, "syd-0", 0).await;
    let caller = start(&mut world, "lhr-0", 0).await;
    sleep(secs(2)).await;
    let (old, new) =
        (caller.client::<first::NotesClient>(), caller.client::<second::NotesClient>());
    let start = Instant::now();
    assert_eq!(why(new.on_region("iad").list().await), Unsupported::Method);
    assert_eq!(why(new.on_region("syd").list().await), Unsupported::Service);
    let Unsupported::Arguments(detail) = why(old.on_region("hkg").count().await) else { panic!() };
    assert!(detail.contains("of"), "{detail}");
    let Unsupported::Arguments(detail) = why(new.on_region("iad").count("a".into()).await) else {
        panic!()
    };
    assert!(detail.contains("of"), "{detail}");
    let tagged = new.on_region("iad").add("a".into(), Some("tag".into())).await;
    let Unsupported::Arguments(detail) = why(tagged) else { panic!() };
    assert!(detail.contains("tag"), "{detail}");
    assert_eq!(start.elapsed(), millis(0));
}

#[tokio::test(start_paused = true)]
async fn calls_go_to_the_nodes_of_a_region_that_can_serve_them() {
    let mut world = World::new();
    let _old = start(&mut world, "iad-0", 1).await;
    let _none = start(&mut world, "iad-1", 0).await;
    let _new = start(&mut world, "iad-2", 2).await;
    let caller = start(&mut world, "lhr-0", 0).await;
    sleep(secs(2)).await;
    let (old, new) =
        (caller.client::<first::NotesClient>(), caller.client::<second::NotesClient>());
    for _ in 0..20 {
        assert_eq!(old.on_region("iad").count().await.unwrap(), 1);
        assert_eq!(new.on_region("iad").count("four".into()).await.unwrap(), 4);
        // One that only some values fit is tried on the other without being executed.
        let tagged = new.on_region("iad").add("a".into(), Some("t".into())).await.unwrap();
        assert_eq!(tagged, "second a Some(\"t\")");
        // Nowhere said, it goes to the nearest that fits.
        assert_eq!(new.list().await.unwrap(), ["second"]);
    }
}

#[tokio::test(start_paused = true)]
async fn peers_show_what_each_node_serves() {
    let mut world = World::new();
    let _old = start(&mut world, "iad-0", 1).await;
    let caller = start(&mut world, "lhr-0", 0).await;
    let services = peer(&caller, "iad-0").services;
    let methods: Vec<_> = services[0].methods.iter().map(ToString::to_string).collect();
    assert_eq!(services[0].name, "Notes");
    assert_eq!(
        methods,
        ["add(text: String) -> String", "count() -> u64", "edit(text: String, at: u64) -> u64"]
    );
    assert!(peer(&caller, "iad-0").round_trip.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_replaced_by_one_that_fits_counts_at_once() {
    let mut world = World::new();
    let old = start(&mut world, "iad-0", 1).await;
    let caller = start(&mut world, "lhr-0", 0).await;
    let new: second::NotesClient = caller.client();
    assert_eq!(why(new.on_region("iad").list().await), Unsupported::Method);
    old.shutdown().await;
    let env = world.net.restart("iad-0");
    let builder = world.builder_on(&env, "iad-0", "iad");
    let node = builder.serve(second::ServeNotes::new(second::Served)).start().await.unwrap();
    node.ready().await;
    sleep(secs(2)).await;
    assert_eq!(new.on_region("iad").list().await.unwrap(), ["second"]);
    let methods = &peer(&caller, "iad-0").services[0].methods;
    assert!(methods.iter().any(|method| method.name == "list"));
}

#[tokio::test(start_paused = true)]
async fn a_mismatch_of_one_value_fails_that_call_only() {
    let mut world = World::new();
    let _old = start(&mut world, "iad-0", 1).await;
    let caller = start(&mut world, "lhr-0", 0).await;
    let new = caller.client::<second::NotesClient>().on_region("iad");
    for _ in 0..3 {
        why(new.add("a".into(), Some("t".into())).await);
        assert_eq!(new.add("a".into(), None).await.unwrap(), "first a");
    }
}
