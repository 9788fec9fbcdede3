//! Handlers that block their threads. Each node has its own runtime, because a thread that a handler of
//! one node blocks must not be a thread that another node needs.

use std::{
    cell::Cell,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, OnceLock, mpsc},
    time::Duration,
};

use flyrpc::{BoxStream, Datagram, Env, Listener, Node, Observed, Observer, TokioEnv, fly_rpc};
use futures_util::{
    FutureExt,
    future::{BoxFuture, join, join_all},
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tokio::{
    runtime::{Builder, Runtime},
    time::Instant,
};

use super::{GENEROUS_TIMEOUT, builder};

#[fly_rpc]
trait Blocker {
    /// Blocks its thread until the test releases it. Returns false if the test did not.
    async fn block(&self, argument: Argument) -> bool;
    async fn quick(&self, number: u64) -> u64;
    async fn never(&self);
}

/// What a handler does before it blocks.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
enum First {
    Nothing,
    /// Returns without blocking.
    Return,
    /// Sleeps without blocking the thread.
    Sleep,
    /// Makes a call and waits for its reply.
    Call,
    /// Starts a call, and blocks before the call is sent.
    StartCall,
    /// Cancels a call that was sent.
    CancelCall,
    /// Spawns a task that starts a call and blocks before the call is sent.
    Spawn,
    /// Does not block, because decoding the argument has.
    Decode,
}

/// The argument of a call that blocks.
#[derive(Debug, Clone, Copy)]
struct Argument {
    first: First,
    /// Whether the test released the thread that decoded this.
    released: bool,
}

impl From<First> for Argument {
    fn from(first: First) -> Self {
        Argument { first, released: false }
    }
}

impl Serialize for Argument {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.first.serialize(to)
    }
}

impl<'de> Deserialize<'de> for Argument {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let first = First::deserialize(from)?;
        let released = first == First::Decode && {
            let blocking = DECODING.lock().unwrap().clone().expect("set before the first call");
            blocking.block_thread()
        };
        Ok(Argument { first, released })
    }
}

/// Blocks the threads that decode [`First::Decode`].
static DECODING: Mutex<Option<Blocking>> = Mutex::new(None);

#[derive(Clone)]
struct Blocking {
    released: Arc<Mutex<mpsc::Receiver<()>>>,
    started: mpsc::Sender<()>,
    /// Calls the node that makes the quick calls, over the same link.
    other: Arc<OnceLock<BlockerClient>>,
}

impl Blocking {
    /// Also returns the sender that releases a blocked thread, and the receiver that reports one.
    fn new() -> (Self, mpsc::Sender<()>, mpsc::Receiver<()>) {
        let (release, released) = mpsc::channel();
        let (started, start) = mpsc::channel();
        let released = Arc::new(Mutex::new(released));
        (Blocking { released, started, other: Arc::default() }, release, start)
    }

    /// Blocks this thread. Returns whether the test released it.
    fn block_thread(&self) -> bool {
        self.started.send(()).unwrap();
        self.released.lock().unwrap().recv_timeout(GENEROUS_TIMEOUT).is_ok()
    }

    async fn block_own_task(self, other: BlockerClient) -> bool {
        let task = tokio::spawn(async move {
            let mut call = Box::pin(other.quick(1));
            assert!((&mut call).now_or_never().is_none());
            let released = self.block_thread();
            assert_eq!(call.await.unwrap(), 1);
            released
        });
        task.await.unwrap()
    }
}

impl Blocker for Blocking {
    async fn block(&self, argument: Argument) -> bool {
        let other = self.other.get().expect("set before the first call");
        let call = || other.quick(1);
        let mut started = None;
        match argument.first {
            First::Nothing => {}
            First::Return => return true,
            First::Decode => return argument.released,
            First::Sleep => tokio::time::sleep(Duration::from_millis(20)).await,
            First::Call => drop(call().await.unwrap()),
            First::StartCall => {
                let mut call = Box::pin(call());
                assert!((&mut call).now_or_never().is_none());
                started = Some(call);
            }
            First::CancelCall => {
                let mut call = Box::pin(other.never());
                assert!((&mut call).now_or_never().is_none());
                // The other node has received the call once it responds to a later one.
                other.quick(2).await.unwrap();
            }
            First::Spawn => return self.clone().block_own_task(other.clone()).await,
        }
        let released = self.block_thread();
        if let Some(call) = started {
            assert_eq!(call.await.unwrap(), 1);
        }
        released
    }

    async fn quick(&self, number: u64) -> u64 {
        number
    }

