//! Nodes that cannot be connected: how often they are dialed, and the cost of calls to them.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use flyrpc::{Env, Node, RpcError};
use flyrpc_testkit::{SimEnv, SimNet};
use tokio::time::Instant;

use crate::support::{Counts, HookedEnv, PORT, ProbeClient, millis, node_on, prober, secs, sleep};

/// The number of attempts to connect to each address.
type Connects = Arc<Mutex<BTreeMap<SocketAddr, u64>>>;

/// Returns the environment of a host whose attempts to connect are counted.
fn counting(env: &SimEnv, connects: &Connects) -> impl Env {
    let connects = Arc::clone(connects);
    HookedEnv::new(env.clone(), move |env, to| {
        *connects.lock().unwrap().entry(to).or_default() += 1;
        env.connect(to)
    })
}

/// A node iad-0, and a node hkg-0 whose attempts to connect are counted.
struct Pair {
    net: SimNet,
    iad_env: SimEnv,
    _iad: Node,
    hkg: Node,
    connects: Connects,
}

impl Pair {
    async fn linked() -> Self {
        let net = SimNet::builder().build();
        let (iad_env, hkg_env) = (net.add_host("iad-0", "iad"), net.add_host("hkg-0", "hkg"));
        let iad = node_on(&iad_env).serve(prober("iad-0", &Counts::default()));
        let iad = iad.start().await.unwrap();
        let connects = Connects::default();
        let builder = node_on(&hkg_env).env(counting(&hkg_env, &connects)).seeds(["iad-0:3590"]);
        let hkg = builder.start().await.unwrap();
        hkg.ready().await;
        // Long enough for the link to count as stable.
        sleep(secs(10)).await;
        connects.lock().unwrap().clear();
        Pair { net, iad_env, _iad: iad, hkg, connects }
    }

    fn probe(&self) -> ProbeClient {
        self.hkg.client::<ProbeClient>().on_region("iad")
    }

    /// Makes iad-0 unreachable in one of several ways.
    fn break_it(&self, how: Broken) {
        match how {
            Broken::Killed => self.net.kill("iad-0"),
            Broken::Crashed => self.net.crash("iad-0"),
            Broken::Filtered => self.net.filter_tcp("iad", "hkg").keep(),
            Broken::CutOff => self.net.partition("iad", "hkg").keep(),
        }
    }

    fn take_connects(&self) -> u64 {
        let mut connects = self.connects.lock().unwrap();
        connects.remove(&self.iad_env.addr(PORT)).unwrap_or_default()
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Broken {
    Killed,
    Crashed,
    Filtered,
    CutOff,
}

const ALL: [Broken; 4] = [Broken::Killed, Broken::Crashed, Broken::Filtered, Broken::CutOff];

#[tokio::test(start_paused = true)]
async fn a_dead_node_is_dialed_by_its_backoff_however_many_calls_are_made() {
    for how in ALL {
        for wait in [secs(0), secs(2)] {
            let pair = Pair::linked().await;
            pair.break_it(how);
            let probe = pair.probe().wait(wait);
            let callers: Vec<_> = (0..30)
                .map(|_| {
                    let probe = probe.clone();
                    tokio::spawn(async move {
                        loop {
                            let _ = probe.shout("a".into()).await;
                            sleep(millis(50)).await;
                        }
                    })
                })
                .collect();
            for minute in 0..2 {
                sleep(secs(60)).await;
                let connects = pair.take_connects();
                assert!(connects < 20, "{how:?}, wait {wait:?}, {minute}: {connects}");
            }
            callers.iter().for_each(|caller| caller.abort());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn calls_to_a_node_that_cannot_be_connected_fail_at_once_after_the_first_loss() {
    for how in ALL {
        let pair = Pair::linked().await;
        pair.break_it(how);
        // The link is lost after 5 heartbeats, and the first attempt to dial takes up to 3.5 s.
        sleep(secs(12)).await;
        for _ in 0..50 {
            let start = Instant::now();
            let error = pair.probe().shout("a".into()).await.unwrap_err();
            assert!(matches!(error, RpcError::NoNode { .. }), "{how:?}: {error:?}");
            assert!(start.elapsed() < millis(1), "{how:?}: {:?}", start.elapsed());
            sleep(millis(777)).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_for_the_first_dial_fails_with_it() {
    let pair = Pair::linked().await;
    pair.break_it(Broken::Filtered);
    let start = Instant::now();
    while pair.take_connects() == 0 {
        sleep(millis(1)).await;
    }
    assert!(start.elapsed() < secs(8), "{:?}", start.elapsed());
    let start = Instant::now();
    let error = pair.probe().shout("a".into()).await.unwrap_err();
    assert!(matches!(error, RpcError::NoNode { .. }), "{error:?}");
    assert!(start.elapsed() < secs(4), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_waiting_call_is_served_as_soon_as_the_node_is_linked_again() {
    let pair = Pair::linked().await;
    let filter = pair.net.filter_tcp("iad", "hkg");
    sleep(secs(30)).await;
    let call = tokio::spawn(pair.probe().timeout(secs(60)).wait(secs(60)).shout("a".into()));
    sleep(secs(5)).await;
    drop(filter);
    let start = Instant::now();
    call.await.unwrap().unwrap();
    assert!(start.elapsed() < secs(8), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_name_with_a_dead_address_delays_readiness_by_a_second_at_most() {
    for (dead, within) in [("fd00::1", millis(900)), ("10.99.0.1", millis(1_900))] {
        let net = SimNet::builder().build();
        let (iad_env, hkg_env) = (net.add_host("iad-0", "iad"), net.add_host("hkg-0", "hkg"));
        let _iad = node_on(&iad_env).serve(prober("iad-0", &Counts::default())).start().await;
        net.set_name("db.internal", [iad_env.ip(), dead.parse().unwrap()]);
        let hkg = node_on(&hkg_env).seeds(["db.internal:3590"]).start().await.unwrap();
        let start = Instant::now();
        let probe: ProbeClient = hkg.client();
        let nobody = tokio::spawn(probe.on_region("syd").shout("a".into()));
        hkg.ready().await;
        assert!(start.elapsed() < within, "{dead}: {:?}", start.elapsed());
        let error = nobody.await.unwrap().unwrap_err();
        assert!(matches!(error, RpcError::NoNode { .. }), "{dead}: {error:?}");
        probe.on_region("iad").shout("a".into()).await.unwrap();
    }
}
