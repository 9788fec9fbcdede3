//! Seed addresses at which another program listens, a peer that loses power, and nodes with many
//! services.

use std::sync::Arc;

use flyrpc::{Env, NoSupport, PeerState, RpcError, Support, fly_rpc};
use flyrpc_testkit::{Release, SimCluster, SimEnv};
use tokio::{io::AsyncWriteExt, time::Instant};

use crate::support::{
    Counts, EventLog, PORT, ProbeClient, iad_and_hkg, millis, node_names, node_on, probe_cluster,
    probe_release, secs, sleep,
};

/// A program that sends `first_bytes` on every connection and keeps the connection open.
fn other_program(first_bytes: &'static str) -> Release {
    Release::program(move |env: SimEnv| async move {
        let mut listener = env.listen(env.addr(PORT)).await.unwrap();
        let mut open = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.writer.write_all(first_bytes.as_bytes()).await;
            open.push(stream);
        }
    })
}

#[tokio::test(start_paused = true)]
async fn another_program_is_listed_never_called_and_dialed_again() {
    for first_bytes in ["HTTP/1.1 400 Bad Request\r\n\r\n", ""] {
        let cluster =
            SimCluster::builder().region("iad", 1).node("iad-0", other_program(first_bytes));
        let cluster = cluster.start().await;
        // hkg-0 is not a node of the cluster, so that its events are observed from its start.
        let env = cluster.add_host("hkg-0", "hkg");
        let hkg = node_on(&env).seeds(["iad-0:3590"]).start().await.unwrap();
        let log = EventLog::of(&hkg);
        let start = Instant::now();
        hkg.ready().await;
        assert!(start.elapsed() <= millis(5_300), "{:?}", start.elapsed());
        sleep(secs(120)).await;
        let iad_addr = env.resolve("iad-0:3590").await.unwrap()[0];
        let peers = hkg.peers();
        let why = match &peers[..] {
            [peer] if peer.addr == iad_addr && peer.node.is_none() => peer.support.clone(),
            _ => panic!("{peers:?}"),
        };
        match first_bytes {
            "" => assert_eq!(why, Support::Unsupported(NoSupport::Mute)),
            _ => assert!(
                matches!(&why, Support::Unsupported(NoSupport::NotFlyrpc(said)) if said.contains("HTTP/1.1 400")),
                "{why:?}"
            ),
        }
        // There is one event, no matter how often the address is dialed.
        assert_eq!(log.all().len(), 1, "{:?}", log.all());
        let start = Instant::now();
        let probe = hkg.client::<ProbeClient>().on_region("iad");
        let error = probe.shout("a".into()).await.unwrap_err();
        assert!(
            matches!(error, RpcError::NoNode { known, .. } if known.not_flyrpc == 1),
            "{error:?}"
        );
        assert_eq!(start.elapsed(), millis(0));
        // The other program is replaced by a node.
        cluster.replace("iad-0", probe_release(&Counts::default())).await;
        sleep(secs(25)).await;
        assert_eq!(node_names(&hkg, "iad"), ["iad-0"], "{first_bytes:?} {:?}", hkg.peers());
        probe.shout("a".into()).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_seed_that_hangs_delays_no_other_peer() {
    let cluster = probe_cluster(&Counts::default()).region("iad", 2);
    let cluster = cluster.node("iad-0", other_program("")).start().await;
    // Not a node of the cluster, because the cluster would link it before the call.
    let builder = node_on(&cluster.add_host("hkg-0", "hkg")).seeds(["iad-0:3590", "iad-1:3590"]);
    let hkg = builder.start().await.unwrap();
    let start = Instant::now();
    hkg.client::<ProbeClient>().on_region("iad").shout("a".into()).await.unwrap();
    assert!(start.elapsed() < secs(1), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_node_whose_machine_loses_power_and_comes_back_is_listed_once() {
    for pause in [100, 1_000, 4_000, 9_000] {
        let cluster = iad_and_hkg(&Counts::default()).await;
        let hkg = cluster.node("hkg-0");
        sleep(secs(3)).await;
        let log = EventLog::of(&hkg);
        // The node sends neither a connection reset nor a leave.
        let cut = cluster.partition("iad", "hkg");
        sleep(millis(1)).await;
        cluster.crash_machine("iad-0");
        sleep(millis(pause)).await;
        // Heals the partition once the node has started, before it is ready.
        tokio::join!(cluster.restart("iad-0"), async { drop(cut) });
        let iad = cluster.node("iad-0");
        sleep(secs(20)).await;
        assert_eq!(hkg.nodes_in("iad"), [iad.info().clone()], "{pause}");
        assert_eq!(node_names(&iad, "hkg"), ["hkg-0"]);
        assert_eq!(log.nodes(), ["down iad-0", "up iad-0"], "{pause}");
        hkg.client::<ProbeClient>().on_region("iad").shout("a".into()).await.unwrap();
    }
}

/// Declares services that differ in their names.
macro_rules! services {
    ($($name:ident $wire:literal $client:ident $serve:ident),*) => {
        $(
            #[fly_rpc(name = $wire)]
            trait $name {
                async fn who(&self) -> String;
                async fn add(&self, a: u64, b: u64) -> u64;
            }

            impl $name for Arc<str> {
                async fn who(&self) -> String {
                    concat!($wire, " here").to_owned()
                }

                async fn add(&self, a: u64, b: u64) -> u64 {
                    a + b
                }
            }
        )*

        fn serve_all(mut builder: flyrpc::NodeBuilder) -> flyrpc::NodeBuilder {
            $( builder = builder.serve($serve::new(Arc::<str>::from($wire))); )*
            builder
        }

        async fn call_all(node: &flyrpc::Node, region: &str) {
            $(
                let client = node.client::<$client>().on_region(region);
                assert_eq!(client.who().await.unwrap(), concat!($wire, " here"));
                assert_eq!(client.add(2, 3).await.unwrap(), 5);
            )*
        }
    };
}

services! {
    One "one" OneClient ServeOne, Two "two" TwoClient ServeTwo, Three "three" ThreeClient ServeThree,
    Four "four" FourClient ServeFour, Five "five" FiveClient ServeFive, Six "six" SixClient ServeSix
}

#[tokio::test(start_paused = true)]
async fn one_link_carries_many_services_in_both_directions() {
    let all = Release::new().configure(|_, builder| serve_all(builder));
    let cluster = probe_cluster(&Counts::default()).configure(|_, builder| serve_all(builder));
    let cluster = cluster.region("iad", 1).region("hkg", 1).node("iad-0", all).start().await;
    let (iad, hkg) = (cluster.node("iad-0"), cluster.node("hkg-0"));
    call_all(&hkg, "iad").await;
    call_all(&iad, "hkg").await;
    call_all(&iad, "iad").await;
    let linked = hkg.peers().into_iter().filter(|peer| peer.state == PeerState::Linked);
    assert_eq!(linked.map(|peer| peer.services.len()).collect::<Vec<_>>(), [6]);
}
