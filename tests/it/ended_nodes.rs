//! How a program learns why its node ended, and failures that do not end it.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use flyrpc::{
    BoxStream, Closed, Datagram, Env, Listener, Node, Observed, Observer, RpcError, StreamReader,
};
use flyrpc_testkit::{SimEnv, SimNet};
use futures_util::future::BoxFuture;
use tokio::{
    io::{AsyncRead, ReadBuf},
    time::Instant,
};

use crate::support::{Counts, Log, PORT, ProbeClient, node_names, node_on, prober, secs, sleep};

/// The environment of a simulated host. One part of it panics once that part is broken, except that only
/// one read panics.
#[derive(Clone)]
struct Fragile {
    env: SimEnv,
    part: Part,
    broken: Arc<AtomicBool>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Part {
    Accept,
    /// Reading from a connection.
    Read,
    Receive,
    Random,
    Resolve,
}

impl Fragile {
    fn new(env: &SimEnv, part: Part) -> Self {
        Fragile { env: env.clone(), part, broken: Arc::default() }
    }

    fn use_part(&self, part: Part) {
        if self.part == part && self.broken.load(Ordering::SeqCst) {
            self.broken.store(part != Part::Read, Ordering::SeqCst);
            panic!("{part:?} is broken");
        }
    }

    fn wrap(&self, stream: BoxStream) -> BoxStream {
        let BoxStream { reader, writer } = stream;
        BoxStream { reader: Box::new(FragileReader(reader, self.clone())), writer }
    }
}

struct FragileReader(Box<dyn StreamReader>, Fragile);

impl AsyncRead for FragileReader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.1.use_part(Part::Read);
        Pin::new(&mut self.0).poll_read(context, into)
    }
}

impl StreamReader for FragileReader {
    fn readable(&self) -> Option<usize> {
        self.0.readable()
    }
}

struct FragileListener(Box<dyn Listener>, Fragile);

impl Listener for FragileListener {
    fn is_simulated(&self) -> bool {
        self.0.is_simulated()
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    fn accept(&mut self) -> BoxFuture<'_, io::Result<(BoxStream, SocketAddr)>> {
        Box::pin(async move {
            let accepted = self.0.accept().await;
            self.1.use_part(Part::Accept);
            accepted.map(|(stream, from)| (self.1.wrap(stream), from))
        })
    }
}

struct FragileDatagram(Arc<dyn Datagram>, Fragile);

impl Datagram for FragileDatagram {
    fn send<'a>(&'a self, data: &'a [u8], to: SocketAddr) -> BoxFuture<'a, io::Result<()>> {
        self.0.send(data, to)
    }

    fn receive<'a>(&'a self, into: &'a mut [u8]) -> BoxFuture<'a, io::Result<(usize, SocketAddr)>> {
        Box::pin(async move {
            let received = self.0.receive(into).await;
            self.1.use_part(Part::Receive);
            received
        })
    }
}

impl Env for Fragile {
    fn now(&self) -> Instant {
        self.env.now()
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        self.env.spawn(task);
    }

    fn random(&self) -> u64 {
        self.use_part(Part::Random);
        self.env.random()
    }

    fn fill(&self, bytes: &mut [u8]) {
        self.env.fill(bytes);
    }

    fn connect(&self, to: SocketAddr) -> BoxFuture<'_, io::Result<BoxStream>> {
        Box::pin(async move { self.env.connect(to).await.map(|stream| self.wrap(stream)) })
    }

    fn listen(&self, at: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Listener>>> {
        Box::pin(async move {
            let listener = self.env.listen(at).await?;
            Ok(Box::new(FragileListener(listener, self.clone())) as Box<dyn Listener>)
        })
    }

    fn datagram(&self, at: SocketAddr) -> BoxFuture<'_, io::Result<Arc<dyn Datagram>>> {
        Box::pin(async move {
            let datagram = self.env.datagram(at).await?;
            Ok(Arc::new(FragileDatagram(datagram, self.clone())) as Arc<dyn Datagram>)
        })
    }

    fn resolve(&self, name: &str) -> BoxFuture<'_, io::Result<Vec<SocketAddr>>> {
        self.use_part(Part::Resolve);
        self.env.resolve(name)
    }
}

