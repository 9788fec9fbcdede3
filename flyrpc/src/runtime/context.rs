//! The context of a call, as its handler sees it.

use std::{
    any::Any,
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, OnceLock, Weak},
    task::{self, Poll},
    time::{Duration, SystemTime},
};

use scoped_tls::scoped_thread_local;
use tokio::time::Instant;

use crate::{
    env::Env,
    runtime::{
        link::Origin,
        task::{JoinHandle, spawn_in},
    },
    telemetry::{ServerSpan, enter},
    types::{Metadata, NodeInfo, Region},
};

scoped_thread_local!(static CURRENT: Context);

/// Returns the context of the call that the current handler is serving.
///
/// # Panics
///
/// Panics outside a handler, and in a task that a handler spawned without [`Context::scope`]. If
/// either is possible, use [`Context::try_current`].
#[track_caller]
pub fn context() -> Context {
    Context::try_current().expect(
        "flyrpc::context() was called outside a handler; if a handler spawned this task, \
         it must wrap the task's future in `flyrpc::context().scope(future)`",
    )
}

/// Runs `future` in a task of the node whose handler calls this, with the [context](context()) of the call. The task
/// continues after the call has ended.
///
/// In production, this is `tokio::spawn` with [`Context::scope`]. In a simulation with `flyrpc-testkit`, the task belongs to its node,
/// as in a process of its own: it stops when the node crashes, and stands still while the node is frozen. Calls in the
/// task have the same time limit as calls made in the handler. For a task that is not part of a call, use
/// [`Node::spawn`](crate::Node::spawn).
///
/// ```
/// # use flyrpc::{Node, fly_rpc};
/// #[fly_rpc]
/// trait Reports {
///     /// Starts a report, and does not wait for it.
///     async fn start(&self, name: String);
/// }
///
/// struct Printer;
///
/// impl Reports for Printer {
///     async fn start(&self, name: String) {
///         flyrpc::spawn(async move {
///             println!("{name} for {}", flyrpc::context().caller());
///         });
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let node = Node::builder().region("hkg").serve(ServeReports::new(Printer)).start().await?;
/// # node.client::<ReportsClient>().start("sales".into()).await?;
/// # node.shutdown().await;
/// # Ok(())
/// # }
/// ```
///
/// # Panics
///
/// Panics where [`context()`] does, and outside a tokio runtime.
#[track_caller]
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    let context = context();
    spawn_in(&*context.host.env, context.scope(future))
}

/// A point in a handler where a test with `flyrpc-testkit` can stop it, such as "after the commit, before the reply". In
/// production, and outside a handler, it returns at once.
///
/// ```
/// # async fn commit() {}
/// # async fn save() {
/// commit().await;
/// flyrpc::barrier("committed").await;
/// # }
/// ```
///
/// A test sets a barrier with `SimCluster::barrier`. It can then wait until a handler has reached it, inject a fault,
/// and let the handler continue.
pub async fn barrier(name: &'static str) {
    if !CURRENT.is_set() {
        return;
    }
    let wait = CURRENT.with(|current| current.host.env.barrier(name));
    if let Some(wait) = wait {
        wait.await;
    }
}

/// Information about the call that a handler is serving. Returned by [`context()`]; cheap to clone.
///
/// The context follows the handler across threads, but not into tasks that the handler spawns: see
/// [`scope`](Context::scope). If the service is called through plain tarpc, without a node, the
/// caller has an empty name and region.
#[derive(Clone)]
pub struct Context {
    pub(crate) caller: NodeInfo,
    pub(crate) deadline: Instant,
    pub(crate) attempt: u32,
    pub(crate) local: bool,
    /// The link that the request came over. `None` for calls of this node itself.
    pub(crate) origin: Option<Origin>,
    /// Whether the handler runs to completion regardless of the deadline.
    pub(crate) detached: bool,
    /// The number of local calls whose handlers enclose this one in the same task.
    pub(crate) depth: u32,
    pub(crate) host: Arc<Host>,
    /// `None` if the call has none.
    pub(crate) metadata: Option<Arc<Metadata>>,
    /// Entered whenever the handler or one of its tasks is polled. `None` if calls have no spans.
    pub(crate) span: Option<Arc<dyn ServerSpan>>,
}

/// The surroundings of the handlers of one node.
pub(crate) struct Host {
    env: Arc<dyn Env>,
    /// Whether the environment polls handlers.
    polled_by_env: bool,
    /// The node. Its type is erased, because a node contains the server that creates contexts. Empty for
    /// handlers behind plain tarpc.
    node: OnceLock<Weak<dyn Any + Send + Sync>>,
}

impl Host {
    pub(crate) fn new(env: Arc<dyn Env>) -> Arc<Self> {
        let polled_by_env = env.observes_handlers();
        Arc::new(Host { env, polled_by_env, node: OnceLock::new() })
    }

