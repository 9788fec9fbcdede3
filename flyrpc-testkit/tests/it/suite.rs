//! What every `Env` does, checked on the simulated one, on one thread and on many, and on tokio's,
//! all in real time.

use std::{
    io::ErrorKind,
    net::{IpAddr, UdpSocket},
    sync::Arc,
};

use flyrpc::{BoxStream, Env, Listener, TokioEnv};
use flyrpc_testkit::SimNet;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::oneshot,
    time::timeout,
};

use crate::support::{kind, ms, read, write};

/// A client's world, a server's, and the server's address.
struct Worlds {
    client: Arc<dyn Env>,
    server: Arc<dyn Env>,
    ip: IpAddr,
}

fn simulated() -> Worlds {
    let net = SimNet::builder().build();
    let (client, server) = (net.add_host("iad-0", "iad"), net.add_host("iad-1", "iad"));
    let ip = server.ip();
    Worlds { client: Arc::new(client), server: Arc::new(server), ip }
}

fn real() -> Worlds {
    let env = Arc::new(TokioEnv);
    Worlds { client: env.clone(), server: env, ip: [127, 0, 0, 1].into() }
}

impl Worlds {
    async fn listen(&self) -> Box<dyn Listener> {
        self.server.listen((self.ip, 0).into()).await.expect("listens")
    }

    async fn connected(&self) -> (BoxStream, BoxStream) {
        let mut listener = self.listen().await;
        let at = listener.local_addr().expect("is bound");
        let (near, far) = tokio::join!(self.client.connect(at), listener.accept());
        (near.expect("connects"), far.expect("accepts").0)
    }
}

