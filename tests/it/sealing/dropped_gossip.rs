//! Datagrams that a sealed node drops, and where it counts them.

use bytes::Bytes;
use flyrpc::{Env, Keyring, Metrics};
use flyrpc_testkit::{SimCluster, Via};

use super::{Recording, keyring};
use crate::support::{
    Counts, Log, PORT, probe_cluster, probe_release, recorder::TestRecorder, secs, sleep,
};

/// Starts iad-0, which records metrics, and hkg-0.
async fn cluster(secret: Option<Keyring>) -> SimCluster {
    let counts = Counts::default();
    let release = probe_release(&counts).configure(|_, builder| builder.observer(Metrics::new()));
    let cluster = probe_cluster(&counts).region("iad", 1).region("hkg", 1).node("iad-0", release);
    let cluster = match secret {
        Some(keyring) => cluster.secret(keyring),
        None => cluster,
    };
    cluster.start().await
}

/// Returns datagrams that hkg-0 has sent to iad-0.
async fn datagrams(cluster: &SimCluster, count: usize) -> Vec<Bytes> {
    let recording = Recording::of(cluster);
    sleep(secs(60)).await;
    let to = cluster.node("iad-0").addr();
    let sent = recording.take().into_iter();
    let sent = sent.filter(|sent| sent.via == Via::Datagram && sent.to == to);
    let datagrams: Vec<_> = sent.map(|sent| sent.bytes).take(count).collect();
    assert_eq!(datagrams.len(), count);
    datagrams
}

#[tokio::test(start_paused = true)]
async fn datagrams_are_counted_by_the_reason_why_they_are_dropped() {
    let recorder = TestRecorder::default();
    let _installed = ::metrics::set_default_local_recorder(&recorder);
    let (log, _guard) = Log::collect(tracing::Level::DEBUG);
    let open = datagrams(&cluster(None).await, 3).await;
    let of_another_secret = datagrams(&cluster(Some(keyring(&[2]))).await, 5).await;
    let cluster = cluster(Some(keyring(&[1]))).await;
    let received = datagrams(&cluster, 7).await;
    let iad = cluster.node("iad-0");
    assert_eq!(iad.stats().gossip.dropped, [].into());

    let attacker = cluster.add_host("attacker", "fra");
    let socket = attacker.datagram(attacker.addr(PORT)).await.unwrap();
    for datagram in [open, of_another_secret, received].concat() {
        socket.send(&datagram, iad.addr()).await.unwrap();
    }
    // Counters are logged about once per minute.
    sleep(secs(180)).await;
    let expected = [("NOT_SEALED", 3), ("REPLAYED", 7), ("UNKNOWN_KEY", 5)];
    assert_eq!(iad.stats().gossip.dropped, expected.into());
    let recorded = recorder.lines_of("flyrpc_gossip_dropped_total");
    let line =
        |(reason, count)| format!("flyrpc_gossip_dropped_total{{reason={reason}}} [{count:?}.0]");
    assert_eq!(recorded, expected.map(line));
    let logged = log.with(&["gossip counters", "not_sealed: 3, unknown_key: 5", "replayed: 7"]);
    assert!(!logged.is_empty(), "{:#?}", log.with(&["gossip counters"]));
}
