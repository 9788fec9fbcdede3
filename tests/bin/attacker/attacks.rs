//! What an attacker without the secret can try.

use std::{
    fmt,
    io::{BufRead, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use flyrpc::Node;
use flyrpc_tests::frames::{FIRST_METHOD, Hello, PREFACE, frame, kind, pack};
use serde::{Deserialize, Serialize};

use crate::{
    OTHER_SECRET, Result,
    gossip::{self, Identity},
    node::{TargetClient, cpu_micros},
    recording::Recording,
};

/// The part of a core that the attacker may use.
const SHARE: f64 = 0.1;

/// The kind of a seal frame.
pub(crate) const SEAL: u8 = 13;

/// The methods of the internal service that compare and add members.
const SYNC_DIGEST: u64 = 1;
const PUSH_MEMBERS: u64 = 2;

/// Time that a raw connection waits for a response.
const RESPONSE: Duration = Duration::from_millis(20);

/// What the attacker has tried.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Attempts {
    pub(crate) connections: u64,
    pub(crate) datagrams: u64,
    /// Calls of the attacker's own nodes, and how many of them were not refused.
    pub(crate) calls: u64,
    pub(crate) succeeded: u64,
    /// Datagrams to an address in whose name the attacker asked for the members.
    pub(crate) reflected: u64,
}

impl fmt::Display for Attempts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Attempts { connections, datagrams, calls, succeeded, reflected } = self;
        write!(
            f,
            "tried {connections} connections, {datagrams} datagrams and {calls} calls; \
             {succeeded} calls succeeded, {reflected} datagrams were reflected"
        )
    }
}

/// Attacks until standard input ends, and prints what was tried.
pub(crate) async fn run(targets: &[SocketAddr]) -> Result<()> {
    static STOP: AtomicBool = AtomicBool::new(false);
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    let recording: Recording = serde_json::from_str(&line)?;
    thread::spawn(|| {
        let _ = std::io::stdin().lock().read_to_end(&mut Vec::new());
        STOP.store(true, Ordering::Relaxed);
    });
    let mut attempts = Attempts::default();
    // Nodes without the secret, with another one, and of another cluster dial all the time.
    let own = [
        Node::builder().name("open").region("iad"),
        Node::builder().name("other").region("iad").secret(OTHER_SECRET.parse()?),
        Node::builder().name("else").cluster("else").secret(OTHER_SECRET.parse()?),
    ];
    let mut nodes = Vec::new();
    for builder in own {
        nodes.push(builder.seeds(targets).start().await?);
    }
    let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    // A program that is not part of the cluster.
    let foreign = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    foreign.set_nonblocking(true)?;
    let mut round = 0;
    while !STOP.load(Ordering::Relaxed) {
        for (at, target) in targets.iter().enumerate() {
            let to = recording.member(*target)?;
            let other = recording.member(targets[(at + 1) % targets.len()])?;
            // The target itself, another member, and a later boot of that.
            let later = Identity::new(&other.name, round, other.addr);
            let claimed = [to.clone(), other.clone(), later];
            for connection in connections(&recording, &claimed, round) {
                attempts.connections += 1;
                // The node ends the connection at any time.
                let _ = send(*target, &connection);
                rest().await?;
            }
            let forged = gossip::forged(to, &recording.members, foreign.local_addr()?, round)?;
            for datagram in datagrams(&recording, round).into_iter().chain(forged) {
                attempts.datagrams += 1;
                let _ = udp.send_to(&datagram, target);
                rest().await?;
            }
            if STOP.load(Ordering::Relaxed) {
                break;
            }
        }
        for node in &nodes {
            let target: TargetClient = node.client();
            attempts.calls += 1;
            let call = target.on_region("iad").timeout(Duration::from_millis(100)).run(round);
            attempts.succeeded += u64::from(call.await.is_ok());
        }
        while foreign.recv(&mut [0; 2048]).is_ok() {
            attempts.reflected += 1;
        }
        round += 1;
    }
    println!("{}", serde_json::to_string(&attempts)?);
    Ok(())
}

/// Sleeps until this process has used no more than its share of a core.
async fn rest() -> Result<()> {
    use std::{sync::OnceLock, time::Instant};
    static START: OnceLock<Instant> = OnceLock::new();
    let start = START.get_or_init(Instant::now);
    let due = Duration::from_micros(cpu_micros()?).div_f64(SHARE);
    tokio::time::sleep(due.saturating_sub(start.elapsed())).await;
    Ok(())
}

