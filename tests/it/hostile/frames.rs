//! Links with well-formed but invalid frames.

use flyrpc::{RpcError, fly_rpc};

use super::{
    AttackedNode, eventually,
    raw_peer::{
        CHUNKED, Hello, RawPeer, frame, kind, method, pack, read_varint, shout_args, slow_args,
    },
};
use crate::support::{millis, secs};

/// The service of a [`RawPeer`].
#[fly_rpc]
trait Raw {
    async fn produce(&self) -> String;
    #[rpc(idempotent)]
    async fn repeat(&self) -> String;
}

const DAY: u64 = 24 * 3_600 * 1_000_000;

#[tokio::test]
async fn a_valid_raw_peer_is_served() {
    let mut attacked = AttackedNode::new().await;
    let mut raw = RawPeer::link(&attacked.node).await;
    raw.request(1, method::SHOUT, &shout_args("fly")).await;
    assert!(raw.expect(kind::REPLY, 1).await.ends_with(b"iad-0"));
    drop(raw);
    attacked.expect_unharmed().await;
}

#[tokio::test]
async fn frames_of_unknown_requests_are_ignored() {
    let mut attacked = AttackedNode::new().await;
    let mut raw = RawPeer::link(&attacked.node).await;
    for id in [0, 1, 7, u64::MAX] {
        raw.send(&frame(kind::REPLY, &[id], b"\xa3FLY")).await;
        raw.send(&frame(kind::LONG_REPLY, &[id, 1 << 40], b"")).await;
        raw.send(&frame(kind::REPLY_CHUNK, &[id], &[0; 100])).await;
        raw.send(&frame(kind::STATUS, &[id], b"\xff\xff")).await;
        raw.send(&frame(kind::REQUEST_CHUNK, &[id], &[0; 100])).await;
        raw.send(&frame(kind::CANCEL, &[id], b"")).await;
        raw.send(&frame(kind::PONG, &[id, id], b"")).await;
        raw.send(&frame(64, &[id], b"from the future")).await;
    }
    raw.request(9, method::SHOUT, &shout_args("fly")).await;
    raw.expect(kind::REPLY, 9).await;
    drop(raw);
    attacked.expect_unharmed().await;
}

#[tokio::test]
async fn an_invalid_request_is_refused_alone() {
    let mut attacked = AttackedNode::new().await;
    let mut raw = RawPeer::link(&attacked.node).await;
    for (id, (number, body)) in [
        (99, shout_args("no such method")),
        (u64::MAX, shout_args("nor this")),
        (method::SHOUT, Vec::new()),
        (method::SHOUT, b"\xc1\xff\xff".to_vec()),
        (method::SHOUT, b"\xdf\xff\xff\xff\xff".to_vec()),
        (method::SHOUT, slow_args(1)),
        (method::SLOW, shout_args("not a number")),
    ]
    .into_iter()
    .enumerate()
    {
        raw.request(id as u64, number, &body).await;
        let status = raw.expect(kind::STATUS, id as u64).await;
        assert_eq!(status[0], 0, "the status reports that the call may have executed: {status:?}");
    }
    // A request that announces a body of 4 GiB.
    let head = [50, method::ECHO, CHUNKED, raw.now(), DAY, 4 << 30];
    raw.send(&frame(kind::REQUEST, &head, b"")).await;
    assert_eq!(raw.expect(kind::STATUS, 50).await[0], 0);
    raw.request(60, method::SHOUT, &shout_args("fly")).await;
    raw.expect(kind::REPLY, 60).await;
    assert_eq!(attacked.counts.started(), 2);
    drop(raw);
    attacked.expect_unharmed().await;
}

#[tokio::test]
async fn a_request_id_in_use_starts_no_call() {
    let mut attacked = AttackedNode::new().await;
    let mut raw = RawPeer::link(&attacked.node).await;
    for _ in 0..10 {
        raw.request(1, method::SLOW, &slow_args(300)).await;
    }
    raw.expect(kind::REPLY, 1).await;
    assert_eq!(attacked.counts.started(), 2);
    // The id can be used again.
    raw.request(1, method::SHOUT, &shout_args("fly")).await;
    raw.expect(kind::REPLY, 1).await;
    drop(raw);
    attacked.expect_unharmed().await;
}

#[tokio::test]
async fn a_body_longer_than_announced_closes_the_link() {
    let mut attacked = AttackedNode::new().await;
    let mut raw = RawPeer::link(&attacked.node).await;
    let head = [1, method::ECHO, CHUNKED, raw.now(), DAY, 20_000];
    raw.send(&frame(kind::REQUEST, &head, b"")).await;
    raw.send(&frame(kind::REQUEST_CHUNK, &[1], &[0; 16 << 10])).await;
    raw.send(&frame(kind::REQUEST_CHUNK, &[1], &[0; 16 << 10])).await;
    raw.expect_closed().await;
    attacked.expect_unharmed().await;
}

#[tokio::test]
async fn bodies_that_are_announced_and_never_sent_are_freed_with_their_link() {
    let mut attacked = AttackedNode::new().await;
    let mut raw = RawPeer::link(&attacked.node).await;
    for id in 0..4 {
        let head = [id, method::ECHO, CHUNKED, raw.now(), u64::MAX, 30 << 20];
        raw.send(&frame(kind::REQUEST, &head, b"")).await;
        raw.send(&frame(kind::REQUEST_CHUNK, &[id], &[0; 100])).await;
    }
    raw.request(9, method::SHOUT, &shout_args("fly")).await;
    raw.expect(kind::REPLY, 9).await;
    drop(raw);
    attacked.expect_unharmed().await;
}

