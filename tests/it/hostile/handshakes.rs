//! Connections that never become links.

use flyrpc::{Node, PeerState};
use tokio::{io::AsyncWriteExt, net::TcpStream, time::Instant};

use super::{
    Scene, builder,
    raw::{Hello, PREFACE, Raw, frame, kind},
};
use crate::support::{ProbeClient, secs};

/// Repeatable noise.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    std::iter::repeat_with(next).take(length).collect()
}

#[tokio::test]
async fn nonsense_ends_its_own_connection_only() {
    let mut scene = Scene::new().await;
    let hello = Hello::default().encode();
    let mut nonsense: Vec<Vec<u8>> = (1..=20).map(|seed| noise(seed, 300)).collect();
    nonsense.extend((1..=20).map(|seed| [PREFACE, &noise(seed, 3_000)].concat()));
    nonsense.extend((1..=20).map(|seed| [&hello[..], &noise(seed, 3_000)].concat()));
    nonsense.extend((1..=20).map(|seed| {
        let mut mutated = hello.clone();
        mutated[10 + noise(seed, 1)[0] as usize % 100] ^= noise(seed, 2)[1] | 1;
        mutated
    }));
    nonsense.push(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec());
    // A frame that claims 4 GiB, before and after the hello.
    nonsense.push([PREFACE, &[0x80, 0x80, 0x80, 0x80, 0x10, kind::HELLO]].concat());
    nonsense.push([&hello[..], &[0x80, 0x80, 0x80, 0x80, 0x10, kind::REQUEST]].concat());
    nonsense.push([PREFACE, &frame(kind::PING, &[1], b"")].concat());
    nonsense.push([&hello[..], &hello[PREFACE.len()..]].concat());
    for bytes in nonsense {
        let mut raw = Raw::connect(&scene.node).await;
        raw.send(&bytes).await;
        let _ = raw.stream.shutdown().await;
    }
    scene.expect_unharmed().await;
}

#[tokio::test]
async fn what_makes_no_sense_is_answered_by_hanging_up_at_once() {
    let mut scene = Scene::new().await;
    let hello = Hello::default().encode();
    let claims = [0x80, 0x80, 0x80, 0x80, 0x10, kind::REQUEST];
    for bytes in [
        noise(7, 300),
        [PREFACE, &claims[..]].concat(),
        [PREFACE, &frame(kind::PING, &[1], b"")].concat(),
        [&hello[..], &claims[..]].concat(),
        [&hello[..], &hello[PREFACE.len()..]].concat(),
        [&hello[..], &frame(63, &[1], b"")].concat(),
        [&hello[..], &frame(kind::STATE, &[], b"\x06\x01\xc1")].concat(),
    ] {
        let start = Instant::now();
        let mut raw = Raw::connect(&scene.node).await;
        raw.send(&bytes).await;
        raw.expect_hung_up().await;
        assert!(start.elapsed() < secs(2), "{bytes:?}");
    }
    scene.expect_unharmed().await;
}

#[tokio::test]
async fn a_hello_cut_anywhere_makes_no_link() {
    let mut scene = Scene::new().await;
    let hello = Hello::default().encode();
    for cut in 0..hello.len() {
        let mut stream = TcpStream::connect(scene.node.addr()).await.unwrap();
        stream.write_all(&hello[..cut]).await.unwrap();
    }
    scene.expect_unharmed().await;
    assert!(scene.node.nodes_in("raw").is_empty());
}

#[tokio::test]
async fn hellos_of_strangers_make_no_link() {
    // So patient that a link would still be open when the test is given up.
    let mut scene = Scene::with(|builder| builder.heartbeat(secs(10))).await;
    let usual = Hello::default();
    let own = scene.node.addr().to_string();
    let long = "x".repeat(70_000);
    let strangers = [
        Hello { versions: (2, 9), ..usual.clone() },
        Hello { cluster: "other".to_owned(), ..usual.clone() },
        Hello { name: "iad-0".to_owned(), boot: scene.node.id().boot(), ..usual.clone() },
        // What no node can be: at this node's own address, at none, without a name.
        Hello { addr: own, ..usual.clone() },
        Hello { addr: "0.0.0.0:0".to_owned(), ..usual.clone() },
        Hello { addr: "nowhere".to_owned(), ..usual.clone() },
        Hello { name: String::new(), ..usual.clone() },
        Hello { name: "\u{1b}[2Jgone".to_owned(), ..usual.clone() },
        Hello { name: long.clone(), ..usual.clone() },
        Hello { region: long, ..usual.clone() },
    ];
    for stranger in strangers {
        let mut raw = Raw::connect(&scene.node).await;
        raw.send(&stranger.encode()).await;
        raw.expect_hung_up().await;
        let others = scene.node.peers().into_iter().filter(|peer| peer.addr.port() == 1);
        assert_eq!(others.count(), 0, "{stranger:?}");
    }
    scene.expect_unharmed().await;
}

#[tokio::test]
async fn a_thousand_connections_that_say_nothing_keep_nobody_out() {
    let mut scene = Scene::new().await;
    let mut silent = Vec::new();
    for _ in 0..1_000 {
        silent.push(TcpStream::connect(scene.node.addr()).await.unwrap());
    }
    let start = Instant::now();
    let late = builder("syd-0", "syd").seeds([scene.node.addr()]).start().await.unwrap();
    let probe = late.client::<ProbeClient>().on_region("iad");
    assert_eq!(probe.shout("in".to_owned()).await.unwrap().0, "IN");
    assert!(start.elapsed() < secs(2), "{:?}", start.elapsed());
    late.shutdown().await;
    drop(silent);
    scene.expect_unharmed().await;
}

#[tokio::test]
async fn a_node_that_is_gone_again_right_after_each_handshake_is_not_dialled_in_a_loop() {
    let listener = tokio::net::TcpListener::bind(super::LOOPBACK).await.unwrap();
    let addr = listener.local_addr().unwrap();
    let node: Node = builder("aaa", "iad").seeds([addr]).start().await.unwrap();
    let hello = Hello { name: "zzz".to_owned(), addr: addr.to_string(), ..Hello::default() };
    let start = Instant::now();
    let mut dialled = 0;
    while let Ok(accepted) = tokio::time::timeout(secs(2), listener.accept()).await {
        dialled += 1;
        let (mut stream, _) = accepted.unwrap();
        let _ = stream.write_all(&hello.encode()).await;
        let _ = tokio::io::AsyncReadExt::read(&mut stream, &mut [0; 4096]).await;
        if start.elapsed() > secs(2) {
            break;
        }
    }
    assert!((2..20).contains(&dialled), "{dialled}");
    assert!(node.peers().iter().any(|peer| peer.addr == addr && peer.state == PeerState::Lost));
    node.shutdown().await;
}
