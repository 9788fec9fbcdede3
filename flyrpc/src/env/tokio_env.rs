//! [`TokioEnv`]: tokio's tasks and sockets, the system's resolver and random numbers.

use std::{
    io,
    io::IoSlice,
    net::{SocketAddr, ToSocketAddrs},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    thread,
};

use futures_util::future::BoxFuture;
use tokio::{
    io::AsyncWrite,
    net::{TcpListener, TcpStream, UdpSocket, tcp::OwnedWriteHalf},
    sync::oneshot,
    time::Instant,
};

use super::{
    environment::{BoxStream, Datagram, Env, Listener, StreamWriter},
    watchdog,
};

/// Upper bound on the unsent bytes in a new connection.
const LOW_WATER: usize = 128 << 10;

/// The default runtime environment: tokio. The tasks of a node run on the runtime on which [`start`] was
/// called.
///
/// [`start`]: crate::NodeBuilder::start
#[derive(Debug, Clone, Copy, Default)]
pub struct TokioEnv;

impl Env for TokioEnv {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        tokio::spawn(task);
    }

    fn spawn_essential(&self, task: BoxFuture<'static, ()>) {
        watchdog::spawn(task);
    }

    fn random(&self) -> u64 {
        rand::random()
    }

    fn connect(&self, to: SocketAddr) -> BoxFuture<'_, io::Result<BoxStream>> {
        Box::pin(async move { split(TcpStream::connect(to).await?) })
    }

    fn listen(&self, at: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Listener>>> {
        Box::pin(async move {
            let listener = TcpListener::bind(at).await?;
            Ok(Box::new(listener) as Box<dyn Listener>)
        })
    }

    fn datagram(&self, at: SocketAddr) -> BoxFuture<'_, io::Result<Arc<dyn Datagram>>> {
        Box::pin(async move {
            let socket = UdpSocket::bind(at).await?;
            Ok(Arc::new(socket) as Arc<dyn Datagram>)
        })
    }

    fn resolve(&self, name: &str) -> BoxFuture<'_, io::Result<Vec<SocketAddr>>> {
        if let Ok(addr) = name.parse() {
            return Box::pin(async move { Ok(vec![addr]) });
        }
        let name = name.to_owned();
        Box::pin(detached("flyrpc-resolver", move || Ok(name.to_socket_addrs()?.collect())))
    }
}

/// Runs blocking `work` in a separate thread that nothing waits for. A runtime that is dropped waits for
/// its own blocking threads, so an unresponsive resolver in one of them would keep the process from
/// exiting.
async fn detached<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let (done, result) = oneshot::channel();
    // An error means that the caller has given up.
    let work = move || drop(done.send(work()));
    thread::Builder::new().name(name.to_owned()).spawn(work)?;
    result.await.map_err(|_| io::Error::other("the thread panicked"))?
}

fn split(stream: TcpStream) -> io::Result<BoxStream> {
    stream.set_nodelay(true)?;
    set_low_water(&stream, LOW_WATER);
    let (reader, writer) = stream.into_split();
    Ok(BoxStream {
        reader: Box::new(reader),
        writer: Box::new(TcpWriter { half: Some(writer), aborts: false }),
    })
}

/// Limits the unsent bytes in the socket's buffer, on platforms that support it. Otherwise, the buffer
/// accepts megabytes of a long body, and everything that is sent next waits behind them.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn set_low_water(stream: &TcpStream, bytes: usize) {
    let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
    // On a kernel that lacks this option, the same bytes are sent, only later.
    let _ = socket2::SockRef::from(stream).set_tcp_notsent_lowat(bytes);
}

/// On other platforms, there is no such option, or none that can be set safely. See the other
/// definition.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn set_low_water(_: &TcpStream, _: usize) {}

struct TcpWriter {
    /// Present until the writer is dropped.
    half: Option<OwnedWriteHalf>,
    aborts: bool,
}

impl TcpWriter {
    fn half(&mut self) -> &mut OwnedWriteHalf {
        self.half.as_mut().expect("present until the writer is dropped")
    }
}

impl StreamWriter for TcpWriter {
    fn set_low_water(&mut self, bytes: usize) {
        set_low_water(self.half().as_ref(), bytes);
    }

    fn abort_on_close(&mut self) {
        self.aborts = true;
        // An error means that the socket is closed already.
        let _ = self.half().as_ref().set_zero_linger();
    }
}

impl Drop for TcpWriter {
    fn drop(&mut self) {
        if let Some(half) = self.half.take_if(|_| self.aborts) {
            // Dropping the half would first shut down the stream, and the peer would observe a graceful
            // close instead of a reset.
            half.forget();
        }
    }
}

impl AsyncWrite for TcpWriter {
    fn poll_write(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(self.half()).poll_write(task, data)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(self.half()).poll_write_vectored(task, parts)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.half()).poll_flush(task)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.half()).poll_shutdown(task)
    }
}

impl Listener for TcpListener {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        TcpListener::local_addr(self)
    }

    fn accept(&mut self) -> BoxFuture<'_, io::Result<(BoxStream, SocketAddr)>> {
        Box::pin(async move {
            let (stream, from) = TcpListener::accept(self).await?;
            Ok((split(stream)?, from))
        })
    }
}

impl Datagram for UdpSocket {
    fn send<'a>(&'a self, data: &'a [u8], to: SocketAddr) -> BoxFuture<'a, io::Result<()>> {
        Box::pin(async move { self.send_to(data, to).await.map(drop) })
    }

    fn receive<'a>(&'a self, into: &'a mut [u8]) -> BoxFuture<'a, io::Result<(usize, SocketAddr)>> {
        Box::pin(self.recv_from(into))
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, time::Duration};

    use super::*;

    #[test]
    fn the_end_of_a_runtime_does_not_wait_for_the_resolver() {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let (release, blocked) = mpsc::channel::<()>();
        let (ended, end) = mpsc::channel();
        runtime.block_on(async {
            let work = move || {
                let _ = blocked.recv();
                ended.send(()).unwrap();
                Ok(())
            };
            let resolved = tokio::time::timeout(Duration::from_millis(1), detached("test", work));
            assert!(resolved.await.is_err());
        });
        drop(runtime);
        assert!(end.try_recv().is_err());
        drop(release);
        end.recv().unwrap();
    }

    #[tokio::test]
    async fn names_and_addresses_are_resolved() {
        let addrs = TokioEnv.resolve("127.0.0.1:80").await.unwrap();
        assert_eq!(addrs, ["127.0.0.1:80".parse().unwrap()]);
        let addrs = TokioEnv.resolve("localhost:80").await.unwrap();
        assert!(addrs.iter().all(|addr| addr.ip().is_loopback() && addr.port() == 80), "{addrs:?}");
        assert!(TokioEnv.resolve("no port").await.is_err());
    }
}