#[tokio::test(start_paused = true)]
async fn a_task_that_panics_ends_its_node_which_says_why() {
    let parts = [
        (Part::Accept, "accept"),
        (Part::Receive, "gossip receiver"),
        // The task of a sync draws a random number before the cluster task does.
        (Part::Random, "sync"),
        (Part::Resolve, "resolver"),
    ];
    for (part, task) in parts {
        let net = SimNet::builder().build();
        let (iad_env, hkg_env) = (net.add_host("iad-0", "iad"), net.add_host("hkg-0", "hkg"));
        let iad = node_on(&iad_env).serve(prober("iad-0", &Counts::default()));
        let iad = iad.start().await.unwrap();
        let env = Fragile::new(&hkg_env, part);
        let hkg = node_on(&hkg_env).env(env.clone()).seeds(["iad-0:3590"]).start().await.unwrap();
        hkg.ready().await;
        let mut events = hkg.events();
        let running = tokio::spawn({
            let hkg = hkg.clone();
            async move { hkg.run_until_signal().await }
        });
        let waiting: ProbeClient = hkg.client();
        let waiting = tokio::spawn(waiting.on_region("iad").timeout(secs(600)).slow(500_000));
        sleep(secs(1)).await;

        env.broken.store(true, Ordering::SeqCst);
        let lhr_env = net.add_host("lhr-0", "lhr");
        let lhr = node_on(&lhr_env).seeds(["hkg-0:3590"]).start().await.unwrap();
        let closed = tokio::time::timeout(secs(120), hkg.closed()).await.expect("the node ends");
        let Closed::Failed(failure) = closed else { panic!("{part:?}: {closed:?}") };
        assert_eq!(failure.task(), task);
        assert!(failure.to_string().ends_with(&format!("panicked: {part:?} is broken")));
        let error = running.await.unwrap().unwrap_err();
        assert_eq!(error.to_string(), failure.to_string());
        // Calls that wait for the node end with it.
        let error = waiting.await.unwrap().unwrap_err();
        assert!(matches!(error, RpcError::Disconnected { .. }), "{part:?}: {error:?}");
        let error = hkg.client::<ProbeClient>().on_region("iad").shout("a".into()).await;
        assert!(matches!(error, Err(RpcError::ShutDown { .. })), "{part:?}: {error:?}");
        while events.next().await.is_some() {}
        hkg.shutdown().await;
        sleep(secs(10)).await;
        assert_eq!(node_names(&iad, "hkg"), [""; 0], "{part:?}");
        drop(lhr);
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_task_of_a_link_ends_that_link_only() {
    let (log, _guard) = Log::collect(tracing::Level::ERROR);
    let net = SimNet::builder().build();
    let start = async |name: &str, region: &str| {
        let env = net.add_host(name, region);
        let node = node_on(&env).seeds(["hkg-0:3590"]).serve(prober(name, &Counts::default()));
        node.start().await.unwrap()
    };
    let env = Fragile::new(&net.add_host("hkg-0", "hkg"), Part::Read);
    let hkg = node_on(&env.env).env(env.clone()).start().await.unwrap();
    let others = [start("iad-0", "iad").await, start("lhr-0", "lhr").await];
    for other in &others {
        other.ready().await;
    }
    sleep(secs(2)).await;
    let probe = hkg.client::<ProbeClient>().timeout(secs(60)).wait(secs(10));
    let regions = ["iad", "lhr"];
    let calls = regions.map(|region| tokio::spawn(probe.on_region(region).slow(20_000)));
    sleep(secs(1)).await;
    env.broken.store(true, Ordering::SeqCst);
    let mut lost = 0;
    for call in calls {
        match call.await.unwrap() {
            Ok(_) => {}
            Err(RpcError::Disconnected { .. }) => lost += 1,
            Err(error) => panic!("{error:?}"),
        }
    }
    assert_eq!(lost, 1);
    assert_eq!(log.with(&["a task of a link panicked"]).len(), 1, "{:?}", log.lines());
    for region in regions {
        probe.on_region(region).shout("a".into()).await.unwrap();
    }
    assert!(tokio::time::timeout(secs(10), hkg.closed()).await.is_err());
    drop(others);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_was_shut_down_says_so_and_so_does_what_runs_until_a_signal() {
    let net = SimNet::builder().build();
    let node = node_on(&net.add_host("iad-0", "iad")).start().await.unwrap();
    let running = tokio::spawn({
        let node = node.clone();
        async move { node.run_until_signal().await }
    });
    let closed = tokio::spawn({
        let node = node.clone();
        async move { node.closed().await }
    });
    sleep(secs(1)).await;
    assert!(!running.is_finished() && !closed.is_finished());
    node.shutdown().await;
    assert_eq!(closed.await.unwrap(), Closed::ShutDown);
    running.await.unwrap().unwrap();
}

#[test]
fn a_node_whose_runtime_is_gone_has_failed() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (first, second) = (runtime(), runtime());
    let node = first.block_on(Node::builder().start()).unwrap();
    drop(first);
    let closed = second.block_on(node.closed());
    assert!(matches!(closed, Closed::Failed(_)), "{closed:?}");
}

struct Panicking;

impl Observer for Panicking {
    fn observe(&self, observed: &Observed<'_>) {
        panic!("cannot observe {observed:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_observer_that_panics_is_logged_once_and_affects_nothing() {
    let (log, _guard) = Log::collect(tracing::Level::ERROR);
    let net = SimNet::builder().build();
    let (iad_env, hkg_env) = (net.add_host("iad-0", "iad"), net.add_host("hkg-0", "hkg"));
    let service = |name: &str| prober(name, &Counts::default());
    let iad = node_on(&iad_env).serve(service("iad-0")).observer(Panicking);
    let iad = iad.start().await.unwrap();
    let hkg = node_on(&hkg_env).serve(service("hkg-0")).seeds([iad_env.addr(PORT)]);
    let hkg = hkg.start().await.unwrap();
    hkg.ready().await;
    sleep(secs(2)).await;
    let probe: ProbeClient = iad.client();
    for region in ["iad", "hkg"] {
        probe.on_region(region).shout("a".into()).await.unwrap();
        assert!(probe.on_region(region).panic("b".into()).await.is_err());
    }
    assert!(probe.on_region("syd").shout("a".into()).await.is_err());
    drop(probe.on_region("hkg").slow(1_000));
    hkg.shutdown().await;
    sleep(secs(2)).await;
    assert_eq!(node_names(&iad, "hkg"), [""; 0]);
    probe.on_region("iad").shout("a".into()).await.unwrap();
    assert_eq!(log.with(&["observer panicked"]).len(), 1, "{:?}", log.lines());
}
