//! The contract of `Env`. Each rule is tested with the simulated environment, on one thread and on
//! several, and with `TokioEnv`, all in real time.

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

/// The environments of a client and a server, and the server's address.
struct EnvPair {
    client: Arc<dyn Env>,
    server: Arc<dyn Env>,
    ip: IpAddr,
}

fn simulated() -> EnvPair {
    let net = SimNet::builder().build();
    let (client, server) = (net.add_host("iad-0", "iad"), net.add_host("iad-1", "iad"));
    let ip = server.ip();
    EnvPair { client: Arc::new(client), server: Arc::new(server), ip }
}

fn real() -> EnvPair {
    let env = Arc::new(TokioEnv);
    EnvPair { client: env.clone(), server: env, ip: [127, 0, 0, 1].into() }
}

impl EnvPair {
    async fn listen(&self) -> Box<dyn Listener> {
        self.server.listen((self.ip, 0).into()).await.expect("listens")
    }

    async fn connected(&self) -> (BoxStream, BoxStream) {
        let mut listener = self.listen().await;
        let at = listener.local_addr().expect("is bound");
        let (client, server) = tokio::join!(self.client.connect(at), listener.accept());
        (client.expect("connects"), server.expect("accepts").0)
    }
}

macro_rules! contract {
    ($($(#[$on_tokio:meta])? $rule:ident),* $(,)?) => {
        mod on_the_simulated_network {
            $(#[tokio::test]
            async fn $rule() {
                super::$rule(super::simulated()).await;
            })*
        }

        mod on_the_simulated_network_with_several_threads {
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

contract![
    bytes_go_both_ways,
    #[cfg(any(target_os = "linux", target_os = "android"))]
    the_bytes_that_can_be_read_are_known,
    a_closed_port_refuses,
    a_port_in_use_is_refused,
    one_direction_ends_alone,
    dropping_the_writer_ends_its_direction,
    an_abortive_close_resets,
    an_abortive_close_resets_in_either_order_of_dropping_the_halves,
    closing_with_unread_bytes_ends_the_stream_and_breaks_it,
    a_dropped_accept_loses_nothing,
    datagrams_have_their_source,
    addresses_resolve_to_themselves,
    spawned_tasks_run,
    random_numbers_differ,
];

async fn bytes_go_both_ways(envs: EnvPair) {
    let (mut client, mut server) = envs.connected().await;
    write(&mut client, b"ping").await;
    assert_eq!(read(&mut server, 4).await, b"ping");
    write(&mut server, b"pong").await;
    assert_eq!(read(&mut client, 4).await, b"pong");
}

async fn the_bytes_that_can_be_read_are_known(envs: EnvPair) {
    let (mut client, mut server) = envs.connected().await;
    assert_eq!(server.reader.readable(), Some(0));
    write(&mut client, b"ping").await;
    assert_eq!(read(&mut server, 1).await, b"p");
    assert_eq!(server.reader.readable(), Some(3));
    assert_eq!(read(&mut server, 3).await, b"ing");
    assert_eq!(server.reader.readable(), Some(0));
}

async fn a_closed_port_refuses(envs: EnvPair) {
    let listener = envs.listen().await;
    let at = listener.local_addr().expect("is bound");
    drop(listener);
    assert_eq!(kind(envs.client.connect(at).await), ErrorKind::ConnectionRefused);
}

async fn a_port_in_use_is_refused(envs: EnvPair) {
    let listener = envs.listen().await;
    let at = listener.local_addr().expect("is bound");
    assert_eq!(kind(envs.server.listen(at).await), ErrorKind::AddrInUse);
}

async fn one_direction_ends_alone(envs: EnvPair) {
    let (mut client, mut server) = envs.connected().await;
    write(&mut client, b"last").await;
    client.writer.shutdown().await.expect("shuts down");
    let mut received = Vec::new();
    server.reader.read_to_end(&mut received).await.expect("ends");
    assert_eq!(received, b"last");
    write(&mut server, b"reply").await;
    assert_eq!(read(&mut client, 5).await, b"reply");
}

async fn dropping_the_writer_ends_its_direction(envs: EnvPair) {
    let (client, mut server) = envs.connected().await;
    drop(client.writer);
    assert_eq!(kind(server.reader.read_u8().await), ErrorKind::UnexpectedEof);
}

async fn an_abortive_close_resets(envs: EnvPair) {
    let (mut client, mut server) = envs.connected().await;
    client.writer.abort_on_close();
    drop(client.reader);
    drop(client.writer);
    assert_eq!(kind(server.reader.read_u8().await), ErrorKind::ConnectionReset);
}

async fn an_abortive_close_resets_in_either_order_of_dropping_the_halves(envs: EnvPair) {
    let (mut client, mut server) = envs.connected().await;
    client.writer.abort_on_close();
    drop(client.writer);
    // As if another task owned the reader and dropped it later.
    tokio::time::sleep(ms(20)).await;
    drop(client.reader);
    assert_eq!(kind(server.reader.read_u8().await), ErrorKind::ConnectionReset);
}

async fn closing_with_unread_bytes_ends_the_stream_and_breaks_it(envs: EnvPair) {
    let (mut client, server) = envs.connected().await;
    write(&mut client, b"unread").await;
    tokio::time::sleep(ms(20)).await;
    drop(server);
    assert_eq!(kind(client.reader.read_u8().await), ErrorKind::UnexpectedEof);
    tokio::time::sleep(ms(20)).await;
    assert_eq!(kind(client.writer.write_all(b"x").await), ErrorKind::BrokenPipe);
}

async fn a_dropped_accept_loses_nothing(envs: EnvPair) {
    let mut listener = envs.listen().await;
    let at = listener.local_addr().expect("is bound");
    assert!(timeout(ms(5), listener.accept()).await.is_err());
    let _client = envs.client.connect(at).await.expect("connects");
    listener.accept().await.expect("accepts");
}

/// Returns two ports that were free a moment ago. Needed because `Datagram` has no `local_addr`.
fn free_ports() -> [u16; 2] {
    let sockets = [0; 2].map(|port| UdpSocket::bind(("127.0.0.1", port)).expect("binds"));
    sockets.map(|socket| socket.local_addr().expect("is bound").port())
}

async fn datagrams_have_their_source(envs: EnvPair) {
    let [at, client_port] = free_ports();
    let at = (envs.ip, at).into();
    let server = envs.server.datagram(at).await.expect("is free");
    let any = ([0, 0, 0, 0], client_port).into();
    let client = envs.client.datagram(any).await.expect("is free");
    client.send(b"gossip", at).await.expect("sends");
    let mut data = [0; 100];
    let (len, from) = server.receive(&mut data).await.expect("receives");
    assert_eq!((&data[..len], from.port()), (b"gossip".as_slice(), client_port));
    server.send(b"reply", from).await.expect("sends");
    let (len, from) = client.receive(&mut data).await.expect("receives");
    assert_eq!((&data[..len], from), (b"reply".as_slice(), at));
}

async fn addresses_resolve_to_themselves(envs: EnvPair) {
    let resolved = envs.client.resolve("127.0.0.1:80").await.expect("is an address");
    assert_eq!(resolved, [([127, 0, 0, 1], 80).into()]);
    assert!(envs.client.resolve("no port").await.is_err());
}

async fn spawned_tasks_run(envs: EnvPair) {
    let (done, ran) = oneshot::channel();
    envs.server.spawn(Box::pin(async move {
        done.send(()).expect("is awaited");
    }));
    ran.await.expect("runs");
}

async fn random_numbers_differ(envs: EnvPair) {
    assert_ne!(envs.client.random(), envs.client.random());
    assert_ne!(envs.client.random(), envs.server.random());
}
