//! The beginning of a connection: each end says who it is, and learns who the other is, or what
//! answers there if it is no node of this cluster.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use bytes::{Buf, BytesMut};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::Instant,
};

use crate::proto::link::clock::LinkClock;
use crate::{
    codec::bytes::Malformed,
    env::{BoxStream, Env},
    proto::wire::{
        PREFACE, VERSIONS,
        frame::{self, Frame},
        hello::{EncodedHello, Hello, HelloOutcome, IncompatiblePeer, State},
    },
    types::NodeInfo,
};

/// How long connecting, and then the handshake, may each take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// What this node says of itself on every link.
#[derive(Debug)]
pub(crate) struct LocalHello {
    pub(crate) cluster: String,
    pub(crate) node: NodeInfo,
    /// As the opening says.
    pub(crate) state: Arc<State>,
    pub(crate) opening: EncodedHello,
    pub(crate) heartbeat: Duration,
}

/// A connection to a node of this cluster.
pub(crate) struct Handshaken {
    pub(super) stream: BoxStream,
    pub(super) hello: Hello,
    /// What this node said that it accepts.
    pub(super) said: Arc<State>,
    pub(super) epoch: Instant,
    pub(super) clock: LinkClock,
    /// What was read beyond the handshake.
    pub(super) leftover: BytesMut,
    /// What must be sent before anything else.
    pub(super) first_frames: Vec<u8>,
}

impl Handshaken {
    /// The node at the other end.
    pub(crate) fn peer(&self) -> &NodeInfo {
        &self.hello.node
    }

    /// What this node said that it accepts.
    pub(crate) fn said(&self) -> &Arc<State> {
        &self.said
    }
}

/// Why a connection came to nothing.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum DialError {
    #[error("cannot connect: {0}")]
    Connect(Arc<io::Error>),
    #[error("no connection within {HANDSHAKE_TIMEOUT:?}")]
    ConnectTimeout,
    #[error("it takes connections, but said nothing for {HANDSHAKE_TIMEOUT:?}")]
    HandshakeTimeout,
    #[error("it closed the connection without a word of flyrpc")]
    ClosedDuringHandshake,
    #[error("something else answers there: {0:?}")]
    NotFlyrpc(String),
    #[error("it speaks versions {first} to {last} of the protocol, this node {ours_first} to {ours_last}", ours_first = VERSIONS.0, ours_last = VERSIONS.1)]
    OtherVersions {
        first: u64,
        last: u64,
        /// Who it is, if it says so and is of this cluster.
        node: Option<NodeInfo>,
    },
    #[error("it belongs to the cluster {0:?}")]
    OtherCluster(String),
    #[error("the address is this node's own")]
    SelfConnect,
    #[error("the node there says that it is reached at this node's own address, {0}")]
    SameAddress(SocketAddr),
    #[error("it says that it is at {addr}, called {name:?} and in {region:?}: no node can be that")]
    Unfit { name: String, region: String, addr: SocketAddr },
    #[error("the handshake broke: {0}")]
    Broken(Arc<io::Error>),
    #[error("the handshake contained a {0}")]
    Malformed(Malformed),
}

/// Connects to `to` and introduces this node. Dropping the future closes the connection.
pub(crate) async fn dial(
    env: &dyn Env,
    to: SocketAddr,
    me: &LocalHello,
) -> Result<Handshaken, DialError> {
    let mut stream = tokio::time::timeout(HANDSHAKE_TIMEOUT, env.connect(to))
        .await
        .map_err(|_| DialError::ConnectTimeout)?
        .map_err(|error| DialError::Connect(Arc::new(error)))?;
    let epoch = env.now();
    let sent = 0;
    tokio::time::timeout(HANDSHAKE_TIMEOUT, async {
        greet(&mut stream, me, sent, None).await?;
        let mut incoming = Incoming::default();
        let hello = incoming.hello(&mut stream, me).await?;
        let now = micros_since(epoch, env);
        let mut clock = LinkClock::new(me.heartbeat.as_micros() as u64);
        if hello.echo == Some(sent) {
            clock.pong(now, sent, hello.stamp);
        }
        let mut first_frames = Vec::new();
        frame::put_pong(hello.stamp, now, &mut first_frames);
        let said = Arc::clone(&me.state);
        Ok(Handshaken { stream, hello, said, epoch, clock, leftover: incoming.0, first_frames })
    })
    .await
    .map_err(|_| DialError::HandshakeTimeout)?
}

