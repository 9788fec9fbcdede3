//! [`TokioEnv`]: tokio's tasks and sockets, the system's resolver and random numbers.

use std::{
    io,
    io::IoSlice,
    net::{SocketAddr, ToSocketAddrs},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    thread,
};

use futures_util::future::BoxFuture;
use tokio::{
    io::{AsyncWrite, Interest},
    net::{
        TcpListener, TcpStream, UdpSocket,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::oneshot,
    time::Instant,
};

use super::{
    environment::{BoxStream, Datagram, Env, Listener, StreamReader, StreamWriter},
    watchdog,
};

/// Upper bound on the unsent bytes in a new connection.
const LOW_WATER: usize = 128 << 10;

/// If the upper bound on the unsent bytes is at most this, a writer checks whether the socket is full before it
/// writes. Otherwise, it writes until the socket accepts nothing. Linux checks `TCP_NOTSENT_LOWAT` only when it starts another packet
/// buffer, and one buffer holds up to 64 KiB. At 20 kB/s, it delays later frames by 3 s.
#[cfg(any(target_os = "linux", target_os = "android"))]
const EXACT_LOW_WATER_MAX: usize = 64 << 10;

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

    fn timer_time(&self, now: Instant) -> Instant {
        now
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
    Ok(BoxStream { reader: Box::new(reader), writer: Box::new(TcpWriter::new(writer)) })
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

/// Returns whether the socket is full, according to `TCP_NOTSENT_LOWAT`. Once it is not, the runtime
/// receives an event.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn is_full(stream: &TcpStream) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    let mut sockets = [PollFd::new(stream, PollFlags::OUT)];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    // After an error of the socket or of this system call, the next write fails or is pending.
    matches!(poll(&mut sockets, Some(&at_once)), Ok(0))
}

impl StreamReader for OwnedReadHalf {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn readable(&self) -> Option<usize> {
        let stream: &TcpStream = self.as_ref();
        rustix::io::ioctl_fionread(stream).ok()?.try_into().ok()
    }

    fn poll_readable(&mut self, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        let stream: &TcpStream = (*self).as_ref();
        stream.poll_read_ready(task)
    }
}

struct TcpWriter {
    /// Present until the writer is dropped.
    half: Option<OwnedWriteHalf>,
    aborts: bool,
    /// Upper bound on the unsent bytes in the socket.
    low_water: usize,
    /// Bytes written since the socket was last known not to be full.
    unchecked: usize,
}

impl TcpWriter {
    fn new(half: OwnedWriteHalf) -> Self {
        TcpWriter { half: Some(half), aborts: false, low_water: LOW_WATER, unchecked: 0 }
    }

    /// Waits until the socket is not full.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn poll_room(&mut self, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.low_water > EXACT_LOW_WATER_MAX || self.unchecked < self.low_water {
            return Poll::Ready(Ok(()));
        }
        let half = self.half();
        let stream: &TcpStream = half.as_ref();
        let check = || if is_full(stream) { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) };
        loop {
            ready!(stream.poll_write_ready(task))?;
            // If the socket is full, this resets the readiness, so that the loop waits for the event.
            if stream.try_io(Interest::WRITABLE, check).is_ok() {
                break;
            }
        }
        self.unchecked = 0;
        Poll::Ready(Ok(()))
    }

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    fn poll_room(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn on_written(&mut self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(count)) = written {
            self.unchecked = self.unchecked.saturating_add(count);
        }
        written
    }

    fn half(&mut self) -> &mut OwnedWriteHalf {
        self.half.as_mut().expect("present until the writer is dropped")
    }
}

impl StreamWriter for TcpWriter {
    fn set_low_water(&mut self, bytes: usize) {
        set_low_water(self.half().as_ref(), bytes);
        self.low_water = bytes;
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
        ready!(self.poll_room(task))?;
        let written = Pin::new(self.half()).poll_write(task, data);
        self.on_written(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_room(task))?;
        let written = Pin::new(self.half()).poll_write_vectored(task, parts);
        self.on_written(written)
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

    /// Returns the bytes that a connection holds, sent or unsent, as the kernel counts them.
    #[cfg(target_os = "linux")]
    fn unacknowledged(local: SocketAddr) -> usize {
        let port = format!(":{:04X}", local.port());
        let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
        let fields = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let fields = fields.into_iter().find(|fields| fields[1].ends_with(&port)).unwrap();
        usize::from_str_radix(fields[4].split(':').next().unwrap(), 16).unwrap()
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_connection_holds_few_more_unsent_bytes_than_allowed() {
        use std::{future::poll_fn, time::Instant};

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let _peer = listener.accept().await.unwrap();
        let local = stream.local_addr().unwrap();
        let mut writer = split(stream).unwrap().writer;
        writer.set_low_water(4 << 10);
        // Without tokio's budget for a task, writes are pending only if the socket is full.
        let fill = poll_fn(|task| {
            while Pin::new(&mut writer).poll_write(task, &[0; 1024]).is_ready() {}
            Poll::Ready(())
        });
        tokio::task::unconstrained(fill).await;
        // Bytes that the peer has received count until its acknowledgement arrives.
        let start = Instant::now();
        while unacknowledged(local) > 8 << 10 {
            assert!(start.elapsed() < Duration::from_secs(5), "{}", unacknowledged(local));
            tokio::task::yield_now().await;
        }
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
