//! Performs the handshake on a new connection.

use std::{net::SocketAddr, sync::Arc};

use bytes::{BufMut, BytesMut};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::Semaphore,
    time::{Instant, timeout},
};

use super::{
    handshake_records::HandshakeRecords,
    handshaken::{Handshaken, LinkSeal},
};
use crate::{
    codec::bytes::Malformed,
    config::{Key, Keyring, Sealing},
    env::{BoxStream, Env, yield_once},
    proto::{
        link::{
            clock::LinkClock,
            handshake::{
                CONNECT_TIMEOUT, DialError, HANDSHAKE_TIMEOUT, HandshakeReader, LocalHello,
                SEAL_FRAME_MAX,
            },
        },
        seal::{
            handshake::{Entropy, Initiator, LinkKeys, PAYLOAD_MAX, Responder, SUITE},
            record::{CONTENT_MAX, Sealer},
            records::Records,
        },
        wire::{
            PREFACE,
            frame::{self, Frame, MAX_FRAME},
            hello::Hello,
            seal::{Seal, Unsealed},
        },
    },
    types::KeyId,
};

/// Upper bound on the concurrent inbound handshakes whose hello is longer than [`SHORT_HELLO`].
pub(crate) const MAX_LONG_HELLOS: usize = 8;

/// Inbound hellos longer than this are received only with one of [`MAX_LONG_HELLOS`] permits. Anyone who
/// can reach the port can start a hello, and must not be able to exhaust the memory.
const SHORT_HELLO: usize = 16 << 10;

/// Buffer space in bytes for a hello that is short so far, and for a long one.
const SHORT_BUFFER: usize = 1 << 10;
const LONG_BUFFER: usize = 1 << 20;

/// Upper bound on the bytes of a read.
const READ_MAX: usize = 16 << 10;

/// Upper bound on the frames of one end before the link is open: a seal with a key that the peer does not hold,
/// then one with another key, or a hello.
const MAX_OFFERS: usize = 3;

/// Connects to `to` and exchanges hellos. Dropping the future closes the connection.
pub(crate) async fn dial(
    env: &dyn Env,
    to: SocketAddr,
    local: &LocalHello,
) -> Result<Handshaken, DialError> {
    let dialed = dial_as(env, to, local, &local.sealing).await;
    match (&dialed, &local.sealing) {
        // A node of version 0.1 closes the connection when it receives a seal. A node with keys did it for another
        // reason, such as that it stopped. It must not get an open link, and does not accept one.
        (Err(DialError::ClosedDuringHandshake), Sealing::Permissive(_)) => {
            // Boxed, because this future would otherwise contain a second handshake.
            match Box::pin(dial_as(env, to, local, &Sealing::Open)).await {
                Ok(open) if !open.hello.keys.is_empty() => dialed,
                Err(DialError::SecretRequired) => dialed,
                open => open,
            }
        }
        _ => dialed,
    }
}

async fn dial_as(
    env: &dyn Env,
    to: SocketAddr,
    local: &LocalHello,
    sealing: &Sealing,
) -> Result<Handshaken, DialError> {
    let stream = timeout(CONNECT_TIMEOUT, env.connect(to))
        .await
        .map_err(|_| DialError::ConnectTimeout)?
        .map_err(|error| DialError::Connect(Arc::new(error)))?;
    let handshake = Handshake::new(env, stream, local, None);
    let handshake = async {
        match sealing.keyring() {
            None => handshake.dial_open().await,
            Some(keyring) => handshake.dial_sealed(keyring).await,
        }
    };
    timeout(HANDSHAKE_TIMEOUT, handshake).await.map_err(|_| DialError::HandshakeTimeout)?
}

/// Performs the handshake on a connection that another node opened. Connections that send nothing,
/// such as those of health checks, end in [`DialError::ClosedDuringHandshake`] or
/// [`DialError::HandshakeTimeout`]. `long_hellos` limits the connections that receive a long hello at the
/// same time. Dropping the future closes the connection.
pub(crate) async fn accept(
    env: &dyn Env,
    stream: BoxStream,
    local: &LocalHello,
    long_hellos: &Semaphore,
) -> Result<Handshaken, DialError> {
    let handshake = Handshake::new(env, stream, local, Some(long_hellos));
    timeout(HANDSHAKE_TIMEOUT, handshake.accept()).await.map_err(|_| DialError::HandshakeTimeout)?
}

