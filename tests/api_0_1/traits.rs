//! Each public trait, implemented with exactly the methods that 0.1 required, and used as a trait object where 0.1
//! allowed it. Nodes run in such an environment.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use flyrpc::{
    BoxStream, Client, Datagram, Env, Listener, Node, Observed, Observer, Outcome, Service,
    StreamWriter, TokioEnv,
};
use futures_util::future::BoxFuture;
use tokio::{io::AsyncWrite, time::Instant};

use crate::generated::{ServeText, TextClient, Texts};

/// Tokio's environment.
struct Environment;

impl Env for Environment {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        TokioEnv.spawn(task);
    }

    fn now(&self) -> Instant {
        TokioEnv.now()
    }

    fn random(&self) -> u64 {
        TokioEnv.random()
    }

    fn listen(&self, addr: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Listener>>> {
        Box::pin(async move {
            let listener = Connections(TokioEnv.listen(addr).await?);
            Ok(Box::new(listener) as Box<dyn Listener>)
        })
    }

    fn connect(&self, addr: SocketAddr) -> BoxFuture<'_, io::Result<BoxStream>> {
        Box::pin(async move { Ok(wrap(TokioEnv.connect(addr).await?)) })
    }

    fn datagram(&self, addr: SocketAddr) -> BoxFuture<'_, io::Result<Arc<dyn Datagram>>> {
        Box::pin(async move {
            let socket = Datagrams(TokioEnv.datagram(addr).await?);
            Ok(Arc::new(socket) as Arc<dyn Datagram>)
        })
    }

    fn resolve(&self, name: &str) -> BoxFuture<'_, io::Result<Vec<SocketAddr>>> {
        let name = name.to_owned();
        Box::pin(async move { TokioEnv.resolve(&name).await })
    }
}

struct Connections(Box<dyn Listener>);

impl Listener for Connections {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(BoxStream, SocketAddr)>> {
        Box::pin(async {
            let (stream, from) = self.0.accept().await?;
            Ok((wrap(stream), from))
        })
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

struct Datagrams(Arc<dyn Datagram>);

impl Datagram for Datagrams {
    fn send<'a>(&'a self, bytes: &'a [u8], to: SocketAddr) -> BoxFuture<'a, io::Result<()>> {
        self.0.send(bytes, to)
    }

    fn receive<'a>(
        &'a self,
        buffer: &'a mut [u8],
    ) -> BoxFuture<'a, io::Result<(usize, SocketAddr)>> {
        self.0.receive(buffer)
    }
}

fn wrap(stream: BoxStream) -> BoxStream {
    BoxStream { reader: stream.reader, writer: Box::new(Writer(stream.writer)) }
}

struct Writer(Box<dyn StreamWriter>);

impl AsyncWrite for Writer {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

impl StreamWriter for Writer {
    fn abort_on_close(&mut self) {
        self.0.abort_on_close();
    }
}

/// Counts the replies to remote calls.
#[derive(Default)]
struct Replies(AtomicUsize);

impl Observer for Replies {
    fn observe(&self, event: &Observed<'_>) {
        if let Observed::Ended(attempt, Outcome::Replied(Some(_))) = event {
            assert_eq!((attempt.service, attempt.method), ("texts", "upcase"));
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
}

#[expect(dead_code, reason = "it only has to compile")]
fn trait_objects(
    _: &(dyn Env + 'static),
    _: &(dyn Observer + 'static),
) -> (impl Send + Sync + 'static, impl Send + Sync + 'static) {
    (Box::new(Environment) as Box<dyn Env>, Arc::new(Replies::default()) as Arc<dyn Observer>)
}

#[expect(dead_code, reason = "it only has to compile")]
fn services_and_clients<S: Service, C: Client>(
    service: S,
    client: C,
) -> impl Send + Sync + 'static {
    let _: C = client;
    service
}

#[tokio::test]
async fn nodes_run_in_an_environment_with_the_methods_of_0_1() {
    let replies = Arc::new(Replies::default());
    let iad = Node::builder().name("a").region("iad").env(Environment);
    let iad = iad.serve(ServeText::new(Texts)).start().await.unwrap();
    let hkg = Node::builder().name("b").region("hkg").env(Environment);
    let hkg = hkg.observer(Arc::clone(&replies)).seeds([iad.addr()]).start().await.unwrap();
    hkg.ready().await;
    let text: TextClient = hkg.client();
    assert_eq!(text.on_region("iad").upcase("fly".into()).await.unwrap(), "FLY");
    assert_eq!(replies.0.load(Ordering::SeqCst), 1);
    hkg.shutdown().await;
    iad.shutdown().await;
}
