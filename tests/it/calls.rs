//! Calls: where they run, how long they take, and their errors.

use flyrpc::{Refusal, RpcError, Unsupported, fly_rpc};
use flyrpc_testkit::{Release, SimCluster};
use tokio::time::Instant;

use crate::support::{
    Counts, ProbeClient, iad_and_hkg, millis, probe_cluster, probe_release, secs, wait_until,
};

#[tokio::test(start_paused = true)]
async fn the_first_call_to_a_linked_region_takes_one_round_trip() {
    let cluster = iad_and_hkg(&Counts::default()).await;
    let hkg = cluster.node("hkg-0");
    let probe: ProbeClient = hkg.client();
    let start = Instant::now();
    let (text, by) = probe.on_region("iad").shout("fly".to_owned()).await.unwrap();
    assert_eq!((text.as_str(), by.as_str()), ("FLY", "iad-0"));
    assert_eq!(start.elapsed(), millis(202));
}

#[tokio::test(start_paused = true)]
async fn a_call_to_the_local_region_runs_in_process_without_delay() {
    let cluster = iad_and_hkg(&Counts::default()).await;
    let hkg = cluster.node("hkg-0");
    let probe: ProbeClient = hkg.client();
    let start = Instant::now();
    let seen = probe.on_region("HKG").context().await.unwrap();
    assert_eq!(start.elapsed(), millis(0));
    assert!(seen.local);
    assert_eq!((seen.caller.as_str(), seen.region.as_str()), ("hkg-0", "hkg"));
    assert_eq!(seen.remaining, secs(5));
}

#[tokio::test(start_paused = true)]
async fn the_context_of_a_remote_call_has_its_caller_and_remaining_time() {
    let cluster = iad_and_hkg(&Counts::default()).await;
    let hkg = cluster.node("hkg-0");
    let probe: ProbeClient = hkg.client();
    let seen = probe.on_primary().timeout(secs(1)).context().await.unwrap();
    assert_eq!((seen.caller.as_str(), seen.region.as_str()), ("hkg-0", "hkg"));
    assert_eq!((seen.attempt, seen.local), (1, false));
    // The time left after the request's delay, minus the shortest delay of a reply.
    assert!(seen.remaining <= millis(899) && seen.remaining >= millis(790), "{seen:?}");
}

