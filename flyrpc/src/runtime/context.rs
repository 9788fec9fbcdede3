//! What a handler may ask about the call that it is serving.

use std::{
    cell::RefCell,
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{self, Poll},
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    env::Env,
    types::{NodeInfo, Region},
};

thread_local! {
    static CURRENT: RefCell<Option<Context>> = const { RefCell::new(None) };
}

/// The call that the current handler is serving.
///
/// # Panics
///
/// Outside a handler, and in a task that a handler spawned without [`Context::scope`]. Where either
/// is possible use [`Context::try_current`].
#[track_caller]
pub fn context() -> Context {
    Context::try_current().expect(
        "flyrpc::context() was called outside a handler; carry it into a spawned task with \
         `flyrpc::context().scope(future)`",
    )
}

/// What a handler may ask about its call. Made by [`context()`]; cheap to clone.
///
/// It follows the handler, whatever thread polls it, but no task that the handler spawns: see
/// [`scope`](Context::scope). Where a service is reached through plain tarpc, without a node, the
/// caller has an empty name and region.
#[derive(Clone)]
pub struct Context {
    pub(crate) caller: NodeInfo,
    pub(crate) deadline: Instant,
    pub(crate) attempt: u32,
    pub(crate) local: bool,
    pub(crate) env: Arc<dyn Env>,
}

impl Context {
    /// The call that the current task serves, if it serves one.
    pub fn try_current() -> Option<Context> {
        CURRENT.with_borrow(Clone::clone)
    }

    /// The node that made the call: this one, for a local call.
    pub fn caller(&self) -> &NodeInfo {
        &self.caller
    }

    /// The region of the node that made the call.
    pub fn caller_region(&self) -> &Region {
        self.caller.region()
    }

    /// How much of the call's time is left: zero if none. Calls made inside the handler have this
    /// as an upper bound of their own.
    pub fn remaining(&self) -> Duration {
        self.deadline.saturating_duration_since(self.env.now())
    }

    /// Which attempt of the caller this is, from 1. A later one means that another node refused the
    /// call, or, if the method is idempotent, that it may have executed it.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Whether the caller is this very process.
    pub fn is_local(&self) -> bool {
        self.local
    }

    /// Carries this context into `future`, for a task that the handler spawns: calls made there are
    /// within the handler's time too, and [`context()`] works. The task itself is the handler's to
    /// end; it is not stopped with the call.
    ///
    /// Dropping the returned future drops `future`.
    ///
    /// ```
    /// # use flyrpc::{Node, fly_rpc};
    /// #[fly_rpc]
    /// trait Greeter {
    ///     /// Greets the caller.
    ///     async fn greet(&self) -> String;
    /// }
    ///
    /// struct Polite;
    ///
    /// impl Greeter for Polite {
    ///     async fn greet(&self) -> String {
    ///         let greeting = async { format!("hello, {}", flyrpc::context().caller_region()) };
    ///         let task = tokio::spawn(flyrpc::context().scope(greeting));
    ///         task.await.unwrap_or_else(|_| "hello".to_owned())
    ///     }
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let node = Node::builder().region("hkg").serve(ServeGreeter::new(Polite)).start().await?;
    /// let greeter: GreeterClient = node.client();
    /// assert_eq!(greeter.greet().await?, "hello, hkg");
    /// # node.shutdown().await;
    /// # Ok(())
    /// # }
    /// ```
    pub fn scope<F: Future>(&self, future: F) -> impl Future<Output = F::Output> + use<F> {
        let mut context = Some(self.clone());
        let mut future = Box::pin(future);
        std::future::poll_fn(move |task| poll_in(&mut context, future.as_mut(), task))
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("caller", &self.caller)
            .field("remaining", &self.remaining())
            .field("attempt", &self.attempt)
            .field("local", &self.local)
            .finish()
    }
}

/// Polls `future` with `context` as the current one. The former one is back afterwards, whether the
/// poll returns or panics.
pub(crate) fn poll_in<F: Future + ?Sized>(
    context: &mut Option<Context>,
    future: Pin<&mut F>,
    task: &mut task::Context<'_>,
) -> Poll<F::Output> {
    struct Swapped<'a>(&'a mut Option<Context>);

    impl Drop for Swapped<'_> {
        fn drop(&mut self) {
            CURRENT.with_borrow_mut(|current| std::mem::swap(current, self.0));
        }
    }

    CURRENT.with_borrow_mut(|current| std::mem::swap(current, context));
    let _swapped = Swapped(context);
    future.poll(task)
}