/// A connection during its handshake.
struct Handshake<'a> {
    env: &'a dyn Env,
    stream: BoxStream,
    local: &'a LocalHello,
    epoch: Instant,
    reader: HandshakeReader,
    /// Whether this end has sent its preface.
    has_sent: bool,
    /// Limits long hellos, if another node opened the connection.
    long_hellos: Option<&'a Semaphore>,
}

impl<'a> Handshake<'a> {
    fn new(
        env: &'a dyn Env,
        stream: BoxStream,
        local: &'a LocalHello,
        long_hellos: Option<&'a Semaphore>,
    ) -> Self {
        let (epoch, reader) = (env.now(), HandshakeReader::default());
        Handshake { env, stream, local, epoch, reader, has_sent: false, long_hellos }
    }

    async fn dial_open(mut self) -> Result<Handshaken, DialError> {
        let sent = self.micros();
        self.send(&self.local.frame(sent, None)).await?;
        let frame = self.receive(MAX_FRAME).await?;
        match frame::decode(&frame)? {
            Frame::Hello(hello) => {
                let hello = self.local.read_peer(hello)?;
                let leftover = std::mem::take(&mut self.reader).into_rest();
                Ok(self.dialed(hello, sent, leftover, None))
            }
            Frame::Unsealed(why) if Unsealed::decode(why)? == Unsealed::SealRequired => {
                Err(DialError::SecretRequired)
            }
            _ => Err(unexpected()),
        }
    }

    /// Offers the first key of `keyring`, then the first one that the peer holds.
    async fn dial_sealed(mut self, keyring: &Keyring) -> Result<Handshaken, DialError> {
        let (mut key, mut is_first) = (keyring.first(), true);
        loop {
            let sent = self.micros();
            let hello = self.local.encoded.encode(sent, None);
            let (payload, later) = divide(hello);
            let (initiator, message) = Initiator::new(key, self.entropy(), &payload);
            self.send_seal(key, &message).await?;
            let frame = self.receive(SEAL_FRAME_MAX).await?;
            match frame::decode(&frame)? {
                Frame::Seal(seal) => {
                    let Seal { suite, key: answered, message } = Seal::decode(seal)?;
                    if suite != SUITE || answered != key.id() {
                        return Err(unexpected());
                    }
                    let (payload, keys) = initiator.finish(message)?;
                    return self.finish_sealed_dial(key.id(), keys, &payload, later, sent).await;
                }
                Frame::Unsealed(why) => match Unsealed::decode(why)? {
                    Unsealed::UnknownKey(theirs) => {
                        let shared = keyring.keys().iter().find(|key| theirs.contains(&key.id()));
                        let shared = shared.filter(|_| std::mem::take(&mut is_first));
                        key = shared.ok_or(DialError::OtherSecret(theirs))?;
                    }
                    Unsealed::NoSeal if self.local.sealing.accepts_open() => {
                        return self.dial_open().await;
                    }
                    Unsealed::NoSeal => return Err(DialError::NoSecret),
                    Unsealed::UnknownSuite(theirs) => return Err(DialError::OtherSuite(theirs)),
                    Unsealed::SealRequired => return Err(unexpected()),
                },
                _ => return Err(unexpected()),
            }
        }
    }

    /// Completes a dial whose seal was accepted. `later` is this end's hello if it was too long for the seal.
    async fn finish_sealed_dial(
        mut self,
        key: KeyId,
        keys: LinkKeys,
        payload: &[u8],
        later: Option<Vec<u8>>,
        sent: u64,
    ) -> Result<Handshaken, DialError> {
        let LinkKeys { mut sealer, opener } = keys;
        self.send_later(&mut sealer, later).await?;
        let rest = std::mem::take(&mut self.reader).into_rest();
        let mut opened = HandshakeRecords::new(Records::new(opener, rest.into()));
        let hello = self.peer_hello(payload, &mut opened).await?;
        opened.open()?;
        let (records, frames) = opened.into_parts();
        let seal = LinkSeal { key, sealer, records };
        Ok(self.dialed(hello, sent, frames, Some(seal)))
    }

    fn dialed(
        self,
        hello: Hello,
        sent: u64,
        leftover: BytesMut,
        seal: Option<LinkSeal>,
    ) -> Handshaken {
        let now = self.micros();
        let mut clock = LinkClock::new(self.local.heartbeat.as_micros() as u64);
        if hello.echo == Some(sent) {
            clock.pong(now, sent, hello.stamp);
        }
        let mut first_frames = Vec::new();
        // The load is reported with the next pong.
        frame::put_pong(hello.stamp, now, 0, &mut first_frames);
        Handshaken {
            announced: Arc::clone(&self.local.state),
            stream: self.stream,
            hello,
            epoch: self.epoch,
            clock,
            unanswered: None,
            leftover,
            first_frames,
            seal,
        }
    }

