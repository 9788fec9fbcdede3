//! The task that writes a link's outbox to its connection.

use std::{
    future::{Future, poll_fn},
    io,
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
};

use super::{
    handle::Link,
    transport::{FrameWriter, Written},
};
use crate::{
    env::yield_once,
    proto::link::{batch::Batch, lifecycle::LinkError, pace::Pace},
};

/// After writing this many bytes, the writer yields, so that a peer that reads quickly does not occupy this
/// thread.
const YIELD_EVERY_BYTES: usize = 128 << 10;

/// A buffer with a larger capacity than this, in bytes, is freed between writes.
const MAX_RETAINED_CAPACITY: usize = 64 << 10;

/// The writer's transport, and how fast it accepts bytes.
struct Writer {
    to: FrameWriter,
    pace: Pace,
}

/// Writes until the link ends. A drained link has written everything, so its connection is shut
/// down. Otherwise, the connection is reset.
pub(super) async fn run(link: Arc<Link>, to: FrameWriter) {
    let mut writer = Writer { to, pace: Pace::default() };
    writer.adjust_low_water();
    let mut batch = Batch::default();
    // Registered once for the life of the link, rather than once per write.
    let mut ended = pin!(link.signals.end.cancelled());
    while !link.signals.end.is_cancelled() {
        tokio::select! {
            biased;
            () = &mut ended => break,
            () = link.signals.wake_writer.notified() => {}
        }
        // The frame that woke this task is often the first of many. Yielding lets the tasks that
        // are ready to run append their frames first, so that all go out in one write. A single
        // call does not wait for that, because yielding would cost it the wake-up of another
        // thread.
        if link.is_shared() {
            yield_once().await;
        }
        if let Err(error) = write_queued(&link, &mut writer, &mut batch, ended.as_mut()).await {
            link.end(error.into());
        }
    }
    if matches!(link.error(), Some(LinkError::Drained)) {
        writer.to.shutdown().await;
    } else {
        writer.to.abort_on_close();
    }
}

/// Writes queued frames until the outbox is empty or the link ends.
async fn write_queued(
    link: &Link,
    writer: &mut Writer,
    batch: &mut Batch,
    mut ended: Pin<&mut impl Future<Output = ()>>,
) -> io::Result<()> {
    let mut written_bytes = 0;
    loop {
        batch.clear(MAX_RETAINED_CAPACITY);
        let frames = link.take_batch(batch, writer.pace.chunk_bytes());
        if batch.is_empty() {
            writer.pace.on_idle();
            let is_idle = link.is_idle();
            if is_idle {
                *batch = Batch::default();
            }
            writer.to.shrink(is_idle);
            // If both ends are draining the link, this may have been the last write.
            link.end_if_drained();
            return Ok(());
        }
        let before = link.sent.get();
        let length = batch.len();
        let mut done = 0;
        while done < length {
            let sent = |done: usize| before + frames.min(done as u64);
            let range = sent(done)..sent(length);
            let written = write_some(link, writer, batch, done, range, ended.as_mut()).await?;
            let Some(Written { count, of_batch }) = written else { return Ok(()) };
            if count == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            done += of_batch;
            link.sent.set(sent(done));
            written_bytes += count;
            if written_bytes >= YIELD_EVERY_BYTES {
                written_bytes = 0;
                tokio::task::yield_now().await;
            }
        }
    }
}

/// Writes some bytes of a batch, after the first `done` bytes. Returns `None` if the link has ended.
/// `sent` counts bytes of frames. It starts at the count before this write, and ends at the count after
/// the whole batch is written. The caller sets the count to that after this write. See [`SentBytes`](crate::proto::link::sent::SentBytes) for why the steps
/// are in this order.
async fn write_some(
    link: &Link,
    writer: &mut Writer,
    batch: &Batch,
    done: usize,
    sent: std::ops::Range<u64>,
    mut ended: Pin<&mut impl Future<Output = ()>>,
) -> io::Result<Option<Written>> {
    let mut waited = false;
    let written = poll_fn(|task| {
        link.sent.set(sent.end);
        if ended.as_mut().poll(task).is_ready() {
            link.sent.set(sent.start);
            return Poll::Ready(Ok(None));
        }
        let written = writer.to.poll_write(batch, done, task);
        if !matches!(written, Poll::Ready(Ok(_))) {
            link.sent.set(sent.start);
        }
        if written.is_pending() {
            waited = true;
            writer.on_full(link);
        }
        written.map_ok(Some)
    })
    .await?;
    let count = written.map_or(0, |written| written.count);
    writer.pace.on_written(count);
    if waited && count > 0 {
        link.on_write_progress();
    }
    Ok(written)
}

impl Writer {
    /// Handles that the socket currently accepts no more bytes.
    fn on_full(&mut self, link: &Link) {
        self.pace.on_full(link.micros_at(link.now()));
        self.adjust_low_water();
    }

    fn adjust_low_water(&mut self) {
        if let Some(low_water) = self.pace.change_low_water() {
            self.to.set_low_water(low_water);
        }
    }
}
