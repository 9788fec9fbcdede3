//! Runs a test body once, on a runtime of its own.

use std::{
    any::Any,
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    rc::Rc,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use tokio::{
    runtime::{Builder, Runtime},
    time::sleep,
};

use super::{
    blocking::BlockingTurns,
    census::{Census, Suspect},
    current::Run,
};
use crate::trace::Trace;

/// Upper bound on the crashes for which a run is repeated.
const MAX_SUSPECTS: usize = 16;

/// How a run ended.
pub(super) enum Ended<T> {
    /// The body returned.
    Returned(T),
    Panicked(Box<dyn Any + Send>),
    /// The body did not return within the limit of virtual time.
    TimeLimit,
    /// Something other than the body failed, such as a task of a node.
    Failed(String),
}

/// The result of a run.
pub(super) struct RunResult<T> {
    pub(super) ended: Ended<T>,
    /// The traces of its clusters, in the order of their starts. Empty if nobody needs them.
    pub(super) traces: Vec<Trace>,
    suspects: Vec<Suspect>,
}

/// A body, and how to run it.
pub(super) struct Spec<'a, B, T> {
    pub(super) body: &'a B,
    pub(super) time_limit: Duration,
    /// Whether this value of the body fails the run.
    pub(super) is_failure: fn(&T) -> bool,
    /// Whether traces are also needed if the run does not fail.
    pub(super) keeps_traces: bool,
    /// Whether tasks may outlive the crash of their node.
    pub(super) allows_escaped_tasks: bool,
}

/// Runs a body with a seed. Fails if a task that a node started with `tokio::spawn` outlives a crash of the node.
pub(super) fn run<F: Future>(
    seed: u64,
    spec: &Spec<'_, impl Fn() -> F, F::Output>,
) -> RunResult<F::Output> {
    let mut result = run_once(seed, spec, Census::default()).0;
    let is_fine = matches!(&result.ended, Ended::Returned(value) if !(spec.is_failure)(value));
    if !is_fine || spec.allows_escaped_tasks {
        return result;
    }
    for suspect in std::mem::take(&mut result.suspects).into_iter().take(MAX_SUSPECTS) {
        let host = suspect.host.clone();
        let (second, survivors) = run_once(seed, spec, Census::of(suspect));
        if survivors > 0 {
            result.ended = Ended::Failed(escaped(&host, survivors));
            result.traces = second.traces;
            break;
        }
    }
    result
}

fn escaped(host: &str, tasks: usize) -> String {
    let (tasks, run) = match tasks {
        1 => ("a task".to_owned(), "runs"),
        _ => (format!("{tasks} tasks"), "run"),
    };
    format!(
        "{tasks} that node `{host}` started with `tokio::spawn` still {run} after the process of the node has ended; use \
         `flyrpc::spawn` in handlers and `Node::spawn` elsewhere, or wrap the future in \
         `flyrpc::context().scope(future)`: such tasks stop with their node"
    )
}

/// Returns the result, and the number of tasks that have outlived the crash of the suspect of the census.
fn run_once<F: Future>(
    seed: u64,
    spec: &Spec<'_, impl Fn() -> F, F::Output>,
    census: Census,
) -> (RunResult<F::Output>, usize) {
    let blocking = Arc::new(BlockingTurns::default());
    let runtime = build_runtime(&blocking);
    let run = Run::new(seed, runtime.metrics(), Arc::clone(&blocking), census);
    let entered = run.enter();
    // Dropped after the runtime if the run ends early for the census: its destructors would end tasks.
    let mut body = None;
    let mut traces = Vec::new();
    let ended = catch_unwind(AssertUnwindSafe(|| {
        runtime.block_on(async {
            let pinned = body.insert(Box::pin((spec.body)())).as_mut();
            let ended = until_end(&run, spec.time_limit, pinned).await;
            let ended = match (run.take_failure(), ended) {
                (Some(failure), Some(_)) => Some(Ended::Failed(failure)),
                (_, ended) => ended,
            };
            let is_fine =
                matches!(&ended, Some(Ended::Returned(value)) if !(spec.is_failure)(value));
            if !is_fine || spec.keeps_traces {
                traces = run.traces();
            }
            if ended.is_some() {
                let body = body.take();
                let dropped = catch_unwind(AssertUnwindSafe(|| drop(body)));
                if let (Some(Ended::Returned(_)), Err(panic)) = (&ended, dropped) {
                    return Some(Ended::Panicked(panic));
                }
            }
            ended
        })
    }));
    let ended = match ended {
        Ok(Some(ended)) => ended,
        Ok(None) => Ended::Failed("the census is complete".to_owned()),
        Err(panic) => {
            traces = run.traces();
            Ended::Panicked(panic)
        }
    };
    if run.census().is_due() {
        run.census().start_counting();
    }
    // Destructors of tasks may panic. Blocking tasks that have not started do not run.
    let handle = runtime.handle().clone();
    let dropped = catch_unwind(AssertUnwindSafe(|| runtime.shutdown_background()));
    blocking.open();
    // The body of a census was stopped at some point, so its destructors may fail.
    let _ = catch_unwind(AssertUnwindSafe(|| {
        let _runtime = handle.enter();
        drop(body);
    }));
    drop((entered, handle));
    let ended = match (ended, dropped) {
        (Ended::Returned(_), Err(panic)) => Ended::Panicked(panic),
        (ended, _) => ended,
    };
    let suspects = run.census().suspects();
    (RunResult { ended, traces, suspects }, run.census().survivors())
}

fn build_runtime(blocking: &Arc<BlockingTurns>) -> Runtime {
    let mut builder = Builder::new_current_thread();
    blocking.control(&mut builder);
    let turns = Arc::clone(blocking);
    builder.on_thread_park(move || {
        if turns.run_queued() {
            return;
        }
        if let Some(run) = Run::current().filter(|run| run.census().has_crashed()) {
            run.census().on_idle();
            run.wake_body();
        }
    });
    // Which task runs next must not depend on how often the runtime was idle.
    builder.global_queue_interval(u32::MAX);
    let runtime = builder.enable_all().start_paused(true).build();
    runtime.expect("the operating system provides a runtime")
}

/// Polls the body until the run ends. Returns `None` if the run ends for the census.
async fn until_end<F: Future>(
    run: &Rc<Run>,
    time_limit: Duration,
    mut body: Pin<&mut F>,
) -> Option<Ended<F::Output>> {
    let mut limit = pin!(sleep(time_limit));
    poll_fn(|task| {
        run.set_body(task.waker());
        if let Some(failure) = run.take_failure() {
            return Poll::Ready(Some(Ended::Failed(failure)));
        }
        if run.census().has_crashed() {
            return if run.census().is_due() { Poll::Ready(None) } else { Poll::Pending };
        }
        if let Poll::Ready(value) = body.as_mut().poll(task) {
            // A census continues although the crash was the last thing that the body did.
            let is_census = run.census().has_crashed();
            return if is_census {
                Poll::Pending
            } else {
                Poll::Ready(Some(Ended::Returned(value)))
            };
        }
        limit.as_mut().poll(task).map(|()| Some(Ended::TimeLimit))
    })
    .await
}