    async fn accept(mut self) -> Result<Handshaken, DialError> {
        let mut refused = unexpected();
        for _ in 0..MAX_OFFERS {
            let frame = self.receive(self.local.first_frame_max()).await;
            // The peer closes the connection if it cannot do what this end requires.
            let frame = match frame {
                Err(DialError::ClosedDuringHandshake) if self.has_sent => return Err(refused),
                frame => frame?,
            };
            let why = match frame::decode(&frame)? {
                Frame::Hello(hello) if self.local.sealing.accepts_open() => {
                    return self.accept_open(hello).await;
                }
                Frame::Hello(_) => {
                    self.refuse(&Unsealed::SealRequired).await?;
                    return Err(DialError::NoSecret);
                }
                Frame::Seal(seal) => {
                    let seal = Seal::decode(seal)?;
                    match self.key_of(&seal) {
                        Ok(key) => return self.accept_sealed(key, seal.message).await,
                        Err((why, error)) => {
                            refused = error;
                            why
                        }
                    }
                }
                _ => return Err(unexpected()),
            };
            self.refuse(&why).await?;
        }
        Err(refused)
    }

    /// Returns the key that a seal names, or why this node does not accept the seal.
    fn key_of(&self, seal: &Seal<'_>) -> Result<&'a Key, (Unsealed, DialError)> {
        let Some(keyring) = self.local.sealing.keyring() else {
            return Err((Unsealed::NoSeal, DialError::SecretRequired));
        };
        if seal.suite != SUITE {
            return Err((Unsealed::UnknownSuite(SUITE), DialError::OtherSuite(seal.suite)));
        }
        let held = || Unsealed::UnknownKey(keyring.ids().collect());
        keyring.get(seal.key).ok_or_else(|| (held(), DialError::UnknownKey(seal.key)))
    }

    async fn accept_open(mut self, hello: &[u8]) -> Result<Handshaken, DialError> {
        let hello = match self.local.read_peer(hello) {
            Ok(hello) => hello,
            Err(error) => {
                if error.is_from_a_node() {
                    self.send(&self.local.frame(0, None)).await?;
                }
                return Err(error);
            }
        };
        if !hello.keys.is_empty() && self.local.sealing.keyring().is_some() {
            // The peer does not use an open link to a node with keys. If this node accepted one, it would replace its
            // sealed link to the peer.
            self.refuse(&Unsealed::SealRequired).await?;
            return Err(DialError::KeyNotUsed);
        }
        let stamp = self.micros();
        self.send(&self.local.frame(stamp, Some(hello.stamp))).await?;
        let leftover = std::mem::take(&mut self.reader).into_rest();
        Ok(self.accepted(hello, stamp, leftover, None))
    }

    /// Accepts a sealed connection once a record of the peer is authentic. Until then, an attacker may be replaying a
    /// recorded connection, which must not replace the link to the node that it names.
    async fn accept_sealed(mut self, key: &Key, message: &[u8]) -> Result<Handshaken, DialError> {
        let (responder, payload) = Responder::new(key, self.entropy(), message)?;
        let first = Some(payload).filter(|payload| !payload.is_empty());
        let hello = first.map(|hello| self.local.read_peer(&hello)).transpose();
        if let Err(error) = &hello
            && !error.is_from_a_node()
        {
            return Err(error.clone());
        }
        let stamp = self.micros();
        let echo = hello.as_ref().ok().and_then(|hello| Some(hello.as_ref()?.stamp));
        let (payload, later) = divide(self.local.encoded.encode(stamp, echo));
        let (message, LinkKeys { mut sealer, opener }) = responder.finish(&payload);
        self.send_seal(key, &message).await?;
        // The task that accepts connections runs many handshakes. It yields here, so that other tasks do not wait for
        // the operations on the curve of all of them.
        yield_once().await;
        let rest = std::mem::take(&mut self.reader).into_rest();
        let mut opened = HandshakeRecords::new(Records::new(opener, rest.into()));
        let hello = match hello {
            // Read before this end sends its own long hello: if both ends only wrote, neither would make progress.
            Ok(None) => self.peer_hello(&[], &mut opened).await,
            Ok(Some(hello)) => Ok(hello),
            Err(error) => Err(error),
        };
        self.send_later(&mut sealer, later).await?;
        let hello = hello?;
        opened.receive_first(&mut self.stream).await?;
        let (records, frames) = opened.into_parts();
        let seal = LinkSeal { key: key.id(), sealer, records };
        Ok(self.accepted(hello, stamp, frames, Some(seal)))
    }

    fn accepted(
        self,
        hello: Hello,
        stamp: u64,
        leftover: BytesMut,
        seal: Option<LinkSeal>,
    ) -> Handshaken {
        Handshaken {
            hello,
            announced: Arc::clone(&self.local.state),
            stream: self.stream,
            epoch: self.epoch,
            clock: LinkClock::new(self.local.heartbeat.as_micros() as u64),
            unanswered: Some(stamp),
            leftover,
            first_frames: Vec::new(),
            seal,
        }
    }

    /// Decodes the peer's hello from the payload of its seal, or from its first records if the payload is empty
    /// because the hello is too long.
    async fn peer_hello(
        &mut self,
        payload: &[u8],
        opened: &mut HandshakeRecords,
    ) -> Result<Hello, DialError> {
        if !payload.is_empty() {
            return self.local.read_peer(payload);
        }
        let frame = opened.receive_frame(&mut self.stream).await?;
        match frame::decode(&frame)? {
            Frame::Hello(hello) => self.local.read_peer(hello),
            _ => Err(unexpected()),
        }
    }

    /// Sends the frames of a refusal.
    async fn refuse(&mut self, why: &Unsealed) -> Result<(), DialError> {
        let (mut payload, mut frames) = (Vec::new(), Vec::new());
        why.encode(&mut payload);
        frame::put_unsealed(&payload, &mut frames);
        self.send(&frames).await
    }

    async fn send_seal(&mut self, key: &Key, message: &[u8]) -> Result<(), DialError> {
        let (mut payload, mut frames) = (Vec::new(), Vec::new());
        Seal { suite: SUITE, key: key.id(), message }.encode(&mut payload);
        frame::put_seal(&payload, &mut frames);
        self.send(&frames).await
    }

    /// Sends a hello that was too long for the seal.
    async fn send_later(
        &mut self,
        sealer: &mut Sealer,
        hello: Option<Vec<u8>>,
    ) -> Result<(), DialError> {
        let Some(hello) = hello else { return Ok(()) };
        let mut frames = Vec::new();
        frame::put_hello(&hello, &mut frames);
        for part in frames.chunks(CONTENT_MAX) {
            let mut record = Vec::new();
            sealer.seal(part, &mut record);
            self.send(&record).await?;
        }
        Ok(())
    }

    /// Sends `frames`, after the preface if they are the first.
    async fn send(&mut self, frames: &[u8]) -> Result<(), DialError> {
        let preface = if self.has_sent { &[][..] } else { PREFACE };
        self.has_sent = true;
        self.stream.writer.write_all(&[preface, frames].concat()).await?;
        Ok(self.stream.writer.flush().await?)
    }

    /// Receives a frame of at most `max` bytes. If it is long, waits for a permit from `long_hellos`.
    async fn receive(&mut self, max: usize) -> Result<BytesMut, DialError> {
        let mut permit = None;
        loop {
            // Seals are so short that their number bounds them.
            let is_long = self.reader.buffer().len() > SHORT_HELLO && max > SEAL_FRAME_MAX;
            if let Some(long) = self.long_hellos
                && is_long
            {
                if permit.is_none() {
                    permit = long.acquire().await.ok();
                }
                // Peers that send long hellos again and again must not occupy this thread.
                tokio::task::yield_now().await;
            }
            if let Some(frame) = self.reader.poll(max)? {
                return Ok(frame);
            }
            let buffer = self.reader.buffer();
            if buffer.len() == buffer.capacity() {
                let longer = buffer.len().max(SHORT_BUFFER);
                buffer.reserve(if is_long { LONG_BUFFER } else { longer });
            }
            if self.stream.reader.read_buf(&mut buffer.limit(READ_MAX)).await? == 0 {
                return Err(DialError::ClosedDuringHandshake);
            }
        }
    }

    /// Random bytes for one handshake.
    fn entropy(&self) -> Entropy {
        let mut entropy = Entropy::default();
        self.env.fill(&mut entropy);
        entropy
    }

    /// The time on this end's clock.
    fn micros(&self) -> u64 {
        self.env.now().saturating_duration_since(self.epoch).as_micros() as u64
    }
}

/// Returns the payload of a seal for this hello: the hello, or nothing and the hello to send later if it is too long.
fn divide(hello: Vec<u8>) -> (Vec<u8>, Option<Vec<u8>>) {
    if hello.len() <= PAYLOAD_MAX { (hello, None) } else { (Vec::new(), Some(hello)) }
}

fn unexpected() -> DialError {
    Malformed::new("frame before the hello").into()
}
