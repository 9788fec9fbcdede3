//! Connections without a valid handshake.

use flyrpc::{Node, PeerState};
use tokio::{io::AsyncWriteExt, net::TcpStream, time::Instant};

use super::{
    AttackedNode, builder,
    raw_peer::{Hello, PREFACE, RawPeer, frame, kind},
};
use crate::support::{ProbeClient, millis, secs};

/// Deterministic pseudorandom bytes.
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
async fn invalid_data_closes_only_its_own_connection() {
    let mut attacked = AttackedNode::new().await;
    let hello = Hello::default().encode();
    let mut inputs: Vec<Vec<u8>> = (1..=20).map(|seed| noise(seed, 300)).collect();
    inputs.extend((1..=20).map(|seed| [PREFACE, &noise(seed, 3_000)].concat()));
    inputs.extend((1..=20).map(|seed| [&hello[..], &noise(seed, 3_000)].concat()));
    inputs.extend((1..=20).map(|seed| {
        let mut mutated = hello.clone();
        mutated[10 + noise(seed, 1)[0] as usize % 100] ^= noise(seed, 2)[1] | 1;
        mutated
    }));
    inputs.push(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec());
    // A frame that claims 4 GiB, before and after the hello.
    inputs.push([PREFACE, &[0x80, 0x80, 0x80, 0x80, 0x10, kind::HELLO]].concat());
    inputs.push([&hello[..], &[0x80, 0x80, 0x80, 0x80, 0x10, kind::REQUEST]].concat());
    inputs.push([PREFACE, &frame(kind::PING, &[1], b"")].concat());
    inputs.push([&hello[..], &hello[PREFACE.len()..]].concat());
    for bytes in inputs {
        let mut raw = RawPeer::connect(&attacked.node).await;
        raw.send(&bytes).await;
        let _ = raw.stream.shutdown().await;
    }
    attacked.expect_unharmed().await;
}

#[tokio::test]
async fn invalid_data_closes_the_connection_at_once() {
    let mut attacked = AttackedNode::new().await;
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
        let mut raw = RawPeer::connect(&attacked.node).await;
        raw.send(&bytes).await;
        raw.expect_closed().await;
        assert!(start.elapsed() < secs(2), "{bytes:?}");
    }
    attacked.expect_unharmed().await;
}

#[tokio::test]
async fn a_hello_truncated_anywhere_opens_no_link() {
    let mut attacked = AttackedNode::new().await;
    let hello = Hello::default().encode();
    for cut in 0..hello.len() {
        let mut stream = TcpStream::connect(attacked.node.addr()).await.unwrap();
        stream.write_all(&hello[..cut]).await.unwrap();
    }
    attacked.expect_unharmed().await;
    assert!(attacked.node.nodes_in("raw").is_empty());
}

#[tokio::test]
async fn incompatible_hellos_open_no_link() {
    // The heartbeat is so long that a link would still be open when the test times out.
    let mut attacked = AttackedNode::with(|builder| builder.heartbeat(secs(10))).await;
    let usual = Hello::default();
    let long = "x".repeat(70_000);
    let incompatible = [
        Hello { versions: (2, 9), ..usual.clone() },
        Hello { cluster: "other".to_owned(), ..usual.clone() },
        Hello { name: "iad-0".to_owned(), boot: attacked.node.id().boot(), ..usual.clone() },
        // Invalid identities: invalid addresses, and invalid or long names.
        Hello { addr: "0.0.0.0:0".to_owned(), ..usual.clone() },
        Hello { addr: "nowhere".to_owned(), ..usual.clone() },
        Hello { name: String::new(), ..usual.clone() },
        Hello { name: "\u{1b}[2Jgone".to_owned(), ..usual.clone() },
        Hello { name: long.clone(), ..usual.clone() },
        Hello { region: long, ..usual.clone() },
        // More services than a peer may make this node keep.
        Hello { services: 1_025, ..usual.clone() },
        Hello { withdrawn: 1_025, ..usual.clone() },
    ];
    for hello in incompatible {
        let mut raw = RawPeer::connect(&attacked.node).await;
        raw.send(&hello.encode()).await;
        raw.expect_closed().await;
        let others = attacked.node.peers().into_iter().filter(|peer| peer.addr.port() == 1);
        assert_eq!(others.count(), 0, "{hello:?}");
    }
    attacked.expect_unharmed().await;
}

#[tokio::test]
async fn unfinished_long_hellos_keep_no_node_from_joining() {
    let mut attacked = AttackedNode::new().await;
    let half = [PREFACE, &frame(kind::HELLO, &[1, 1], &[0; 600_000])[..300_000]].concat();
    let mut unfinished = Vec::new();
    for _ in 0..100 {
        let mut raw = RawPeer::connect(&attacked.node).await;
        // The node may not read all of the bytes.
        let _ = tokio::time::timeout(millis(5), raw.stream.write_all(&half)).await;
        unfinished.push(raw);
    }
    let late = builder("syd-0", "syd").seeds([attacked.node.addr()]).start().await.unwrap();
    let probe = late.client::<ProbeClient>().on_region("iad");
    assert_eq!(probe.shout("in".to_owned()).await.unwrap().0, "IN");
    late.shutdown().await;
    drop(unfinished);
    attacked.expect_unharmed().await;
}

#[tokio::test]
async fn a_thousand_silent_connections_keep_no_node_from_joining() {
    let mut attacked = AttackedNode::new().await;
    let mut silent = Vec::new();
    for _ in 0..1_000 {
        silent.push(TcpStream::connect(attacked.node.addr()).await.unwrap());
    }
    let start = Instant::now();
    let late = builder("syd-0", "syd").seeds([attacked.node.addr()]).start().await.unwrap();
    let probe = late.client::<ProbeClient>().on_region("iad");
    assert_eq!(probe.shout("in".to_owned()).await.unwrap().0, "IN");
    assert!(start.elapsed() < secs(2), "{:?}", start.elapsed());
    late.shutdown().await;
    drop(silent);
    attacked.expect_unharmed().await;
}

#[tokio::test]
async fn a_node_that_disconnects_after_each_handshake_is_dialed_with_backoff() {
    let listener = tokio::net::TcpListener::bind(super::LOOPBACK).await.unwrap();
    let addr = listener.local_addr().unwrap();
    let node: Node = builder("aaa", "iad").seeds([addr]).start().await.unwrap();
    let hello = Hello { name: "zzz".to_owned(), addr: addr.to_string(), ..Hello::default() };
    let start = Instant::now();
    let mut dials = 0;
    while let Ok(accepted) = tokio::time::timeout(secs(1), listener.accept()).await {
        dials += 1;
        let (mut stream, _) = accepted.unwrap();
        let _ = stream.write_all(&hello.encode()).await;
        let _ = tokio::io::AsyncReadExt::read(&mut stream, &mut [0; 4096]).await;
        if start.elapsed() > secs(1) {
            break;
        }
    }
    assert!((2..20).contains(&dials), "{dials}");
    assert!(node.peers().iter().any(|peer| peer.addr == addr && peer.state == PeerState::Lost));
    node.shutdown().await;
}
