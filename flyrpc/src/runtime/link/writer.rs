//! The task that writes a link's outbox to its connection.

use std::{
    future::{Future, poll_fn},
    io,
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
};

use super::{handle::Link, transport::FrameWriter};
use crate::{
    env::yield_once,
    proto::link::{batch::Batch, lifecycle::LinkError},
};

/// A buffer with a capacity of more bytes than this is freed between writes.
const MAX_RETAINED_CAPACITY: usize = 64 << 10;

/// Writes until the link ends. A link that was drained, so that all is written, is shut down; any
/// other is reset.
pub(super) async fn run(link: Arc<Link>, mut to: FrameWriter) {
    let mut batch = Batch::default();
    // One registration for the life of the link, rather than one for each write.
    let mut ended = pin!(link.signals.end.cancelled());
    while !link.signals.end.is_cancelled() {
        tokio::select! {
            biased;
            () = &mut ended => break,
            () = link.signals.wake_writer.notified() => {}
        }
        // The frame that woke this task is often the first of many: the tasks that are ready to run
        // now append first, and all go out in one write. A call that is alone need not wait for that,
        // which would cost it the wake-up of another thread.
        if link.is_shared() {
            yield_once().await;
        }
        if let Err(error) = write_queued(&link, &mut to, &mut batch, ended.as_mut()).await {
            link.end(error.into());
        }
    }
    if matches!(link.error(), Some(LinkError::Drained)) {
        to.shutdown().await;
    } else {
        to.abort_on_close();
    }
}

/// Writes what is queued, until nothing is or the link ends.
async fn write_queued(
    link: &Link,
    to: &mut FrameWriter,
    batch: &mut Batch,
    mut ended: Pin<&mut impl Future<Output = ()>>,
) -> io::Result<()> {
    loop {
        batch.clear(MAX_RETAINED_CAPACITY);
        let frames = link.outbox().take(batch);
        if batch.is_empty() {
            // A link that both ends drain may have waited for this.
            link.end_if_drained();
            return Ok(());
        }
        link.signals.room.notify_waiters();
        let before = link.sent.get();
        let length = batch.len();
        let mut done = 0;
        while done < length {
            let sent = |done: usize| before + frames.min(done as u64);
            let range = sent(done)..sent(length);
            let written = write_some(link, to, batch, done, range, ended.as_mut()).await?;
            let Some(count) = written else { return Ok(()) };
            if count == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            done += count;
            link.sent.set(sent(done));
        }
    }
}

/// Writes some of what comes after the `done` bytes of a batch; nothing once the link has ended. `sent`
/// are the bytes of frames that are sent before this, and if all of it is: see
/// [`SentBytes`](crate::proto::link::sent::SentBytes) for the order of its steps.
async fn write_some(
    link: &Link,
    to: &mut FrameWriter,
    batch: &Batch,
    done: usize,
    sent: std::ops::Range<u64>,
    mut ended: Pin<&mut impl Future<Output = ()>>,
) -> io::Result<Option<usize>> {
    poll_fn(|task| {
        link.sent.set(sent.end);
        if ended.as_mut().poll(task).is_ready() {
            link.sent.set(sent.start);
            return Poll::Ready(Ok(None));
        }
        let written = to.poll_write(batch, done, task);
        if !matches!(written, Poll::Ready(Ok(_))) {
            link.sent.set(sent.start);
        }
        written.map_ok(Some)
    })
    .await
}
