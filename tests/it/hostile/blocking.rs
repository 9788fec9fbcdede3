//! Handlers that block their threads. Each node has its own runtime, because a thread that a handler of
//! one node blocks must not be a thread that another node needs.

use std::{
    sync::{Arc, Mutex, OnceLock, mpsc},
    time::Duration,
};

use flyrpc::{Node, fly_rpc};
use futures_util::FutureExt;
use tokio::runtime::{Builder, Runtime};

use super::{GENEROUS_TIMEOUT, builder};

#[fly_rpc]
trait Blocker {
    /// Blocks its thread until the test releases it. Returns false if the test did not.
    async fn block(&self, first: First) -> bool;
    async fn quick(&self, number: u64) -> u64;
}

/// What a handler does before it blocks.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
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
}

#[derive(Clone)]
struct Blocking {
    released: Arc<Mutex<mpsc::Receiver<()>>>,
    started: mpsc::Sender<()>,
    /// Calls the node that makes the quick calls, over the same link.
    other: Arc<OnceLock<BlockerClient>>,
}

impl Blocker for Blocking {
    async fn block(&self, first: First) -> bool {
        let other = self.other.get();
        let call = || other.expect("set before the first call").quick(1);
        let mut started = None;
        match first {
            First::Nothing => {}
            First::Return => return true,
            First::Sleep => tokio::time::sleep(Duration::from_millis(20)).await,
            First::Call => drop(call().await.unwrap()),
            First::StartCall => {
                let mut call = Box::pin(call());
                assert!((&mut call).now_or_never().is_none());
                started = Some(call);
            }
        }
        self.started.send(()).unwrap();
        let released = self.released.lock().unwrap().recv_timeout(GENEROUS_TIMEOUT).is_ok();
        if let Some(call) = started {
            assert_eq!(call.await.unwrap(), 1);
        }
        released
    }

    async fn quick(&self, number: u64) -> u64 {
        number
    }
}

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// Makes a handler block a thread `rounds` times, and makes quick calls over another link during each
/// block. Before each round, `quick` calls of the blocking method return immediately.
fn check(first: First, quick: usize, rounds: usize) {
    let [iad_threads, hkg_threads, syd_threads] = [(); 3].map(|()| runtime());
    let (release, released) = mpsc::channel();
    let (started, start) = mpsc::channel();
    let released = Arc::new(Mutex::new(released));
    let blocking = Blocking { released, started, other: Arc::default() };
    let serve = |name: &str, region: &str, threads: &Runtime, seeds: Vec<_>| -> Node {
        // A link that receives no pong, although nothing blocks it, must not end during the test.
        let node = builder(name, region).heartbeat(Duration::from_secs(1)).seeds(seeds);
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
            assert!(hkg_threads.block_on(from_hkg.block(First::Return)).unwrap());
        }
        let blocked = hkg_threads.spawn(from_hkg.wait(GENEROUS_TIMEOUT).block(first));
        start.recv_timeout(GENEROUS_TIMEOUT).unwrap();
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
    check(First::Nothing, 0, 10);
}

#[test]
fn a_handler_that_blocks_in_a_shared_task_delays_no_other_link() {
    check(First::Nothing, 100, 5);
}

#[test]
fn a_handler_that_blocks_after_it_slept_delays_no_other_link() {
    check(First::Sleep, 0, 10);
}

#[test]
fn a_handler_that_blocks_after_a_call_delays_no_other_link() {
    check(First::Call, 0, 10);
}

#[test]
fn a_handler_that_blocks_before_its_call_is_sent_delays_no_other_link() {
    check(First::StartCall, 0, 10);
}
