//! Two nodes of one cluster in one thread, on the simulated network and in virtual time. Equal arguments
//! give equal runs, instruction for instruction.
//!
//! `pair <callers> <calls> <inline|task|sealed|refused>` makes `calls` calls of `upcase("fly")`, divided evenly among
//! `callers` concurrent callers. Every handler runs inline, or in a separate task, or inline over a sealed link, or
//! the server refuses every call because it is overloaded. The program prints nothing: the workload `instructions`
//! of the benchmark runs it under callgrind.
//!
//! With the additional argument `stop`, the program makes the calls twice, and stops itself (`SIGSTOP`) before and
//! after the second time. The test `budgets` counts the instructions in between.
//!
//! The tasks of the server are polled by [`poll_server`], and those of the client and its callers by
//! [`poll_client`], so that callgrind can count the instructions of one side.

use std::{
    future::Future,
    hint::black_box,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{self, Poll},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use flyrpc::{
    BoxStream, Datagram, Env, Listener, Node, Refusal, RpcError, fly_rpc, unstable::InlineMode,
};
use flyrpc_testkit::{SimEnv, SimNet};
use futures_util::future::BoxFuture;
use rustix::process::{Signal, getpid, kill_process};
use tokio::{runtime, task::JoinSet, time::Instant};

/// Seed of the simulated network and of both nodes.
const SEED: u64 = 1;

/// Secret of both nodes, if their link is sealed.
const SECRET: &str = "73656372657420666f7220746865207061697220696e206f6e65207468726561";

/// Port of both nodes.
const PORT: u16 = 3590;

const SERVER: &str = "hkg";
const CLIENT: &str = "iad";

/// The shortest round trip that the simulated network supports. The less virtual time a call takes, the
/// fewer heartbeats are counted with it.
const ROUND_TRIP: Duration = Duration::from_millis(1);

#[fly_rpc]
trait Strings {
    async fn upcase(&self, text: String) -> String;
    /// Never ends.
    #[rpc(timeout = "3600s")]
    async fn occupy(&self);
}

struct Handlers;

impl Strings for Handlers {
    async fn upcase(&self, text: String) -> String {
        text.to_uppercase()
    }

    async fn occupy(&self) {
        std::future::pending().await
    }
}

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (callers, calls, mode, stop) = match &args[..] {
        [callers, calls, mode] => (callers, calls, mode, false),
        [callers, calls, mode, stop] if stop == "stop" => (callers, calls, mode, true),
        _ => bail!("usage: pair <callers> <calls> <inline|task|sealed|refused> [stop]"),
    };
    let mode = match mode.as_str() {
        "inline" => Mode::INLINE,
        "task" => Mode { handlers: InlineMode::Never, ..Mode::INLINE },
        "sealed" => Mode { sealed: true, ..Mode::INLINE },
        "refused" => Mode { refused: true, ..Mode::INLINE },
        _ => bail!("`{mode}` is neither `inline` nor `task` nor `sealed` nor `refused`"),
    };
    let callers = callers.parse().context("callers is not a number")?;
    let calls: u64 = calls.parse().context("calls is not a number")?;
    let runtime =
        runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
    runtime.block_on(run(callers, calls, mode, stop))
}

/// How the nodes run.
#[derive(Debug, Clone, Copy)]
struct Mode {
    handlers: InlineMode,
    sealed: bool,
    /// Whether the server serves only one call at a time, and is busy with one that never ends.
    refused: bool,
}

impl Mode {
    const INLINE: Mode = Mode { handlers: InlineMode::Always, sealed: false, refused: false };
}

async fn run(callers: u64, calls: u64, mode: Mode, stop: bool) -> Result<()> {
    ensure!(callers > 0 && calls.is_multiple_of(callers), "{calls} calls for {callers} callers");
    let net = SimNet::builder().seed(SEED).rtt(SERVER, CLIENT, ROUND_TRIP).build();
    let hosts = [SERVER, CLIENT].map(|region| net.add_host(region, region));
    let server = start(&hosts, 0, mode).await?;
    let client = start(&hosts, 1, mode).await?;
    client.ready().await;
    ensure!(client.nodes_in(SERVER).len() == 1, "the nodes did not connect: {:?}", client.peers());

    let strings: StringsClient = client.client();
    let mut running = JoinSet::new();
    if mode.refused {
        running.spawn(strings.on_region(SERVER).occupy());
        tokio::time::sleep(2 * ROUND_TRIP).await;
    }
    make_calls(&strings, callers, calls, mode).await?;
    if stop {
        kill_process(getpid(), Signal::STOP)?;
        make_calls(&strings, callers, calls, mode).await?;
        kill_process(getpid(), Signal::STOP)?;
    }
    drop((running, client, server));
    Ok(())
}

