//! A node whose tasks are gone: its host crashed, or its runtime was shut down, and somebody still
//! holds it. Nobody may wait for it.

use flyrpc::{Node, RpcError};
use futures_util::future;
use tokio::{task::JoinHandle, time::Instant};

use crate::support::{ProbeClient, Prober, ServeProbe, World, millis, names, secs, sleep};

/// iad-0 and hkg-0, which know each other.
async fn two(world: &mut World) -> (Node, Node) {
    let iad = world.start("iad-0", "iad").await;
    let hkg = world.start("hkg-0", "hkg").await;
    sleep(secs(5)).await;
    (iad, hkg)
}

/// Crashes hkg-0, and lets its tasks be dropped.
async fn crash(world: &World) {
    world.net.crash("hkg-0");
    tokio::task::yield_now().await;
}

/// The error of a call that ends without time passing.
async fn error_at_once<T>(call: JoinHandle<Result<T, RpcError>>) -> RpcError {
    let start = Instant::now();
    let Err(error) = call.await.unwrap() else { panic!("it came through") };
    assert_eq!(start.elapsed(), millis(0));
    error
}

#[tokio::test(start_paused = true)]
async fn calls_through_a_crashed_node_fail_at_once() {
    let mut world = World::new();
    let (iad, hkg) = two(&mut world).await;
    let probe: ProbeClient = hkg.client();
    crash(&world).await;
    let aims = [probe.clone(), probe.on_region("hkg"), probe.on_region("iad"), probe.on_primary()];
    for aim in aims.into_iter().chain([probe.on_node(iad.id()), probe.on_node(hkg.id())]) {
        for aim in [aim.clone(), aim.wait(secs(60)).timeout(secs(60))] {
            let error = error_at_once(tokio::spawn(aim.shout("a".into()))).await;
            assert!(matches!(error, RpcError::ShutDown { .. }), "{error:?}");
        }
    }
    assert_eq!(world.counts.begun(), 0);
}

#[tokio::test(start_paused = true)]
async fn calls_under_way_elsewhere_are_disconnected_by_the_crash_of_their_node() {
    let mut world = World::new();
    let (_iad, hkg) = two(&mut world).await;
    let probe = hkg.client::<ProbeClient>().on_region("iad").timeout(secs(600));
    let running = tokio::spawn(probe.slow(60_000));
    sleep(secs(1)).await;
    let on_its_way = tokio::spawn(probe.slow_but_repeatable(60_000));
    let nowhere = tokio::spawn(probe.on_region("syd").wait(secs(60)).slow(1));
    sleep(millis(1)).await;
    crash(&world).await;
    for call in [running, on_its_way] {
        let error = error_at_once(call).await;
        assert!(matches!(error, RpcError::Disconnected { sent: true, .. }), "{error:?}");
    }
    let error = error_at_once(nowhere).await;
    assert!(matches!(error, RpcError::ShutDown { .. }), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_request_the_crash_kept_from_the_socket_has_not_executed() {
    let mut world = World::new();
    let (_iad, hkg) = two(&mut world).await;
    let probe = hkg.client::<ProbeClient>().on_region("iad");
    let start = Instant::now();
    let crash = async { world.net.crash("hkg-0") };
    let (outcome, ()) = future::join(probe.shout("a".into()), crash).await;
    let error = outcome.unwrap_err();
    assert!(!error.may_have_executed(), "{error:?}");
    assert_eq!(start.elapsed(), millis(0));
    sleep(secs(1)).await;
    assert_eq!(world.counts.begun(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_call_here_goes_on_after_the_crash_unless_it_runs_in_a_task_of_the_node() {
    let mut world = World::new();
    let (_iad, hkg) = two(&mut world).await;
    let probe = hkg.client::<ProbeClient>().timeout(secs(60));
    let here = tokio::spawn(probe.slow(2_000));
    let detached = tokio::spawn(probe.slow_and_detached(2_000));
    sleep(secs(1)).await;
    crash(&world).await;
    let error = error_at_once(detached).await;
    assert!(matches!(error, RpcError::Disconnected { sent: true, .. }), "{error:?}");
    assert_eq!(here.await.unwrap().unwrap(), 2_000);
    assert_eq!((world.counts.begun(), world.counts.ended()), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_for_a_crashed_node_is_released() {
    let mut world = World::new();
    let (iad, hkg) = two(&mut world).await;
    let probe = iad.client::<ProbeClient>().on_node(hkg.id()).timeout(secs(60));
    let served = tokio::spawn(probe.slow(60_000));
    sleep(millis(500)).await;
    let mut events = hkg.events();
    let draining = tokio::spawn({
        let hkg = hkg.clone();
        async move { hkg.drain().await }
    });
    sleep(millis(500)).await;
    let start = Instant::now();
    crash(&world).await;
    draining.await.unwrap();
    while events.next().await.is_some() {}
    hkg.ready().await;
    hkg.drain().await;
    hkg.shutdown().await;
    hkg.shutdown().await;
    assert_eq!(start.elapsed(), millis(0));
    let error = served.await.unwrap().unwrap_err();
    assert!(matches!(error, RpcError::Disconnected { sent: true, .. }), "{error:?}");
    assert_eq!(names(&iad, "hkg"), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_that_a_crash_overtakes_ends() {
    let mut world = World::new();
    let (_iad, hkg) = two(&mut world).await;
    let start = Instant::now();
    world.net.crash("hkg-0");
    hkg.shutdown().await;
    assert_eq!(start.elapsed(), millis(0));
}

#[test]
fn a_node_whose_runtime_is_gone_is_shut_down() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (first, second) = (runtime(), runtime());
    let prober = Prober { name: "a".to_owned(), counts: Default::default() };
    let builder = Node::builder().serve(ServeProbe::new(prober));
    let node = first.block_on(builder.start()).unwrap();
    let probe: ProbeClient = node.client();
    first.block_on(probe.shout("a".into())).unwrap();
    let mut events = node.events();
    drop(first);
    second.block_on(async {
        let error = probe.shout("a".into()).await.unwrap_err();
        assert!(matches!(error, RpcError::ShutDown { .. }), "{error:?}");
        assert_eq!(events.next().await, None);
        node.shutdown().await;
    });
}
