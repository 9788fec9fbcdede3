use flyrpc::{PeerState, StartError};
use flyrpc_testkit::SimCluster;
use tokio::time::Instant;

use super::service::{Clerk, Counter, ServeDesk, builder, cluster, desk, ms, secs};

#[tokio::test(start_paused = true)]
async fn nodes_are_named_by_region_and_index() {
    let cluster = cluster().await;
    assert_eq!(cluster.names(), ["iad-0", "iad-1", "hkg-0"]);
    for name in cluster.names() {
        assert_eq!(cluster.node(&name).id().name(), name);
    }
    assert_eq!(*cluster.node("hkg-0").region(), "hkg");
    assert_eq!(*cluster.node("hkg-0").primary_region(), "iad");
    assert!(cluster.node("iad-1").is_primary());
}

#[tokio::test(start_paused = true)]
async fn all_nodes_are_linked_once_the_cluster_has_started() {
    let cluster = builder().region("fra", 3).region("nrt", 2).start().await;
    for node in cluster.nodes() {
        let peers = node.peers();
        let linked = peers.iter().filter(|peer| peer.state == PeerState::Linked).count();
        assert_eq!(linked, 7, "{node:?} has peers {peers:#?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_call_takes_exactly_the_round_trip() {
    let cluster = cluster().await;
    for (from, to, round_trip) in
        [("hkg-0", "iad", 202), ("iad-0", "hkg", 202), ("iad-1", "iad-0", 1), ("iad-0", "iad", 0)]
    {
        let desk = desk(&cluster, from);
        let desk = match to.contains('-') {
            true => desk.on_node(cluster.node(to).id()),
            false => desk.on_region(to),
        };
        let start = Instant::now();
        let name = desk.name().await.unwrap();
        assert!(name.starts_with(to), "{name} is not in {to}");
        assert_eq!(start.elapsed(), ms(round_trip), "{from} to {to}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_set_round_trip_replaces_the_measured_one() {
    let cluster = builder().region("lab", 1).rtt("lab", "iad", ms(7)).rtt("hkg", "lab", ms(10));
    let cluster = cluster.start().await;
    let start = Instant::now();
    desk(&cluster, "lab-0").on_region("iad").name().await.unwrap();
    assert_eq!(start.elapsed(), ms(7));
}

#[tokio::test(start_paused = true)]
async fn a_thousand_concurrent_calls_take_one_round_trip() {
    let cluster = cluster().await;
    let desk = desk(&cluster, "hkg-0").on_region("iad");
    let start = Instant::now();
    let calls: Vec<_> = (0..1_000).map(|_| tokio::spawn(desk.name())).collect();
    for call in calls {
        call.await.unwrap().unwrap();
    }
    assert_eq!(start.elapsed(), ms(202));
}

#[tokio::test(start_paused = true)]
async fn the_first_region_is_primary_unless_another_is_set() {
    let cluster = builder().primary("hkg").start().await;
    assert_eq!(*cluster.primary_region(), "hkg");
    let desk = desk(&cluster, "iad-0");
    assert_eq!(desk.on_primary().name().await.unwrap(), "hkg-0");
}

#[tokio::test(start_paused = true)]
async fn a_region_added_twice_has_the_nodes_of_both_calls() {
    let cluster = builder().region("IAD", 1).start().await;
    assert_eq!(cluster.names(), ["iad-0", "iad-1", "iad-2", "hkg-0"]);
}

#[tokio::test(start_paused = true)]
async fn nodes_can_be_configured_one_by_one() {
    let cluster = builder()
        .configure(|node, builder| match node.name() {
            "iad-1" => builder.hold(),
            _ => builder,
        })
        .start()
        .await;
    let desk = desk(&cluster, "hkg-0").on_region("iad");
    for _ in 0..20 {
        assert_eq!(desk.name().await.unwrap(), "iad-0");
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_receives_the_environment_of_its_node() {
    let cluster = SimCluster::builder()
        .region("iad", 1)
        .region("hkg", 1)
        .serve(|node| {
            let about = format!("{} {} {}", node.name(), node.env().name(), node.is_primary());
            ServeDesk::new(Clerk::new(&about))
        })
        .start()
        .await;
    let desk = desk(&cluster, "iad-0");
    assert_eq!(desk.on_region("hkg").name().await.unwrap(), "hkg-0 hkg-0 false");
    assert_eq!(desk.on_region("iad").name().await.unwrap(), "iad-0 iad-0 true");
}

#[tokio::test(start_paused = true)]
async fn every_boot_uses_the_custom_start_function() {
    let booted = Counter::default();
    let counting = booted.clone();
    let cluster = SimCluster::builder()
        .region("iad", 2)
        .configure(|_, builder| builder.hold())
        .boot(move |node, builder| {
            counting.add();
            async move {
                let clerk = Clerk::new(node.name());
                let node = builder.serve(ServeDesk::new(clerk)).start().await?;
                node.accept();
                Ok::<_, StartError>(node)
            }
        })
        .start()
        .await;
    assert_eq!(booted.get(), 2);
    cluster.crash("iad-1");
    cluster.restart("iad-1").await;
    assert_eq!(booted.get(), 3);
    let id = cluster.node("iad-1").id().clone();
    assert_eq!(desk(&cluster, "iad-0").on_node(&id).name().await.unwrap(), "iad-1");
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "node `iad-0` cannot start: no disk")]
async fn a_boot_that_fails_panics_with_its_error() {
    SimCluster::builder().region("iad", 1).boot(|_, _| async { Err("no disk") }).start().await;
}

#[tokio::test(start_paused = true)]
async fn starting_takes_less_than_five_seconds_of_the_clusters_time() {
    let start = Instant::now();
    cluster().await;
    assert!(start.elapsed() < secs(5), "{:?}", start.elapsed());
}

#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
struct Point {
    x: i32,
    /// Lost when the point is encoded.
    #[serde(skip)]
    y: i32,
}

#[flyrpc::fly_rpc]
trait Points {
    /// Returns its argument.
    async fn same(&self, point: Point) -> Point;
}

struct Plane;

impl Points for Plane {
    async fn same(&self, point: Point) -> Point {
        point
    }
}

#[tokio::test(start_paused = true)]
async fn forcing_the_wire_detects_types_that_do_not_survive_encoding() {
    for (force, expected) in [(false, Point { x: 1, y: 2 }), (true, Point { x: 1, y: 0 })] {
        let cluster = SimCluster::builder()
            .region("iad", 1)
            .force_wire(force)
            .serve(|_| ServePoints::new(Plane))
            .start()
            .await;
        let points: PointsClient = cluster.node("iad-0").client();
        let start = Instant::now();
        assert_eq!(points.same(Point { x: 1, y: 2 }).await.unwrap(), expected, "forced: {force}");
        assert_eq!(start.elapsed(), ms(0));
    }
}
