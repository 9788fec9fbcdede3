//! Which nodes are called.

use flyrpc::{Node, NodeInfo, Nodes, Peer, Refusal, RpcError, Service, Unsupported, fly_rpc};
use flyrpc_testkit::{Release, SimCluster};
use tokio::time::Instant;

use super::{Load, PlaceClient, cluster_of, names, place, service::here};
use crate::support::{millis, node_names, node_on, secs, sleep, wait_until};

/// Two nodes in iad, which is 90 ms from fra and 200 ms from hkg.
const REGIONS: &[(&str, usize)] = &[("iad", 2), ("fra", 1), ("hkg", 1)];

fn sorted<T: std::fmt::Debug>(replies: &[(NodeInfo, Result<T, RpcError>)]) -> Vec<&str> {
    let mut names = names(replies);
    names.sort_unstable();
    names
}

#[tokio::test(start_paused = true)]
async fn all_nodes_reply_in_the_order_of_their_distance_and_this_one_in_process() {
    let cluster = cluster_of(REGIONS, &Load::default());
    let cluster = cluster.rtt("iad", "fra", millis(90)).rtt("iad", "hkg", millis(200));
    let cluster = cluster.start().await;
    let iad = cluster.node("iad-0");
    let place: PlaceClient = iad.client();
    let start = Instant::now();
    let mut replies = place.each(Nodes::all(), |place| place.echo(7));
    let mut arrived = Vec::new();
    while let Some((node, reply)) = replies.next().await {
        let (number, local) = reply.unwrap();
        assert_eq!((number, local), (7, node.id() == iad.id()));
        arrived.push((node.name().to_owned(), start.elapsed()));
    }
    let expected = [("iad-0", 0), ("iad-1", 1), ("fra-0", 90), ("hkg-0", 200)];
    let expected: Vec<_> =
        expected.map(|(name, after)| (name.to_owned(), millis(after))).into_iter().collect();
    assert_eq!(arrived, expected);
    assert!(replies.next().await.is_none(), "the stream stays at its end");
}

