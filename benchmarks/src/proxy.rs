//! A proxy that counts bytes, between clients and a server.
//!
//! Datagrams are passed on too, one way: a node answers them at the address that they name.

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

/// A running proxy; its threads end with their connections, or with the program.
#[derive(Debug)]
pub(crate) struct Proxy {
    addr: SocketAddr,
    seen: [Arc<AtomicU64>; 2],
}

impl Proxy {
    /// Listens for those who want to reach `server`.
    pub(crate) fn start(server: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let addr = listener.local_addr()?;
        let seen = [Arc::default(), Arc::default()];
        let counts = seen.clone();
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                // A server that cannot be reached closes the connection.
                let _ = join(client, server, &counts);
            }
        });
        let datagrams = UdpSocket::bind(addr)?;
        thread::spawn(move || {
            let mut datagram = [0; 64 << 10];
            while let Ok((length, _)) = datagrams.recv_from(&mut datagram) {
                // They may be lost.
                let _ = datagrams.send_to(&datagram[..length], server);
            }
        });
        Ok(Proxy { addr, seen })
    }

    /// Where it listens.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Bytes to the server and to clients, so far.
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
        // Before it is passed on, so that no reply is there before its request was counted.
        seen.fetch_add(length as u64, Ordering::Relaxed);
        if to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    // The other way ends likewise.
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}
