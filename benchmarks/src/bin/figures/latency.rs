//! Measures how long a local call and a call to another node take.

use std::{
    error::Error,
    hint::black_box,
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use flyrpc::RpcError;
use flyrpc_examples::{
    process::{self, Child},
    show,
    text::{Text, TextClient, TextService},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::{heading, row, start_here, start_node};

/// Approximate size of a call of `upcase("fly")` on the wire, and of its reply, in bytes.
const FRAME: usize = 24;

/// Number of local calls that are timed together, because one is too short for the clock.
const BATCH: u32 = 1_000;

/// Number of turns that each kind of call has, and number of remote calls per turn.
const TURNS: usize = 100;
const CALLS: usize = 100;

/// Compares a local call with a direct call of the trait's method.
pub(crate) async fn local() -> Result<(), Box<dyn Error>> {
    heading("A call in this process: upcase(\"fly\"), medians of batches of 1,000");
    let node = start_here("").await?;
    let text: TextClient = node.client();
    let measured = tokio::spawn(async move { local_times(&text.on_region("iad")).await }).await??;
    let [direct, local] = measured;
    row("direct call of the trait's method", show::time(direct));
    row("on_region(own region)", show::time(local));
    node.shutdown().await;
    Ok(())
}

async fn local_times(text: &TextClient) -> Result<[Duration; 2], RpcError> {
    let service = TextService::default();
    let (mut direct, mut local) = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        let start = Instant::now();
        for _ in 0..BATCH {
            black_box(service.upcase(black_box("fly").to_owned()).await);
        }
        direct.push(start.elapsed() / BATCH);
        let start = Instant::now();
        for _ in 0..BATCH {
            black_box(text.upcase(black_box("fly").to_owned()).await?);
        }
        local.push(start.elapsed() / BATCH);
    }
    Ok([show::median(&mut direct), show::median(&mut local)])
}

/// Compares a call to another process with a TCP round trip of as many bytes.
pub(crate) async fn remote() -> Result<(), Box<dyn Error>> {
    heading("A call to another process: upcase(\"fly\"), medians of 10,000, one at a time");
    let mut echo = Child::spawn(["echo"], false)?;
    let addr: SocketAddr = echo.line().await?.parse()?;
    let (_child, info) = start_node("hkg-1", "").await?;
    let node = start_here(&info.addr().to_string()).await?;
    let text: TextClient = node.client();
    let measured = tokio::spawn(async move { remote_times(&text.on_region("hkg"), addr).await });
    let [blocking, raw, call] = measured.await?.map_err(|error| error as Box<dyn Error>)?;
    let ratio = |to: Duration| format!("{:.2}", call.as_secs_f64() / to.as_secs_f64());
    row("raw TCP, blocking client, tokio server", show::time(blocking));
    row("raw TCP, tokio on both sides", show::time(raw));
    row("on_region(\"hkg\")", show::time(call));
    row("call / raw TCP, blocking client", ratio(blocking));
    row("call / raw TCP, tokio", ratio(raw));
    node.shutdown().await;
    Ok(())
}

async fn remote_times(
    text: &TextClient,
    echo: SocketAddr,
) -> Result<[Duration; 3], Box<dyn Error + Send + Sync>> {
    let mut blocking = TcpStream::connect(echo)?;
    blocking.set_nodelay(true)?;
    let mut raw = tokio::net::TcpStream::connect(echo).await?;
    raw.set_nodelay(true)?;
    let mut frame = [7; FRAME];
    let mut times = [const { Vec::new() }; 3];
    // The first turn is a warm-up and is discarded.
    for turn in 0..=TURNS {
        for _ in 0..CALLS {
            let start = Instant::now();
            blocking.write_all(&frame)?;
            blocking.read_exact(&mut frame)?;
            times[0].push(start.elapsed());
        }
        for _ in 0..CALLS {
            let start = Instant::now();
            raw.write_all(&frame).await?;
            raw.read_exact(&mut frame).await?;
            times[1].push(start.elapsed());
        }
        for _ in 0..CALLS {
            let start = Instant::now();
            text.upcase("fly".to_owned()).await?;
            times[2].push(start.elapsed());
        }
        if turn == 0 {
            times.iter_mut().for_each(Vec::clear);
        }
    }
    Ok(times.map(|mut times| show::median(&mut times)))
}

/// Runs the child that echoes what it receives.
pub(crate) async fn run_echo() -> Result<(), Box<dyn Error>> {
    process::end_with_parent();
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        // The end of a connection is not an error.
        tokio::spawn(async move { drop(echo(stream).await) });
    }
}

async fn echo(mut stream: tokio::net::TcpStream) -> io::Result<()> {
    let mut frame = [0; FRAME];
    loop {
        stream.read_exact(&mut frame).await?;
        stream.write_all(&frame).await?;
    }
}
