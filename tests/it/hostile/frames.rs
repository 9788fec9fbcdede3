//! Links whose frames are well formed, and wrong.

use super::{
    Scene, eventually,
    raw::{CHUNKED, Hello, Raw, frame, kind, method, slowly, text},
};
use crate::support::{millis, secs};

const DAY: u64 = 24 * 3_600 * 1_000_000;

#[tokio::test]
async fn a_peer_that_writes_its_own_frames_is_served() {
    let mut scene = Scene::new().await;
    let mut raw = Raw::link(&scene.node).await;
    raw.request(1, method::SHOUT, &text("fly")).await;
    assert!(raw.expect(kind::REPLY, 1).await.ends_with(b"iad-0"));
    drop(raw);
    scene.expect_unharmed().await;
}

#[tokio::test]
async fn frames_that_concern_nothing_are_ignored() {
    let mut scene = Scene::new().await;
    let mut raw = Raw::link(&scene.node).await;
    for id in [0, 1, 7, u64::MAX] {
        raw.send(&frame(kind::REPLY, &[id], b"\xa3FLY")).await;
        raw.send(&frame(kind::LONG_REPLY, &[id, 1 << 40], b"")).await;
        raw.send(&frame(kind::REPLY_CHUNK, &[id], &[0; 100])).await;
        raw.send(&frame(kind::FAULT, &[id], b"\xff\xff")).await;
        raw.send(&frame(kind::REQUEST_CHUNK, &[id], &[0; 100])).await;
        raw.send(&frame(kind::CANCEL, &[id], b"")).await;
        raw.send(&frame(kind::PONG, &[id, id], b"")).await;
        raw.send(&frame(64, &[id], b"from the future")).await;
    }
    raw.request(9, method::SHOUT, &text("fly")).await;
    raw.expect(kind::REPLY, 9).await;
    drop(raw);
    scene.expect_unharmed().await;
}

#[tokio::test]
async fn what_is_no_request_is_refused_by_itself() {
    let mut scene = Scene::new().await;
    let mut raw = Raw::link(&scene.node).await;
    for (id, (number, body)) in [
        (99, text("no such method")),
        (u64::MAX, text("nor this")),
        (method::SHOUT, Vec::new()),
        (method::SHOUT, b"\xc1\xff\xff".to_vec()),
        (method::SHOUT, b"\xdf\xff\xff\xff\xff".to_vec()),
        (method::SHOUT, slowly(1)),
        (method::SLOW, text("not a number")),
    ]
    .into_iter()
    .enumerate()
    {
        raw.request(id as u64, number, &body).await;
        let fault = raw.expect(kind::FAULT, id as u64).await;
        assert_eq!(fault[0], 0, "it did not execute: {fault:?}");
    }
    // 4 GiB, announced.
    let head = [50, method::ECHO, CHUNKED, raw.now(), DAY, 4 << 30];
    raw.send(&frame(kind::REQUEST, &head, b"")).await;
    assert_eq!(raw.expect(kind::FAULT, 50).await[0], 0);
    raw.request(60, method::SHOUT, &text("fly")).await;
    raw.expect(kind::REPLY, 60).await;
    assert_eq!(scene.counts.begun(), 2);
    drop(raw);
    scene.expect_unharmed().await;
}

#[tokio::test]
async fn a_request_id_that_is_in_use_starts_nothing() {
    let mut scene = Scene::new().await;
    let mut raw = Raw::link(&scene.node).await;
    for _ in 0..10 {
        raw.request(1, method::SLOW, &slowly(300)).await;
    }
    raw.expect(kind::REPLY, 1).await;
    assert_eq!(scene.counts.begun(), 2);
    // Free again.
    raw.request(1, method::SHOUT, &text("fly")).await;
    raw.expect(kind::REPLY, 1).await;
    drop(raw);
    scene.expect_unharmed().await;
}

#[tokio::test]
async fn a_body_longer_than_announced_ends_the_link() {
    let mut scene = Scene::new().await;
    let mut raw = Raw::link(&scene.node).await;
    let head = [1, method::ECHO, CHUNKED, raw.now(), DAY, 20_000];
    raw.send(&frame(kind::REQUEST, &head, b"")).await;
    raw.send(&frame(kind::REQUEST_CHUNK, &[1], &[0; 16 << 10])).await;
    raw.send(&frame(kind::REQUEST_CHUNK, &[1], &[0; 16 << 10])).await;
    raw.expect_hung_up().await;
    scene.expect_unharmed().await;
}