#[tokio::test(start_paused = true)]
async fn a_timeout_occurs_at_the_deadline_and_stops_the_handler() {
    let counts = Counts::default();
    let cluster = iad_and_hkg(&counts).await;
    let hkg = cluster.node("hkg-0");
    let probe: ProbeClient = hkg.client();
    for client in [probe.on_region("iad"), probe.on_region("hkg")] {
        let start = Instant::now();
        let error = client.timeout(secs(1)).slow(3_000).await.unwrap_err();
        assert_eq!(start.elapsed(), secs(1));
        assert!(matches!(error, RpcError::Timeout { sent: true, .. }), "{error:?}");
        assert!(error.may_have_executed());
    }
    tokio::time::sleep(secs(10)).await;
    assert_eq!((counts.started(), counts.finished()), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn dropping_a_call_stops_its_handler_unless_it_is_detached() {
    let counts = Counts::default();
    let cluster = iad_and_hkg(&counts).await;
    let hkg = cluster.node("hkg-0");
    let probe: ProbeClient = hkg.client();
    for client in [probe.on_region("iad"), probe.on_region("hkg")] {
        drop(tokio::time::timeout(millis(500), client.slow(3_000)).await);
        drop(tokio::time::timeout(millis(500), client.slow_and_detached(3_000)).await);
    }
    tokio::time::sleep(secs(10)).await;
    assert_eq!((counts.started(), counts.finished()), (4, 2));
}

#[tokio::test(start_paused = true)]
async fn a_panic_reaches_the_caller_with_its_message_and_does_not_affect_other_calls() {
    let cluster = iad_and_hkg(&Counts::default()).await;
    let hkg = cluster.node("hkg-0");
    let probe: ProbeClient = hkg.client();
    for client in [probe.on_region("iad"), probe.on_region("hkg")] {
        let sibling = tokio::spawn(client.slow(1_000));
        let error = client.panic("oh no".to_owned()).await.unwrap_err();
        assert!(matches!(&error, RpcError::Panicked { message, .. } if message == "oh no"));
        assert_eq!(sibling.await.unwrap().unwrap(), 1_000);
    }
}

#[tokio::test(start_paused = true)]
async fn a_region_without_nodes_is_an_error_at_once() {
    let cluster = probe_cluster(&Counts::default()).region("iad", 1).start().await;
    let iad = cluster.node("iad-0");
    let start = Instant::now();
    let error =
        iad.client::<ProbeClient>().on_region("syd").shout(String::new()).await.unwrap_err();
    assert_eq!(start.elapsed(), millis(0));
    assert_eq!(
        error.to_string(),
        "no live node in region \"syd\" for Probe.shout; live regions: iad"
    );
    assert!(!error.may_have_executed());
}

#[tokio::test(start_paused = true)]
async fn large_bodies_arrive_complete_in_both_directions() {
    let cluster = iad_and_hkg(&Counts::default()).await;
    let hkg = cluster.node("hkg-0");
    let probe = hkg.client::<ProbeClient>().on_region("iad").timeout(secs(600));
    let bytes: Vec<u8> = (0..1_000_000u32).map(|n| (n % 251) as u8).collect();
    assert_eq!(probe.echo(bytes.clone()).await.unwrap(), bytes);
}

#[tokio::test(start_paused = true)]
async fn a_body_over_the_limit_fails_only_its_call_and_names_its_size() {
    let counts = Counts::default();
    let limited = probe_release(&counts).configure(|_, builder| builder.max_body(100_000));
    let cluster = probe_cluster(&counts).region("iad", 1).region("hkg", 1);
    let cluster = cluster.node("iad-0", limited).start().await;
    let hkg = cluster.node("hkg-0");
    let probe = hkg.client::<ProbeClient>().on_region("iad");
    let sibling = tokio::spawn(probe.slow(2_000));
    let error = probe.echo(vec![1; 100_000]).await.unwrap_err();
    assert!(
        matches!(error, RpcError::ArgumentsTooLarge { size: 100_001.., limit: 100_000, .. }),
        "{error:?}"
    );
    let error = probe.produce(100_000).await.unwrap_err();
    assert!(
        matches!(error, RpcError::ReplyTooLarge { size: 100_001.., limit: 100_000, .. }),
        "{error:?}"
    );
    assert!(error.may_have_executed());
    assert_eq!(sibling.await.unwrap().unwrap(), 2_000);
}

#[tokio::test(start_paused = true)]
async fn a_primary_method_is_refused_in_other_regions_without_executing() {
    let counts = Counts::default();
    let cluster =
        probe_cluster(&counts).region("iad", 1).region("hkg", 1).region("syd", 1).start().await;
    let hkg = cluster.node("hkg-0");
    let syd = cluster.node("syd-0");
    let probe: ProbeClient = hkg.client();
    assert_eq!(probe.write(1).await.unwrap(), "1 on iad-0");
    for node in [&hkg, &syd] {
        let probe: ProbeClient = node.client();
        let error = probe.on_region("hkg").write(2).await.unwrap_err();
        assert!(matches!(error, RpcError::NotPrimary { .. }), "{error:?}");
        assert!(!error.may_have_executed());
    }
    assert_eq!(counts.started(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_made_in_a_handler_inherits_the_remaining_time() {
    let cluster = iad_and_hkg(&Counts::default()).await;
    let hkg = cluster.node("hkg-0");
    let probe: ProbeClient = hkg.client();
    let nested = {
        let probe = probe.clone();
        let context = probe.on_region("hkg").timeout(secs(1)).context().await.unwrap();
        assert_eq!(context.remaining, secs(1));
        probe
    };
    drop(nested);
}

#[tokio::test(start_paused = true)]
async fn a_crashed_node_is_not_called_again_and_its_calls_fail_at_once() {
    let cluster = probe_cluster(&Counts::default()).region("iad", 2).region("hkg", 1).start().await;
    let hkg = cluster.node("hkg-0");
    let probe = hkg.client::<ProbeClient>().on_region("iad");
    let calls: Vec<_> = (0..20).map(|_| tokio::spawn(probe.slow(3_000))).collect();
    tokio::time::sleep(secs(1)).await;
    cluster.crash_machine("iad-1");
    let start = Instant::now();
    let mut lost = 0;
    for call in calls {
        match call.await.unwrap() {
            Ok(_) => {}
            Err(error) => {
                assert!(matches!(error, RpcError::Disconnected { sent: true, .. }), "{error:?}");
                lost += 1;
            }
        }
    }
    assert!((1..20).contains(&lost), "{lost}");
    assert!(start.elapsed() < secs(3));
    for _ in 0..20 {
        assert_eq!(probe.shout(String::new()).await.unwrap().1, "iad-0");
    }
}

#[tokio::test(start_paused = true)]
async fn a_frozen_node_runs_no_expired_call_when_it_resumes() {
    let counts = Counts::default();
    let cluster = iad_and_hkg(&counts).await;
    let hkg = cluster.node("hkg-0");
    let probe = hkg.client::<ProbeClient>().on_region("iad");
    probe.shout(String::new()).await.unwrap();
    cluster.freeze("iad-0");
    let calls: Vec<_> = (0..8).map(|_| tokio::spawn(probe.timeout(secs(1)).slow(1))).collect();
    for call in calls {
        let error = call.await.unwrap().unwrap_err();
        assert!(matches!(error, RpcError::Timeout { .. }), "{error:?}");
    }
    tokio::time::sleep(secs(20)).await;
    cluster.resume("iad-0");
    tokio::time::sleep(secs(30)).await;
    assert_eq!(counts.started(), 1);
    probe.shout(String::new()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_overloaded_node_refuses_without_executing() {
    let counts = Counts::default();
    let limited = probe_release(&counts).configure(|_, builder| builder.max_in_flight(3));
    let cluster = probe_cluster(&counts).region("iad", 1).region("hkg", 1);
    let cluster = cluster.node("iad-0", limited).start().await;
    let hkg = cluster.node("hkg-0");
    let probe = hkg.client::<ProbeClient>().on_region("iad");
    let calls: Vec<_> = (0..10).map(|_| tokio::spawn(probe.slow(1_000))).collect();
    let mut refused = 0;
    for call in calls {
        if let Err(error) = call.await.unwrap() {
            assert!(matches!(error, RpcError::Refused { reason: Refusal::Overloaded, .. }));
            refused += 1;
        }
    }
    assert_eq!((refused, counts.started()), (7, 3));
}

#[tokio::test(start_paused = true)]
async fn a_node_without_memory_for_a_body_refuses_without_executing() {
    let counts = Counts::default();
    let limited = probe_release(&counts)
        .configure(|_, builder| builder.max_body(1_000_000).max_body_memory(2_000_000));
    let cluster = probe_cluster(&counts).region("iad", 1).region("hkg", 1);
    let cluster = cluster.node("iad-0", limited).start().await;
    let hkg = cluster.node("hkg-0");
    let probe = hkg.client::<ProbeClient>().on_region("iad");
    let calls: Vec<_> = (0..5).map(|_| tokio::spawn(probe.echo(vec![7; 400_000]))).collect();
    let mut refused = 0;
    for call in calls {
        if let Err(error) = call.await.unwrap() {
            assert!(matches!(error, RpcError::Refused { reason: Refusal::Memory, .. }), "{error}");
            assert!(!error.may_have_executed());
            refused += 1;
        }
    }
    assert!((1..=3).contains(&refused), "{refused}");
    // The memory is free again.
    assert_eq!(probe.echo(vec![7; 400_000]).await.unwrap().len(), 400_000);
}

#[fly_rpc]
trait Store {
    /// Drops `bytes` and sleeps.
    async fn put(&self, bytes: Vec<u8>, time: u64);
}

struct SlowStore;

impl Store for SlowStore {
    async fn put(&self, bytes: Vec<u8>, time: u64) {
        drop(bytes);
        tokio::time::sleep(millis(time)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_memory_of_arguments_is_free_once_they_are_decoded() {
    let limited = Release::new()
        .serve(|_| ServeStore::new(SlowStore))
        .configure(|_, builder| builder.max_body(1_000_000).max_body_memory(2_000_000));
    let cluster = SimCluster::builder().region("iad", 1).region("hkg", 1);
    let cluster = cluster.release(limited).start().await;
    let hkg = cluster.node("hkg-0");
    let store = hkg.client::<StoreClient>().on_region("iad").timeout(secs(30));
    // Together, these need 4.5 times the memory. Their handlers run at the same time.
    let start = Instant::now();
    let mut running = Vec::new();
    for _ in 0..10 {
        running.push(tokio::spawn(store.put(vec![7; 900_000], 20_000)));
        // The arguments arrive within one round trip of the path.
        tokio::time::sleep(secs(1)).await;
    }
    for call in running {
        call.await.unwrap().unwrap();
    }
    assert!(start.elapsed() < secs(31), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_node_without_the_service_is_unsupported_before_it_is_called() {
    let cluster = probe_cluster(&Counts::default()).region("iad", 1).region("hkg", 1);
    let cluster = cluster.node("iad-0", Release::new()).start().await;
    let hkg = cluster.node("hkg-0");
    let start = Instant::now();
    let probe: ProbeClient = hkg.client();
    let error = probe.on_region("iad").shout(String::new()).await.unwrap_err();
    assert!(matches!(error, RpcError::Unsupported { why: Unsupported::Service, .. }), "{error:?}");
    assert_eq!(start.elapsed(), millis(0));
}

#[tokio::test(start_paused = true)]
async fn nodes_find_each_other_again_after_a_partition() {
    let cluster = iad_and_hkg(&Counts::default()).await;
    let iad = cluster.node("iad-0");
    let hkg = cluster.node("hkg-0");
    let cut = cluster.partition("iad", "hkg");
    wait_until(&hkg, || hkg.nodes_in("iad").is_empty()).await;
    tokio::time::sleep(secs(120)).await;
    drop(cut);
    wait_until(&hkg, || !hkg.nodes_in("iad").is_empty()).await;
    wait_until(&iad, || !iad.nodes_in("hkg").is_empty()).await;
    let probe: ProbeClient = hkg.client();
    probe.on_region("iad").shout(String::new()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_concurrent_calls_share_one_round_trip() {
    let counts = Counts::default();
    let limited = probe_release(&counts).configure(|_, builder| builder.max_in_flight(20_000));
    let cluster = probe_cluster(&counts).region("iad", 1).region("hkg", 1);
    let cluster = cluster.node("iad-0", limited).start().await;
    let hkg = cluster.node("hkg-0");
    let probe = hkg.client::<ProbeClient>().on_region("iad");
    let start = Instant::now();
    let calls: Vec<_> = (0..10_000).map(|n| probe.shout(n.to_string())).collect();
    for (n, reply) in futures_util::future::join_all(calls).await.into_iter().enumerate() {
        assert_eq!(reply.unwrap().0, n.to_string());
    }
    assert!(start.elapsed() <= millis(1_000), "{:?}", start.elapsed());
    assert_eq!(counts.started(), 10_000);
}