/// Makes `calls` calls, divided evenly among `callers`.
async fn make_calls(strings: &StringsClient, callers: u64, calls: u64, mode: Mode) -> Result<()> {
    let mut running = JoinSet::new();
    for _ in 0..callers {
        let strings = strings.clone();
        running.spawn(Side::Client.of(async move {
            for _ in 0..calls / callers {
                match strings.on_region(SERVER).upcase("fly".to_owned()).await {
                    Ok(reply) if !mode.refused => {
                        ensure!(reply == "FLY", "upcase(\"fly\") returned {reply:?}")
                    }
                    Err(RpcError::Refused { reason: Refusal::Overloaded, .. }) if mode.refused => {}
                    other => bail!("upcase(\"fly\") returned {other:?}"),
                }
            }
            Ok(())
        }));
    }
    while let Some(done) = running.join_next().await {
        done??;
    }
    Ok(())
}

/// Starts a node on host `at`, seeded with the first host.
async fn start(hosts: &[SimEnv], at: usize, mode: Mode) -> Result<Node> {
    let env = &hosts[at];
    let builder = Node::builder()
        .name(env.region().as_str())
        .region(env.region().clone())
        .primary_region(SERVER)
        .env(SideEnv { side: [Side::Server, Side::Client][at], env: env.clone() })
        .rng_seed(SEED + at as u64)
        .listen(env.addr(PORT))
        .seeds([hosts[0].addr(PORT)])
        .inline_mode(mode.handlers);
    let builder = if mode.refused && at == 0 { builder.max_in_flight(1) } else { builder };
    let builder = if mode.sealed { builder.secret(SECRET.parse()?) } else { builder };
    let builder = if at == 0 { builder.serve(ServeStrings::new(Handlers)) } else { builder };
    Ok(builder.start().await?)
}

/// A side of the pair.
#[derive(Clone, Copy)]
enum Side {
    Server,
    Client,
}

impl Side {
    /// Returns `task` as a task of this side.
    fn of<T>(self, task: impl Future<Output = T> + Send + 'static) -> SideTask<T> {
        SideTask { side: self, task: Some(Box::pin(task)) }
    }
}

/// A task of one side.
struct SideTask<T> {
    side: Side,
    /// Dropped as soon as it is ready, so that the instructions of its destructor are counted.
    task: Option<BoxFuture<'static, T>>,
}

impl<T> SideTask<T> {
    #[inline(always)]
    fn poll_task(&mut self, context: &mut task::Context<'_>) -> Poll<T> {
        let task = self.task.as_mut().expect("not polled after completion");
        let polled = task.as_mut().poll(context);
        if polled.is_ready() {
            self.task = None;
        }
        polled
    }
}

impl<T> Future for SideTask<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut task::Context<'_>) -> Poll<T> {
        match self.side {
            Side::Server => poll_server(&mut self, context),
            Side::Client => poll_client(&mut self, context),
        }
    }
}

/// Polls a task of the server. Callgrind recognizes this function by its name.
#[inline(never)]
fn poll_server<T>(task: &mut SideTask<T>, context: &mut task::Context<'_>) -> Poll<T> {
    // The compiler merges functions that are equal.
    black_box("server");
    task.poll_task(context)
}

/// Polls a task of the client. Callgrind recognizes this function by its name.
#[inline(never)]
fn poll_client<T>(task: &mut SideTask<T>, context: &mut task::Context<'_>) -> Poll<T> {
    black_box("client");
    task.poll_task(context)
}

/// The environment of the node on one side.
struct SideEnv {
    side: Side,
    env: SimEnv,
}

impl Env for SideEnv {
    fn now(&self) -> Instant {
        // The clock of the host is the same, because it has no skew and no drift. Reading it takes several
        // times as many instructions as reading a real clock.
        Instant::now()
    }

    fn timer_time(&self, now: Instant) -> Instant {
        now
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        self.env.spawn(Box::pin(SideTask { side: self.side, task: Some(task) }));
    }

    fn random(&self) -> u64 {
        self.env.random()
    }

    fn fill(&self, bytes: &mut [u8]) {
        self.env.fill(bytes);
    }

    fn connect(&self, to: SocketAddr) -> BoxFuture<'_, io::Result<BoxStream>> {
        self.env.connect(to)
    }

    fn listen(&self, at: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Listener>>> {
        self.env.listen(at)
    }

    fn datagram(&self, at: SocketAddr) -> BoxFuture<'_, io::Result<Arc<dyn Datagram>>> {
        self.env.datagram(at)
    }

    fn resolve(&self, name: &str) -> BoxFuture<'_, io::Result<Vec<SocketAddr>>> {
        self.env.resolve(name)
    }
}
