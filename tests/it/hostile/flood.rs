//! Peers that flood a node, or that do not read.

use tokio::{io::AsyncWriteExt, net::UdpSocket, time::Instant};

use super::{
    AttackedNode, GENEROUS_TIMEOUT, eventually,
    raw_peer::{Hello, RawPeer, frame, kind, method, shout_args, slow_args},
};
use crate::support::{millis, secs};
use flyrpc::{Refusal, RpcError};

#[tokio::test]
async fn requests_over_max_in_flight_are_refused_and_the_others_run() {
    let mut attacked = AttackedNode::with(|builder| builder.max_in_flight(100)).await;
    let mut raw = RawPeer::link(&attacked.node).await;
    let mut flood = Vec::new();
    for id in 0..5_000 {
        let head = [id, method::SLOW, 0, raw.now(), 60_000_000];
        flood.extend(frame(kind::REQUEST, &head, &slow_args(60_000)));
    }
    raw.send(&flood).await;
    for _ in 100..5_000 {
        let (kind, status) = raw.next().await.unwrap();
        assert_eq!(kind, kind::STATUS, "{status:?}");
    }
    // Requests are held until the peer has responded to a ping.
    tokio::select! {
        frame = raw.next() => panic!("no call has ended, but the node sent {frame:?}"),
        () = eventually("the others start", async || attacked.counts.started() == 1 + 100) => {}
    }
    let error = attacked.sibling().shout("me?".to_owned()).await.unwrap_err();
    assert!(matches!(error, RpcError::Refused { reason: Refusal::Overloaded, .. }), "{error}");
    drop(raw);
    eventually("the flood's handlers are stopped", async || {
        attacked.sibling().shout(String::new()).await.is_ok()
    })
    .await;
    assert_eq!(attacked.counts.finished(), 0);
    attacked.expect_unharmed().await;
}

/// Sends `frame` repeatedly without reading, until the node has accepted `at_most` bytes or closes
/// the link. Returns the number of bytes that it accepted.
async fn send_flood(raw: &mut RawPeer, frame: &[u8], at_most: usize) -> usize {
    let many = frame.repeat((64 << 10) / frame.len());
    let mut accepted = 0;
    while accepted < at_most {
        match tokio::time::timeout(GENEROUS_TIMEOUT, raw.stream.write(&many)).await {
            Ok(Ok(count)) => accepted += count,
            Ok(Err(_)) => return accepted,
            Err(_) => panic!("the node neither reads the flood nor closes the link"),
        }
    }
    accepted
}

#[tokio::test]
async fn a_peer_that_reads_no_replies_is_disconnected() {
    let mut attacked = AttackedNode::new().await;
    let enough = 200 << 20;
    for flood in [frame(kind::PING, &[1], b""), frame(kind::REQUEST, &[1, 99, 0, 0, 0], b"")] {
        let mut raw = RawPeer::link(&attacked.node).await;
        let accepted = send_flood(&mut raw, &flood, enough).await;
        assert!(accepted < enough, "the node accepted {accepted} bytes of {flood:?}");
    }
    attacked.expect_unharmed().await;
}

#[tokio::test]
async fn internal_calls_are_limited_too() {
    let mut attacked = AttackedNode::new().await;
    let mut raw = RawPeer::link(&attacked.node).await;
    let mut flood = Vec::new();
    for id in 0..200_000 {
        flood.extend(frame(kind::REQUEST, &[id, method::REGION, 0, 0, 60_000_000], b"\x80"));
    }
    let before = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let write = tokio::time::timeout(secs(3), raw.stream.write_all(&flood));
    let _ = write.await;
    let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks() - before;
    assert!(tasks < 5_000, "{tasks} tasks");
    drop(raw);
    attacked.expect_unharmed().await;
}

#[tokio::test]
async fn a_flood_over_one_link_does_not_starve_others() {
    let mut attacked = AttackedNode::new().await;
    let mut raw = RawPeer::link(&attacked.node).await;
    raw.request(1, method::SHOUT, &shout_args("fly")).await;
    raw.expect(kind::REPLY, 1).await;
    // The pongs in the flood make the node check which other input can be read.
    let mut flood = frame(kind::PONG, &[1, 1], b"").repeat(10);
    flood.extend(frame(kind::CANCEL, &[7], b"").repeat(10_000));
    let flooding = async {
        loop {
            if raw.stream.write_all(&flood).await.is_err() {
                return;
            }
        }
    };
    let calling = async {
        let start = Instant::now();
        let mut calls = 0;
        while start.elapsed() < millis(500) {
            // On a loaded machine, the node may need more than the default timeout to respond.
            attacked.sibling().timeout(secs(30)).shout(String::new()).await.unwrap();
            calls += 1;
        }
        calls
    };
    tokio::select! {
        () = flooding => panic!("the node closed the link"),
        calls = calling => assert!(calls > 0),
    }
    drop(raw);
    attacked.expect_unharmed().await;
}

#[tokio::test]
async fn links_of_one_boot_do_not_accumulate() {
    let mut attacked = AttackedNode::new().await;
    let mut raws = Vec::new();
    for _ in 0..100 {
        // The id is above the node's id, so the node decides which link is used.
        let hello = Hello { name: "zzz".to_owned(), ..Hello::default() };
        raws.push(RawPeer::handshake(&attacked.node, &hello).await);
    }
    eventually("at least one link is closed", async || {
        let closed = raws.iter_mut().filter_map(|raw| raw.stream.try_read(&mut [0; 4096]).ok());
        closed.filter(|&count| count == 0).count() > 0
    })
    .await;
    drop(raws);
    attacked.expect_unharmed().await;
}

#[tokio::test]
async fn datagrams_of_any_kind_are_ignored() {
    let mut attacked = AttackedNode::new().await;
    let socket = UdpSocket::bind(super::LOOPBACK).await.unwrap();
    // The start of a gossip datagram.
    let magic = [&[0xf1, 0x7c, 1, 5][..], b"local", &[0]].concat();
    for seed in 0..2_000u64 {
        let mut datagram = if seed % 2 == 0 { magic.clone() } else { Vec::new() };
        let mut state = seed + 1;
        for _ in 0..seed % 300 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(99);
            datagram.push((state >> 33) as u8);
        }
        let _ = socket.send_to(&datagram, attacked.node.addr()).await;
    }
    let mut largest = magic;
    largest.resize(65_507, 0xff);
    for _ in 0..50 {
        let _ = socket.send_to(&largest, attacked.node.addr()).await;
    }
    attacked.expect_unharmed().await;
    assert_eq!(attacked.node.peers().len(), 1);
}
