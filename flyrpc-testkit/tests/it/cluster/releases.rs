use flyrpc::{NoSupport, RpcError, Support, Unsupported};
use flyrpc_testkit::Release;
use tokio::time::sleep;

use super::service::{Counter, builder, cluster, desk, ms, secs, v1, v2};

#[tokio::test(start_paused = true)]
async fn calls_go_to_the_nodes_whose_version_has_the_method() {
    let cluster = builder().node("iad-1", v2()).start().await;
    let desk_v1 = desk(&cluster, "hkg-0").on_region("iad");
    let desk_v2: super::service::v2::DeskClient = cluster.node("hkg-0").client();
    for _ in 0..20 {
        desk_v1.started().await.unwrap();
        assert_eq!(desk_v2.on_region("iad").version().await.unwrap(), 2);
        assert_eq!(desk_v2.on_region("iad").slow(1).await.unwrap(), 1);
    }
    let error = desk_v2.on_region("hkg").version().await.unwrap_err();
    assert!(matches!(error, RpcError::Unsupported { why: Unsupported::Method, .. }), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_release_for_all_nodes_does_not_replace_releases_of_single_nodes() {
    let cluster = builder().node("iad-1", v1()).release(v2()).start().await;
    let desk_v1 = desk(&cluster, "hkg-0").on_region("iad");
    let desk_v2: super::service::v2::DeskClient = cluster.node("hkg-0").client();
    assert_eq!(desk_v1.echo(vec![1]).await.unwrap(), [1]);
    assert_eq!(desk_v2.on_region("iad").version().await.unwrap(), 2);
    assert_eq!(desk_v2.on_region("hkg").version().await.unwrap(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_machine_without_flyrpc_is_listed_by_address_and_never_called() {
    let cluster = builder()
        .region("fra", 2)
        .node("hkg-0", Release::without_flyrpc())
        .node("fra-1", Release::http_server())
        .start()
        .await;
    let node = cluster.node("iad-0");
    let error = desk(&cluster, "iad-0").on_region("hkg").name().await.unwrap_err();
    assert!(matches!(error, RpcError::NoNode { .. }), "{error}");
    for _ in 0..20 {
        assert_eq!(desk(&cluster, "iad-0").on_region("fra").name().await.unwrap(), "fra-0");
    }
    let unsupported: Vec<_> = node
        .peers()
        .into_iter()
        .filter_map(|peer| match peer.support {
            Support::Unsupported(why) => Some(why),
            _ => None,
        })
        .collect();
    assert_eq!(unsupported.len(), 2, "{unsupported:?}");
    assert!(unsupported.iter().any(|why| matches!(why, NoSupport::Unreachable(_))));
    let not_flyrpc = unsupported.iter().find_map(|why| match why {
        NoSupport::NotFlyrpc(response) => Some(response.clone()),
        _ => None,
    });
    let is_http = not_flyrpc.is_some_and(|response| response.contains("HTTP/1.1 400"));
    assert!(is_http, "{unsupported:?}");
}

#[tokio::test(start_paused = true)]
async fn a_custom_program_can_replace_a_node() {
    let started = Counter::default();
    let counting = started.clone();
    let program = Release::program(move |env| {
        counting.add();
        async move {
            assert_eq!(env.name(), "hkg-0");
        }
    });
    let cluster = builder().node("hkg-0", program).start().await;
    cluster.crash("hkg-0");
    cluster.restart("hkg-0").await;
    assert_eq!(started.get(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_first_rollout_introduces_flyrpc_machine_by_machine() {
    let none = Release::without_flyrpc;
    let cluster = builder().node("iad-1", none()).node("hkg-0", none()).start().await;
    assert_eq!(cluster.nodes().len(), 1);
    cluster.roll(v1()).await;
    assert_eq!(cluster.nodes().len(), 3);
    assert_eq!(desk(&cluster, "iad-0").on_region("hkg").name().await.unwrap(), "hkg-0");
}

#[tokio::test(start_paused = true)]
async fn a_rollout_fails_no_call_to_a_region_with_two_nodes() {
    let cluster = cluster().await;
    let (calls, stop) = (Counter::default(), Counter::default());
    let load = async {
        let desk = desk(&cluster, "hkg-0").on_primary();
        while stop.get() == 0 {
            desk.slow(20).await.unwrap();
            calls.add();
        }
    };
    let roll = async {
        let mut rollout = cluster.roll(v2());
        assert_eq!(rollout.step().await.as_deref(), Some("iad-0"));
        assert_eq!(rollout.left(), ["iad-1", "hkg-0"]);
        assert_eq!(rollout.step().await.as_deref(), Some("iad-1"));
        stop.add();
        rollout.await;
    };
    tokio::join!(roll, load);
    assert!(calls.get() > 5, "{}", calls.get());
    let desk: super::service::v2::DeskClient = cluster.node("iad-0").client();
    for region in ["iad", "hkg"] {
        assert_eq!(desk.on_region(region).version().await.unwrap(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_was_down_during_a_rollout_restarts_with_the_new_release() {
    let cluster = cluster().await;
    cluster.crash("iad-1");
    cluster.roll(v2()).await;
    assert!(!cluster.is_up("iad-1"));
    cluster.restart("iad-1").await;
    cluster.settled().await;
    let desk: super::service::v2::DeskClient = cluster.node("hkg-0").client();
    let id = cluster.node("iad-1").id().clone();
    assert_eq!(desk.on_node(&id).version().await.unwrap(), 2);
}

#[tokio::test(start_paused = true)]
async fn calls_that_wait_for_a_node_survive_the_replacement_of_the_only_node() {
    let cluster = cluster().await;
    let hkg = desk(&cluster, "iad-0").on_region("hkg");
    let (replaced, call) = tokio::join!(cluster.replace("hkg-0", v1()), async {
        sleep(ms(300)).await;
        let at_once = hkg.name().await;
        assert!(
            matches!(at_once, Err(RpcError::NoNode { .. } | RpcError::Refused { .. })),
            "{at_once:?}"
        );
        hkg.wait(secs(4)).name().await
    });
    let () = replaced;
    assert_eq!(call.unwrap(), "hkg-0");
}