#[tokio::test]
async fn any_timeout_and_any_timestamp_in_the_past_are_harmless() {
    let mut attacked = AttackedNode::new().await;
    let mut raw = RawPeer::link(&attacked.node).await;
    for (id, stamp, timeout, starts) in [
        (1, raw.now(), u64::MAX, true),
        (2, 0, u64::MAX, true),
        (3, 0, 0, false),
        (4, raw.now(), 0, false),
    ] {
        let head = [id, method::SHOUT, 0, stamp, timeout];
        raw.send(&frame(kind::REQUEST, &head, &shout_args("fly"))).await;
        raw.expect(if starts { kind::REPLY } else { kind::STATUS }, id).await;
    }
    drop(raw);
    attacked.expect_unharmed().await;
}

#[tokio::test]
async fn a_timestamp_in_the_future_delays_other_requests_briefly() {
    let mut attacked = AttackedNode::new().await;
    let mut raw = RawPeer::link(&attacked.node).await;
    for (id, stamp) in [(1, raw.now() + DAY), (2, u64::MAX), (3, i64::MAX as u64)] {
        let head = [id, method::SHOUT, 0, stamp, DAY];
        raw.send(&frame(kind::REQUEST, &head, &shout_args("fly"))).await;
    }
    // The node sends pings until it has ruled out that its own clock was stopped.
    raw.expect_closed_with_pongs().await;
    assert_eq!(attacked.counts.started(), 1);
    attacked.expect_unharmed().await;
}

#[tokio::test]
async fn a_peer_whose_clock_jumps_keeps_its_link() {
    let mut attacked = AttackedNode::new().await;
    let mut raw =
        RawPeer::handshake(&attacked.node, &Hello { stamp: u64::MAX, ..Hello::default() }).await;
    for stamp in [0, u64::MAX, 1 << 62, 5] {
        raw.send(&frame(kind::PONG, &[stamp, stamp], b"")).await;
        raw.send(&frame(kind::PING, &[stamp], b"")).await;
        assert_eq!(raw.next().await.unwrap().0, kind::PONG);
    }
    drop(raw);
    attacked.expect_unharmed().await;
}

#[tokio::test]
async fn requests_of_a_peer_that_sends_no_pongs_never_start_and_its_link_is_closed() {
    let mut attacked = AttackedNode::new().await;
    let mut raw = RawPeer::link(&attacked.node).await;
    raw.responds_to_pings = false;
    raw.request(1, method::SHOUT, &shout_args("fly")).await;
    // The peer sends no pongs, but is not silent.
    let sending = async {
        loop {
            tokio::time::sleep(millis(50)).await;
            let mut ping = frame(kind::PING, &[1], b"");
            ping.extend(frame(64, &[], b""));
            if tokio::io::AsyncWriteExt::write_all(&mut raw.stream, &ping).await.is_err() {
                return;
            }
        }
    };
    tokio::time::timeout(secs(10), sending).await.expect("the node closes the link");
    assert_eq!(attacked.counts.started(), 1);
    attacked.expect_unharmed().await;
}

#[tokio::test]
async fn repeated_go_away_frames_close_the_link_once() {
    let mut attacked = AttackedNode::new().await;
    let mut raw = RawPeer::link(&attacked.node).await;
    let mut go_aways = Vec::new();
    for turn in 0..50_000 {
        go_aways.extend(frame(kind::GOING_AWAY, &[turn % 2], b""));
    }
    raw.send(&go_aways).await;
    eventually("the link is closed", async || {
        !attacked.node.peers().iter().any(|peer| peer.addr.port() == 1)
    })
    .await;
    attacked.expect_unharmed().await;
}

#[tokio::test]
async fn an_error_of_a_newer_version_states_whether_the_call_has_executed() {
    let attacked = AttackedNode::new().await;
    let hello = Hello { methods: vec!["produce", "repeat"], ..Hello::default() };
    let mut raw = RawPeer::handshake(&attacked.node, &hello).await;
    raw.handled().await;
    let client: RawClient = attacked.node.client::<RawClient>().on_region("raw");
    for sent_executed in [false, true] {
        let responding = async {
            let mut requests = 0;
            loop {
                let (kind, request) = raw.next().await.expect("the link is open");
                if kind == kind::REQUEST {
                    requests += 1;
                    let id = read_varint(&mut &*request).unwrap();
                    let status =
                        [&[u8::from(sent_executed)], pack(&"OfTheFuture").as_slice()].concat();
                    raw.send(&frame(kind::STATUS, &[id], &status)).await;
                    if requests == 2 {
                        return requests;
                    }
                }
            }
        };
        let calls = async { [client.produce().await, client.repeat().await] };
        let (requests, errors) = tokio::join!(responding, calls);
        assert_eq!(requests, 2, "no call is tried again");
        for error in errors.map(Result::unwrap_err) {
            assert_eq!(error.may_have_executed(), sent_executed);
            let RpcError::Failed { message, executed, .. } = error else { panic!("{error:?}") };
            assert_eq!((&*message, executed), ("OfTheFuture", sent_executed));
        }
    }
}
