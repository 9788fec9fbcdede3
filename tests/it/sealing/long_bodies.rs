//! Long bodies on sealed links, most of whose records are read into the body that they continue.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use flyrpc::{BoxStream, Event, RpcError, StreamReader, StreamWriter, fly_rpc};
use flyrpc_testkit::{Release, SimCluster};
use futures_util::future::join_all;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep, timeout},
};

use super::keyring;
use crate::support::{HookedEnv, ThreadPanics, millis, secs};

/// The bytes that a [`Slow`] reader or writer takes each millisecond, much less than a record.
const BYTES_PER_MILLI: usize = 5_000;

/// A reader or a writer that transfers a few bytes at a time, so that a record arrives in many pieces.
struct Slow<S> {
    inner: S,
    pause: Pin<Box<Sleep>>,
}

impl<S> Slow<S> {
    fn new(inner: S) -> Self {
        Slow { inner, pause: Box::pin(sleep(Duration::ZERO)) }
    }

    fn pause(&mut self) {
        self.pause.as_mut().reset(Instant::now() + millis(1));
    }
}

impl AsyncRead for Slow<Box<dyn StreamReader>> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.pause.as_mut().poll(task));
        let mut part = into.take(BYTES_PER_MILLI);
        ready!(Pin::new(&mut self.inner).poll_read(task, &mut part))?;
        let received = part.filled().to_vec();
        into.put_slice(&received);
        self.pause();
        Poll::Ready(Ok(()))
    }
}

impl StreamReader for Slow<Box<dyn StreamReader>> {}

impl AsyncWrite for Slow<Box<dyn StreamWriter>> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.pause.as_mut().poll(task));
        let data = &data[..data.len().min(BYTES_PER_MILLI)];
        let count = ready!(Pin::new(&mut self.inner).poll_write(task, data))?;
        self.pause();
        Poll::Ready(Ok(count))
    }

    fn poll_flush(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(task)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(task)
    }
}

impl StreamWriter for Slow<Box<dyn StreamWriter>> {
    fn abort_on_close(&mut self) {
        self.inner.abort_on_close();
    }
}

#[fly_rpc]
trait Echo {
    async fn echo(&self, number: u64, bytes: Vec<u8>) -> Vec<u8>;
}

struct Echoes;

impl Echo for Echoes {
    async fn echo(&self, number: u64, bytes: Vec<u8>) -> Vec<u8> {
        assert!(bytes == bytes_of(number), "the arguments of call {number} differ");
        bytes
    }
}

/// The bytes that a call sends. They often end with a chunk of 64 KiB, or slightly less or more.
fn bytes_of(number: u64) -> Vec<u8> {
    let around = [(64 << 10) - 20, 64 << 10, (192 << 10) - 20, 40 << 10, 0][number as usize % 5];
    (0..around + number % 40).map(|at| (at * 7 + number) as u8).collect()
}

#[tokio::test(start_paused = true)]
async fn long_bodies_that_are_given_up_at_any_time_leave_the_link_intact() {
    let panics = ThreadPanics::count();
    // 64 KiB take 13 ms in each direction.
    let release = Release::new().serve(|_| ServeEcho::new(Echoes)).configure(|node, builder| {
        builder.env(HookedEnv::new(node.env().clone(), |env, to| {
            Box::pin(async move {
                let BoxStream { reader, writer } = flyrpc::Env::connect(env, to).await?;
                let (reader, writer) = (Slow::new(reader), Slow::new(writer));
                Ok(BoxStream { reader: Box::new(reader), writer: Box::new(writer) })
            })
        }))
    });
    let cluster =
        SimCluster::builder().region("iad", 1).region("hkg", 1).rtt("iad", "hkg", millis(5));
    let cluster = cluster.release(release).secret(keyring(&[1])).start().await;
    let node = cluster.node("iad-0");
    let mut events = node.events();
    let echo = node.client::<EchoClient>().on_region("hkg").timeout(secs(60));
    let calls = (0..300_u64).map(|number| {
        let echo = &echo;
        async move {
            tokio::time::sleep(millis(20 * number)).await;
            let call = echo.echo(number, bytes_of(number));
            // Every third call is certain to end.
            let patience = if number % 3 == 0 {
                secs(60)
            } else {
                Duration::from_micros(number * 7919 % 150_000)
            };
            match timeout(patience, call).await {
                Ok(reply) => assert!(reply? == bytes_of(number), "the reply to {number} differs"),
                Err(_) => return Ok(false),
            }
            Ok::<_, RpcError>(true)
        }
    });
    let ended: Vec<bool> = join_all(calls).await.into_iter().collect::<Result<_, _>>().unwrap();
    let replies = ended.iter().filter(|replied| **replied).count();
    assert!((100..250).contains(&replies), "{replies} of 300 calls were not given up");
    let lost = timeout(secs(1), async {
        while let Some(event) = events.next().await {
            if matches!(event, Event::Down(_)) {
                return;
            }
        }
    });
    assert!(lost.await.is_err(), "the link was lost");
    assert_eq!((node.stats().handshakes["OK"], panics.so_far()), (1, 0));
}
