//! A peer that encodes frames itself, and can therefore send invalid ones.

use std::net::SocketAddr;

use flyrpc::Node;
pub(crate) use flyrpc_tests::frames::{
    CHUNKED, FIRST_METHOD, Hello, PREFACE, frame, kind, pack, read_varint, take_frame, varint,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::Instant,
};

use super::GENEROUS_TIMEOUT;

/// Indices of methods: those of flyrpc's internal service, followed by those of `Probe` in order.
pub(crate) mod method {
    use super::FIRST_METHOD;

    pub(crate) const REGION: u64 = 0;
    pub(crate) const SYNC_DIGEST: u64 = 1;
    pub(crate) const PUSH_MEMBERS: u64 = 2;
    pub(crate) const SHOUT: u64 = FIRST_METHOD;
    pub(crate) const SLOW: u64 = FIRST_METHOD + 1;
    pub(crate) const ECHO: u64 = FIRST_METHOD + 5;
    pub(crate) const PRODUCE: u64 = FIRST_METHOD + 6;
}

/// Encodes arguments of `Probe::shout`.
pub(super) fn shout_args(text: &str) -> Vec<u8> {
    pack(&std::collections::BTreeMap::from([("text", text)]))
}

/// Encodes arguments of the slow methods.
pub(super) fn slow_args(millis: u64) -> Vec<u8> {
    pack(&std::collections::BTreeMap::from([("millis", millis)]))
}

/// A connection to a node.
pub(super) struct RawPeer {
    pub(super) stream: TcpStream,
    received: Vec<u8>,
    epoch: Instant,
    /// Whether `next` responds to pings as they arrive.
    pub(super) responds_to_pings: bool,
}

impl RawPeer {
    /// Connects without sending anything.
    pub(super) async fn connect(node: &Node) -> RawPeer {
        RawPeer::connect_to(node.addr()).await
    }

    async fn connect_to(addr: SocketAddr) -> RawPeer {
        let stream = TcpStream::connect(addr).await.unwrap();
        RawPeer { stream, received: Vec::new(), epoch: Instant::now(), responds_to_pings: true }
    }

    /// Connects, sends `hello`, and reads the node's preface and hello.
    pub(super) async fn handshake(node: &Node, hello: &Hello) -> RawPeer {
        RawPeer::handshake_with(node.addr(), hello).await
    }

    /// The same, with the node at `addr`.
    pub(super) async fn handshake_with(addr: SocketAddr, hello: &Hello) -> RawPeer {
        let mut raw = RawPeer::connect_to(addr).await;
        raw.send(&hello.encode()).await;
        raw.read_hello().await;
        raw
    }

    /// Connects and performs a valid handshake.
    pub(super) async fn link(node: &Node) -> RawPeer {
        RawPeer::handshake(node, &Hello::default()).await
    }

    /// Waits until the node has handled everything that was sent. Skips all other frames.
    pub(super) async fn handled(&mut self) {
        self.send(&frame(kind::PING, &[1, 0], b"")).await;
        while self.next().await.expect("the link is open").0 != kind::PONG {}
    }

    pub(super) async fn read_hello(&mut self) {
        while self.received.len() < PREFACE.len() {
            assert!(self.read().await, "the connection was closed before the preface");
        }
        assert_eq!(&self.received[..PREFACE.len()], PREFACE);
        self.received.drain(..PREFACE.len());
        let (first, _) = self.next().await.expect("the node sends a hello");
        assert_eq!(first, kind::HELLO);
    }

    /// The time on this peer's clock.
    pub(super) fn now(&self) -> u64 {
        self.epoch.elapsed().as_micros() as u64
    }

    /// Sends bytes. Does nothing if the node has closed the connection.
    pub(super) async fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
    }

    /// Sends a request with a timeout of one minute.
    pub(super) async fn request(&mut self, id: u64, method: u64, body: &[u8]) {
        let head = [id, method, 0, self.now(), 60_000_000];
        self.send(&frame(kind::REQUEST, &head, body)).await;
    }

    /// Like [`expect_closed`](RawPeer::expect_closed), but responds to pings until the connection is
    /// closed.
    pub(super) async fn expect_closed_with_pongs(&mut self) {
        while self.next().await.is_some() {}
    }

    async fn read(&mut self) -> bool {
        let mut buffer = [0; 4096];
        let read = tokio::time::timeout(GENEROUS_TIMEOUT, self.stream.read(&mut buffer));
        match read.await.expect("the node sends something or closes the connection") {
            Ok(0) | Err(_) => false,
            Ok(count) => {
                self.received.extend_from_slice(&buffer[..count]);
                true
            }
        }
    }

    /// Returns the kind and payload of the next frame, skipping pings and states. Returns `None`
    /// once the node has closed the connection.
    pub(super) async fn next(&mut self) -> Option<(u8, Vec<u8>)> {
        loop {
            if let Some((kind, payload)) = take_frame(&mut self.received) {
                match kind {
                    kind::PING if self.responds_to_pings => {
                        let echo = read_varint(&mut &payload[..]).unwrap();
                        let pong = frame(kind::PONG, &[echo, self.now()], b"");
                        self.send(&pong).await;
                    }
                    kind::PING | kind::STATE => {}
                    kind => return Some((kind, payload)),
                }
            } else if !self.read().await {
                return None;
            }
        }
    }

    /// Checks that the next frame has the given kind and belongs to request `id`. Returns its
    /// payload after the id.
    #[track_caller]
    pub(super) fn expect(&mut self, kind: u8, id: u64) -> impl Future<Output = Vec<u8>> {
        let at = std::panic::Location::caller();
        async move {
            let (found, frame) = self.next().await.expect("the link is open");
            let mut rest = frame.as_slice();
            assert_eq!((found, read_varint(&mut rest)), (kind, Some(id)), "at {at}: {frame:?}");
            rest.to_vec()
        }
    }

    /// Waits until the node closes the connection, and discards everything that it sends.
    pub(super) async fn expect_closed(&mut self) {
        while self.read().await {}
    }
}
