//! Stops the paused clock while a test waits for real I/O.

use std::{
    future::Future,
    sync::{Arc, mpsc},
};

use tokio::task::spawn_blocking;

use crate::run::Run;

/// Runs a future that waits for real sockets, files or processes, and keeps tokio's paused clock from
/// advancing until the future completes. The future takes no virtual time. No timer fires in the
/// meantime, including timeouts inside the future.
///
/// Wrap the I/O itself, not a call, since a simulated network needs virtual time to pass. A future that
/// waits for a timer or a simulated node never completes. To bound the wait, use a timeout of the
/// client that is in real time.
///
/// Tokio advances a paused clock only while no [`spawn_blocking`](tokio::task::spawn_blocking) task is
/// queued or running. This function starts such a task, which occupies a thread until the future
/// completes or is dropped. If the clock is not paused, the function has no effect.
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
    // The sender is dropped when this future completes or is dropped. This ends the blocking task.
    let (_running, ended) = mpsc::channel::<()>();
    let turns = Run::current().map(|run| Arc::clone(run.blocking()));
    spawn_blocking(move || {
        if let Some(turns) = &turns {
            turns.release_current();
        }
        // An error means that the future has ended.
        let _ = ended.recv();
        // This thread may run further tasks.
        if let Some(turns) = &turns {
            turns.wait_for_turn();
        }
    });
    io.await
}
