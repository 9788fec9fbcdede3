//! Peers that flood a node, or that do not read.

use std::io;

use futures_util::future::join_all;
use tokio::{io::AsyncWriteExt, net::UdpSocket, time::Instant};

use super::{
    AttackedNode, GENEROUS_TIMEOUT, eventually,
    raw_peer::{CHUNKED, Hello, RawPeer, frame, kind, method, pack, shout_args, slow_args, varint},
};
use crate::support::{millis, secs};

#[tokio::test]
async fn requests_over_a_peers_share_are_refused_and_the_others_run() {
    let mut attacked = AttackedNode::with(|builder| builder.max_in_flight(100)).await;
    let mut raw = RawPeer::link(&attacked.node).await;
    let mut flood = Vec::new();
    for id in 0..5_000 {
        let head = [id, method::SLOW, 0, raw.now(), 60_000_000];
        flood.extend(frame(kind::REQUEST, &head, &slow_args(60_000)));
    }
    raw.send(&flood).await;
    // Two peers are linked.
    for _ in 50..5_000 {
        let (kind, status) = raw.next().await.unwrap();
        assert_eq!(kind, kind::STATUS, "{status:?}");
    }
    // Requests are held until the peer has responded to a ping.
    tokio::select! {
        frame = raw.next() => panic!("no call has ended, but the node sent {frame:?}"),
        () = eventually("the others start", async || attacked.counts.started() == 1 + 50) => {}
    }
    attacked.sibling().shout("me?".to_owned()).await.unwrap();
    drop(raw);
    attacked.expect_unharmed().await;
    assert_eq!(attacked.counts.finished(), 0);
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
    // Longer than the test, so that no link ends because the peer answers no ping.
    let mut attacked = AttackedNode::with(|builder| builder.heartbeat(GENEROUS_TIMEOUT)).await;
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
    // The requests in the flood make the node read the frames that follow before it starts the requests.
    let mut flood = frame(kind::REQUEST, &[2, method::SHOUT, 0, 0, 0], &shout_args("late"));
    flood.extend(frame(kind::CANCEL, &[7], b"").repeat(10_000));
    let mut delays = Vec::new();
    let flooding = async {
        loop {
            // The node ends a link that answers no ping.
            let mut raw = RawPeer::link(&attacked.node).await;
            while raw.stream.write_all(&flood).await.is_ok() {}
        }
    };
    let calling = async {
        for _ in 0..200 {
            let start = Instant::now();
            attacked.sibling().timeout(GENEROUS_TIMEOUT).shout(String::new()).await.unwrap();
            delays.push(start.elapsed());
        }
    };
    tokio::select! {
        () = flooding => {}
        () = calling => {}
    }
    delays.sort();
    // The flood never ends, so calls that wait for its end time out.
    assert!(delays[190] < GENEROUS_TIMEOUT / 4, "{delays:?}");
    attacked.expect_unharmed().await;
}

/// Encodes requests to `ECHO` that announce bodies of `size` bytes, with a timeout in microseconds.
fn announcements(ids: std::ops::Range<u64>, now: u64, size: u64, timeout: u64) -> Vec<u8> {
    let mut announced = Vec::new();
    varint(size, &mut announced);
    ids.flat_map(|id| {
        let head = [id, method::ECHO, CHUNKED, now, timeout];
        frame(kind::REQUEST, &head, &announced)
    })
    .collect()
}

#[tokio::test]
async fn announced_bodies_that_do_not_come_expire_with_their_deadline() {
    let mut attacked = AttackedNode::with(|builder| builder.max_in_flight(100)).await;
    let mut raw = RawPeer::link(&attacked.node).await;
    let mut flood = announcements(0..50, raw.now(), 20_000, 300_000);
    flood.extend(announcements(50..51, raw.now(), 20_000, 60_000_000));
    raw.send(&flood).await;
    let refused = raw.expect(kind::STATUS, 50).await;
    assert!(refused.ends_with(b"Overloaded"), "{refused:?}");
    for _ in 0..50 {
        let (kind, status) = raw.next().await.unwrap();
        assert!(kind == kind::STATUS && status.ends_with(b"Expired"), "{status:?}");
    }
    raw.request(51, method::SHOUT, &shout_args("again")).await;
    raw.expect(kind::REPLY, 51).await;
    drop(raw);
    attacked.expect_unharmed().await;
}

#[tokio::test]
async fn a_drain_does_not_wait_for_bodies_that_do_not_come() {
    let attacked = AttackedNode::with(|builder| builder.drain_timeout(GENEROUS_TIMEOUT)).await;
    let mut raw = RawPeer::link(&attacked.node).await;
    let flood = announcements(0..10, raw.now(), 20_000, 60_000_000);
    raw.send(&flood).await;
    // The node has handled the announcements.
    raw.request(10, method::SHOUT, &shout_args("fly")).await;
    raw.expect(kind::REPLY, 10).await;
    let drain = tokio::time::timeout(GENEROUS_TIMEOUT / 2, attacked.node.drain());
    drain.await.expect("the drain ends before its timeout");
    for id in 0..10 {
        let status = raw.expect(kind::STATUS, id).await;
        assert!(status.ends_with(b"Draining"), "{status:?}");
    }
}

