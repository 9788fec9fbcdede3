//! Turns a connection into a link, and starts the link's two tasks.

use std::{future::Future, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::FutureExt;
use tracing::Instrument;

use super::{
    event::LinkEvent,
    handle::{EventSink, Link, NewLink},
    handshaken::Handshaken,
    reader,
    region_calls::RegionCalls,
    request::RequestHandler,
    transport::{FrameReader, FrameWriter},
    writer,
};
use crate::{env::Env, error::panic_message, proto::link::lifecycle::LinkError};

/// The parameters of a link that come from its node.
pub(crate) struct LinkParams<H> {
    pub(crate) env: Arc<dyn Env>,
    pub(crate) handler: Arc<H>,
    pub(crate) events: EventSink,
    pub(crate) heartbeat: Duration,
    pub(crate) max_body: usize,
    /// The calls to the peer's region.
    pub(crate) region_calls: Arc<RegionCalls>,
}

/// Starts a link on an established connection. Its tasks end with the link, and log in the current span.
pub(crate) fn start<H: RequestHandler>(handshaken: Handshaken, node: LinkParams<H>) -> Arc<Link> {
    let Handshaken {
        stream, hello, epoch, clock, unanswered, leftover, first_frames, seal, ..
    } = handshaken;
    let sealed_with = seal.as_ref().map(|seal| seal.key);
    let (sealer, records) = seal.map(|seal| (seal.sealer, seal.records)).unzip();
    let link = Arc::new(Link::new(NewLink {
        node: hello.node,
        services: hello.services,
        state: hello.state,
        status_level: hello.status_level,
        keys: hello.keys,
        version: hello.version,
        sealed_with,
        is_visitor: hello.is_visitor,
        round_trip: clock.round_trip(),
        body_limit: node.max_body.min(usize::try_from(hello.max_body).unwrap_or(usize::MAX)),
        env: Arc::clone(&node.env),
        epoch,
        events: node.events,
        region_calls: node.region_calls,
    }));
    link.outbox().frames().extend_from_slice(&first_frames);
    if let Some(stamp) = unanswered {
        link.outbox().pings().add(stamp);
    }
    link.flush();
    let writer = writer::run(Arc::clone(&link), FrameWriter::new(stream.writer, sealer));
    let from = FrameReader::new(stream.reader, leftover, records);
    let reader = reader::run(Arc::clone(&link), from, clock, node.handler, node.heartbeat);
    let writer = end_on_panic(Arc::clone(&link), writer).in_current_span();
    let reader = end_on_panic(Arc::clone(&link), reader).in_current_span();
    node.env.spawn_essential(Box::pin(writer));
    node.env.spawn_essential(Box::pin(reader));
    link
}

/// Runs a task of a link. If the task panics, the link ends. Otherwise, the link would stay open and
/// transfer nothing.
// Not an async function, because that would contain `task` twice.
fn end_on_panic(link: Arc<Link>, task: impl Future<Output = ()>) -> impl Future<Output = ()> {
    AssertUnwindSafe(task).catch_unwind().map(move |outcome| {
        let Err(panic) = outcome else { return };
        let message = panic_message(panic);
        tracing::error!(node = %link.peer(), panic = %message, "a task of a link panicked");
        link.end(LinkError::TaskPanicked);
        link.announce(LinkEvent::Ended(LinkError::TaskPanicked));
    })
}
