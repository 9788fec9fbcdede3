//! A proxy between clients and a server that counts bytes.
//!
//! It also forwards datagrams to the server. The reverse direction is not needed, because a node replies
//! to the address that a datagram contains.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use anyhow::Result;

/// A running proxy. Its threads end when their connections are closed, or when the program exits.
#[derive(Debug)]
pub(crate) struct Proxy {
    addr: SocketAddr,
    seen: [Arc<AtomicU64>; 2],
}

impl Proxy {
    /// Starts a proxy for `server` on a free port.
    pub(crate) fn start(server: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let addr = listener.local_addr()?;
        let seen = [Arc::default(), Arc::default()];
        let counts = seen.clone();
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                // If the server cannot be reached, the connection is closed.
                let _ = join(client, server, &counts);
            }
        });
        let datagrams = UdpSocket::bind(addr)?;
        thread::spawn(move || {
            let mut datagram = [0; 64 << 10];
            while let Ok((length, _)) = datagrams.recv_from(&mut datagram) {
                // Datagrams may be lost, so errors are ignored.
                let _ = datagrams.send_to(&datagram[..length], server);
            }
        });
        Ok(Proxy { addr, seen })
    }

    /// Returns the address that the proxy listens on.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Returns the number of bytes to the server and to the clients so far.
    pub(crate) fn seen(&self) -> [u64; 2] {
        [0, 1].map(|way| self.seen[way].load(Ordering::Relaxed))
    }
}

fn join(client: TcpStream, server: SocketAddr, seen: &[Arc<AtomicU64>; 2]) -> io::Result<()> {
    let server = TcpStream::connect(server)?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let ways = [(client.try_clone()?, server.try_clone()?), (server, client)];
    for ((from, to), seen) in ways.into_iter().zip(seen) {
        let seen = Arc::clone(seen);
        thread::spawn(move || copy(from, to, &seen));
    }
    Ok(())
}

fn copy(mut from: TcpStream, mut to: TcpStream, seen: &AtomicU64) {
    let mut buffer = [0; 64 << 10];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        // Counted before it is forwarded, so that a request is counted before its reply arrives.
        seen.fetch_add(length as u64, Ordering::Relaxed);
        if to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    // This ends the thread of the other direction, too.
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}
