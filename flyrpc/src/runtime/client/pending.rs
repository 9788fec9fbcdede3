//! The attempts of a call that are in flight, and the dial that the call waits for.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::future::BoxFuture;
use tokio::time::{Sleep, sleep};

use crate::{
    proto::routing::{AttemptEnd, Dialed},
    runtime::link::Link,
    types::NodeInfo,
};

/// An event that a call with attempts in flight waits for.
pub(super) enum Progress<T> {
    /// The attempt with this number ended.
    Ended(u32, Result<T, AttemptEnd>),
    /// The node of the attempt with this number has gone quiet.
    Quiet(u32),
    /// The attempt with this number has not ended within the hedging delay of the call.
    HedgeDue(u32),
    /// Dialing a node has ended.
    Dialed(NodeInfo, Dialed),
}

/// The attempts of one call that are in flight, and the dial that the call waits for. `F` is the future
/// of the first attempt, and `G` is the future of later attempts. Dropping this value cancels all of
/// them.
pub(super) struct Pending<'a, F, G> {
    attempts: Vec<InFlight<'a, F, G>>,
    hedge: Hedge,
    dial: Option<BoxFuture<'a, (NodeInfo, Dialed)>>,
}

/// Whether another attempt is to start because one is slow. That happens at most once in a call.
enum Hedge {
    Unused,
    /// If the attempt with this number is still in flight when the timer fires.
    Due(u32, Pin<Box<Sleep>>),
    Used,
}

struct InFlight<'a, F, G> {
    number: u32,
    /// `None` if the attempt runs on this node.
    link: Option<Arc<Link>>,
    /// Whether the silence of the node has been reported.
    quiet: bool,
    future: AttemptFuture<'a, F, G>,
}

/// The future of an attempt. The first attempt is not boxed, because most calls make no other.
enum AttemptFuture<'a, F, G> {
    First(Pin<&'a mut F>),
    Later(Pin<Box<G>>),
}

impl<'a, F, G, T> Pending<'a, F, G>
where
    F: Future<Output = Result<T, AttemptEnd>>,
    G: Future<Output = Result<T, AttemptEnd>>,
{
    pub(super) fn new() -> Self {
        Pending { attempts: Vec::new(), hedge: Hedge::Unused, dial: None }
    }

    /// Adds the first attempt. `quiet` is whether it is known that its node has gone quiet.
    pub(super) fn add_first(
        &mut self,
        number: u32,
        link: Arc<Link>,
        quiet: bool,
        future: Pin<&'a mut F>,
    ) {
        let future = AttemptFuture::First(future);
        self.attempts.push(InFlight { number, link: Some(link), quiet, future });
    }

    /// Adds a later attempt. `link` is `None` if it runs on this node.
    pub(super) fn add(&mut self, number: u32, link: Option<Arc<Link>>, future: G) {
        let future = AttemptFuture::Later(Box::pin(future));
        self.attempts.push(InFlight { number, link, quiet: false, future });
    }

    /// Reports the attempt with this number if it has not ended after `delay`, unless the call was hedged before.
    pub(super) fn hedge_after(&mut self, number: u32, delay: Duration) {
        if !matches!(self.hedge, Hedge::Used) {
            self.hedge = Hedge::Due(number, Box::pin(sleep(delay)));
        }
    }

    /// Records that the call was hedged before there were any attempts in this value.
    pub(super) fn on_hedged(&mut self) {
        self.hedge = Hedge::Used;
    }

    pub(super) fn is_dialing(&self) -> bool {
        self.dial.is_some()
    }

    pub(super) fn set_dial(&mut self, dial: BoxFuture<'a, (NodeInfo, Dialed)>) {
        self.dial = Some(dial);
    }

    /// Stops waiting for the node that is being dialed, because another one takes the call. The node is dialed
    /// regardless.
    pub(super) fn forget_dial(&mut self) {
        self.dial = None;
    }

    /// Returns whether the node of an attempt in flight is quiet.
    pub(super) fn waits_on_a_quiet_node(&self) -> bool {
        self.attempts.iter().any(InFlight::is_quiet)
    }

    /// Waits for the next event. If nothing is in flight, this never returns.
    pub(super) async fn next(&mut self) -> Progress<T> {
        poll_fn(|task| self.poll(task)).await
    }

    fn poll(&mut self, task: &mut Context<'_>) -> Poll<Progress<T>> {
        for at in 0..self.attempts.len() {
            let attempt = &mut self.attempts[at];
            if let Poll::Ready(outcome) = attempt.future.poll(task) {
                let number = attempt.number;
                self.attempts.remove(at);
                return Poll::Ready(Progress::Ended(number, outcome));
            }
            if !attempt.quiet && attempt.is_quiet() {
                attempt.quiet = true;
                return Poll::Ready(Progress::Quiet(attempt.number));
            }
        }
        if let Hedge::Due(number, due) = &mut self.hedge
            && due.as_mut().poll(task).is_ready()
        {
            let number = *number;
            self.hedge = Hedge::Used;
            if self.attempts.iter().any(|attempt| attempt.number == number) {
                return Poll::Ready(Progress::HedgeDue(number));
            }
        }
        if let Some(dial) = &mut self.dial
            && let Poll::Ready((node, dialed)) = dial.as_mut().poll(task)
        {
            self.dial = None;
            return Poll::Ready(Progress::Dialed(node, dialed));
        }
        Poll::Pending
    }
}

impl<F, G> InFlight<'_, F, G> {
    fn is_quiet(&self) -> bool {
        self.link.as_ref().is_some_and(|link| link.is_quiet())
    }
}

impl<F, G, O> AttemptFuture<'_, F, G>
where
    F: Future<Output = O>,
    G: Future<Output = O>,
{
    fn poll(&mut self, task: &mut Context<'_>) -> Poll<O> {
        match self {
            AttemptFuture::First(future) => future.as_mut().poll(task),
            AttemptFuture::Later(future) => future.as_mut().poll(task),
        }
    }
}
