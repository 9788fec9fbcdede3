//! Callers that call continuously, and the outcomes of their calls.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use flyrpc::{Node, RpcError};
use flyrpc_rollout::{v1, v2};
use futures_util::future::BoxFuture;
use tokio::task::JoinHandle;

/// Timeout of each call: longer than any call should take on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Time that a caller waits after a failed call.
const AFTER_FAILURE: Duration = Duration::from_millis(5);

/// Clients of both versions.
pub(crate) struct Clients {
    pub(crate) v1: v1::OrdersClient,
    pub(crate) v2: v2::OrdersClient,
}

/// The version and the attempt that executed a call.
struct Execution {
    version: u32,
    /// Counted from 1.
    attempt: u32,
}

impl From<v1::Order> for Execution {
    fn from(order: v1::Order) -> Self {
        Execution { version: order.version, attempt: order.attempt }
    }
}

impl From<v2::Order> for Execution {
    fn from(order: v2::Order) -> Self {
        Execution { version: order.version, attempt: order.attempt }
    }
}

type Reply = BoxFuture<'static, Result<Execution, RpcError>>;

fn boxed<O: Into<Execution>>(
    reply: impl Future<Output = Result<O, RpcError>> + Send + 'static,
) -> Reply {
    Box::pin(async move { reply.await.map(O::into) })
}

/// The outcomes of the calls of one caller.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) caller: String,
    /// Number of successful calls, by the version that executed them.
    pub(crate) succeeded: BTreeMap<u32, usize>,
    /// Number of successful calls that another node had refused first.
    pub(crate) elsewhere: usize,
    /// Number of failed calls and the first error, by kind of error.
    pub(crate) failed: BTreeMap<String, (usize, RpcError)>,
    /// The longest time between two successful calls.
    pub(crate) longest_gap: Duration,
}

impl Tally {
    fn count(&mut self, outcome: Result<Execution, RpcError>) {
        match outcome {
            Ok(Execution { version, attempt }) => {
                *self.succeeded.entry(version).or_default() += 1;
                self.elsewhere += usize::from(attempt > 1);
            }
            Err(error) => self.failed.entry(kind(&error)).or_insert((0, error)).0 += 1,
        }
    }
}

/// Returns the name of an error's variant.
fn kind(error: &RpcError) -> String {
    let text = format!("{error:?}");
    text.split([' ', '{']).next().unwrap_or_default().to_owned()
}

/// Running callers.
pub(crate) struct Load {
    over: Arc<AtomicBool>,
    callers: Vec<JoinHandle<Tally>>,
}

impl Load {
    fn new() -> Self {
        Load { over: Arc::default(), callers: Vec::new() }
    }

    /// Starts callers to each of the regions and to the primary.
    pub(crate) fn on(node: &Node, regions: &[&str]) -> Self {
        let mut load = Load::new();
        for region in regions {
            load.add_on(node, region, Duration::ZERO);
        }
        let clients = clients(node);
        let client = clients.v1.clone();
        load.add("v1 pay, primary", move |number, pause| boxed(client.pay(number, 995, pause)));
        let client = clients.v2.clone();
        load.add("v2 pay, primary", move |number, pause| {
            boxed(client.pay(995, None, number, pause))
        });
        let client = clients.v2.on_primary();
        load.add("v2 place on the primary", move |number, pause| {
            boxed(client.place(pause, 1, item(number), false))
        });
        load
    }

    /// Starts callers to one region.
    pub(crate) fn on_region(node: &Node, region: &str) -> Self {
        let mut load = Load::new();
        load.add_on(node, region, Duration::ZERO);
        load
    }

    /// Starts callers to one region that wait if no node there accepts calls.
    pub(crate) fn that_waits(node: &Node, region: &str) -> Self {
        let mut load = Load::new();
        load.add_on(node, region, TIMEOUT);
        load
    }

    fn add_on(&mut self, node: &Node, region: &str, wait: Duration) {
        let Clients { v1, v2 } = clients(node);
        let (v1, v2) = (v1.on_region(region).wait(wait), v2.on_region(region).wait(wait));
        let client = v1.clone();
        self.add(&format!("v1 find on {region}"), move |number, pause| {
            boxed(client.find(number, pause))
        });
        self.add(&format!("v1 place on {region}"), move |number, pause| {
            boxed(v1.place(item(number), 1, pause))
        });
        let client = v2.clone();
        self.add(&format!("v2 find on {region}"), move |number, pause| {
            boxed(client.find(pause, number))
        });
        self.add(&format!("v2 place on {region}"), move |number, pause| {
            boxed(v2.place(pause, 1, item(number), false))
        });
    }

    /// Starts one more caller. It passes to `call` a number that differs from call to call, and the time
    /// that the handler is to take.
    fn add(&mut self, caller: &str, call: impl Fn(u64, Duration) -> Reply + Send + 'static) {
        let over = Arc::clone(&self.over);
        let mut tally = Tally { caller: caller.to_owned(), ..Tally::default() };
        let mut number = self.callers.len() as u64;
        self.callers.push(tokio::spawn(async move {
            let mut last = Instant::now();
            while !over.load(Ordering::Relaxed) {
                number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040);
                let outcome = call(number, pause(number)).await;
                if outcome.is_ok() {
                    tally.longest_gap = tally.longest_gap.max(last.elapsed());
                    last = Instant::now();
                } else {
                    tokio::time::sleep(AFTER_FAILURE).await;
                }
                tally.count(outcome);
            }
            tally
        }));
    }

    /// Stops the callers, waits for their calls in flight, and returns their tallies.
    pub(crate) async fn end(self) -> Vec<Tally> {
        self.over.store(true, Ordering::Relaxed);
        let mut tallies = Vec::new();
        for caller in self.callers {
            tallies.push(caller.await.expect("no caller panics"));
        }
        tallies
    }
}

fn clients(node: &Node) -> Clients {
    let v1: v1::OrdersClient = node.client();
    let v2: v2::OrdersClient = node.client();
    Clients { v1: v1.timeout(TIMEOUT), v2: v2.timeout(TIMEOUT) }
}

/// Returns how long a handler takes: no time for half of the calls, up to 100 ms for the others.
fn pause(number: u64) -> Duration {
    Duration::from_millis(((number >> 33) % 201).saturating_sub(100))
}

/// Returns the item to order. One in eight is so long that it is sent in several chunks.
fn item(number: u64) -> String {
    "tea".repeat(if (number >> 40).is_multiple_of(8) { 20_000 } else { 1 })
}
