//! Bits that are flipped in flight.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
};

use flyrpc::{BoxStream, Datagram, StreamReader, StreamWriter, fly_rpc};
use flyrpc_testkit::{Occurrence, Release, SimCluster};
use futures_util::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::keyring;
use crate::support::{HookedEnv, ThreadPanics, millis, secs, sleep};

/// The number of bits that a test flips.
const FLIPS: usize = 1_000;

#[fly_rpc]
trait Numbered {
    /// Returns the bytes of `number`, which are also the argument.
    #[rpc(idempotent)]
    async fn check(&self, number: u64, bytes: Vec<u8>) -> Vec<u8>;
}

/// Counts the calls whose arguments were changed.
#[derive(Clone, Default)]
struct Changed(Arc<AtomicU64>);

impl Numbered for Changed {
    async fn check(&self, number: u64, bytes: Vec<u8>) -> Vec<u8> {
        self.0.fetch_add(u64::from(bytes != bytes_of(number)), Ordering::SeqCst);
        bytes
    }
}

fn bytes_of(number: u64) -> Vec<u8> {
    (0..1 + number % 2_000).map(|at| (at * 7 + number) as u8).collect()
}

/// Flips one bit of the next bytes in flight whenever it is armed.
#[derive(Clone, Default)]
struct Flipper(Arc<Mutex<FlipperState>>);

#[derive(Default)]
struct FlipperState {
    /// The number of reads and writes before the flip. `None` while it is not armed.
    armed: Option<u64>,
    random: u64,
}

impl Flipper {
    fn arm(&self) {
        let mut state = self.0.lock().unwrap();
        let after = state.next() % 3;
        state.armed = Some(after);
    }

    fn is_armed(&self) -> bool {
        self.0.lock().unwrap().armed.is_some()
    }

    fn apply(&self, bytes: &mut [u8]) {
        let mut state = self.0.lock().unwrap();
        if bytes.is_empty() {
            return;
        }
        state.armed = match state.armed {
            Some(0) => {
                let bit = state.next() as usize % (8 * bytes.len());
                bytes[bit / 8] ^= 1 << (bit % 8);
                None
            }
            armed => armed.map(|left| left - 1),
        };
    }
}

impl FlipperState {
    /// A 64-bit linear congruential generator (Knuth's MMIX).
    fn next(&mut self) -> u64 {
        self.random =
            self.random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        self.random >> 33
    }
}

/// A reader or a writer whose bytes a flipper sees. Both directions of a connection have one at its dialer.
struct Flipping<S> {
    inner: S,
    flipper: Flipper,
    /// Bytes that were flipped, and are not written yet.
    unwritten: Vec<u8>,
}

fn flipping(stream: BoxStream, flipper: &Flipper) -> BoxStream {
    let BoxStream { reader, writer } = stream;
    let reader = Flipping { inner: reader, flipper: flipper.clone(), unwritten: Vec::new() };
    let writer = Flipping { inner: writer, flipper: flipper.clone(), unwritten: Vec::new() };
    BoxStream { reader: Box::new(reader), writer: Box::new(writer) }
}

impl AsyncRead for Flipping<Box<dyn StreamReader>> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let filled = into.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(task, into))?;
        self.flipper.apply(&mut into.filled_mut()[filled..]);
        Poll::Ready(Ok(()))
    }
}

impl StreamReader for Flipping<Box<dyn StreamReader>> {
    fn readable(&self) -> Option<usize> {
        self.inner.readable()
    }
}

impl AsyncWrite for Flipping<Box<dyn StreamWriter>> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        // What the connection does not accept is written again, and must contain the flipped bit.
        if this.unwritten.len() != data.len() {
            this.unwritten = data.to_vec();
            this.flipper.apply(&mut this.unwritten);
        }
        let count = ready!(Pin::new(&mut this.inner).poll_write(task, &this.unwritten))?;
        this.unwritten.drain(..count);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(task)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(task)
    }
}

impl StreamWriter for Flipping<Box<dyn StreamWriter>> {
    fn abort_on_close(&mut self) {
        self.inner.abort_on_close();
    }

    fn set_low_water(&mut self, bytes: usize) {
        self.inner.set_low_water(bytes);
    }
}

struct FlippingDatagrams(Arc<dyn Datagram>, Flipper);

impl Datagram for FlippingDatagrams {
    fn send<'a>(&'a self, data: &'a [u8], to: SocketAddr) -> BoxFuture<'a, io::Result<()>> {
        let mut data = data.to_vec();
        self.1.apply(&mut data);
        Box::pin(async move { self.0.send(&data, to).await })
    }

    fn receive<'a>(&'a self, into: &'a mut [u8]) -> BoxFuture<'a, io::Result<(usize, SocketAddr)>> {
        self.0.receive(into)
    }
}

