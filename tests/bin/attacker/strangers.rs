//! Connections and datagrams without meaning, at a fixed rate.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use tokio::{net::TcpSocket, runtime};

use flyrpc_tests::frames::{PREFACE, frame, kind};

use crate::{Result, attacks::Attempts};

/// The connections come from 127.0.0.2 to 127.0.0.50.
const FIRST: u8 = 2;
const LAST: u8 = 50;

/// How often connections are opened and datagrams are sent.
const TICK: Duration = Duration::from_millis(5);

/// How long a connection stays open, unless the node closes it.
const OPEN: Duration = Duration::from_secs(10);

/// Opens this many connections and sends this many datagrams per second, to all targets together, until standard input
/// ends.
/// Prints what was sent.
pub(crate) fn run(targets: &[SocketAddr], connections: u64, datagrams: u64) -> Result<()> {
    let stop = Arc::new(AtomicBool::new(false));
    thread::spawn({
        let stop = Arc::clone(&stop);
        move || {
            let _ = std::io::stdin().lock().read_to_end(&mut Vec::new());
            stop.store(true, Ordering::Relaxed);
        }
    });
    let attempts = tokio::task::block_in_place(|| {
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(send(targets, [connections, datagrams], &stop))
    })?;
    println!("{}", serde_json::to_string(&attempts)?);
    std::io::stdout().flush()?;
    Ok(())
}

async fn send(
    targets: &[SocketAddr],
    [connections, datagrams]: [u64; 2],
    stop: &AtomicBool,
) -> Result<Attempts> {
    let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    let (mut attempts, start) = (Attempts::default(), Instant::now());
    let connected = Arc::<AtomicU64>::default();
    while !stop.load(Ordering::Relaxed) {
        let due = |per_second: u64| (start.elapsed().as_secs_f64() * per_second as f64) as u64;
        while attempts.connections < due(connections) {
            let number = attempts.connections;
            let target = targets[number as usize % targets.len()];
            let from = FIRST + (number % u64::from(LAST - FIRST + 1)) as u8;
            tokio::spawn(connect([127, 0, 0, from].into(), target, number, Arc::clone(&connected)));
            attempts.connections += 1;
        }
        while attempts.datagrams < due(datagrams) {
            let number = attempts.datagrams;
            let target = targets[number as usize % targets.len()];
            let _ = udp.send_to(&junk(number), target);
            attempts.datagrams += 1;
        }
        tokio::time::sleep(TICK).await;
    }
    attempts.connections = connected.load(Ordering::Relaxed);
    Ok(attempts)
}

/// Opens a connection, counts it, sends something on it, and closes it abortively after some time.
async fn connect(
    from: Ipv4Addr,
    target: SocketAddr,
    number: u64,
    connected: Arc<AtomicU64>,
) -> std::io::Result<()> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let socket = TcpSocket::new_v4()?;
    socket.bind((from, 0).into())?;
    socket.set_zero_linger()?;
    let mut stream = socket.connect(target).await?;
    connected.fetch_add(1, Ordering::Relaxed);
    match number % 4 {
        _ if number.is_multiple_of(20) => {
            // Most of the longest first frame.
            let seal = frame(kind::SEAL, &[], &[number as u8; 20_400]);
            stream.write_all(&[PREFACE, &seal[..20_000]].concat()).await?;
        }
        0 => {}
        1 => stream.write_all(&junk(number)).await?,
        2 => stream.write_all(b"flyrpc\r\n\r\n").await?,
        _ => {
            let seal = [&b"flyrpc\r\n\r\n"[..], &[105, 13, 1], &[number as u8; 103]].concat();
            stream.write_all(&seal).await?;
        }
    }
    let mut response = [0; 256];
    let closed = async { while matches!(stream.read(&mut response).await, Ok(1..)) {} };
    let _ = tokio::time::timeout(OPEN, closed).await;
    Ok(())
}

/// Bytes that look like a sealed datagram half of the time.
fn junk(number: u64) -> Vec<u8> {
    let mut bytes: Vec<u8> = number.to_le_bytes().repeat(15);
    if number.is_multiple_of(2) {
        bytes[..3].copy_from_slice(&[0xf1, 0x7c, 2]);
    }
    bytes
}
