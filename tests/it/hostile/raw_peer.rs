//! A peer that encodes frames itself, and can therefore send invalid ones.

use flyrpc::Node;
use serde::Serialize;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::Instant,
};

use super::GENEROUS_TIMEOUT;

pub(crate) const PREFACE: &[u8] = b"flyrpc\r\n\r\n";

pub(crate) mod kind {
    pub(crate) const HELLO: u8 = 1;
    pub(crate) const REQUEST: u8 = 2;
    pub(crate) const REPLY: u8 = 3;
    pub(crate) const LONG_REPLY: u8 = 4;
    pub(crate) const STATUS: u8 = 5;
    pub(crate) const REQUEST_CHUNK: u8 = 6;
    pub(crate) const REPLY_CHUNK: u8 = 7;
    pub(crate) const CANCEL: u8 = 8;
    pub(crate) const PING: u8 = 9;
    pub(crate) const PONG: u8 = 10;
    pub(crate) const STATE: u8 = 11;
    pub(crate) const GOING_AWAY: u8 = 12;
}

/// Indices of methods: the three methods of flyrpc's internal service, followed by those of `Probe`
/// in order.
pub(crate) mod method {
    pub(crate) const REGION: u64 = 0;
    pub(crate) const SYNC_DIGEST: u64 = 1;
    pub(crate) const PUSH_MEMBERS: u64 = 2;
    pub(crate) const SHOUT: u64 = 3;
    pub(crate) const SLOW: u64 = 4;
    pub(crate) const ECHO: u64 = 8;
    pub(crate) const PRODUCE: u64 = 9;
}

/// The flag of a request whose body is sent in chunks.
pub(super) const CHUNKED: u64 = 8;

pub(super) fn varint(mut value: u64, to: &mut Vec<u8>) {
    while value >= 0x80 {
        to.push(value as u8 | 0x80);
        value >>= 7;
    }
    to.push(value as u8);
}

/// Encodes a frame of numbers and bytes.
pub(crate) fn frame(kind: u8, numbers: &[u64], bytes: &[u8]) -> Vec<u8> {
    let mut payload = vec![kind];
    numbers.iter().for_each(|&number| varint(number, &mut payload));
    payload.extend_from_slice(bytes);
    let mut frame = Vec::new();
    varint(payload.len() as u64, &mut frame);
    frame.extend_from_slice(&payload);
    frame
}

pub(crate) fn pack(value: &impl Serialize) -> Vec<u8> {
    rmp_serde::to_vec_named(value).unwrap()
}

/// Encodes arguments of `Probe::shout`.
pub(super) fn shout_args(text: &str) -> Vec<u8> {
    pack(&std::collections::BTreeMap::from([("text", text)]))
}

/// Encodes arguments of the slow methods.
pub(super) fn slow_args(millis: u64) -> Vec<u8> {
    pack(&std::collections::BTreeMap::from([("millis", millis)]))
}

/// The hello of a raw peer. The default is valid for a node of the cluster `local`.
#[derive(Debug, Clone)]
pub(crate) struct Hello {
    pub(crate) versions: (u64, u64),
    pub(crate) cluster: String,
    pub(crate) name: String,
    pub(crate) boot: u64,
    pub(crate) region: String,
    pub(crate) addr: String,
    pub(crate) max_body: u64,
    pub(crate) stamp: u64,
    /// The number of services without methods, and of withdrawn names.
    pub(crate) services: usize,
    pub(crate) withdrawn: usize,
}

impl Default for Hello {
    fn default() -> Self {
        Hello {
            versions: (1, 1),
            cluster: "local".to_owned(),
            name: "raw".to_owned(),
            boot: 666,
            region: "raw".to_owned(),
            // No program listens at this address.
            addr: "127.0.0.1:1".to_owned(),
            max_body: 32 << 20,
            stamp: 0,
            services: 0,
            withdrawn: 0,
        }
    }
}

impl Hello {
    pub(crate) fn encode(&self) -> Vec<u8> {
        #[derive(Serialize)]
        struct NodeField<'a> {
            cluster: &'a str,
            name: &'a str,
            boot: u64,
            region: &'a str,
            addr: &'a str,
            max_body: u64,
        }
        #[derive(Serialize)]
        struct State<'a> {
            accepting: bool,
            draining: bool,
            primary_region: &'a str,
            withdrawn: Vec<String>,
        }
        #[derive(Serialize)]
        struct Service {
            name: String,
            methods: [u8; 0],
        }
        let Hello { cluster, name, boot, region, addr, max_body, .. } = self;
        let node =
            pack(&NodeField { cluster, name, boot: *boot, region, addr, max_body: *max_body });
        let names = |count: usize| (0..count).map(|number| format!("S{number}"));
        let withdrawn = names(self.withdrawn).collect();
        let primary_region = "iad";
        let state = pack(&State { accepting: true, draining: false, primary_region, withdrawn });
        let services = names(self.services).map(|name| Service { name, methods: [] });
        let services = pack(&services.collect::<Vec<_>>());
        let mut payload = Vec::new();
        let fields = [(1, node), (2, services), (3, state), (4, pack(&self.stamp))];
        for (number, value) in fields {
            varint(number << 1, &mut payload);
            varint(value.len() as u64, &mut payload);
            payload.extend_from_slice(&value);
        }
        [PREFACE, &frame(kind::HELLO, &[self.versions.0, self.versions.1], &payload)].concat()
    }
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
        let stream = TcpStream::connect(node.addr()).await.unwrap();
        RawPeer { stream, received: Vec::new(), epoch: Instant::now(), responds_to_pings: true }
    }

    /// Connects, sends `hello`, and reads the node's preface and hello.
    pub(super) async fn handshake(node: &Node, hello: &Hello) -> RawPeer {
        let mut raw = RawPeer::connect(node).await;
        raw.send(&hello.encode()).await;
        raw.read_hello().await;
        raw
    }

    /// Connects and performs a valid handshake.
    pub(super) async fn link(node: &Node) -> RawPeer {
        RawPeer::handshake(node, &Hello::default()).await
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
            let mut rest = self.received.as_slice();
            if let Some(length) =
                read_varint(&mut rest).filter(|&length| rest.len() >= length as usize)
            {
                let frame = rest[..length as usize].to_vec();
                let used = self.received.len() - rest.len() + length as usize;
                self.received.drain(..used);
                match frame[0] {
                    kind::PING if self.responds_to_pings => {
                        let echo = read_varint(&mut &frame[1..]).unwrap();
                        let pong = self::frame(kind::PONG, &[echo, self.now()], b"");
                        self.send(&pong).await;
                    }
                    kind::PING | kind::STATE => {}
                    kind => return Some((kind, frame[1..].to_vec())),
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

pub(crate) fn read_varint(from: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for index in 0.. {
        let (&byte, rest) = from.split_first()?;
        *from = rest;
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte < 0x80 {
            break;
        }
    }
    Some(value)
}
