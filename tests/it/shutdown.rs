//! Taking and giving up traffic, ending in good order, and ending at once.

use flyrpc::{PeerState, RpcError};
use tokio::{runtime::Handle, time::Instant};

use crate::support::{EventLog, ProbeClient, World, millis, names, peer, secs, sleep};

#[tokio::test(start_paused = true)]
async fn a_held_node_is_known_and_takes_no_call_until_it_accepts() {
    let mut world = World::new();
    let (_, builder) = world.builder("iad-0", "iad");
    let iad = builder.hold().serve(world.prober("iad-0")).start().await.unwrap();
    let hkg = world.start("hkg-0", "hkg").await;
    let probe = hkg.client::<ProbeClient>().on_region("iad");
    let start = Instant::now();
    let error = probe.shout("a".into()).await.unwrap_err();
    assert!(
        matches!(error, RpcError::NoNode { known, .. } if known.not_accepting == 1),
        "{error:?}"
    );
    assert_eq!(start.elapsed(), millis(0));
    assert_eq!(names(&hkg, "iad"), ["iad-0"]);
    assert!(!peer(&hkg, "iad-0").accepting);
    let waiting = tokio::spawn(probe.timeout(secs(60)).wait(secs(30)).shout("a".into()));
    sleep(secs(3)).await;
    // Its own calls to itself are not traffic from others.
    iad.client::<ProbeClient>().on_region("iad").shout("a".into()).await.unwrap();
    assert_eq!(world.counts.begun(), 1);
    iad.accept();
    sleep(millis(102)).await;
    assert!(peer(&hkg, "iad-0").accepting);
    probe.shout("a".into()).await.unwrap();
    waiting.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_service_is_given_up_and_taken_up_within_one_message() {
    let mut world = World::new();
    let iad = world.start("iad-0", "iad").await;
    let _other = world.start("iad-1", "iad").await;
    let hkg = world.start("hkg-0", "hkg").await;
    sleep(secs(2)).await;
    let probe: ProbeClient = hkg.client();
    iad.set_serving::<ProbeClient>(false);
    // Also the calls that are under way when it says so are taken by the other.
    for _ in 0..20 {
        assert_eq!(probe.on_region("iad").shout("a".into()).await.unwrap().1, "iad-1");
    }
    assert_eq!(peer(&hkg, "iad-0").withdrawn, ["Probe"]);
    let error = probe.on_node(iad.id()).shout("a".into()).await.unwrap_err();
    assert!(matches!(error, RpcError::NoNode { .. } | RpcError::Refused { .. }), "{error:?}");
    iad.set_serving::<ProbeClient>(true);
    sleep(millis(102)).await;
    probe.on_node(iad.id()).shout("a".into()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_draining_node_finishes_what_runs_and_its_own_calls_still_work() {
    let mut world = World::new();
    let iad = world.start("iad-0", "iad").await;
    let _other = world.start("iad-1", "iad").await;
    let hkg = world.start("hkg-0", "hkg").await;
    sleep(secs(2)).await;
    let probe: ProbeClient = hkg.client();
    let running = tokio::spawn(probe.on_node(iad.id()).slow(2_000));
    let detached = probe.on_node(iad.id()).timeout(millis(500)).slow_and_detached(3_000);
    assert!(matches!(detached.await, Err(RpcError::Timeout { .. })));
    let start = Instant::now();
    let draining = tokio::spawn({
        let iad = iad.clone();
        async move { iad.drain().await }
    });
    sleep(millis(1)).await;
    for _ in 0..5 {
        assert_eq!(probe.on_region("iad").shout("a".into()).await.unwrap().1, "iad-1");
    }
    let own: ProbeClient = iad.client();
    own.on_region("hkg").shout("a".into()).await.unwrap();
    own.on_region("iad").shout("a".into()).await.unwrap();
    draining.await.unwrap();
    // The detached one has 2,601 ms left, counted from when it started.
    assert!((millis(2_400)..millis(2_800)).contains(&start.elapsed()), "{:?}", start.elapsed());
    assert_eq!(running.await.unwrap().unwrap(), 2_000);
    own.on_region("hkg").shout("a".into()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_drain_ends_at_its_timeout() {
    let mut world = World::new();
    let (_, builder) = world.builder("iad-0", "iad");
    let builder = builder.serve(world.prober("iad-0")).drain_timeout(secs(2));
    let iad = builder.start().await.unwrap();
    let hkg = world.start("hkg-0", "hkg").await;
    let probe = hkg.client::<ProbeClient>().on_region("iad").timeout(secs(60));
    let call = tokio::spawn(probe.slow(30_000));
    sleep(secs(1)).await;
    let start = Instant::now();
    iad.drain().await;
    assert_eq!(start.elapsed(), secs(2));
    iad.shutdown().await;
    let error = call.await.unwrap().unwrap_err();
    let RpcError::Disconnected { sent: true, source, .. } = &error else { panic!("{error:?}") };
    assert!(source.to_string().contains("drain timeout"), "{source}");
    assert!(start.elapsed() < secs(6), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_finishes_large_replies_and_calls_made_here() {
    let mut world = World::new();
    let iad = world.start("iad-0", "iad").await;
    let hkg = world.start("hkg-0", "hkg").await;
    let probe = hkg.client::<ProbeClient>().on_region("iad").timeout(secs(60));
    for size in [100_000, 1_000_000] {
        let reply = tokio::spawn(probe.produce(size));
        sleep(millis(150)).await;
        if size == 1_000_000 {
            iad.shutdown().await;
        }
        assert_eq!(reply.await.unwrap().unwrap().len(), size);
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_shutdown_calls_fail_at_once_and_unexecuted() {
    let mut world = World::new();
    let iad = world.start("iad-0", "iad").await;
    let hkg = world.start("hkg-0", "hkg").await;
    let probe: ProbeClient = hkg.client();
    let waiting = tokio::spawn(probe.on_region("syd").wait(secs(60)).timeout(secs(60)).slow(1));
    sleep(secs(1)).await;
    hkg.shutdown().await;
    hkg.shutdown().await;
    hkg.ready().await;
    let start = Instant::now();
    for aim in [probe.on_region("iad"), probe.on_region("hkg"), probe.clone(), probe.on_primary()] {
        let error = aim.wait(secs(10)).shout("a".into()).await.unwrap_err();
        assert!(matches!(error, RpcError::ShutDown { .. }), "{error:?}");
        assert!(!error.may_have_executed());
    }
    assert!(matches!(waiting.await.unwrap(), Err(RpcError::ShutDown { .. })));
    assert_eq!(start.elapsed(), millis(0));
    assert_eq!(world.counts.begun(), 0);
    let again = iad.clone();
    futures_util::future::join(iad.shutdown(), again.shutdown()).await;
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_for_the_first_seeds_ends_when_the_node_does() {
    let world = World::new();
    let env = world.net.add_host("hkg-0", "hkg");
    world.net.add_host("iad-0", "iad");
    world.net.crash("iad-0");
    let builder = world.builder_on(&env, "hkg-0", "hkg").seeds(["iad-0:3590"]);
    let hkg = builder.start().await.unwrap();
    let probe = hkg.client::<ProbeClient>().on_region("iad").timeout(secs(60));
    let call = tokio::spawn(probe.shout("a".into()));
    sleep(secs(1)).await;
    let start = Instant::now();
    hkg.shutdown().await;
    let error = call.await.unwrap().unwrap_err();
    assert!(matches!(error, RpcError::ShutDown { .. }), "{error:?}");
    assert!(start.elapsed() <= secs(1), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn the_events_of_a_node_end_with_it() {
    let mut world = World::new();
    let iad = world.start("iad-0", "iad").await;
    let mut events = iad.events();
    drop(iad);
    assert_eq!(events.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn dropping_the_last_hold_stops_the_node_and_leaves_no_task() {
    let mut world = World::new();
    let hkg = world.start("hkg-0", "hkg").await;
    sleep(secs(20)).await;
    let log = EventLog::of(&hkg);
    sleep(millis(1)).await;
    let tasks = Handle::current().metrics().num_alive_tasks();
    for round in 0..20 {
        let iad = match round {
            0 => world.start("iad-0", "iad").await,
            _ => world.restart("iad-0", "iad").await,
        };
        let probe: ProbeClient = iad.client();
        let other = hkg.client::<ProbeClient>().on_region("iad").timeout(secs(60));
        sleep(secs(8)).await;
        let call = tokio::spawn(other.slow(50_000));
        let own = tokio::spawn(probe.on_region("hkg").slow(500));
        sleep(secs(1)).await;
        own.await.unwrap().unwrap();
        drop((iad, probe));
        sleep(millis(200)).await;
        assert!(matches!(call.await.unwrap(), Err(RpcError::Disconnected { sent: true, .. })));
        sleep(secs(60)).await;
        let left = Handle::current().metrics().num_alive_tasks();
        assert!(left <= tasks + 1, "round {round}: {left} after {tasks}");
        assert_eq!(hkg.peers().iter().filter(|peer| peer.state == PeerState::Linked).count(), 0);
    }
    let nodes = log.nodes();
    assert_eq!(nodes.len(), 40, "{nodes:?}");
    assert!(nodes.chunks(2).all(|pair| pair == ["up iad-0", "down iad-0"]), "{nodes:?}");
}

#[tokio::test(start_paused = true)]
async fn a_client_keeps_its_node_running() {
    let mut world = World::new();
    let _iad = world.start("iad-0", "iad").await;
    let probe = {
        let hkg = world.start("hkg-0", "hkg").await;
        hkg.client::<ProbeClient>().on_region("iad")
    };
    sleep(secs(10)).await;
    probe.shout("a".into()).await.unwrap();
}
