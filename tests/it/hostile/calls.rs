//! Calls that are too large, too many or canceled, and calls whose types panic.

use std::time::Duration;

use flyrpc::{Node, RpcError, Unsupported, fly_rpc};
use futures_util::future::join_all;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};
use tokio::time::Instant;

use super::{AttackedNode, GENEROUS_TIMEOUT, builder, count_panics, eventually};
use crate::support::{Counts, ProbeClient, millis, prober, secs};

/// A service whose methods misbehave.
#[fly_rpc]
trait Faulty {
    async fn text(&self, text: String) -> String;
    async fn take(&self, value: Trap) -> u8;
    async fn give(&self, value: String) -> Trap;
    async fn panic_with(&self, payload: Payload);
    async fn panic_in_drop(&self, millis: u64) -> u64;
    async fn block(&self, millis: u64) -> u64;
}

/// A value that panics or fails when it is encoded or decoded, depending on its text.
#[derive(Debug, Clone, PartialEq)]
struct Trap(String);

impl Serialize for Trap {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.as_str() {
            "panic when encoded" => panic!("{}", self.0),
            "fail when encoded" => Err(ser::Error::custom("it failed")),
            text => serializer.serialize_str(text),
        }
    }
}

impl<'de> Deserialize<'de> for Trap {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            text @ "panic when decoded" => panic!("{text}"),
            "fail when decoded" => Err(de::Error::custom("it failed")),
            "fail at length when decoded" => Err(de::Error::custom("it failed ".repeat(300_000))),
            text => Ok(Trap(text.to_owned())),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
enum Payload {
    Number,
    Bomb,
    LongText,
}

/// Panics when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("dropped");
    }
}

struct Misbehaving;

impl Faulty for Misbehaving {
    async fn text(&self, text: String) -> String {
        text
    }

    async fn take(&self, _: Trap) -> u8 {
        7
    }

    async fn give(&self, value: String) -> Trap {
        Trap(value)
    }

    async fn panic_with(&self, payload: Payload) {
        match payload {
            Payload::Number => std::panic::panic_any(7),
            Payload::Bomb => std::panic::panic_any(Bomb),
            Payload::LongText => panic!("{}", "long ".repeat(500_000)),
        }
    }

    async fn panic_in_drop(&self, millis: u64) -> u64 {
        let _bomb = Bomb;
        tokio::time::sleep(Duration::from_millis(millis)).await;
        std::mem::forget(_bomb);
        millis
    }

    async fn block(&self, millis: u64) -> u64 {
        std::thread::sleep(Duration::from_millis(millis));
        millis
    }
}

/// Starts two linked nodes that serve [`Faulty`]. Returns them and a client on each. Both clients
/// call the first node: one remotely, the other locally.
async fn pair() -> (Node, Node, [FaultyClient; 2]) {
    count_panics();
    let iad = builder("iad-0", "iad").serve(ServeFaulty::new(Misbehaving)).start().await.unwrap();
    let hkg = builder("hkg-0", "hkg").seeds([iad.addr()]).start().await.unwrap();
    hkg.ready().await;
    let clients = [hkg.client::<FaultyClient>(), iad.client::<FaultyClient>()];
    let clients = clients.map(|client| client.on_region("iad").timeout(GENEROUS_TIMEOUT));
    (iad, hkg, clients)
}

/// Checks that the error of `call` does not affect a concurrent call or a later one.
async fn expect_isolated<T: std::fmt::Debug>(
    faulty: &FaultyClient,
    call: impl Future<Output = Result<T, RpcError>>,
) -> RpcError {
    let concurrent = tokio::spawn(faulty.panic_in_drop(100));
    let error = call.await.unwrap_err();
    assert_eq!(concurrent.await.unwrap().unwrap(), 100, "after {error}");
    assert_eq!(faulty.text("after".to_owned()).await.unwrap(), "after");
    error
}

#[tokio::test]
async fn an_argument_that_does_not_encode_fails_only_its_call() {
    let (_iad, _hkg, [remote, local]) = pair().await;
    for how in ["panic when encoded", "fail when encoded"] {
        let error = expect_isolated(&remote, remote.take(Trap(how.to_owned()))).await;
        assert!(matches!(error, RpcError::Encode { .. }), "{error:?}");
        // A local call is not encoded.
        assert_eq!(local.take(Trap(how.to_owned())).await.unwrap(), 7);
    }
}

