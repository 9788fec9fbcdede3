//! The interface through which links admit and start requests.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{admission::Permit, executor, serving::Server};
use crate::{
    proto::wire::{frame::RequestHead, status::Status},
    runtime::link::{Admitted, Link, RequestHandler},
};

impl RequestHandler for Server {
    type Permit = Permit;

    fn admit(&self, head: &RequestHead, size: u64, others: usize) -> Result<Permit, Status> {
        Server::admit(self, head, size, others)
    }

    fn start(
        self: &Arc<Self>,
        link: &Arc<Link>,
        now: Instant,
        requests: Vec<(Admitted<Permit>, Duration)>,
    ) {
        executor::start(self, link, now, requests);
    }
}
