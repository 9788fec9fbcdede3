//! Stops the paused clock while a test waits for the outside world.

use std::{future::Future, sync::mpsc};

use tokio::task::spawn_blocking;

/// Runs a future that waits for real sockets, files or processes, and keeps tokio's paused clock
/// where it is meanwhile: what the future does takes no virtual time, and none of its timeouts run
/// out, nor any other timer.
///
/// Put it around the I/O itself, not around a call: a simulated network needs time to pass. The
/// future must not wait for a timer or for a simulated node either, or it waits for ever. Bound it by
/// the client's own timeout where that one is of real time.
///
/// It rests on tokio, which moves a paused clock on only while no task of
/// [`spawn_blocking`](tokio::task::spawn_blocking) is queued or running: this starts one, which
/// occupies a thread until the future ends or is dropped. Where the clock is not paused it changes
/// nothing.
///
/// ```
/// use std::{io, thread, time::Duration};
/// use flyrpc_testkit::real_io;
/// use tokio::{io::AsyncReadExt, net::TcpStream, time::{Instant, timeout}};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> io::Result<()> {
/// let server = std::net::TcpListener::bind("127.0.0.1:0")?;
/// let addr = server.local_addr()?;
/// thread::spawn(move || {
///     let client = server.accept();
///     thread::sleep(Duration::from_millis(50));
///     drop(client);
/// });
///
/// let mut client = TcpStream::connect(addr).await?;
/// let start = Instant::now();
/// let read = timeout(Duration::from_millis(1), client.read_u8());
/// let end = real_io(read).await.expect("no time passes").unwrap_err();
/// assert_eq!(end.kind(), io::ErrorKind::UnexpectedEof);
/// assert_eq!(start.elapsed(), Duration::ZERO);
/// # Ok(())
/// # }
/// ```
///
/// # Panics
///
/// Outside a tokio runtime.
pub async fn real_io<F: Future>(io: F) -> F::Output {
    // Dropped when this future ends or is dropped, which ends the blocking task.
    let (_running, ended) = mpsc::channel::<()>();
    spawn_blocking(move || ended.recv());
    io.await
}