macro_rules! suite {
    ($($(#[$on_tokio:meta])? $rule:ident),* $(,)?) => {
        mod on_the_simulated_network {
            $(#[tokio::test]
            async fn $rule() {
                super::$rule(super::simulated()).await;
            })*
        }

        mod on_the_simulated_network_on_many_threads {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $rule() {
                super::$rule(super::simulated()).await;
            })*
        }

        mod on_tokio {
            $(#[tokio::test]
            $(#[$on_tokio])?
            async fn $rule() {
                super::$rule(super::real()).await;
            })*
        }
    };
}

suite![
    bytes_go_both_ways,
    nobody_listening_refuses,
    a_taken_port_is_refused,
    one_direction_ends_alone,
    dropping_the_writer_ends_its_direction,
    an_abortive_close_resets,
    an_abortive_close_resets_whichever_half_goes_first,
    closing_with_unread_bytes_ends_the_stream_and_breaks_it,
    a_dropped_accept_loses_nothing,
    datagrams_name_their_sender,
    addresses_resolve_to_themselves,
    spawned_tasks_run,
    random_numbers_differ,
];

async fn bytes_go_both_ways(worlds: Worlds) {
    let (mut near, mut far) = worlds.connected().await;
    write(&mut near, b"ping").await;
    assert_eq!(read(&mut far, 4).await, b"ping");
    write(&mut far, b"pong").await;
    assert_eq!(read(&mut near, 4).await, b"pong");
}

async fn nobody_listening_refuses(worlds: Worlds) {
    let listener = worlds.listen().await;
    let at = listener.local_addr().expect("is bound");
    drop(listener);
    assert_eq!(kind(worlds.client.connect(at).await), ErrorKind::ConnectionRefused);
}

async fn a_taken_port_is_refused(worlds: Worlds) {
    let listener = worlds.listen().await;
    let at = listener.local_addr().expect("is bound");
    assert_eq!(kind(worlds.server.listen(at).await), ErrorKind::AddrInUse);
}

async fn one_direction_ends_alone(worlds: Worlds) {
    let (mut near, mut far) = worlds.connected().await;
    write(&mut near, b"last").await;
    near.writer.shutdown().await.expect("shuts down");
    let mut heard = Vec::new();
    far.reader.read_to_end(&mut heard).await.expect("ends");
    assert_eq!(heard, b"last");
    write(&mut far, b"reply").await;
    assert_eq!(read(&mut near, 5).await, b"reply");
}

async fn dropping_the_writer_ends_its_direction(worlds: Worlds) {
    let (near, mut far) = worlds.connected().await;
    drop(near.writer);
    assert_eq!(kind(far.reader.read_u8().await), ErrorKind::UnexpectedEof);
}

async fn an_abortive_close_resets(worlds: Worlds) {
    let (mut near, mut far) = worlds.connected().await;
    near.writer.abort_on_close();
    drop(near.reader);
    drop(near.writer);
    assert_eq!(kind(far.reader.read_u8().await), ErrorKind::ConnectionReset);
}

async fn an_abortive_close_resets_whichever_half_goes_first(worlds: Worlds) {
    let (mut near, mut far) = worlds.connected().await;
    near.writer.abort_on_close();
    drop(near.writer);
    // As when another task owns the reader, and is a little late.
    tokio::time::sleep(ms(20)).await;
    drop(near.reader);
    assert_eq!(kind(far.reader.read_u8().await), ErrorKind::ConnectionReset);
}

async fn closing_with_unread_bytes_ends_the_stream_and_breaks_it(worlds: Worlds) {
    let (mut near, far) = worlds.connected().await;
    write(&mut near, b"unread").await;
    tokio::time::sleep(ms(20)).await;
    drop(far);
    assert_eq!(kind(near.reader.read_u8().await), ErrorKind::UnexpectedEof);
    tokio::time::sleep(ms(20)).await;
    assert_eq!(kind(near.writer.write_all(b"x").await), ErrorKind::BrokenPipe);
}

async fn a_dropped_accept_loses_nothing(worlds: Worlds) {
    let mut listener = worlds.listen().await;
    let at = listener.local_addr().expect("is bound");
    assert!(timeout(ms(5), listener.accept()).await.is_err());
    let _near = worlds.client.connect(at).await.expect("connects");
    listener.accept().await.expect("accepts");
}

/// Ports that were free a moment ago: a datagram socket does not tell its own.
fn free_ports() -> [u16; 2] {
    let sockets = [0; 2].map(|port| UdpSocket::bind(("127.0.0.1", port)).expect("binds"));
    sockets.map(|socket| socket.local_addr().expect("is bound").port())
}

async fn datagrams_name_their_sender(worlds: Worlds) {
    let [at, client_port] = free_ports();
    let at = (worlds.ip, at).into();
    let server = worlds.server.datagram(at).await.expect("is free");
    let any = ([0, 0, 0, 0], client_port).into();
    let client = worlds.client.datagram(any).await.expect("is free");
    client.send(b"gossip", at).await.expect("sends");
    let mut data = [0; 100];
    let (len, from) = server.receive(&mut data).await.expect("receives");
    assert_eq!((&data[..len], from.port()), (b"gossip".as_slice(), client_port));
    server.send(b"reply", from).await.expect("sends");
    let (len, from) = client.receive(&mut data).await.expect("receives");
    assert_eq!((&data[..len], from), (b"reply".as_slice(), at));
}

async fn addresses_resolve_to_themselves(worlds: Worlds) {
    let resolved = worlds.client.resolve("127.0.0.1:80").await.expect("is an address");
    assert_eq!(resolved, [([127, 0, 0, 1], 80).into()]);
    assert!(worlds.client.resolve("no port").await.is_err());
}

async fn spawned_tasks_run(worlds: Worlds) {
    let (done, ran) = oneshot::channel();
    worlds.server.spawn(Box::pin(async move {
        done.send(()).expect("is awaited");
    }));
    ran.await.expect("runs");
}

async fn random_numbers_differ(worlds: Worlds) {
    assert_ne!(worlds.client.random(), worlds.client.random());
    assert_ne!(worlds.client.random(), worlds.server.random());
}
