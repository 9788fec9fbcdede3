//! Programs other than nodes at the address of a seed.

use std::net::SocketAddr;

use flyrpc::{Env, Event, Peer, RpcError, Support};
use flyrpc_testkit::{Release, SimCluster, SimEnv};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::Instant,
};

use super::{GENEROUS_TIMEOUT, builder, eventually};
use crate::support::{
    Counts, Log, PORT, ProbeClient, Prober, ServeProbe, millis, prober, process::free_addr,
    wait_until,
};

/// Listens on loopback, and runs `serve` for every connection.
async fn listen<F>(
    mut serve: impl FnMut(TcpStream) -> F + Send + 'static,
) -> (SocketAddr, JoinHandle<()>)
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind(free_addr()).await.unwrap();
    let addr = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    (addr, task)
}

async fn http(mut stream: TcpStream) {
    let mut request = Vec::new();
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
            return;
        }
    }
    let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n").await;
}

async fn garbage(mut stream: TcpStream) {
    let _ = stream.write_all(&[0xc1; 5_000]).await;
}

async fn hang_up(stream: TcpStream) {
    drop(stream);
}

fn serve(name: &str) -> ServeProbe<Prober> {
    prober(name, &Counts::default())
}

#[tokio::test]
async fn another_program_at_a_seed_is_listed_logged_once_and_never_called() {
    let (log, _guard) = Log::collect(tracing::Level::INFO);
    let closed = free_addr();
    let other_programs = [
        (closed, "nothing responds"),
        (listen(http).await.0, "\"HTTP/1.1 400 Bad Request\""),
        (listen(garbage).await.0, "not flyrpc: it responded with"),
        (listen(hang_up).await.0, "closed the connection"),
    ];
    let iad = builder("iad-0", "iad").serve(serve("iad-0")).start().await.unwrap();
    let seeds = other_programs.iter().map(|(addr, _)| *addr).chain([iad.addr()]);
    let hkg = builder("hkg-0", "hkg").seeds(seeds).start().await.unwrap();
    let start = Instant::now();
    let probe: ProbeClient = hkg.client();
    assert_eq!(probe.shout("at once".to_owned()).await.unwrap().1, "iad-0");
    assert!(start.elapsed() < millis(1_000), "{:?}", start.elapsed());

    hkg.ready().await;
    eventually("all seeds were dialed", async || {
        hkg.peers().iter().all(|peer| peer.support != Support::Unknown)
    })
    .await;
    let peers = hkg.peers();
    for (addr, why) in &other_programs {
        let peer: Vec<&Peer> = peers.iter().filter(|peer| peer.addr == *addr).collect();
        assert_eq!(peer.len(), 1, "{addr}");
        assert!(peer[0].support.to_string().contains(why), "{why}: {}", peer[0].support);
        assert!(peer[0].node.is_none() && !peer[0].accepting);
    }
    let error = probe.on_region("syd").shout(String::new()).await.unwrap_err();
    assert!(matches!(error, RpcError::NoNode { .. }));
    let known =
        "3 at an address where something else responds, 1 at an address where nothing responds";
    assert!(error.to_string().contains(known), "{error}");
    for _ in 0..20 {
        assert_eq!(probe.shout(String::new()).await.unwrap().1, "iad-0");
    }
    for (addr, _) in &other_programs {
        let lines = log.with(&["will retry", &addr.to_string()]);
        assert_eq!(lines.len(), 1, "{addr}: {log:#?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_program_that_accepts_connections_and_sends_nothing_is_listed() {
    let silent = Release::program(|env: SimEnv| async move {
        let mut listener = env.listen(env.addr(PORT)).await.unwrap();
        let mut open = Vec::new();
        while let Ok(accepted) = listener.accept().await {
            open.push(accepted);
        }
    });
    let cluster = SimCluster::builder().region("iad", 1).region("hkg", 1);
    let cluster = cluster.node("iad-0", silent).node("hkg-0", Release::new()).start().await;
    let hkg = cluster.node("hkg-0");
    wait_until(&hkg, || hkg.peers().iter().any(|peer| peer.support != Support::Unknown)).await;
    let why = hkg.peers()[0].support.to_string();
    assert_eq!(why, "unsupported: something accepts connections but sends nothing");
}

#[tokio::test]
async fn a_seed_that_becomes_a_node_is_found_without_a_restart() {
    let (addr, task) = listen(http).await;
    let hkg = builder("hkg-0", "hkg").seeds([addr]).start().await.unwrap();
    let mut events = hkg.events();
    hkg.ready().await;
    task.abort();
    let _ = task.await;
    let iad = builder("iad-0", "iad").listen(addr).serve(serve("iad-0")).start().await.unwrap();
    let probe = hkg
        .client::<ProbeClient>()
        .on_region("iad")
        .timeout(GENEROUS_TIMEOUT)
        .wait(GENEROUS_TIMEOUT);
    assert_eq!(probe.shout(String::new()).await.unwrap().1, "iad-0");
    let changed = async {
        loop {
            let event = events.next().await.unwrap();
            if let Event::SupportChanged { support: Support::Supported, node, .. } = event {
                break node;
            }
        }
    };
    let node = tokio::time::timeout(GENEROUS_TIMEOUT, changed).await.unwrap();
    assert_eq!(node.as_ref(), Some(iad.info()));
}

#[tokio::test]
async fn a_program_that_replaces_a_node_is_detected() {
    let addr = free_addr();
    let iad = builder("iad-0", "iad").listen(addr).serve(serve("iad-0")).start().await.unwrap();
    let hkg = builder("hkg-0", "hkg").seeds([addr]).start().await.unwrap();
    hkg.ready().await;
    iad.shutdown().await;
    drop(iad);
    let listener = eventually_bound(addr).await;
    let serving = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            http(stream).await;
        }
    });
    eventually("the other program is detected", async || {
        let peers = hkg.peers();
        peers.iter().any(|peer| peer.addr == addr && peer.support.to_string().contains("HTTP"))
    })
    .await;
    assert!(hkg.nodes_in("iad").is_empty());
    serving.abort();
}

async fn eventually_bound(addr: SocketAddr) -> TcpListener {
    let mut bound = None;
    eventually("the port is free", async || {
        bound = TcpListener::bind(addr).await.ok();
        bound.is_some()
    })
    .await;
    bound.expect("the port was just bound")
}