    async fn never(&self) {
        std::future::pending().await
    }
}

/// The time between two ticks of [`CoarseClock`].
const CLOCK_TICK: Duration = Duration::from_millis(50);

/// Real sockets and tasks, and a clock that advances in steps. Handlers that do not block thus nearly always
/// appear to be quick, and share a task, on a slow machine too.
pub(super) struct CoarseClock {
    start: Instant,
    tick: Duration,
}

thread_local! {
    /// The time by which handlers have advanced the clock of this thread.
    static ADVANCED: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

impl CoarseClock {
    pub(super) fn new(tick: Duration) -> Self {
        CoarseClock { start: Instant::now(), tick }
    }

    /// Advances the clock as the current thread reads it, so that a handler appears to take this time.
    pub(super) fn advance(by: Duration) {
        ADVANCED.set(ADVANCED.get() + by);
    }
}

impl Env for CoarseClock {
    fn now(&self) -> Instant {
        let ticks = self.start.elapsed().as_millis() / self.tick.as_millis();
        self.start + self.tick * u32::try_from(ticks).unwrap() + ADVANCED.get()
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        TokioEnv.spawn(task);
    }

    fn spawn_essential(&self, task: BoxFuture<'static, ()>) {
        TokioEnv.spawn_essential(task);
    }

    fn random(&self) -> u64 {
        TokioEnv.random()
    }

    fn connect(&self, to: SocketAddr) -> BoxFuture<'_, io::Result<BoxStream>> {
        TokioEnv.connect(to)
    }

    fn listen(&self, at: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Listener>>> {
        TokioEnv.listen(at)
    }

    fn datagram(&self, at: SocketAddr) -> BoxFuture<'_, io::Result<Arc<dyn Datagram>>> {
        TokioEnv.datagram(at)
    }

    fn resolve(&self, name: &str) -> BoxFuture<'_, io::Result<Vec<SocketAddr>>> {
        TokioEnv.resolve(name)
    }
}

pub(super) fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// Makes a handler block a thread `rounds` times, and makes quick calls over another link during each
/// block. Before each round, `quick` calls of the blocking method return immediately.
///
/// In each round, `beside` calls of the blocking method that return immediately precede the call that
/// blocks, so that they arrive together with it.
fn check(first: First, quick: usize, beside: usize, rounds: usize) {
    let [iad_threads, hkg_threads, syd_threads] = [(); 3].map(|()| runtime());
    let (blocking, release, start) = Blocking::new();
    if first == First::Decode {
        *DECODING.lock().unwrap() = Some(blocking.clone());
    }
    let serve = |name: &str, region: &str, threads: &Runtime, seeds: Vec<_>| -> Node {
        // Longer than a round: a ping would wake a writer that nothing else has woken.
        let node = builder(name, region).heartbeat(3 * GENEROUS_TIMEOUT).seeds(seeds);
        let node = node.env(CoarseClock::new(CLOCK_TICK));
        threads.block_on(node.serve(ServeBlocker::new(blocking.clone())).start()).unwrap()
    };
    let iad = serve("iad-0", "iad", &iad_threads, Vec::new());
    let hkg = serve("hkg-0", "hkg", &hkg_threads, vec![iad.addr()]);
    let syd = serve("syd-0", "syd", &syd_threads, vec![iad.addr()]);
    let client = |node: &Node, region: &str| {
        node.client::<BlockerClient>().timeout(2 * GENEROUS_TIMEOUT).on_region(region.to_owned())
    };
    let from_hkg = client(&hkg, "iad");
    let from_syd = client(&syd, "iad");
    syd_threads.block_on(syd.ready());
    syd_threads.block_on(from_syd.wait(GENEROUS_TIMEOUT).quick(0)).unwrap();
    let back = client(&iad, "syd").wait(GENEROUS_TIMEOUT);
    iad_threads.block_on(back.quick(0)).unwrap();
    blocking.other.set(back).unwrap();
    for round in 0..rounds {
        for _ in 0..quick {
            assert!(hkg_threads.block_on(from_hkg.block(First::Return.into())).unwrap());
        }
        let (reply, replies) = mpsc::channel();
        let returning = join_all((0..beside).map(|_| from_hkg.block(First::Return.into())));
        let returning = returning.map(move |results| reply.send(results).unwrap());
        let blocked = from_hkg.wait(GENEROUS_TIMEOUT).block(first.into());
        let blocked = hkg_threads.spawn(join(returning, blocked).map(|((), blocked)| blocked));
        start.recv_timeout(GENEROUS_TIMEOUT).unwrap();
        let results = replies.recv_timeout(GENEROUS_TIMEOUT);
        assert!(results.is_ok(), "round {round}: replies waited for the handler that blocked");
        assert!(results.unwrap().into_iter().all(Result::unwrap), "round {round}");
        for number in 0..20 {
            let reply = syd_threads.block_on(from_syd.timeout(GENEROUS_TIMEOUT).quick(number));
            assert_eq!(reply.unwrap(), number, "round {round}");
        }
        release.send(()).unwrap();
        let undelayed = hkg_threads.block_on(blocked).unwrap().unwrap();
        assert!(undelayed, "round {round}: quick calls waited for the handler that blocked");
    }
    drop((iad, hkg, syd));
}