#[tokio::test]
async fn an_argument_that_does_not_decode_fails_only_its_call_without_executing() {
    let (_iad, _hkg, [remote, _]) = pair().await;
    for how in ["panic when decoded", "fail when decoded", "fail at length when decoded"] {
        let error = expect_isolated(&remote, remote.take(Trap(how.to_owned()))).await;
        let RpcError::Unsupported { why: Unsupported::Arguments(why), .. } = error else {
            panic!("{how}: {error:?}");
        };
        assert!(why.contains("value") || why.contains("panic"), "{why}");
    }
}

#[tokio::test]
async fn a_reply_that_does_not_encode_or_decode_fails_only_its_call() {
    let (_iad, _hkg, [remote, local]) = pair().await;
    for how in [
        "fail when encoded",
        "panic when decoded",
        "fail when decoded",
        "fail at length when decoded",
    ] {
        let error = expect_isolated(&remote, remote.give(how.to_owned())).await;
        assert!(error.may_have_executed());
        let RpcError::BadReply { encoded, .. } = error else { panic!("{how}: {error:?}") };
        assert_eq!(encoded, how != "fail when encoded", "{how}");
        assert_eq!(local.give(how.to_owned()).await.unwrap(), Trap(how.to_owned()));
    }
    let error = expect_isolated(&remote, remote.give("panic when encoded".to_owned())).await;
    assert!(error.may_have_executed(), "{error:?}");
}

#[tokio::test]
async fn a_panic_with_any_payload_fails_only_its_call() {
    let (_iad, _hkg, clients) = pair().await;
    for faulty in clients {
        for payload in [Payload::Number, Payload::Bomb, Payload::LongText] {
            let error = expect_isolated(&faulty, faulty.panic_with(payload)).await;
            assert!(matches!(error, RpcError::Panicked { .. }), "{payload:?}: {error:?}");
            assert!(error.to_string().len() < 3_000_000);
        }
    }
}

#[tokio::test]
async fn a_handler_that_panics_when_dropped_fails_only_its_call() {
    let (_iad, _hkg, clients) = pair().await;
    for faulty in clients {
        let error =
            expect_isolated(&faulty, faulty.timeout(millis(30)).panic_in_drop(10_000)).await;
        assert!(matches!(error, RpcError::Timeout { sent: true, .. }), "{error:?}");
    }
}

