//! Gossip that does not arrive although links work.

use flyrpc_testkit::SimNet;

use crate::support::{
    Counts, EventLog, Log, ProbeClient, node_names, node_on, prober, secs, sleep,
};

#[tokio::test(start_paused = true)]
async fn a_node_without_gossip_is_one_warning_per_peer_and_can_be_called() {
    let (log, _guard) = Log::collect(tracing::Level::WARN);
    let net = SimNet::builder().build();
    let mut nodes = Vec::new();
    for (name, region) in [("iad-0", "iad"), ("hkg-0", "hkg"), ("lhr-0", "lhr")] {
        let env = net.add_host(name, region);
        let builder = node_on(&env).serve(prober(name, &Counts::default()));
        nodes.push(
            builder.seeds((!nodes.is_empty()).then_some("iad-0:3590")).start().await.unwrap(),
        );
        nodes.last().unwrap().ready().await;
    }
    sleep(secs(120)).await;
    assert_eq!(log.with(&["no gossip"]), [""; 0]);
    let events = EventLog::of(&nodes[0]);
    net.lose("hkg-0", "iad-0", 1.0).keep();
    net.lose("hkg-0", "lhr-0", 1.0).keep();
    for _ in 0..60 {
        sleep(secs(10)).await;
        for (from, to) in [(0, "hkg"), (1, "iad"), (2, "hkg")] {
            let probe = nodes[from].client::<ProbeClient>();
            probe.on_region(to).shout("a".into()).await.unwrap();
        }
    }
    // Each of the other two nodes warns of hkg-0, and hkg-0 warns of both.
    let warned = log.with(&["no gossip"]);
    assert_eq!(warned.len(), 4, "{warned:#?}");
    assert_eq!(log.with(&["no gossip", "hkg-0/"]).len(), 2, "{warned:#?}");
    assert_eq!(events.nodes(), [""; 0]);
    assert_eq!(node_names(&nodes[0], "hkg"), ["hkg-0"]);
}
