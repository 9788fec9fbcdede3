//! Performs the handshake on a new connection.

use std::{net::SocketAddr, sync::Arc};

use bytes::BytesMut;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
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

/// A connection to a node of this cluster, after its handshake.
pub(crate) struct Handshaken {
    pub(super) stream: BoxStream,
    pub(super) hello: Hello,
    /// The state that this node announced: which calls it accepts.
    pub(super) announced: Arc<State>,
    pub(super) epoch: Instant,
    pub(super) clock: LinkClock,
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
        let (hello, leftover) = receive_hello(&mut stream, local).await?;
        let now = micros_since(epoch, env);
        let mut clock = LinkClock::new(local.heartbeat.as_micros() as u64);
        if hello.echo == Some(sent) {
            clock.pong(now, sent, hello.stamp);
        }
        let mut first_frames = Vec::new();
        frame::put_pong(hello.stamp, now, &mut first_frames);
        let announced = Arc::clone(&local.state);
        Ok(Handshaken { stream, hello, announced, epoch, clock, leftover, first_frames })
    })
    .await
    .map_err(|_| DialError::HandshakeTimeout)?
}

/// Performs the handshake on a connection that another node opened. Connections that send nothing,
/// such as those of health checks, end in [`DialError::ClosedDuringHandshake`] or
/// [`DialError::HandshakeTimeout`]. Dropping the future closes the connection.
pub(crate) async fn accept(
    env: &dyn Env,
    mut stream: BoxStream,
    local: &LocalHello,
) -> Result<Handshaken, DialError> {
    let epoch = env.now();
    timeout(HANDSHAKE_TIMEOUT, async {
        let (hello, leftover) = match receive_hello(&mut stream, local).await {
            Ok(received) => received,
            Err(error) => {
                if error.is_from_a_node() {
                    send_hello(&mut stream, local, 0, None).await?;
                }
                return Err(error);
            }
        };
        send_hello(&mut stream, local, micros_since(epoch, env), Some(hello.stamp)).await?;
        Ok(Handshaken {
            hello,
            announced: Arc::clone(&local.state),
            stream,
            epoch,
            clock: LinkClock::new(local.heartbeat.as_micros() as u64),
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

/// Receives the peer's hello. Returns it with the bytes that were read after it.
async fn receive_hello(
    stream: &mut BoxStream,
    local: &LocalHello,
) -> Result<(Hello, BytesMut), DialError> {
    let mut received = HelloReader::default();
    loop {
        if let Some(hello) = received.poll(local)? {
            return Ok((hello, received.into_rest()));
        }
        if stream.reader.read_buf(received.buffer()).await? == 0 {
            return Err(DialError::ClosedDuringHandshake);
        }
    }
}

fn micros_since(epoch: Instant, env: &dyn Env) -> u64 {
    env.now().saturating_duration_since(epoch).as_micros() as u64
}