#[tokio::test]
async fn a_cancelled_call_whose_handler_panics_when_dropped_releases_its_permit() {
    count_panics();
    let iad = builder("iad-0", "iad").serve(ServeFaulty::new(Misbehaving)).max_in_flight(1);
    let iad = iad.start().await.unwrap();
    let hkg = builder("hkg-0", "hkg").seeds([iad.addr()]).start().await.unwrap();
    hkg.ready().await;
    let faulty = hkg.client::<FaultyClient>().on_region("iad");
    drop(tokio::time::timeout(millis(50), faulty.panic_in_drop(10_000)).await);
    eventually("the permit of the call is released", async || {
        faulty.text(String::new()).await.is_ok()
    })
    .await;
    iad.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_handler_that_blocks_its_thread_delays_no_other_call() {
    let (_iad, _hkg, [remote, _]) = pair().await;
    // The node has no statistics of the method at first, then those of 100 quick calls, then also
    // of a slow call.
    for quick in [0, 100, 0] {
        for _ in 0..quick {
            remote.block(0).await.unwrap();
        }
        let blocked = tokio::spawn(remote.block(1_500));
        tokio::time::sleep(millis(50)).await;
        let start = Instant::now();
        for _ in 0..50 {
            remote.text("quick".to_owned()).await.unwrap();
        }
        assert!(start.elapsed() < secs(1), "{:?}", start.elapsed());
        assert_eq!(blocked.await.unwrap().unwrap(), 1_500);
    }
}

#[tokio::test]
async fn arguments_of_64_mebibytes_are_too_large_and_31_are_echoed() {
    let (_iad, _hkg, [remote, local]) = pair().await;
    let error = expect_isolated(&remote, remote.text("x".repeat(64 << 20))).await;
    let RpcError::ArgumentsTooLarge { size, limit, .. } = error else { panic!("{error:?}") };
    assert!(size > 64 << 20 && limit == 32 << 20, "{size} {limit}");
    // A local call is not encoded, so the limit does not apply.
    assert_eq!(local.text("x".repeat(64 << 20)).await.unwrap().len(), 64 << 20);
    let text = "x".repeat(31 << 20);
    assert!(remote.text(text.clone()).await.unwrap() == text);
}

#[tokio::test]
async fn the_longest_timeout_is_accepted() {
    let (_iad, _hkg, clients) = pair().await;
    for faulty in clients {
        let endless = faulty.timeout(Duration::MAX).wait(Duration::MAX);
        assert_eq!(endless.text("fly".to_owned()).await.unwrap(), "fly");
        assert_eq!(endless.panic_in_drop(20).await.unwrap(), 20);
        let none = faulty.timeout(Duration::ZERO).text("fly".to_owned()).await.unwrap_err();
        assert!(matches!(none, RpcError::Timeout { .. }), "{none:?}");
        assert!(!none.may_have_executed(), "{none:?}");
    }
}

#[tokio::test]
async fn ten_thousand_concurrent_calls_of_one_task_all_end() {
    let mut attacked = AttackedNode::with(|builder| builder.max_in_flight(20_000)).await;
    let probe = attacked.sibling().timeout(GENEROUS_TIMEOUT);
    let calls = (0..10_000).map(|number| probe.shout(format!("n{number}")));
    for (number, reply) in join_all(calls).await.into_iter().enumerate() {
        assert_eq!(reply.unwrap().0, format!("N{number}"));
    }
    attacked.expect_unharmed().await;
}

#[tokio::test]
async fn cancelled_calls_stop_their_handlers() {
    let mut attacked = AttackedNode::new().await;
    let probe = attacked.sibling().timeout(GENEROUS_TIMEOUT);
    let calls = join_all((0..1_000).map(|_| probe.slow(60_000)));
    drop(tokio::time::timeout(millis(300), calls).await);
    assert!(attacked.counts.started() > 1);
    let local = attacked.node.client::<ProbeClient>();
    drop(tokio::time::timeout(millis(50), join_all((0..100).map(|_| local.slow(60_000)))).await);
    attacked.expect_unharmed().await;
    assert_eq!(attacked.counts.finished(), 0);
}

#[tokio::test]
async fn calls_cancelled_at_any_time_leave_the_link_usable() {
    let mut attacked = AttackedNode::new().await;
    let probe = attacked.sibling().timeout(GENEROUS_TIMEOUT);
    for micros in (0..4_000).step_by(100) {
        let long = probe.echo(vec![7; 100_000]);
        let short = probe.shout("short".to_owned());
        let both = async { tokio::join!(long, short) };
        drop(tokio::time::timeout(Duration::from_micros(micros), both).await);
    }
    assert_eq!(probe.echo(vec![7; 100_000]).await.unwrap(), vec![7; 100_000]);
    attacked.expect_unharmed().await;
}

#[tokio::test]
async fn a_stopped_node_leaves_no_call_and_no_task() {
    count_panics();
    let counts = Counts::default();
    let alive = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let before = alive();
    let iad = builder("iad-0", "iad").serve(prober("iad-0", &counts)).drain_timeout(millis(50));
    let iad = iad.start().await.unwrap();
    let hkg = builder("hkg-0", "hkg").seeds([iad.addr()]).start().await.unwrap();
    hkg.ready().await;
    let probe = hkg.client::<ProbeClient>().on_region("iad");
    let calls: Vec<_> = (0..10).map(|_| tokio::spawn(probe.slow(60_000))).collect();
    eventually("all calls are running", async || counts.started() == 10).await;
    let start = Instant::now();
    iad.shutdown().await;
    for call in calls {
        let error = call.await.unwrap().unwrap_err();
        assert!(matches!(error, RpcError::Disconnected { sent: true, .. }), "{error:?}");
    }
    // Dropped rather than shut down.
    drop((hkg, probe));
    eventually("all tasks have ended", async || alive() <= before).await;
    assert!(start.elapsed() < secs(5), "{:?}", start.elapsed());
    assert_eq!(counts.finished(), 0);
}