    /// Sets the node, once it exists.
    pub(crate) fn set_node(&self, node: Weak<dyn Any + Send + Sync>) {
        let is_first = self.node.set(node).is_ok();
        debug_assert!(is_first, "a host belongs to one node");
    }
}

impl Context {
    /// Returns the context of the call that the current task is serving, if it is serving one.
    pub fn try_current() -> Option<Context> {
        CURRENT.is_set().then(|| CURRENT.with(Clone::clone))
    }

    /// Returns the node that made the call. For a local call, it is this node.
    ///
    /// The name and the region of another node are claims. Every program that can open a link to this node,
    /// such as every holder of the cluster's secret, can claim any name and region. A rule about them guards
    /// against mistakes only.
    pub fn caller(&self) -> &NodeInfo {
        &self.caller
    }

    /// Returns the region of the node that made the call, which is a [claim](Context::caller) of that node.
    pub fn caller_region(&self) -> &Region {
        self.caller.region()
    }

    /// Returns the remaining time of the call, or zero if it has run out. Calls made inside the
    /// handler have this as an upper bound on their own time, unless the method is
    /// [detached](crate::fly_rpc#attributes).
    pub fn remaining(&self) -> Duration {
        self.deadline.saturating_duration_since(self.host.env.now())
    }

    /// Returns the time on the wall clock of the node that runs the handler, such as for a timestamp or a lease. In a
    /// simulation, it follows the simulated clock of that node.
    pub fn system_time(&self) -> SystemTime {
        self.host.env.system_time()
    }

    /// Returns the upper bound on the time of calls made inside the handler. Returns `None` for a
    /// detached handler, which outlives its caller's deadline, so its calls have only their own
    /// timeouts.
    pub(crate) fn bound_of_nested_calls(&self) -> Option<Duration> {
        (!self.detached).then(|| self.remaining())
    }

    /// Returns the metadata that the caller has sent with the call. It is not sent with the calls that the handler
    /// makes. Empty if the caller has version 0.1.
    pub fn metadata(&self) -> &Metadata {
        self.metadata.as_deref().unwrap_or(Metadata::EMPTY)
    }

    /// Returns the number of the caller's attempt, from 1. A number above 1 means that another node
    /// refused the call or, if the method is idempotent, may already have executed it or is still executing it.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Returns whether this node made the call itself, so that it runs in the caller's process.
    pub fn is_local(&self) -> bool {
        self.local
    }

    /// Returns the node that runs the handler, if it is a node of type `N` that still exists.
    pub(crate) fn node<N: Any + Send + Sync>(&self) -> Option<Arc<N>> {
        Arc::downcast(self.host.node.get()?.upgrade()?).ok()
    }

    /// Carries this context into `future`, for a task that the handler spawns without [`spawn()`]. In that task,
    /// [`context()`] works, and calls have the same time limit as calls made in the handler. The task
    /// is not stopped when the call ends. The handler is responsible for ending it.
    ///
    /// Dropping the returned future drops `future`. In a simulation with `flyrpc-testkit`, `future` belongs to the node of the
    /// handler: it stands still while that node is frozen, and is dropped when that node crashes. The returned future
    /// then never completes.
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
        let context = self.clone();
        let mut gate = self.host.env.gate();
        let mut future = Some(Box::pin(future));
        std::future::poll_fn(move |task| {
            let Some(running) = &mut future else { return Poll::Pending };
            let Some(gate) = &mut gate else {
                return poll_in(&context, running.as_mut(), task);
            };
            let mut result = Poll::Pending;
            let may_continue = gate.poll(task, &mut |task| {
                result = poll_in(&context, running.as_mut(), task);
            });
            if !may_continue {
                future = None;
            }
            result
        })
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

/// Polls `future` with `context` as the current context, inside its span. Restores the previous one afterwards,
/// whether the poll returns or panics.
#[inline]
pub(crate) fn poll_in<F: Future + ?Sized>(
    context: &Context,
    future: Pin<&mut F>,
    task: &mut task::Context<'_>,
) -> Poll<F::Output> {
    if context.span.is_some() || context.host.polled_by_env {
        poll_observed(context, future, task)
    } else {
        CURRENT.set(context, || future.poll(task))
    }
}

#[cold]
fn poll_observed<F: Future + ?Sized>(
    context: &Context,
    future: Pin<&mut F>,
    task: &mut task::Context<'_>,
) -> Poll<F::Output> {
    match &context.span {
        Some(span) => enter(&**span, || poll_in_env(context, future, task)),
        None => poll_in_env(context, future, task),
    }
}

fn poll_in_env<F: Future + ?Sized>(
    context: &Context,
    mut future: Pin<&mut F>,
    task: &mut task::Context<'_>,
) -> Poll<F::Output> {
    let Context { host, .. } = context;
    if !host.polled_by_env {
        return CURRENT.set(context, || future.poll(task));
    }
    let mut result = Poll::Pending;
    host.env.poll_handler(&mut || {
        result = CURRENT.set(context, || future.as_mut().poll(task));
    });
    result
}
