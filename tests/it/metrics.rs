//! The metrics that a node records through the facade `metrics`.

use flyrpc::{Env as _, Metrics};
use flyrpc_testkit::{Release, SimCluster};

use crate::support::{
    Counts, PORT, ProbeClient, millis, node_on, probe_cluster, probe_release,
    recorder::TestRecorder, secs, sleep,
};

/// A cluster of iad-0 and hkg-0. Only hkg-0, which calls iad-0, records metrics.
async fn recorded(counts: &Counts) -> (SimCluster, ProbeClient) {
    let release = probe_release(counts).configure(|_, builder| builder.observer(Metrics::new()));
    let cluster = probe_cluster(counts).region("iad", 1).region("hkg", 1);
    let cluster = cluster.node("hkg-0", release).start().await;
    let probe = cluster.node("hkg-0").client::<ProbeClient>().on_region("iad");
    sleep(secs(2)).await;
    (cluster, probe)
}

#[tokio::test(start_paused = true)]
async fn calls_are_recorded_by_method_status_and_region() {
    let recorder = TestRecorder::default();
    let _installed = ::metrics::set_default_local_recorder(&recorder);
    let (_cluster, probe) = recorded(&Counts::default()).await;
    probe.slow(100).await.unwrap();
    probe.slow(200).await.unwrap();
    probe.panic("no".into()).await.unwrap_err();
    probe.timeout(millis(500)).slow(1_000).await.unwrap_err();
    probe.on_region("syd").slow(1).await.unwrap_err();
    probe.on_region("hkg").slow(7).await.unwrap();
    let call = tokio::spawn(probe.slow(1_000));
    sleep(millis(300)).await;
    let in_flight = recorder.lines_of("flyrpc_calls_in_flight{side=client}");
    assert_eq!(in_flight, ["flyrpc_calls_in_flight{side=client} [1.0]"]);
    call.abort();
    sleep(millis(1)).await;
    let labels = |method, status, region| {
        format!(
            "{{rpc_system_name=flyrpc,rpc_method=Probe/{method},rpc_status_code={status},\
             server_address={region}}}"
        )
    };
    let client = |method, status, region, samples| {
        format!("rpc_client_call_duration_seconds{} {samples}", labels(method, status, region))
    };
    assert_eq!(
        recorder.lines(),
        [
            "flyrpc_attempts_total{rpc_method=Probe/panic,outcome=PANICKED} [1.0]".to_owned(),
            "flyrpc_attempts_total{rpc_method=Probe/slow,outcome=CANCELLED} [1.0]".to_owned(),
            "flyrpc_attempts_total{rpc_method=Probe/slow,outcome=OK} [3.0]".to_owned(),
            "flyrpc_attempts_total{rpc_method=Probe/slow,outcome=TIMEOUT} [1.0]".to_owned(),
            "flyrpc_calls_in_flight{side=client} [0.0]".to_owned(),
            "flyrpc_calls_in_flight{side=server} [0.0]".to_owned(),
            "flyrpc_link_handshakes_total{result=OK} [1.0]".to_owned(),
            "flyrpc_links{region=iad,state=open} [1.0]".to_owned(),
            "flyrpc_nodes{region=iad,state=up} [1.0]".to_owned(),
            client("panic", "PANICKED", "iad", "[0.202]"),
            client("slow", "CANCELLED", "iad", "[0.3]"),
            client("slow", "NO_NODE", "", "[0.0]"),
            client("slow", "OK", "hkg", "[0.007]"),
            client("slow", "OK", "iad", "[0.302, 0.402]"),
            client("slow", "TIMEOUT", "iad", "[0.5]"),
            format!("rpc_server_call_duration_seconds{} [0.007]", labels("slow", "OK", "hkg")),
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn served_calls_and_refusals_are_recorded() {
    let recorder = TestRecorder::default();
    let _installed = ::metrics::set_default_local_recorder(&recorder);
    let counts = Counts::default();
    let release = probe_release(&counts)
        .configure(|_, builder| builder.observer(Metrics::new()).max_in_flight(1));
    let cluster = probe_cluster(&counts).region("iad", 1).region("hkg", 1);
    let cluster = cluster.node("iad-0", release).start().await;
    let probe = cluster.node("hkg-0").client::<ProbeClient>().on_region("iad");
    let slow = tokio::spawn(probe.slow(1_000));
    sleep(millis(500)).await;
    let in_flight = recorder.lines_of("flyrpc_calls_in_flight");
    assert_eq!(in_flight.last().unwrap(), "flyrpc_calls_in_flight{side=server} [1.0]");
    probe.shout("a".into()).await.unwrap_err();
    slow.await.unwrap().unwrap();
    let refusals = recorder.lines_of("flyrpc_refusals");
    let refused = "flyrpc_refusals_total{rpc_method=Probe/shout,rpc_status_code=REFUSED} [1.0]";
    assert_eq!(refusals, [refused]);
    let served = recorder.lines_of("rpc_server_call_duration_seconds");
    assert!(
        served.len() == 1
            && served[0].ends_with("rpc_status_code=OK,server_address=iad} [1.0]")
            && served[0].contains("rpc_method=Probe/slow,"),
        "{served:?}"
    );
    assert_eq!(recorder.lines_of("rpc_client"), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn an_err_that_a_handler_returns_has_a_status_of_its_own() {
    let recorder = TestRecorder::default();
    let _installed = ::metrics::set_default_local_recorder(&recorder);
    let counts = Counts::default();
    let release = probe_release(&counts).configure(|_, builder| builder.observer(Metrics::new()));
    let cluster = probe_cluster(&counts).region("iad", 1).region("hkg", 1);
    let cluster = cluster.release(release).start().await;
    let probe = cluster.node("hkg-0").client::<ProbeClient>();
    for region in ["iad", "hkg"] {
        probe.on_region(region).fail().await.unwrap().unwrap_err();
    }
    for name in ["rpc_client_call", "rpc_server_call"] {
        let statuses = recorder.lines_of(name);
        let labels = "rpc_method=Probe/fail,rpc_status_code=ERR,server_address=";
        let of = |region: &str| {
            statuses.iter().any(|line| line.contains(&format!("{labels}{region}}}")))
        };
        assert!(statuses.len() == 2 && of("iad") && of("hkg"), "{statuses:#?}");
    }
    let attempts = recorder.lines_of("flyrpc_attempts");
    assert_eq!(attempts, ["flyrpc_attempts_total{rpc_method=Probe/fail,outcome=ERR} [2.0]"]);
}

#[tokio::test(start_paused = true)]
async fn retries_are_recorded_with_their_reasons() {
    let recorder = TestRecorder::default();
    let _installed = ::metrics::set_default_local_recorder(&recorder);
    let (cluster, probe) = recorded(&Counts::default()).await;
    let limited = || {
        let release = probe_release(&Counts::default());
        release.configure(|_, builder| builder.max_in_flight(1))
    };
    cluster.replace("iad-0", limited()).await;
    sleep(secs(2)).await;
    // The node of this call goes quiet, so the call is sent to another one, too.
    let frozen = tokio::spawn(probe.timeout(secs(60)).slow_but_repeatable(10_000));
    sleep(secs(1)).await;
    cluster.add_node_with("iad", limited()).await;
    sleep(secs(1)).await;
    cluster.freeze("iad-0");
    sleep(secs(4)).await;
    let expected = ["flyrpc_retries_total{reason=NOT_FAILED} [1.0]"];
    assert_eq!(recorder.lines_of("flyrpc_retries"), expected);
    frozen.await.unwrap().unwrap();

    cluster.resume("iad-0");
    sleep(secs(20)).await;
    // Both nodes refuse the call, because each executes another one.
    for name in ["iad-0", "iad-1"] {
        let id = cluster.node(name).id().clone();
        tokio::spawn(probe.on_node(&id).timeout(secs(60)).slow(60_000));
    }
    sleep(secs(1)).await;
    probe.shout("a".into()).await.unwrap_err();
    let refused = "flyrpc_retries_total{reason=REFUSED} [1.0]";
    assert_eq!(recorder.lines_of("flyrpc_retries"), [expected[0], refused]);
}

#[tokio::test(start_paused = true)]
async fn nodes_and_links_are_counted_by_region() {
    let recorder = TestRecorder::default();
    let _installed = ::metrics::set_default_local_recorder(&recorder);
    let (cluster, _) = recorded(&Counts::default()).await;
    let added = cluster.add_node_with("iad", Release::new()).await;
    sleep(secs(2)).await;
    let cluster_lines = || [recorder.lines_of("flyrpc_links"), recorder.lines_of("flyrpc_nodes")];
    let lines = |count: &str| {
        [
            vec![format!("flyrpc_links{{region=iad,state=open}} [{count}]")],
            vec![format!("flyrpc_nodes{{region=iad,state=up}} [{count}]")],
        ]
    };
    assert_eq!(cluster_lines(), lines("2.0"));
    cluster.crash(&added);
    sleep(secs(15)).await;
    assert_eq!(cluster_lines(), lines("1.0"));
    cluster.node("iad-0").shutdown().await;
    sleep(secs(5)).await;
    assert_eq!(cluster_lines(), lines("0.0"));
}

#[tokio::test(start_paused = true)]
async fn handshakes_dropped_datagrams_and_held_requests_are_recorded() {
    let recorder = TestRecorder::default();
    let _installed = ::metrics::set_default_local_recorder(&recorder);
    let counts = Counts::default();
    let release = probe_release(&counts).configure(|_, builder| builder.observer(Metrics::new()));
    let cluster = probe_cluster(&counts).region("iad", 1).region("hkg", 1);
    let cluster = cluster.node("iad-0", release).start().await;
    let env = cluster.add_host("fra-0", "fra");
    let iad = cluster.node("iad-0").addr();
    let _other = node_on(&env).cluster("other").seeds([iad]).start().await.unwrap();
    let raw = cluster.add_host("fra-1", "fra");
    let socket = raw.datagram(raw.addr(PORT)).await.unwrap();
    socket.send(b"not gossip", iad).await.unwrap();
    sleep(secs(2)).await;
    let handshakes = recorder.lines_of("flyrpc_link_handshakes_total");
    let has = |result| handshakes.iter().any(|line| line.contains(&format!("result={result}}}")));
    assert!(has("OK") && has("OTHER_CLUSTER"), "{handshakes:#?}");
    let dropped = recorder.lines_of("flyrpc_gossip_dropped_total");
    assert_eq!(dropped, ["flyrpc_gossip_dropped_total{reason=FOREIGN} [1.0]"]);

    // A call of a node whose clock has stopped is held until the node answers a ping.
    let probe = cluster.node("hkg-0").client::<ProbeClient>().on_region("iad");
    cluster.freeze("iad-0");
    let call = tokio::spawn(probe.timeout(secs(60)).slow(1));
    sleep(secs(3)).await;
    cluster.resume("iad-0");
    call.await.unwrap().unwrap();
    assert_eq!(recorder.lines_of("flyrpc_requests_held"), ["flyrpc_requests_held{} [0.0]"]);
}