#[tokio::test]
async fn bodies_that_are_announced_and_never_sent_end_with_their_link() {
    let mut scene = Scene::new().await;
    let mut raw = Raw::link(&scene.node).await;
    for id in 0..4 {
        let head = [id, method::ECHO, CHUNKED, raw.now(), u64::MAX, 30 << 20];
        raw.send(&frame(kind::REQUEST, &head, b"")).await;
        raw.send(&frame(kind::REQUEST_CHUNK, &[id], &[0; 100])).await;
    }
    raw.request(9, method::SHOUT, &text("fly")).await;
    raw.expect(kind::REPLY, 9).await;
    drop(raw);
    scene.expect_unharmed().await;
}

#[tokio::test]
async fn any_timeout_and_any_stamp_of_the_past_are_harmless() {
    let mut scene = Scene::new().await;
    let mut raw = Raw::link(&scene.node).await;
    for (id, stamp, timeout, starts) in [
        (1, raw.now(), u64::MAX, true),
        (2, 0, u64::MAX, true),
        (3, 0, 0, false),
        (4, raw.now(), 0, false),
    ] {
        let head = [id, method::SHOUT, 0, stamp, timeout];
        raw.send(&frame(kind::REQUEST, &head, &text("fly"))).await;
        raw.expect(if starts { kind::REPLY } else { kind::FAULT }, id).await;
    }
    drop(raw);
    scene.expect_unharmed().await;
}

#[tokio::test]
async fn a_stamp_from_the_future_holds_up_nothing_else_for_long() {
    let mut scene = Scene::new().await;
    let mut raw = Raw::link(&scene.node).await;
    for (id, stamp) in [(1, raw.now() + DAY), (2, u64::MAX), (3, i64::MAX as u64)] {
        let head = [id, method::SHOUT, 0, stamp, DAY];
        raw.send(&frame(kind::REQUEST, &head, &text("fly"))).await;
    }
    // The node pings until it is sure that it was not its own clock that stood still.
    raw.expect_hung_up_answering_pings().await;
    assert_eq!(scene.counts.begun(), 1);
    scene.expect_unharmed().await;
}

#[tokio::test]
async fn a_peer_whose_clock_jumps_about_is_still_a_peer() {
    let mut scene = Scene::new().await;
    let mut raw = Raw::greet(&scene.node, &Hello { stamp: u64::MAX, ..Hello::default() }).await;
    for stamp in [0, u64::MAX, 1 << 62, 5] {
        raw.send(&frame(kind::PONG, &[stamp, stamp], b"")).await;
        raw.send(&frame(kind::PING, &[stamp], b"")).await;
        assert_eq!(raw.next().await.unwrap().0, kind::PONG);
    }
    drop(raw);
    scene.expect_unharmed().await;
}

#[tokio::test]
async fn requests_of_a_peer_that_answers_no_pings_never_start_and_its_link_ends() {
    let mut scene = Scene::new().await;
    let mut raw = Raw::link(&scene.node).await;
    raw.answers_pings = false;
    raw.request(1, method::SHOUT, &text("fly")).await;
    // It is not silent either.
    let talking = async {
        loop {
            tokio::time::sleep(millis(50)).await;
            let mut ping = frame(kind::PING, &[1], b"");
            ping.extend(frame(64, &[], b""));
            if tokio::io::AsyncWriteExt::write_all(&mut raw.stream, &ping).await.is_err() {
                return;
            }
        }
    };
    tokio::time::timeout(secs(10), talking).await.expect("the node gives it up");
    assert_eq!(scene.counts.begun(), 1);
    scene.expect_unharmed().await;
}

#[tokio::test]
async fn a_peer_that_says_goodbye_for_ever_is_heard_once() {
    let mut scene = Scene::new().await;
    let mut raw = Raw::link(&scene.node).await;
    let mut goodbyes = Vec::new();
    for turn in 0..50_000 {
        goodbyes.extend(frame(kind::GOING_AWAY, &[turn % 2], b""));
    }
    raw.send(&goodbyes).await;
    eventually("the link ends", async || {
        !scene.node.peers().iter().any(|peer| peer.addr.port() == 1)
    })
    .await;
    scene.expect_unharmed().await;
}
