//! Performs the handshake on a new connection.

use std::{net::SocketAddr, sync::Arc};

use bytes::{BufMut, BytesMut};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::Semaphore,
    time::{Instant, timeout},
};

use crate::{
    env::{BoxStream, Env},
    proto::{
        link::{
            clock::LinkClock,
            handshake::{CONNECT_TIMEOUT, DialError, HANDSHAKE_TIMEOUT, HelloReader, LocalHello},
        },
        wire::{
            frame,
            hello::{Hello, State},
        },
    },
    types::NodeInfo,
};

/// Upper bound on the concurrent inbound handshakes whose hello is longer than [`SHORT_HELLO`].
pub(crate) const MAX_LONG_HELLOS: usize = 8;

/// Inbound hellos longer than this are received only with one of [`MAX_LONG_HELLOS`] permits. Anyone who
/// can reach the port can start a hello, and must not be able to exhaust the memory.
const SHORT_HELLO: usize = 16 << 10;

/// Buffer space in bytes for a hello that is short so far, and for a long one.
const SHORT_BUFFER: usize = 2 << 10;
const LONG_BUFFER: usize = 1 << 20;

/// Upper bound on the bytes of a read.
const READ_MAX: usize = 16 << 10;

/// A connection to a node of this cluster, after its handshake.
pub(crate) struct Handshaken {
    pub(super) stream: BoxStream,
    pub(super) hello: Hello,
    /// The state that this node announced: which calls it accepts.
    pub(super) announced: Arc<State>,
    pub(super) epoch: Instant,
    pub(super) clock: LinkClock,
    /// The stamp of this end's hello, if the peer must answer it with a pong.
    pub(super) unanswered: Option<u64>,
    /// The bytes that were read after the handshake.
    pub(super) leftover: BytesMut,
    /// The frames that must be sent before all others.
    pub(super) first_frames: Vec<u8>,
}

impl Handshaken {
    /// The node at the other end.
    pub(crate) fn peer(&self) -> &NodeInfo {
        &self.hello.node
    }

    /// The state that this node announced: which calls it accepts.
    pub(crate) fn announced(&self) -> &Arc<State> {
        &self.announced
    }
}

/// Connects to `to` and exchanges hellos. Dropping the future closes the connection.
pub(crate) async fn dial(
    env: &dyn Env,
    to: SocketAddr,
    local: &LocalHello,
) -> Result<Handshaken, DialError> {
    let mut stream = timeout(CONNECT_TIMEOUT, env.connect(to))
        .await
        .map_err(|_| DialError::ConnectTimeout)?
        .map_err(|error| DialError::Connect(Arc::new(error)))?;
    let epoch = env.now();
    let sent = 0;
    timeout(HANDSHAKE_TIMEOUT, async {
        send_hello(&mut stream, local, sent, None).await?;
        let (hello, leftover) = receive_hello(&mut stream, local, None).await?;
        let now = micros_since(epoch, env);
        let mut clock = LinkClock::new(local.heartbeat.as_micros() as u64);
        if hello.echo == Some(sent) {
            clock.pong(now, sent, hello.stamp);
        }
        let mut first_frames = Vec::new();
        frame::put_pong(hello.stamp, now, &mut first_frames);
        let announced = Arc::clone(&local.state);
        Ok(Handshaken {
            stream,
            hello,
            announced,
            epoch,
            clock,
            unanswered: None,
            leftover,
            first_frames,
        })
    })
    .await
    .map_err(|_| DialError::HandshakeTimeout)?
}

/// Performs the handshake on a connection that another node opened. Connections that send nothing,
/// such as those of health checks, end in [`DialError::ClosedDuringHandshake`] or
/// [`DialError::HandshakeTimeout`]. `long_hellos` limits the connections that receive a long hello at the
/// same time. Dropping the future closes the connection.
pub(crate) async fn accept(
    env: &dyn Env,
    mut stream: BoxStream,
    local: &LocalHello,
    long_hellos: &Semaphore,
) -> Result<Handshaken, DialError> {
    let epoch = env.now();
    timeout(HANDSHAKE_TIMEOUT, async {
        let (hello, leftover) = match receive_hello(&mut stream, local, Some(long_hellos)).await {
            Ok(received) => received,
            Err(error) => {
                if error.is_from_a_node() {
                    send_hello(&mut stream, local, 0, None).await?;
                }
                return Err(error);
            }
        };
        let stamp = micros_since(epoch, env);
        send_hello(&mut stream, local, stamp, Some(hello.stamp)).await?;
        Ok(Handshaken {
            hello,
            announced: Arc::clone(&local.state),
            stream,
            epoch,
            clock: LinkClock::new(local.heartbeat.as_micros() as u64),
            unanswered: Some(stamp),
            leftover,
            first_frames: Vec::new(),
        })
    })
    .await
    .map_err(|_| DialError::HandshakeTimeout)?
}

async fn send_hello(
    stream: &mut BoxStream,
    local: &LocalHello,
    stamp: u64,
    echo: Option<u64>,
) -> Result<(), DialError> {
    stream.writer.write_all(&local.preface_and_hello(stamp, echo)).await?;
    Ok(stream.writer.flush().await?)
}

/// Receives the peer's hello. Returns it along with the bytes that were read after it. If the hello is
/// long, waits for a permit from `long`.
async fn receive_hello(
    stream: &mut BoxStream,
    local: &LocalHello,
    long: Option<&Semaphore>,
) -> Result<(Hello, BytesMut), DialError> {
    let mut received = HelloReader::default();
    let mut permit = None;
    loop {
        let is_long = received.buffer().len() > SHORT_HELLO;
        if let Some(long) = long
            && is_long
        {
            if permit.is_none() {
                permit = long.acquire().await.ok();
            }
            // Peers that send long hellos again and again must not occupy this thread.
            tokio::task::yield_now().await;
        }
        if let Some(hello) = received.poll(local)? {
            return Ok((hello, received.into_rest()));
        }
        let buffer = received.buffer();
        if buffer.len() == buffer.capacity() {
            buffer.reserve(if is_long { LONG_BUFFER } else { SHORT_BUFFER });
        }
        if stream.reader.read_buf(&mut buffer.limit(READ_MAX)).await? == 0 {
            return Err(DialError::ClosedDuringHandshake);
        }
    }
}

fn micros_since(epoch: Instant, env: &dyn Env) -> u64 {
    env.now().saturating_duration_since(epoch).as_micros() as u64
}
