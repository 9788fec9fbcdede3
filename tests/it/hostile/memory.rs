//! The memory of a node whose peer does not complete what it began. The node has its own process, so that
//! its memory can be measured (Linux).

use flyrpc::{Node, fly_rpc};

use super::{
    eventually,
    raw_peer::{FIRST_METHOD, Hello, RawPeer, frame, kind, pack, read_varint, slow_args},
};
use crate::support::process::{GENEROUS_TIMEOUT, Process, any_port};

#[fly_rpc]
trait Relay {
    async fn relay(&self, region: String, calls: usize, timeout_millis: u64) -> usize;
}

/// The index of `Worker::work`, the first method of the process that is not internal.
const WORK: u64 = FIRST_METHOD;

/// A frame that nodes skip.
const VOID: u8 = 0;

/// In KiB.
const MIB: u64 = 1 << 10;

/// Starts a process that returns freed memory to the system. Its heartbeat is longer than the test, so that
/// no link ends because the peer answers no ping.
async fn process() -> Process {
    let variables = [
        ("MALLOC_MMAP_THRESHOLD_", "65536"),
        ("MALLOC_TRIM_THRESHOLD_", "65536"),
        ("HEARTBEAT_MS", "20000"),
    ];
    Process::start_with("a", any_port(), &[], &variables).await.unwrap()
}

/// Returns the id of the next request that the node sends.
async fn next_request(raw: &mut RawPeer) -> u64 {
    loop {
        let (kind, frame) = raw.next().await.expect("the link is open");
        if kind == kind::REQUEST {
            return read_varint(&mut frame.as_slice()).unwrap();
        }
    }
}

#[tokio::test]
async fn replies_that_a_peer_begins_and_never_ends_are_freed_with_their_calls() {
    const CALLS: usize = 32;
    const CHUNK: usize = 16_000;
    const CHUNKS: usize = 64;
    let process = process().await;
    let node =
        Node::builder().name("hkg-0").region("hkg").primary_region("iad").seeds([process.addr]);
    let node = node.start().await.unwrap();
    node.ready().await;
    let relay = node.client::<RelayClient>().on_region("iad").timeout(3 * GENEROUS_TIMEOUT);
    let hello = Hello { methods: vec!["produce"], ..Hello::default() };
    let mut raw = RawPeer::handshake_with(process.addr, &hello).await;

    let call = tokio::spawn(relay.relay("raw".to_owned(), 1, 20_000));
    let id = next_request(&mut raw).await;
    raw.send(&frame(kind::REPLY, &[id], &pack(&"complete"))).await;
    assert_eq!(call.await.unwrap().unwrap(), 1);
    let before = process.memory("VmRSS");

    let calls = tokio::spawn(relay.relay("raw".to_owned(), CALLS, 5_000));
    let mut ids = Vec::new();
    for _ in 0..CALLS {
        let id = next_request(&mut raw).await;
        raw.send(&frame(kind::LONG_REPLY, &[id, (CHUNKS * CHUNK) as u64], b"")).await;
        let chunk = frame(kind::REPLY_CHUNK, &[id], &[7; CHUNK]);
        raw.send(&chunk.repeat(CHUNKS - 1)).await;
        ids.push(id);
    }
    raw.handled().await;
    let held = process.memory("VmRSS").saturating_sub(before);
    assert!(held > 24 * MIB, "{held} KiB: the calls hold the replies");

    let mut canceled = 0;
    while canceled < CALLS {
        let (kind, _) = raw.next().await.expect("the link is open");
        canceled += usize::from(kind == kind::CANCEL);
    }
    assert_eq!(calls.await.unwrap().unwrap(), 0);
    eventually("the replies are freed", async || process.memory("VmRSS") < before + 8 * MIB).await;

    for id in ids {
        raw.send(&frame(kind::REPLY_CHUNK, &[id], &[7; CHUNK])).await;
    }
    let call = tokio::spawn(relay.relay("raw".to_owned(), 1, 20_000));
    let id = next_request(&mut raw).await;
    raw.send(&frame(kind::REPLY, &[id], &pack(&"complete"))).await;
    assert_eq!(call.await.unwrap().unwrap(), 1, "late chunks are ignored");
}

#[tokio::test]
async fn held_requests_do_not_pin_the_buffers_in_which_they_arrived() {
    const REQUESTS: u64 = 400;
    let process = process().await;
    let mut raw = RawPeer::handshake_with(process.addr, &Hello::default()).await;
    raw.responds_to_pings = false;
    let before = process.memory("VmHWM");
    // Each request is followed by enough bytes to fill a read buffer.
    let filler = frame(VOID, &[], &[0; 250_000]);
    for id in 0..REQUESTS {
        raw.request(id, WORK, &slow_args(0)).await;
        raw.send(&filler).await;
    }
    raw.handled().await;
    assert_eq!(process.started(), 0, "requests are held until the peer answers a ping");
    let peak = process.memory("VmHWM") - before;
    assert!(peak < 32 * MIB, "{peak} KiB");
}