/// Answers a connection that another node opened. Connections that say nothing, as health checks
/// make them, end in [`DialError::HungUp`] or [`DialError::HandshakeTimeout`]. Dropping the future closes the
/// connection.
pub(crate) async fn accept(
    env: &dyn Env,
    mut stream: BoxStream,
    me: &LocalHello,
) -> Result<Handshaken, DialError> {
    let epoch = env.now();
    tokio::time::timeout(HANDSHAKE_TIMEOUT, async {
        let mut incoming = Incoming::default();
        let hello = incoming.hello(&mut stream, me).await;
        if let Ok(hello) = &hello {
            greet(&mut stream, me, micros_since(epoch, env), Some(hello.stamp)).await?;
        } else if matches!(
            hello,
            Err(DialError::OtherVersions { .. }
                | DialError::OtherCluster(_)
                | DialError::SelfConnect
                | DialError::SameAddress(_))
        ) {
            // It is a node, if not one of ours: it deserves to know whom it has reached.
            greet(&mut stream, me, 0, None).await?;
        }
        Ok(Handshaken {
            hello: hello?,
            said: Arc::clone(&me.state),
            stream,
            epoch,
            clock: LinkClock::new(me.heartbeat.as_micros() as u64),
            leftover: incoming.0,
            first_frames: Vec::new(),
        })
    })
    .await
    .map_err(|_| DialError::HandshakeTimeout)?
}

async fn greet(
    stream: &mut BoxStream,
    me: &LocalHello,
    stamp: u64,
    echo: Option<u64>,
) -> Result<(), DialError> {
    let mut bytes = PREFACE.to_vec();
    frame::put_hello(&me.opening.encode(stamp, echo), &mut bytes);
    stream.writer.write_all(&bytes).await.map_err(broken)?;
    stream.writer.flush().await.map_err(broken)
}

/// What has been read and not yet taken.
#[derive(Default)]
struct Incoming(BytesMut);

impl Incoming {
    async fn hello(&mut self, stream: &mut BoxStream, me: &LocalHello) -> Result<Hello, DialError> {
        self.preface(stream).await?;
        loop {
            if let Some((first, length)) = frame::split(&self.0).map_err(DialError::Malformed)? {
                let Frame::Hello(hello) = frame::decode(first).map_err(DialError::Malformed)?
                else {
                    return Err(DialError::Malformed(Malformed::new("frame before the hello")));
                };
                let greeting = Hello::decode_with(hello, Some(&me.opening));
                let greeting = greeting.map_err(DialError::Malformed)?;
                self.0.advance(length);
                return check(greeting, me);
            }
            if self.read(stream).await? == 0 {
                return Err(DialError::ClosedDuringHandshake);
            }
        }
    }

    /// Reads the preface, or finds out what speaks instead.
    async fn preface(&mut self, stream: &mut BoxStream) -> Result<(), DialError> {
        loop {
            let seen = self.0.len().min(PREFACE.len());
            if self.0[..seen] != PREFACE[..seen] {
                return Err(DialError::NotFlyrpc(first_line(&self.0)));
            }
            if seen == PREFACE.len() {
                self.0.advance(seen);
                return Ok(());
            }
            if self.read(stream).await? == 0 {
                return Err(DialError::ClosedDuringHandshake);
            }
        }
    }

    async fn read(&mut self, stream: &mut BoxStream) -> Result<usize, DialError> {
        stream.reader.read_buf(&mut self.0).await.map_err(broken)
    }
}

fn check(greeting: HelloOutcome, me: &LocalHello) -> Result<Hello, DialError> {
    match greeting {
        HelloOutcome::OtherVersions(IncompatiblePeer { first, last, who }) => {
            let ours = who.filter(|(cluster, node)| {
                *cluster == me.cluster && is_fit(node) && node.id() != me.node.id()
            });
            Err(DialError::OtherVersions { first, last, node: ours.map(|(_, node)| node) })
        }
        HelloOutcome::Hello(hello) if hello.cluster != me.cluster => {
            Err(DialError::OtherCluster(hello.cluster))
        }
        HelloOutcome::Hello(hello) if hello.node.id() == me.node.id() => {
            Err(DialError::SelfConnect)
        }
        HelloOutcome::Hello(hello) if hello.node.addr() == me.node.addr() => {
            Err(DialError::SameAddress(hello.node.addr()))
        }
        HelloOutcome::Hello(hello) if !is_fit(&hello.node) => {
            let short = |text: &str| text.chars().take(60).collect();
            let (name, region) = (short(hello.node.name()), short(hello.node.region().as_str()));
            Err(DialError::Unfit { name, region, addr: hello.node.addr() })
        }
        HelloOutcome::Hello(hello) => Ok(*hello),
    }
}

/// The longest name of a node or a region, in bytes.
const MAX_NAME: usize = 64;

/// Whether a node can be called that, and be there: what starting one checks too.
fn is_fit(node: &NodeInfo) -> bool {
    let is_label =
        |text: &str| (1..=MAX_NAME).contains(&text.len()) && !text.contains(char::is_control);
    let (ip, port) = (node.addr().ip().to_canonical(), node.addr().port());
    is_label(node.name())
        && is_label(node.region().as_str())
        && port != 0
        && !ip.is_unspecified()
        && !ip.is_multicast()
}

/// The beginning of what something else said, for people to recognize it by.
fn first_line(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(60)]);
    text.lines().next().unwrap_or_default().to_owned()
}

fn micros_since(epoch: Instant, env: &dyn Env) -> u64 {
    env.now().saturating_duration_since(epoch).as_micros() as u64
}

fn broken(error: io::Error) -> DialError {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
    // Which of these it is depends on who was quicker.
    if matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset) {
        return DialError::ClosedDuringHandshake;
    }
    DialError::Broken(Arc::new(error))
}
