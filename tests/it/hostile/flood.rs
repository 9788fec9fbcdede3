//! Peers that send more than their share, or take none of what they are sent.

use tokio::{io::AsyncWriteExt, net::UdpSocket, time::Instant};

use super::{
    LONG, Scene, eventually,
    raw::{Hello, Raw, frame, kind, method, slowly, text},
};
use crate::support::{millis, secs};
use flyrpc::{Refusal, RpcError};

#[tokio::test]
async fn requests_past_max_in_flight_are_refused_and_the_others_run() {
    let mut scene = Scene::with(|builder| builder.max_in_flight(100)).await;
    let mut raw = Raw::link(&scene.node).await;
    let mut flood = Vec::new();
    for id in 0..5_000 {
        let head = [id, method::SLOW, 0, raw.now(), 60_000_000];
        flood.extend(frame(kind::REQUEST, &head, &slowly(60_000)));
    }
    raw.send(&flood).await;
    for _ in 100..5_000 {
        let (kind, fault) = raw.next().await.unwrap();
        assert_eq!(kind, kind::FAULT, "{fault:?}");
    }
    // They may wait until it has answered a ping.
    tokio::select! {
        frame = raw.next() => panic!("no call ends, but here is {frame:?}"),
        () = eventually("the others begin", async || scene.counts.begun() == 1 + 100) => {}
    }
    let error = scene.sibling().shout("me?".to_owned()).await.unwrap_err();
    assert!(matches!(error, RpcError::Refused { reason: Refusal::Overloaded, .. }), "{error}");
    drop(raw);
    eventually("the flood's handlers are gone", async || {
        scene.sibling().shout(String::new()).await.is_ok()
    })
    .await;
    assert_eq!(scene.counts.ended(), 0);
    scene.expect_unharmed().await;
}

/// Sends `frame` for as long as the node takes it, reads nothing, and tells how many bytes it took.
async fn pour(raw: &mut Raw, frame: &[u8], at_most: usize) -> usize {
    let many = frame.repeat((64 << 10) / frame.len());
    let mut poured = 0;
    while poured < at_most {
        match tokio::time::timeout(LONG, raw.stream.write(&many)).await {
            Ok(Ok(count)) => poured += count,
            Ok(Err(_)) => return poured,
            Err(_) => panic!("the node neither takes the flood nor gives the link up"),
        }
    }
    poured
}

#[tokio::test]
async fn a_peer_that_takes_no_answers_is_given_up() {
    let mut scene = Scene::new().await;
    let enough = 200 << 20;
    for flood in [frame(kind::PING, &[1], b""), frame(kind::REQUEST, &[1, 99, 0, 0, 0], b"")] {
        let mut raw = Raw::link(&scene.node).await;
        let poured = pour(&mut raw, &flood, enough).await;
        assert!(poured < enough, "it took {poured} bytes of {flood:?}");
    }
    scene.expect_unharmed().await;
}

#[tokio::test]
async fn what_nodes_ask_each_other_is_bounded_too() {
    let mut scene = Scene::new().await;
    let mut raw = Raw::link(&scene.node).await;
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
    scene.expect_unharmed().await;
}

#[tokio::test]
async fn a_flood_over_one_link_leaves_the_others_their_turn() {
    let mut scene = Scene::new().await;
    let mut raw = Raw::link(&scene.node).await;
    raw.request(1, method::SHOUT, &text("fly")).await;
    raw.expect(kind::REPLY, 1).await;
    // Pongs among it have the node look for whatever else can be read.
    let mut flood = frame(kind::PONG, &[1, 1], b"").repeat(10);
    flood.extend(frame(kind::CANCEL, &[7], b"").repeat(10_000));
    let pouring = async {
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
            scene.sibling().shout(String::new()).await.unwrap();
            calls += 1;
        }
        calls
    };
    tokio::select! {
        () = pouring => panic!("the link ended"),
        calls = calling => assert!(calls > 0),
    }
    drop(raw);
    scene.expect_unharmed().await;
}

#[tokio::test]
async fn links_of_one_boot_do_not_pile_up() {
    let mut scene = Scene::new().await;
    let mut raws = Vec::new();
    for _ in 0..100 {
        // Its id is above the node's: so it is the node that decides which link is used.
        let hello = Hello { name: "zzz".to_owned(), ..Hello::default() };
        raws.push(Raw::greet(&scene.node, &hello).await);
    }
    eventually("most are closed", async || {
        let closed = raws.iter_mut().filter_map(|raw| raw.stream.try_read(&mut [0; 4096]).ok());
        closed.filter(|&count| count == 0).count() > 0
    })
    .await;
    drop(raws);
    scene.expect_unharmed().await;
}

#[tokio::test]
async fn datagrams_of_any_kind_are_ignored() {
    let mut scene = Scene::new().await;
    let socket = UdpSocket::bind(super::LOOPBACK).await.unwrap();
    // What the node's gossip looks like.
    let magic = [&[0xf1, 0x7c, 1, 5][..], b"local", &[0]].concat();
    for seed in 0..2_000u64 {
        let mut datagram = if seed % 2 == 0 { magic.clone() } else { Vec::new() };
        let mut state = seed + 1;
        for _ in 0..seed % 300 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(99);
            datagram.push((state >> 33) as u8);
        }
        let _ = socket.send_to(&datagram, scene.node.addr()).await;
    }
    let mut largest = magic;
    largest.resize(65_507, 0xff);
    for _ in 0..50 {
        let _ = socket.send_to(&largest, scene.node.addr()).await;
    }
    scene.expect_unharmed().await;
    assert_eq!(scene.node.peers().len(), 1);
}