#[tokio::test]
async fn one_peer_cannot_take_the_calls_of_others() {
    let mut attacked = AttackedNode::new().await;
    // A peer may have several links.
    let mut raws = [RawPeer::link(&attacked.node).await, RawPeer::link(&attacked.node).await];
    for (at, raw) in raws.iter_mut().enumerate() {
        let first = 10_000 * at as u64;
        let flood = announcements(first..first + 9_000, raw.now(), 20_000, 60_000_000);
        raw.send(&flood).await;
        raw.request(99_999, method::SHOUT, &shout_args("refused")).await;
        while raw.next().await.unwrap().0 != kind::STATUS {}
    }
    for _ in 0..100 {
        attacked.sibling().shout("fly".to_owned()).await.unwrap();
    }
    let many = join_all((0..1_000).map(|_| attacked.sibling().timeout(secs(30)).slow(10)));
    assert!(many.await.into_iter().all(|reply| reply.is_ok()));
    drop(raws);
    attacked.expect_unharmed().await;
}

#[tokio::test]
async fn one_peer_cannot_take_the_memory_of_others() {
    let mut attacked = AttackedNode::new().await;
    let mut raw = RawPeer::link(&attacked.node).await;
    let flood = announcements(0..8, raw.now(), 32 << 20, 60_000_000);
    raw.send(&flood).await;
    // An older node does not know the status `Memory`.
    let refused = raw.expect(kind::STATUS, 4).await;
    assert!(refused.ends_with(b"Overloaded"), "{refused:?}");
    let body = vec![7; 1 << 20];
    let uploads =
        join_all((0..20).map(|_| attacked.sibling().timeout(secs(30)).echo(body.clone())));
    uploads.await.into_iter().for_each(|reply| assert!(reply.unwrap() == body));
    drop(raw);
    attacked.expect_unharmed().await;
}

#[tokio::test]
async fn pongs_that_answer_no_ping_keep_no_link_open() {
    let mut attacked = AttackedNode::new().await;
    let mut raw = RawPeer::link(&attacked.node).await;
    raw.responds_to_pings = false;
    // Requests stay held, because the peer that sent them answers no ping.
    raw.request(1, method::SHOUT, &shout_args("fly")).await;
    let start = Instant::now();
    loop {
        let now = raw.now();
        for echo in [0, 1, now / 2, now, now + 1_000_000] {
            raw.send(&frame(kind::PONG, &[echo, now], b"")).await;
        }
        match tokio::time::timeout(millis(50), raw.next()).await {
            Ok(None) => break,
            Ok(Some((kind, frame))) => assert_ne!(kind, kind::REPLY, "{frame:?}"),
            Err(_) => assert!(start.elapsed() < GENEROUS_TIMEOUT, "the link stays open"),
        }
        // Such pongs are no measurement either. A round trip of zero would attract calls.
        let peers = attacked.node.peers();
        let name = Hello::default().name;
        let measured = peers.iter().filter(|peer| peer.round_trip.is_some());
        let mut measured = measured.filter_map(|peer| peer.node.as_ref());
        assert!(measured.all(|node| node.name() != name), "{peers:?}");
    }
    drop(raw);
    attacked.expect_unharmed().await;
}

#[tokio::test]
async fn small_calls_are_not_charged_as_long_ones() {
    let mut attacked = AttackedNode::with(|builder| builder.max_body(64 << 10)).await;
    let body = vec![7; 20_000];
    let calls = join_all((0..100).map(|_| attacked.sibling().timeout(secs(30)).echo(body.clone())));
    calls.await.into_iter().for_each(|reply| assert!(reply.unwrap() == body));
    attacked.expect_unharmed().await;
}

#[tokio::test]
async fn links_of_one_boot_do_not_accumulate() {
    // Longer than the test, so that no link ends because the peer answers no ping.
    let mut attacked = AttackedNode::with(|builder| builder.heartbeat(GENEROUS_TIMEOUT)).await;
    // If the peer's id is above the node's id, the node decides which link is used. Otherwise, the peer does.
    for name in ["zzz", "aaa"] {
        let mut raws = Vec::new();
        for _ in 0..100 {
            let hello = Hello { name: name.to_owned(), ..Hello::default() };
            raws.push(RawPeer::handshake(&attacked.node, &hello).await);
        }
        eventually("at most the newest link and eight older ones are open", async || {
            raws.retain_mut(|raw| {
                loop {
                    match raw.stream.try_read(&mut [0; 4096]) {
                        Ok(1..) => {}
                        Ok(0) => break false,
                        Err(error) => break error.kind() == io::ErrorKind::WouldBlock,
                    }
                }
            });
            raws.len() <= 9
        })
        .await;
        assert!(!raws.is_empty(), "{name}: the newest link is closed");
    }
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

#[tokio::test]
async fn a_peer_that_cancels_a_request_in_the_middle_of_its_reply_receives_no_more_of_it() {
    const SIZE: usize = 30_000_000;
    let mut attacked = AttackedNode::new().await;
    let mut raw = RawPeer::link(&attacked.node).await;
    let args = pack(&std::collections::BTreeMap::from([("size", SIZE)]));
    raw.request(1, method::PRODUCE, &args).await;
    raw.expect(kind::LONG_REPLY, 1).await;
    raw.send(&frame(kind::CANCEL, &[1], b"")).await;
    let mut received = 0;
    loop {
        match raw.next().await.unwrap() {
            (kind::REPLY_CHUNK, chunk) => received += chunk.len(),
            // When a status arrives, nodes of any version drop the received part of the reply.
            (kind, status) => break assert_eq!((kind, status[0]), (kind::STATUS, 1)),
        }
    }
    assert!(received < SIZE * 2 / 3, "{received}");
    raw.request(2, method::SHOUT, &shout_args("fly")).await;
    raw.expect(kind::REPLY, 2).await;
    drop(raw);
    attacked.expect_unharmed().await;
}