#[tokio::test(start_paused = true)]
async fn the_nodes_of_a_region_or_the_other_nodes_are_called() {
    let cluster = cluster_of(REGIONS, &Load::default()).start().await;
    let place: PlaceClient = cluster.node("iad-0").client();
    let name = |place: PlaceClient| place.name();
    let replies = place.each(Nodes::in_region("IAD"), name).collect().await;
    assert_eq!(names(&replies), ["iad-0", "iad-1"]);
    let replies = place.each(Nodes::in_region("hkg"), name).collect().await;
    assert_eq!(names(&replies), ["hkg-0"]);
    let replies = place.each(Nodes::others(), name).collect().await;
    assert_eq!(sorted(&replies), ["fra-0", "hkg-0", "iad-1"]);
    for nowhere in ["syd", ""] {
        let mut replies = place.each(Nodes::in_region(nowhere), name);
        assert!(replies.next().await.is_none(), "{nowhere:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_selectors_of_the_client_do_not_restrict_the_nodes() {
    let cluster = cluster_of(REGIONS, &Load::default()).start().await;
    let place: PlaceClient = cluster.node("iad-0").client();
    for client in [place.on_primary(), place.on_region("syd")] {
        let replies = client.each(Nodes::all(), |place| place.name()).collect().await;
        assert_eq!(names(&replies).len(), 4);
    }
}

#[tokio::test(start_paused = true)]
async fn nodes_without_the_service_are_not_called() {
    let client_only = Release::new().configure(|_, builder| builder.client_only(true));
    let cluster = cluster_of(&[("iad", 3), ("hkg", 1)], &Load::default());
    let cluster = cluster.node("iad-1", Release::new()).node("iad-2", client_only).start().await;
    for (caller, others) in [("iad-0", vec!["hkg-0"]), ("iad-2", vec!["hkg-0", "iad-0"])] {
        let caller = cluster.node(caller);
        assert_eq!(node_names(&caller, "iad").len(), 3);
        let place: PlaceClient = caller.client();
        let replies = place.each(Nodes::others(), |place| place.name()).collect().await;
        assert_eq!(sorted(&replies), others);
    }
    let nobody: PlaceClient = cluster.node("iad-1").client();
    let replies = nobody.each(Nodes::in_region("iad"), |place| place.name()).collect().await;
    assert_eq!(names(&replies), ["iad-0"]);
}

#[tokio::test(start_paused = true)]
async fn without_a_node_that_serves_the_service_the_stream_is_empty() {
    let cluster = cluster_of(&[("iad", 2)], &Load::default());
    let cluster = cluster.release(Release::new()).start().await;
    let place: PlaceClient = cluster.node("iad-0").client();
    for nodes in [Nodes::all(), Nodes::others(), Nodes::one_per_region()] {
        let replies = place.each(nodes, |place| place.name()).collect().await;
        assert!(replies.is_empty(), "{replies:?}");
    }
}

fn refusal<T>(result: &Result<T, RpcError>) -> Option<Refusal> {
    match result {
        Err(RpcError::Refused { reason, .. }) => Some(*reason),
        _ => None,
    }
}

#[tokio::test(start_paused = true)]
async fn held_and_draining_nodes_answer_that_they_refuse_the_call() {
    let cluster = cluster_of(&[("iad", 4)], &Load::default()).start().await;
    let iad = cluster.node("iad-0");
    let place: PlaceClient = iad.client();
    let draining = cluster.node("iad-2");
    // Keeps the node draining.
    let busy = tokio::spawn(place.on_node(draining.id()).work(3_000));
    sleep(secs(1)).await;
    cluster.node("iad-1").hold();
    let draining = tokio::spawn(async move { draining.drain().await });
    cluster.node("iad-3").set_serving::<PlaceClient>(false);
    sleep(secs(1)).await;
    let start = Instant::now();
    let mut replies = place.each(Nodes::all(), |place| place.name()).collect().await;
    assert_eq!(start.elapsed(), millis(0), "nothing was sent");
    replies.sort_by(|(a, _), (b, _)| a.name().cmp(b.name()));
    let refusals: Vec<_> = replies.iter().map(|(_, result)| refusal(result)).collect();
    let (held, draining_there) = (Some(Refusal::Held), Some(Refusal::Draining));
    assert_eq!(refusals, [None, held, draining_there, held]);
    for (node, result) in &replies {
        let named = result.as_ref().err().and_then(RpcError::node);
        assert!(named.is_none_or(|named| named == node), "{result:?}");
    }
    busy.await.unwrap().unwrap();
    draining.await.unwrap();
    // Without `each`, the call reports that there is no node which accepts it.
    let error = place.on_node(cluster.node("iad-1").id()).name().await.unwrap_err();
    assert!(matches!(error, RpcError::NoNode { .. }), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn a_held_node_calls_itself_and_can_be_waited_for() {
    let cluster = cluster_of(&[("iad", 2)], &Load::default()).start().await;
    let held = cluster.node("iad-0");
    held.hold();
    sleep(secs(1)).await;
    let replies = held.client::<PlaceClient>().each(Nodes::all(), |place| place.name());
    assert_eq!(names(&replies.collect().await), ["iad-0", "iad-1"]);
    let waiting: PlaceClient = cluster.node("iad-1").client();
    let replies = waiting.wait(secs(3)).each(Nodes::others(), |place| place.name());
    let replies = tokio::spawn(replies.collect());
    sleep(secs(2)).await;
    held.accept();
    assert_eq!(names(&replies.await.unwrap()), ["iad-0"]);
}

#[tokio::test(start_paused = true)]
async fn a_node_with_another_version_of_the_service_answers_what_it_lacks() {
    mod old {
        #[flyrpc::fly_rpc]
        pub(super) trait Place {
            async fn echo(&self) -> (u64, bool);
        }

        pub(super) struct Old;

        impl Place for Old {
            async fn echo(&self) -> (u64, bool) {
                (0, false)
            }
        }
    }

    let old = Release::new().serve(|_| old::ServePlace::new(old::Old));
    let cluster = cluster_of(&[("iad", 2)], &Load::default()).node("iad-1", old).start().await;
    let place: PlaceClient = cluster.node("iad-0").client();
    let name = place.each(Nodes::others(), |place| place.name()).collect().await;
    let echo = place.each(Nodes::others(), |place| place.echo(1)).collect().await;
    let [(node, Err(RpcError::Unsupported { why: Unsupported::Method, .. }))] = &name[..] else {
        panic!("{name:?}")
    };
    assert_eq!(node.name(), "iad-1");
    let [(_, Err(RpcError::Unsupported { why: Unsupported::Arguments(_), .. }))] = &echo[..] else {
        panic!("{echo:?}")
    };
    // The same on the node itself.
    let here: PlaceClient = cluster.node("iad-1").client();
    let name = here.each(Nodes::in_region("iad"), |place| place.name()).collect().await;
    let results: Vec<_> = name.iter().map(|(node, result)| (node.name(), result.is_ok())).collect();
    assert_eq!(results, [("iad-1", false), ("iad-0", true)]);
}

#[tokio::test(start_paused = true)]
async fn other_nodes_than_the_primary_refuse_a_method_of_the_primary() {
    let cluster = cluster_of(REGIONS, &Load::default()).start().await;
    let place: PlaceClient = cluster.node("hkg-0").client();
    for (node, result) in place.each(Nodes::all(), |place| place.write()).collect().await {
        match result {
            Ok(name) => assert!(name == node.name() && name.starts_with("iad-")),
            Err(RpcError::NotPrimary { node: by, .. }) => {
                assert!(by == node && !node.name().starts_with("iad-"), "{node}");
            }
            Err(error) => panic!("{error:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn nodes_are_selected_when_the_stream_is_first_polled() {
    let load = Load::default();
    let cluster = cluster_of(&[("iad", 1)], &load).start().await;
    let client: PlaceClient = cluster.node("iad-0").client();
    let early = client.each(Nodes::all(), |place| place.name());
    let mut polled = client.each(Nodes::all(), |place| place.work(3_000));
    assert!(tokio::time::timeout(secs(1), polled.next()).await.is_err(), "it is polled");
    cluster.add_node_with("iad", place(&load)).await;
    sleep(secs(1)).await;
    assert_eq!(names(&early.collect().await), ["iad-0", "iad-1"]);
    assert_eq!(names(&polled.collect().await), ["iad-0"]);
}

/// Starts hkg-9 while it takes over a second to open a link between it and iad-0, and waits until iad-0 knows it from
/// the gossip of fra-0. Also returns the client of iad-0.
async fn with_unlinked_node<S: Service>(service: S) -> (SimCluster, Node, PlaceClient) {
    let cluster = cluster_of(&[("iad", 1), ("fra", 1)], &Load::default()).start().await;
    let iad = cluster.node("iad-0");
    let env = cluster.add_host("hkg-9", "hkg");
    cluster.slow("iad-0", "hkg-9", millis(500)).keep();
    let node = node_on(&env).seeds([cluster.node("fra-0").addr()]).serve(service);
    let node = node.start().await.unwrap();
    wait_until(&iad, || !iad.nodes_in("hkg").is_empty()).await;
    let linked = |peer: &Peer| peer.node.as_ref() == Some(node.info()) && !peer.services.is_empty();
    assert!(!iad.peers().iter().any(linked), "the link is not open yet");
    (cluster, node, iad.client())
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_not_linked_yet_is_called_once_it_is() {
    let (_cluster, _node, place) = with_unlinked_node(here("hkg-9")).await;
    let replies = place.timeout(secs(30)).each(Nodes::others(), |place| place.name());
    assert_eq!(names(&replies.collect().await), ["fra-0", "hkg-9"]);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_turns_out_not_to_serve_the_service_is_left_out() {
    #[fly_rpc]
    trait Unrelated {
        async fn nothing(&self);
    }

    struct Nothing;

    impl Unrelated for Nothing {
        async fn nothing(&self) {}
    }

    for nodes in [Nodes::others(), Nodes::one_per_region(), Nodes::in_region("hkg")] {
        let unrelated = ServeUnrelated::new(Nothing);
        let (_cluster, _node, place) = with_unlinked_node(unrelated).await;
        let start = Instant::now();
        let replies = place.timeout(secs(30)).each(nodes, |place| place.name()).collect().await;
        assert!(!names(&replies).contains(&"hkg-9"), "{replies:?}");
        assert!(start.elapsed() > secs(1), "its link was waited for");
    }
}
