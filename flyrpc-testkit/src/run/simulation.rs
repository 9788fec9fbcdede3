//! Runs a test body for one or many seeds.

use std::{fmt, future::Future, time::Duration};

use tokio::runtime::Handle;

use super::{
    body::{RunResult, Spec, run},
    report::Failure,
    seeds::{Seeds, first_failure},
};
use crate::{seed, seed::TestName, trace::Trace};

/// The default limit of the virtual time of a run.
const TIME_LIMIT: Duration = Duration::from_secs(3_600);

/// The value of a test body: `()`, or a `Result` whose `Err` fails the test.
#[diagnostic::on_unimplemented(
    message = "a simulated test returns `()` or a `Result`, not `{Self}`",
    label = "this is neither `()` nor a `Result` of `()`"
)]
pub trait TestResult {
    /// Returns the text of the failure, if the value is one.
    fn failure(&self) -> Option<String>;
}

impl TestResult for () {
    fn failure(&self) -> Option<String> {
        None
    }
}

impl<T: TestResult, E: fmt::Debug> TestResult for Result<T, E> {
    fn failure(&self) -> Option<String> {
        match self {
            Ok(value) => value.failure(),
            Err(error) => Some(format!("{error:?}")),
        }
    }
}

/// Runs a test body once for each of its seeds, each time on a runtime of its own with paused time.
/// [`#[flyrpc_testkit::test]`](macro@crate::test) is the short form.
///
/// A run fails if
///
/// - the body panics or returns an `Err`,
/// - a task of a node panics, or an [invariant](crate::SimCluster::always) does not hold,
/// - the body has not returned within an hour of virtual time ([`time_limit`](Self::time_limit)), or
/// - a task that a node started with `tokio::spawn` instead of [`flyrpc::spawn`] still runs after the node has crashed.
///   To find such tasks, the body runs once more for each crash of a node that has started tasks in this way, up to that
///   crash. [`allow_escaped_tasks`](Self::allow_escaped_tasks) turns this off.
///
/// A failed run prints its seed, the calls in flight, the command that repeats it, and the path of its trace.
///
/// `spawn_blocking` tasks run one at a time, in the order of their start, while no other task is runnable. Runs with
/// SQLite or another blocking library are therefore repeatable. If they do not end within 5 s of real time, as if one
/// waits for an asynchronous task, it runs beside the others from then on.
///
/// ```
/// use flyrpc::fly_rpc;
/// use flyrpc_testkit::{SimCluster, Simulation};
///
/// #[fly_rpc]
/// trait Strings {
///     async fn upcase(&self, text: String) -> String;
/// }
///
/// struct Shout;
///
/// impl Strings for Shout {
///     async fn upcase(&self, text: String) -> String {
///         text.to_uppercase()
///     }
/// }
///
/// Simulation::new().seeds(0..20).run(|_seed| async {
///     let cluster = SimCluster::builder()
///         .region("iad", 2)
///         .region("hkg", 1)
///         .serve(|_node| ServeStrings::new(Shout))
///         .start()
///         .await;
///     let strings: StringsClient = cluster.node("hkg-0").client();
///     assert_eq!(strings.on_primary().upcase("fly".into()).await?, "FLY");
///     Ok::<_, flyrpc::RpcError>(())
/// });
/// ```
#[derive(Debug, Clone)]
#[must_use = "nothing runs before `run`"]
pub struct Simulation {
    name: Option<String>,
    seeds: Option<Seeds>,
    time_limit: Duration,
    checks_determinism: bool,
    allows_escaped_tasks: bool,
}

impl Default for Simulation {
    fn default() -> Self {
        Simulation::new()
    }
}

impl Simulation {
    /// Creates a simulation of one seed, which is 0 or that of `FLYRPC_SIM_SEED`.
    pub fn new() -> Self {
        Simulation {
            name: None,
            seeds: None,
            time_limit: TIME_LIMIT,
            checks_determinism: seed::checks_determinism(),
            allows_escaped_tasks: false,
        }
    }

    /// Sets the seeds: a number or a range. The environment variables `FLYRPC_SIM_SEED`, such as `7`, and `FLYRPC_SIM_SEEDS`, such
    /// as `0..1000`, replace them.
    pub fn seeds(mut self, seeds: impl Into<Seeds>) -> Self {
        self.seeds = Some(seeds.into());
        self
    }

    /// Sets the upper bound on the virtual time of each run. The default is one hour.
    pub fn time_limit(mut self, limit: Duration) -> Self {
        self.time_limit = limit;
        self
    }

    /// Runs each seed twice, and fails if the traces differ. The report shows the first difference. Also enabled by the
    /// environment variable `FLYRPC_SIM_DETERMINISM`, set to `1`.
    pub fn check_determinism(mut self) -> Self {
        self.checks_determinism = true;
        self
    }

    /// Lets tasks of `tokio::spawn` outlive their node, as those of a library that cannot be changed.
    pub fn allow_escaped_tasks(mut self) -> Self {
        self.allows_escaped_tasks = true;
        self
    }

