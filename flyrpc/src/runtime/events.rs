//! The stream of a node's events.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use futures_util::{
    Stream, StreamExt,
    stream::{self, BoxStream, Fuse},
};
use tokio::sync::broadcast::{self, error::RecvError};
use tokio_util::sync::CancellationToken;

use crate::types::Event;

/// The stream of a node's events, starting at the call of [`Node::events`]. It ends when the node
/// ends.
///
/// Each `Events` receives every event. If it falls more than 1,024 events behind, it receives
/// [`Event::Missed`] in place of the events that it lost.
///
/// `Events` is a [`Stream`]. It also has its own [`next`](Events::next) method, for programs that
/// need no other method of streams. Events that have not been taken stay in the channel, so none is
/// lost between two polls unless there are more than 1,024. Dropping the stream ends the
/// subscription.
///
/// [`Node::events`]: crate::runtime::node::Node::events
pub struct Events(Fuse<BoxStream<'static, Event>>);

impl Events {
    pub(super) fn new(events: broadcast::Receiver<Event>, stop: CancellationToken) -> Self {
        let events = stream::unfold((events, stop), |(mut events, stop)| async move {
            let event = tokio::select! {
                biased;
                event = events.recv() => event,
                () = stop.cancelled() => return None,
            };
            let event = match event {
                Ok(event) => event,
                Err(RecvError::Lagged(missed)) => Event::Missed(missed),
                Err(RecvError::Closed) => return None,
            };
            Some((event, (events, stop)))
        });
        Events(events.boxed().fuse())
    }

    /// Waits for the next event. Returns `None` once the node has ended and all its events have
    /// been taken.
    ///
    /// Dropping the future loses no event, so it can be used as a branch of `tokio::select!`.
    pub async fn next(&mut self) -> Option<Event> {
        self.0.next().await
    }
}

impl Stream for Events {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Event>> {
        self.0.poll_next_unpin(context)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").finish_non_exhaustive()
    }
}
