//! Streams of nodes that have ended.

use std::sync::{Arc, Mutex};

use flyrpc::{Node, Nodes, RpcError, fly_rpc};

use super::{Load, PlaceClient, cluster_of, service::here};
use crate::support::{secs, sleep};

#[tokio::test(start_paused = true)]
async fn a_node_that_was_shut_down_yields_one_error() {
    let cluster = cluster_of(&[("iad", 3)], &Load::default()).start().await;
    let iad = cluster.node("iad-0");
    let place: PlaceClient = iad.client();
    cluster.shutdown("iad-0").await;
    for nodes in [Nodes::all(), Nodes::others(), Nodes::in_region("syd"), Nodes::one_per_region()] {
        let replies = place.each(nodes, |place| place.name()).collect().await;
        let [(node, Err(RpcError::ShutDown { service, method, .. }))] = &replies[..] else {
            panic!("{replies:?}")
        };
        assert_eq!((node, *service, *method), (iad.info(), "Place", "name"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_no_longer_exists_yields_one_error_without_its_name() {
    #[fly_rpc]
    trait Keep {
        /// Keeps a client of the node that runs the handler.
        async fn keep(&self);
    }

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Option<PlaceClient>>>);

    impl Keep for Kept {
        async fn keep(&self) {
            *self.0.lock().unwrap() = Some(flyrpc::context().client());
        }
    }

    let kept = Kept::default();
    let node = Node::builder().serve(ServeKeep::new(kept.clone())).serve(here("here"));
    let node = node.start().await.unwrap();
    node.client::<KeepClient>().keep().await.unwrap();
    let place = kept.0.lock().unwrap().take().unwrap();
    let replies = place.each(Nodes::all(), |place| place.name());
    assert_eq!(super::names(&replies.collect().await).len(), 1);
    drop(node);
    sleep(secs(1)).await;
    let replies = place.each(Nodes::all(), |place| place.name()).collect().await;
    let [(node, Err(RpcError::ShutDown { .. }))] = &replies[..] else { panic!("{replies:?}") };
    assert_eq!(node.name(), "");
}

#[tokio::test(start_paused = true)]
async fn the_calls_of_a_node_that_shuts_down_in_the_meantime_end() {
    let cluster = cluster_of(&[("iad", 70)], &Load::default()).start().await;
    let place: PlaceClient = cluster.node("iad-0").client();
    let replies = place.timeout(secs(60)).each(Nodes::others(), |place| place.work(30_000));
    let replies = tokio::spawn(replies.collect());
    sleep(secs(1)).await;
    cluster.shutdown("iad-0").await;
    sleep(secs(1)).await;
    assert!(replies.is_finished());
    let replies = replies.await.unwrap();
    assert_eq!(replies.len(), 69);
    for (at, (node, result)) in replies.iter().enumerate() {
        let error = result.as_ref().unwrap_err();
        match error {
            RpcError::Disconnected { .. } => assert!(at < 64, "{node}: {error}"),
            RpcError::ShutDown { .. } => assert!(at >= 64, "{node}: {error}"),
            error => panic!("{node}: {error:?}"),
        }
    }
}
