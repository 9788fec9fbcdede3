//! Peers that speak other versions of the link protocol.

use flyrpc::{Env, NoSupport, NodeId, PeerState, RpcError, Support, Unsupported};
use flyrpc_testkit::{Release, SimCluster};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::Instant,
};

use super::version_pair::{AliveClient, alive};
use crate::{
    hostile::raw_peer::Hello,
    support::{Log, PORT, millis, peer_named, secs, sleep},
};

/// The boot id of the peers that [`speaking`] starts.
const BOOT: u64 = 666;

/// A program that announces in its hello that it speaks `versions`, and then sends nothing.
fn speaking(versions: (u64, u64)) -> Release {
    Release::program(move |env| async move {
        let mut listener = env.listen(env.addr(PORT)).await.unwrap();
        while let Ok((mut stream, _)) = listener.accept().await {
            let hello = Hello {
                versions,
                name: env.name().to_owned(),
                boot: BOOT,
                region: env.region().to_string(),
                addr: env.addr(PORT).to_string(),
                ..Hello::default()
            };
            env.spawn(Box::pin(async move {
                let _ = stream.writer.write_all(&hello.encode()).await;
                let _ = stream.writer.flush().await;
                while stream.reader.read(&mut [0; 1024]).await.is_ok_and(|read| read > 0) {}
            }));
        }
    })
}

async fn cluster(versions: (u64, u64)) -> SimCluster {
    SimCluster::builder()
        .region("iad", 1)
        .region("hkg", 1)
        .node("iad-0", alive())
        .node("hkg-0", speaking(versions))
        .start()
        .await
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_also_supports_another_protocol_version_is_linked() {
    for versions in [(1, 2), (0, 1), (0, 9)] {
        let cluster = cluster(versions).await;
        let peer = peer_named(&cluster.node("iad-0"), "hkg-0");
        // The peer sends no pongs, so it may have been quiet for a while.
        assert!(matches!(peer.state, PeerState::Linked | PeerState::Quiet), "{peer:?}");
        assert_eq!(peer.support, Support::Supported);
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_without_a_common_version_is_unsupported_until_it_has_one() {
    for versions in [(2, 2), (2, 9), (0, 0)] {
        let (log, _guard) = Log::collect(tracing::Level::INFO);
        let cluster = cluster(versions).await;
        let iad = cluster.node("iad-0");
        sleep(secs(60)).await;
        let seen = peer_named(&iad, "hkg-0");
        let why = NoSupport::Protocol { first: versions.0, last: versions.1 };
        assert_eq!(seen.support, Support::Unsupported(why));
        assert!(!seen.accepting && iad.nodes_in("hkg").is_empty());

        let (start, id) = (Instant::now(), NodeId::new("hkg-0", BOOT));
        let client: AliveClient = iad.client();
        for client in [client.on_node(&id), client.on_region("hkg")] {
            let error = client.alive().await.unwrap_err();
            assert!(
                matches!(&error, RpcError::Unsupported { why: Unsupported::Protocol, .. }),
                "{error:?}"
            );
            assert!(!error.may_have_executed());
            assert_eq!(error.node().map(|node| node.name()), Some("hkg-0"));
        }
        assert!(!iad.supports(&id).await.unwrap());
        assert_eq!(start.elapsed(), millis(0));
        // There is one event, no matter how often the peer is dialed.
        let trace = cluster.trace();
        let events = trace.events().of_node("iad-0").membership();
        let events: Vec<_> = events.filter(|event| event.what().label() == "support").collect();
        assert_eq!(events.len(), 1, "{events:?}");
        assert_eq!(log.with(&["versions", "of the protocol"]).len(), 1, "{:?}", log.lines());

        cluster.replace("hkg-0", alive()).await;
        assert!(client.on_region("hkg").alive().await.unwrap());
        assert_eq!(peer_named(&iad, "hkg-0").support, Support::Supported);
    }
}

#[tokio::test(start_paused = true)]
async fn compatible_nodes_are_preferred_to_those_of_another_protocol_version() {
    let cluster = SimCluster::builder()
        .region("iad", 1)
        .region("hkg", 3)
        .node("iad-0", alive())
        .node("hkg-0", speaking((2, 2)))
        .node("hkg-1", alive())
        .node("hkg-2", Release::http_server())
        .start()
        .await;
    let client = cluster.node("iad-0").client::<AliveClient>();
    for _ in 0..20 {
        assert!(client.on_region("hkg").alive().await.unwrap());
    }
    assert!(cluster.trace().calls().service("Alive").all(|call| call.attempt() == 1));
}