    #[doc(hidden)]
    pub fn name(mut self, name: &str) -> Self {
        // Test harnesses omit the name of the crate.
        self.name = Some(name.split_once("::").map_or(name, |(_, name)| name).to_owned());
        self
    }

    /// Runs the body with each seed, on as many threads as the machine has processors, until a run fails. The body
    /// receives its seed, which is also the seed of its clusters. If the environment variable `FLYRPC_SIM_TRACES` names a
    /// directory, the traces of all runs are written to it, for example to compare those of a debug and a release build.
    ///
    /// # Panics
    ///
    /// If a run fails, with its panic or its error. Of several failures, only the one with the first seed is reported.
    /// Panics if an environment variable is set to a value that is not valid, and if there is no seed.
    #[track_caller]
    pub fn run<F>(self, body: impl Fn(u64) -> F + Sync)
    where
        F: Future<Output: TestResult>,
    {
        assert!(
            Handle::try_current().is_err(),
            "a simulation has a runtime of its own, so it cannot run within another: use a plain `#[test]`"
        );
        let test = self.name.map_or_else(TestName::current, TestName::new);
        let seeds = seed::overridden().or(self.seeds).unwrap_or_else(|| Seeds::from(0));
        assert!(!seeds.is_empty(), "a simulation needs at least one seed");
        let directory = seed::trace_directory();
        let keeps_traces = self.checks_determinism || directory.is_some();
        let run_seed = |seed| {
            let body = || body(seed);
            let spec = Spec {
                body: &body,
                time_limit: self.time_limit,
                is_failure: |value: &F::Output| value.failure().is_some(),
                keeps_traces,
                allows_escaped_tasks: self.allows_escaped_tasks,
            };
            let run = || run_seed(seed, &spec);
            let traces = run()?;
            if let Some(directory) = &directory {
                test.write_traces(directory, seed, &traces);
            }
            if !self.checks_determinism {
                return Ok(());
            }
            match first_difference(&traces, &run()?) {
                Some(message) => Err(Failure::new(message, traces)),
                None => Ok(()),
            }
        };
        if let Some((seed, failure)) = first_failure(&seeds, test.as_str(), run_seed) {
            failure.print(&test, seed);
            failure.panic(seed);
        }
    }
}

fn run_seed<F: Future<Output: TestResult>>(
    seed: u64,
    spec: &Spec<'_, impl Fn() -> F, F::Output>,
) -> Result<Vec<Trace>, Failure> {
    match Failure::of(run(seed, spec), spec.time_limit, TestResult::failure) {
        Ok((_, traces)) => Ok(traces),
        Err((failure, _)) => Err(failure),
    }
}

/// Describes the first difference of the traces of two runs with the same seed.
fn first_difference(first: &[Trace], second: &[Trace]) -> Option<String> {
    if first == second {
        return None;
    }
    let texts = [first, second]
        .map(|traces| traces.iter().map(ToString::to_string).collect::<Vec<_>>().concat());
    let mut lines = texts[0].lines().zip(texts[1].lines());
    let end = "(the trace ends)";
    let (one, other) = lines.find(|(one, other)| one != other).unwrap_or_else(|| {
        let common = texts.each_ref().map(|text| text.lines().count());
        let shorter = common[0].min(common[1]);
        (texts[0].lines().nth(shorter).unwrap_or(end), texts[1].lines().nth(shorter).unwrap_or(end))
    });
    Some(format!(
        "two runs with the same seed differ, first in this line:\n  {one}\n  {other}\n\
         look for `HashMap` iteration, `rand::rng()`, `SystemTime`, threads, and real I/O"
    ))
}

/// Runs a body for each seed, in parallel, until a run fails: [`Simulation::run`] with these seeds.
///
/// # Panics
///
/// See [`Simulation::run`].
#[track_caller]
pub fn for_seeds<F>(seeds: impl Into<Seeds>, body: impl Fn(u64) -> F + Sync)
where
    F: Future<Output: TestResult>,
{
    Simulation::new().seeds(seeds).run(body);
}

/// Runs a body once, as [`Simulation::run`] does, and returns its value, for a property test whose library chooses the
/// inputs. Neither environment variables nor other seeds apply.
///
/// # Errors
///
/// Returns the error of the body, after the report was printed.
///
/// # Panics
///
/// If the run fails other than by an error of the body.
#[track_caller]
pub fn simulate<T, E, F>(seed: u64, body: impl Fn() -> F) -> Result<T, E>
where
    F: Future<Output = Result<T, E>>,
    E: fmt::Debug,
{
    let spec = Spec {
        body: &body,
        time_limit: TIME_LIMIT,
        is_failure: Result::is_err,
        keeps_traces: false,
        allows_escaped_tasks: false,
    };
    let result: RunResult<Result<T, E>> = run(seed, &spec);
    let failure_of = |value: &Result<T, E>| value.as_ref().err().map(|error| format!("{error:?}"));
    match Failure::of(result, TIME_LIMIT, failure_of) {
        Ok((value, _)) => value,
        Err((failure, value)) => {
            failure.print(&TestName::current(), seed);
            value.unwrap_or_else(|| failure.panic(seed))
        }
    }
}