#[test]
fn a_handler_that_blocks_in_its_own_task_delays_no_other_link() {
    check(First::Nothing, 0, 0, 10);
}

#[test]
fn a_handler_that_blocks_in_a_shared_task_delays_no_other_link() {
    check(First::Nothing, 100, 0, 5);
}

#[test]
fn a_handler_that_blocks_in_a_shared_task_delays_no_reply_of_an_earlier_handler_in_it() {
    check(First::Nothing, 300, 8, 3);
}

#[test]
fn decoding_that_blocks_delays_no_other_link() {
    check(First::Decode, 0, 0, 10);
}

#[test]
fn a_handler_that_blocks_after_it_slept_delays_no_other_link() {
    check(First::Sleep, 0, 0, 10);
}

#[test]
fn a_handler_that_blocks_after_a_call_delays_no_other_link() {
    check(First::Call, 0, 0, 10);
}

#[test]
fn a_handler_that_blocks_before_its_call_is_sent_delays_no_other_link() {
    check(First::StartCall, 0, 0, 10);
}

#[test]
fn a_handler_that_blocks_after_it_canceled_a_call_delays_no_other_link() {
    check(First::CancelCall, 0, 0, 10);
}

#[test]
fn a_task_of_the_application_that_blocks_before_its_call_is_sent_delays_no_link() {
    check(First::Spawn, 0, 0, 10);
}

/// Records why links ended.
#[derive(Clone, Default)]
struct ClosedLinks(Arc<Mutex<Vec<String>>>);

impl Observer for ClosedLinks {
    fn observe(&self, observed: &Observed<'_>) {
        if let Observed::LinkClosed(node, why) = observed {
            self.0.lock().unwrap().push(format!("{node}: {why}"));
        }
    }
}

#[test]
fn a_handler_that_blocks_for_ten_heartbeats_breaks_no_link() {
    let heartbeat = Duration::from_millis(100);
    let [iad_threads, hkg_threads] = [(); 2].map(|()| runtime());
    let (blocking, release, start) = Blocking::new();
    let closed = ClosedLinks::default();
    let serve = |name: &str, region: &str, threads: &Runtime, seeds: Vec<_>| -> Node {
        let node = builder(name, region).heartbeat(heartbeat).seeds(seeds);
        let node = node.observer(closed.clone());
        threads.block_on(node.serve(ServeBlocker::new(blocking.clone())).start()).unwrap()
    };
    let iad = serve("iad-0", "iad", &iad_threads, Vec::new());
    let hkg = serve("hkg-0", "hkg", &hkg_threads, vec![iad.addr()]);
    let client = |node: &Node, region: &str| {
        let client = node.client::<BlockerClient>().on_region(region.to_owned());
        client.timeout(GENEROUS_TIMEOUT).wait(GENEROUS_TIMEOUT)
    };
    let (from_hkg, from_iad) = (client(&hkg, "iad"), client(&iad, "hkg"));
    hkg_threads.block_on(from_hkg.quick(0)).unwrap();
    iad_threads.block_on(from_iad.quick(0)).unwrap();
    blocking.other.set(from_iad).unwrap();
    for first in [First::Nothing, First::Call, First::StartCall] {
        let blocked = hkg_threads.spawn({
            let from_hkg = from_hkg.clone();
            async move { from_hkg.block(first.into()).await }
        });
        start.recv_timeout(GENEROUS_TIMEOUT).unwrap();
        // A link ends after five heartbeats without a response.
        std::thread::sleep(10 * heartbeat);
        release.send(()).unwrap();
        assert!(hkg_threads.block_on(blocked).unwrap().unwrap(), "{first:?}");
        let closed = closed.0.lock().unwrap();
        assert!(closed.is_empty(), "{first:?}: {closed:?}");
    }
}
