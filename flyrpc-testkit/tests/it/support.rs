//! Helpers for the network tests.

use std::{
    future::Future,
    io::{self, ErrorKind},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use flyrpc::{BoxStream, Datagram, Env, Listener};
use flyrpc_testkit::{SimEnv, SimNet};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, timeout},
};

pub(crate) const PORT: u16 = 4100;
/// The delay of one direction between iad and hkg, whose round trip is 202 ms.
pub(crate) const ONE_WAY: Duration = ms(101);

pub(crate) const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Returns a network with one host in iad and one in hkg.
pub(crate) fn iad_and_hkg() -> (SimNet, SimEnv, SimEnv) {
    let net = SimNet::builder().build();
    let (iad, hkg) = (net.add_host("iad-0", "iad"), net.add_host("hkg-0", "hkg"));
    (net, iad, hkg)
}

pub(crate) async fn listen(env: &SimEnv) -> Box<dyn Listener> {
    env.listen(any(PORT)).await.expect("the port is free")
}

pub(crate) fn any(port: u16) -> SocketAddr {
    SocketAddr::from(([0, 0, 0, 0], port))
}

/// Opens a connection from `from` to a listener on `to`. Returns its two ends and the listener.
pub(crate) async fn connected(
    from: &SimEnv,
    to: &SimEnv,
) -> (BoxStream, BoxStream, Box<dyn Listener>) {
    let mut listener = listen(to).await;
    let (client, server) = tokio::join!(from.connect(to.addr(PORT)), listener.accept());
    (client.expect("the client connects"), server.expect("the server accepts").0, listener)
}

pub(crate) async fn socket(env: &SimEnv) -> Arc<dyn Datagram> {
    env.datagram(any(PORT)).await.expect("the port is free")
}

pub(crate) async fn receive(socket: &Arc<dyn Datagram>) -> Vec<u8> {
    let mut data = [0; 1_200];
    let (len, _) = socket.receive(&mut data).await.expect("a datagram arrives");
    data[..len].to_vec()
}

/// Returns how long `future` takes in virtual time, and its output.
pub(crate) async fn timed<T>(future: impl Future<Output = T>) -> (Duration, T) {
    let start = Instant::now();
    let output = future.await;
    (start.elapsed(), output)
}

pub(crate) async fn write(stream: &mut BoxStream, data: &[u8]) {
    stream.writer.write_all(data).await.expect("the write succeeds");
}

pub(crate) async fn read(stream: &mut BoxStream, len: usize) -> Vec<u8> {
    let mut data = vec![0; len];
    stream.reader.read_exact(&mut data).await.expect("the read succeeds");
    data
}

pub(crate) fn kind<T>(result: io::Result<T>) -> ErrorKind {
    result.err().expect("the operation fails").kind()
}

/// Returns whether `future` is still pending after an hour, by which time any message would have arrived.
pub(crate) async fn is_pending_forever<T>(future: impl Future<Output = T>) -> bool {
    timeout(Duration::from_secs(3600), future).await.is_err()
}