/// Two sealed nodes, between which `streams` and `datagrams` flip bits.
async fn flipped_cluster(changed: &Changed, streams: &Flipper, datagrams: &Flipper) -> SimCluster {
    let (changed, streams, datagrams) = (changed.clone(), streams.clone(), datagrams.clone());
    let release = Release::new().serve(move |_| ServeNumbered::new(changed.clone()));
    let release = release.configure(move |node, builder| {
        let streams = streams.clone();
        let datagrams = datagrams.clone();
        let env = HookedEnv::new(node.env().clone(), move |env, to| {
            let streams = streams.clone();
            Box::pin(async move { Ok(flipping(flyrpc::Env::connect(env, to).await?, &streams)) })
        });
        builder.env(
            env.wrap_datagrams(move |socket| {
                Arc::new(FlippingDatagrams(socket, datagrams.clone()))
            }),
        )
    });
    SimCluster::builder()
        .region("iad", 1)
        .region("hkg", 1)
        .secret(keyring(&[1]))
        .release(release)
        .start()
        .await
}

/// Calls from both nodes to the other until `flipper` has flipped a bit. Calls may fail, but must not be changed.
async fn call_until_flipped(cluster: &SimCluster, flipper: &Flipper, number: &mut u64) {
    while flipper.is_armed() {
        *number += 1;
        let (from, to) = if number.is_multiple_of(2) { ("iad-0", "hkg") } else { ("hkg-0", "iad") };
        let client = cluster.node(from).client::<NumberedClient>().on_region(to).timeout(secs(2));
        if let Ok(reply) = client.check(*number, bytes_of(*number)).await {
            assert_eq!(reply, bytes_of(*number));
        }
        sleep(millis(20)).await;
    }
}

/// Checks that calls work in both directions, that no changed call was executed, and that no task of a node panicked.
async fn assert_intact(cluster: &SimCluster, changed: &Changed, panics: &ThreadPanics) {
    for (from, to) in [("iad-0", "hkg"), ("hkg-0", "iad")] {
        let client = cluster.node(from).client::<NumberedClient>().on_region(to);
        assert_eq!(client.check(7, bytes_of(7)).await.unwrap(), bytes_of(7));
    }
    assert_eq!(changed.0.load(Ordering::SeqCst), 0, "changed calls were executed");
    assert_eq!(panics.so_far(), 0, "panics, which flyrpc has caught");
}

#[tokio::test(start_paused = true)]
async fn a_link_ends_when_a_bit_is_flipped_and_no_changed_call_is_executed() {
    let panics = ThreadPanics::count();
    let (changed, streams) = (Changed::default(), Flipper::default());
    let cluster = flipped_cluster(&changed, &streams, &Flipper::default()).await;
    let mut number = 0;
    for _ in 0..FLIPS {
        streams.arm();
        call_until_flipped(&cluster, &streams, &mut number).await;
        // If the length of a record was changed, no later record is complete, and no ping is answered for 11 s.
        sleep(secs(15)).await;
        cluster.settled().await;
    }
    assert_intact(&cluster, &changed, &panics).await;
    let trace = cluster.trace();
    let closed = trace.events().links().of_node("iad-0");
    let closed = closed.filter(|event| matches!(event.what(), Occurrence::LinkClosed(..)));
    assert_eq!(closed.count(), FLIPS);
}

#[tokio::test(start_paused = true)]
async fn a_datagram_with_a_flipped_bit_is_dropped() {
    let panics = ThreadPanics::count();
    let (changed, datagrams) = (Changed::default(), Flipper::default());
    let cluster = flipped_cluster(&changed, &Flipper::default(), &datagrams).await;
    let settled = cluster.elapsed();
    let mut number = 0;
    for _ in 0..FLIPS {
        datagrams.arm();
        call_until_flipped(&cluster, &datagrams, &mut number).await;
    }
    assert_intact(&cluster, &changed, &panics).await;
    let stats = cluster.nodes().into_iter().map(|node| node.stats().gossip.dropped);
    let dropped: Vec<_> = stats.flatten().collect();
    assert_eq!(dropped.iter().map(|(_, count)| count).sum::<u64>(), FLIPS as u64, "{dropped:?}");
    let trace = cluster.trace();
    let events: Vec<_> = trace.events().since(settled).links().collect();
    assert!(events.is_empty(), "{events:?}");
    let events: Vec<_> = trace.events().since(settled).membership().collect();
    assert!(events.is_empty(), "{events:?}");
}

#[tokio::test(start_paused = true)]
async fn a_handshake_with_a_flipped_bit_opens_no_link_and_the_next_one_does() {
    let panics = ThreadPanics::count();
    let (changed, streams) = (Changed::default(), Flipper::default());
    let cluster = flipped_cluster(&changed, &streams, &Flipper::default()).await;
    for _ in 0..50 {
        cluster.crash("hkg-0");
        streams.arm();
        cluster.restart("hkg-0").await;
        cluster.settled().await;
        assert!(!streams.is_armed());
        assert_intact(&cluster, &changed, &panics).await;
    }
}
