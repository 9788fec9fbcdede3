//! The task that writes a link's outbox to its connection.

use std::{
    future::{Future, poll_fn},
    io,
    pin::{Pin, pin},
    sync::{Arc, atomic::Ordering},
    task::Poll,
    time::Duration,
};

use tokio::io::AsyncWriteExt;

use super::{Link, LinkError, lock};
use crate::env::{StreamWriter, yield_once};
use crate::proto::link::batch::Batch;

/// A buffer that grew beyond this is given back when the link is idle.
const MAX_RETAINED_CAPACITY: usize = 64 << 10;

/// How long a link that ended well may take to be shut down.
const FLUSH: Duration = Duration::from_secs(1);

/// Writes until the link ends. A link that ended well, which is when all is written, is shut down;
/// any other is reset.
pub(super) async fn run(link: Arc<Link>, mut to: Box<dyn StreamWriter>) {
    let mut batch = Batch::default();
    // One registration for the life of the link, rather than one for each write.
    let mut ended = pin!(link.end.cancelled());
    while !link.end.is_cancelled() {
        tokio::select! {
            biased;
            () = &mut ended => break,
            () = link.wake_writer.notified() => {}
        }
        // Whoever woke this task is often the first of many: those that are ready to run now
        // append first, and all go out in one write. A call that is alone need not wait for that,
        // which would cost it the wake-up of another thread.
        if link.is_shared() {
            yield_once().await;
        }
        if let Err(error) = write_all(&link, &mut to, &mut batch, ended.as_mut()).await {
            link.finish(LinkError::Broken(Arc::new(error)));
        }
    }
    if matches!(link.error(), Some(LinkError::Retired)) {
        // The peer may be gone or stuck: there is nobody left to tell.
        let _ = tokio::time::timeout(FLUSH, to.shutdown()).await;
    } else {
        to.abort_on_close();
    }
}

/// Writes what waits, until nothing does or the link ends.
async fn write_all(
    link: &Link,
    to: &mut Box<dyn StreamWriter>,
    batch: &mut Batch,
    mut ended: Pin<&mut impl Future<Output = ()>>,
) -> io::Result<()> {
    loop {
        batch.clear(MAX_RETAINED_CAPACITY);
        let frames = lock(&link.outbox).take(batch);
        if batch.is_empty() {
            // A link that both ends have retired may have waited for this.
            link.end_if_finished();
            return Ok(());
        }
        link.space.notify_waiters();
        let before = link.written.load(Ordering::Relaxed);
        let length = batch.len();
        let mut done = 0;
        while done < length {
            let written = |done: usize| before + frames.min(done as u64);
            let frames_written = (written(done), written(length));
            let Some(count) = write(link, to, batch, done, frames_written, ended.as_mut()).await?
            else {
                return Ok(());
            };
            if count == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            done += count;
            link.written.store(written(done), Ordering::Release);
        }
    }
}

/// Writes some of what comes after the `done` bytes of a batch; nothing once the link has ended. Of the
/// frames, `before` bytes are written before and `after` if all of this is.
///
/// Whoever finds that the link has ended relies on what it says was written. So it says what may be
/// written before it looks for the end, and writes only then: either this sees the end, or the
/// other sees that.
async fn write(
    link: &Link,
    to: &mut Box<dyn StreamWriter>,
    batch: &Batch,
    done: usize,
    (before, after): (u64, u64),
    mut ended: Pin<&mut impl Future<Output = ()>>,
) -> io::Result<Option<usize>> {
    poll_fn(|task| {
        link.written.store(after, Ordering::Release);
        if ended.as_mut().poll(task).is_ready() {
            link.written.store(before, Ordering::Release);
            return Poll::Ready(Ok(None));
        }
        let written = batch.poll_write(done, &mut **to, task);
        if !matches!(written, Poll::Ready(Ok(_))) {
            link.written.store(before, Ordering::Release);
        }
        written.map_ok(Some)
    })
    .await
}