/// Sends bytes on a new connection, and waits shortly for a response.
pub(crate) fn send(target: SocketAddr, bytes: &[u8]) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(target)?;
    stream.set_read_timeout(Some(RESPONSE))?;
    stream.write_all(bytes)?;
    let mut response = [0; 4096];
    while stream.read(&mut response)? > 0 {}
    Ok(())
}

/// The bytes of connections to open in one round. Links without a seal claim to be each of the nodes `claimed`.
fn connections(recording: &Recording, claimed: &[Identity], round: u64) -> Vec<Vec<u8>> {
    let seal = |key: [u8; 4], length: usize| {
        let message = [&[1][..], &key, &vec![round as u8; length]].concat();
        [PREFACE, &frame(SEAL, &[], &message)].concat()
    };
    let mut tried = vec![
        Vec::new(),
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        PREFACE[..5].to_vec(),
        seal(*b"none", 100),
        seal(*b"none", 60_000),
        [PREFACE, &[0xff; 100]].concat(),
    ];
    for node in claimed {
        tried.extend(open_links(node, round));
    }
    for recorded in &recording.connections {
        tried.push(recorded.clone());
        let cut = round as usize % recorded.len().max(1);
        tried.push(recorded[..cut].to_vec());
        let mut changed = recorded.clone();
        let bits = 8 * changed.len().max(1);
        let at = (round as usize).wrapping_mul(7919) % bits;
        if let Some(byte) = changed.get_mut(at / 8) {
            *byte ^= 1 << (at % 8);
        }
        tried.push(changed);
        // The recorded key id, with a message that was not sealed with the key.
        if let Some(id) = recorded.get(PREFACE.len() + 4..PREFACE.len() + 8) {
            tried.push(seal([id[0], id[1], id[2], id[3]], 200));
        }
    }
    tried
}

/// The bytes of links without a seal, of a node that claims to be `claimed`: its hello, alone and followed by frames.
pub(crate) fn open_links(claimed: &Identity, round: u64) -> Vec<Vec<u8>> {
    let hello = Hello {
        name: claimed.name.clone(),
        region: claimed.region.clone(),
        addr: claimed.addr.to_string(),
        boot: claimed.boot(),
        ..Hello::default()
    };
    let hello = hello.encode();
    let request =
        |method: u64, body: &[u8]| frame(kind::REQUEST, &[1, method, 0, 0, 60_000_000], body);
    let invented: Vec<_> = gossip::invented(round).iter().map(InventedMember::from).collect();
    let frames = [
        Vec::new(),
        request(FIRST_METHOD, &pack(&Arguments { call: round })),
        request(SYNC_DIGEST, &pack(&Digests { digests: [] })),
        request(PUSH_MEMBERS, &pack(&Members { members: invented })),
        // An answer to no ping.
        frame(kind::PONG, &[round, round], b""),
    ];
    frames.iter().map(|frames| [&hello[..], frames].concat()).collect()
}

/// The arguments of `Target::run`, and of the internal methods.
#[derive(Serialize)]
struct Arguments {
    call: u64,
}

#[derive(Serialize)]
struct Digests {
    digests: [u64; 0],
}

#[derive(Serialize)]
struct Members {
    members: Vec<InventedMember>,
}

#[derive(Serialize)]
struct InventedMember {
    name: String,
    boot: u64,
    region: String,
    addr: String,
}

impl From<&Identity> for InventedMember {
    fn from(id: &Identity) -> Self {
        let (name, region) = (id.name.clone(), id.region.clone());
        InventedMember { name, boot: id.boot(), region, addr: id.addr.to_string() }
    }
}

/// The datagrams to send in one round, besides forged gossip.
fn datagrams(recording: &Recording, round: u64) -> Vec<Vec<u8>> {
    let mut tried = vec![
        Vec::new(),
        vec![round as u8; 1200],
        [&[0xf1, 0x7c, 1, 5][..], b"local", &[0; 40]].concat(),
        [&[0xf1, 0x7c, 2][..], &[round as u8; 100]].concat(),
    ];
    for recorded in &recording.datagrams {
        tried.push(recorded.clone());
        let mut changed = recorded.clone();
        let at = (round as usize).wrapping_mul(7919) % (8 * changed.len().max(1));
        if let Some(byte) = changed.get_mut(at / 8) {
            *byte ^= 1 << (at % 8);
        }
        tried.push(changed);
    }
    tried
}
