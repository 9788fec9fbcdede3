//! Addresses where something other than a node answers, or nothing, and nodes with much to offer.

use std::sync::Arc;

use flyrpc::{Env, NoSupport, PeerState, RpcError, Support, fly_rpc};
use flyrpc_testkit::SimEnv;
use tokio::{io::AsyncWriteExt, time::Instant};

use crate::support::{EventLog, PORT, ProbeClient, World, millis, names, secs, sleep};

/// Something that answers every connection with `words`, and keeps it open.
async fn other(env: &SimEnv, words: &'static str) -> tokio::task::JoinHandle<()> {
    let mut listener = env.listen(env.addr(PORT)).await.unwrap();
    tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.writer.write_all(words.as_bytes()).await;
            open.push(stream);
        }
    })
}

#[tokio::test(start_paused = true)]
async fn what_is_no_node_is_listed_never_called_and_asked_again() {
    for words in ["HTTP/1.1 400 Bad Request\r\n\r\n", ""] {
        let mut world = World::new();
        let iad = world.net.add_host("iad-0", "iad");
        let listening = other(&iad, words).await;
        let (_, builder) = world.builder("hkg-0", "hkg");
        let hkg = builder.seeds(["iad-0:3590"]).start().await.unwrap();
        let log = EventLog::of(&hkg);
        let start = Instant::now();
        hkg.ready().await;
        assert!(start.elapsed() <= millis(5_300), "{:?}", start.elapsed());
        sleep(secs(120)).await;
        let peers = hkg.peers();
        let why = match &peers[..] {
            [peer] if peer.addr == iad.addr(PORT) && peer.node.is_none() => peer.support.clone(),
            _ => panic!("{peers:?}"),
        };
        match words {
            "" => assert_eq!(why, Support::Unsupported(NoSupport::Mute)),
            _ => assert!(
                matches!(&why, Support::Unsupported(NoSupport::NotFlyrpc(said)) if said.contains("HTTP/1.1 400")),
                "{why:?}"
            ),
        }
        // Told once, however often it is asked.
        assert_eq!(log.all().len(), 1, "{:?}", log.all());
        let start = Instant::now();
        let probe = hkg.client::<ProbeClient>().on_region("iad");
        let error = probe.shout("a".into()).await.unwrap_err();
        assert!(
            matches!(error, RpcError::NoNode { known, .. } if known.not_flyrpc == 1),
            "{error:?}"
        );
        assert_eq!(start.elapsed(), millis(0));
        // It becomes a node.
        listening.abort();
        world.net.crash("iad-0");
        let _iad = world.restart("iad-0", "iad").await;
        sleep(secs(25)).await;
        assert_eq!(names(&hkg, "iad"), ["iad-0"], "{words:?} {:?}", hkg.peers());
        probe.shout("a".into()).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_seed_that_hangs_delays_no_other_peer() {
    let mut world = World::new();
    let mute = world.net.add_host("iad-9", "iad");
    let _listening = other(&mute, "").await;
    let _iad = world.start("iad-0", "iad").await;
    let env = world.net.add_host("hkg-0", "hkg");
    let builder = world.builder_on(&env, "hkg-0", "hkg").seeds(["iad-9:3590", "iad-0:3590"]);
    let hkg = builder.start().await.unwrap();
    let start = Instant::now();
    hkg.client::<ProbeClient>().on_region("iad").shout("a".into()).await.unwrap();
    assert!(start.elapsed() < secs(1), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_node_whose_machine_loses_power_and_comes_back_is_listed_once() {
    for pause in [100, 1_000, 4_000, 9_000] {
        let mut world = World::new();
        let iad = world.start("iad-0", "iad").await;
        let hkg = world.start("hkg-0", "hkg").await;
        sleep(secs(3)).await;
        let log = EventLog::of(&hkg);
        // No word of it gets out: neither a reset nor a goodbye.
        let cut = world.net.partition("iad", "hkg");
        sleep(millis(1)).await;
        world.net.crash("iad-0");
        drop(iad);
        sleep(millis(pause)).await;
        let iad = world.restart("iad-0", "iad").await;
        drop(cut);
        sleep(secs(20)).await;
        assert_eq!(hkg.nodes_in("iad"), [iad.info().clone()], "{pause}");
        assert_eq!(names(&iad, "hkg"), ["hkg-0"]);
        assert_eq!(log.nodes(), ["down iad-0", "up iad-0"], "{pause}");
        hkg.client::<ProbeClient>().on_region("iad").shout("a".into()).await.unwrap();
    }
}

/// Makes `count` services that differ in their names.
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
async fn one_link_carries_many_services_both_ways() {
    let mut world = World::new();
    let (_, builder) = world.builder("iad-0", "iad");
    let iad = serve_all(builder).start().await.unwrap();
    let (_, builder) = world.builder("hkg-0", "hkg");
    let hkg = serve_all(builder.serve(world.prober("hkg-0"))).start().await.unwrap();
    hkg.ready().await;
    call_all(&hkg, "iad").await;
    call_all(&iad, "hkg").await;
    call_all(&iad, "iad").await;
    let linked = hkg.peers().into_iter().filter(|peer| peer.state == PeerState::Linked);
    assert_eq!(linked.map(|peer| peer.services.len()).collect::<Vec<_>>(), [6]);
}
