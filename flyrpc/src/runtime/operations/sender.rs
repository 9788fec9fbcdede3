//! Sends a call whose arguments are encoded.

use std::sync::Arc;

use bytes::Bytes;
use tokio::time::{Instant, timeout};

use crate::{
    codec::EncodedBody,
    env::Env,
    proto::{
        routing::AttemptFailure,
        wire::status::{Status, UnknownStatus},
    },
    runtime::{
        client::status_failure,
        link::{CallEnd, Link, LinkError, OutboundCall, Response},
    },
    types::Region,
};

/// The node or the visitor that sends calls.
pub(crate) struct Sender<'a> {
    pub(crate) env: &'a dyn Env,
    pub(crate) primary_region: &'a Region,
    pub(crate) max_body: usize,
}

impl Sender<'_> {
    /// Sends a call over `link`, and returns the encoded reply.
    pub(crate) async fn send(
        &self,
        link: &Arc<Link>,
        call: OutboundCall<'_>,
        mut body: EncodedBody,
        deadline: Instant,
    ) -> Result<Bytes, AttemptFailure> {
        let remaining = || deadline.saturating_duration_since(self.env.now());
        let mut pending = match timeout(remaining(), link.send(call, deadline, &mut body)).await {
            Ok(Ok(pending)) => pending,
            Ok(Err(error)) => return Err(disconnected(error, false)),
            Err(_elapsed) => return Err(AttemptFailure::Timeout { sent: false }),
        };
        let response = match timeout(remaining(), &mut pending).await {
            Ok(response) => response,
            Err(_elapsed) => return Err(AttemptFailure::Timeout { sent: pending.expire() }),
        };
        match response {
            Ok(Response::Reply(body)) => Ok(body),
            Ok(Response::TooLarge(size)) => {
                Err(AttemptFailure::ReplyTooLarge { size, limit: self.max_body as u64 })
            }
            Ok(Response::Status(status)) => Err(match Status::decode(&status) {
                Ok(status) => status_failure(self.primary_region, status),
                Err(UnknownStatus { executed, message }) => {
                    AttemptFailure::Failed { message, executed }
                }
            }),
            Err(CallEnd::Lost { error, sent }) => Err(disconnected(error, sent)),
            Err(CallEnd::Expired { sent }) => Err(AttemptFailure::Timeout { sent }),
        }
    }
}

fn disconnected(error: LinkError, sent: bool) -> AttemptFailure {
    AttemptFailure::Disconnected { sent, source: Arc::new(error) }
}
