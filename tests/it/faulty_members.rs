//! A linked member that invents other members, and requests too much.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    ops::Range,
    sync::{Arc, Mutex},
};

use flyrpc::{BoxStream, Env, Node, StreamReader, StreamWriter};
use flyrpc_testkit::{SimEnv, SimNet};
use serde::Serialize;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::Mutex as AsyncMutex,
    time::Instant,
};

use crate::{
    hostile::raw_peer::{Hello, PREFACE, frame, kind, method, pack, read_varint},
    support::{Counts, HookedEnv, PORT, ProbeClient, node_names, node_on, prober, secs, sleep},
};

/// The connection attempts to invented addresses.
#[derive(Debug, Default)]
struct Dials {
    in_progress: usize,
    most: usize,
    order: Vec<SocketAddr>,
}

struct InProgress(Arc<Mutex<Dials>>);

impl Drop for InProgress {
    fn drop(&mut self) {
        self.0.lock().unwrap().in_progress -= 1;
    }
}

/// Returns the environment of a host that records connection attempts to invented addresses. No host
/// answers at those addresses.
fn watched(env: &SimEnv, dials: &Arc<Mutex<Dials>>) -> impl Env {
    let dials = Arc::clone(dials);
    HookedEnv::new(env.clone(), move |env, to| {
        if !is_invented(to) {
            return env.connect(to);
        }
        let dials = Arc::clone(&dials);
        Box::pin(async move {
            {
                let mut dials = dials.lock().unwrap();
                dials.order.push(to);
                dials.in_progress += 1;
                dials.most = dials.most.max(dials.in_progress);
            }
            let _in_progress = InProgress(dials);
            std::future::pending().await
        })
    })
}

/// Encodes the arguments of `PUSH_MEMBERS`: the invented members with these numbers.
fn push_args(numbers: Range<usize>) -> Vec<u8> {
    let members: Vec<Member> = numbers.map(member).collect();
    pack(&BTreeMap::from([("members", members)]))
}

fn invented(number: usize) -> SocketAddr {
    SocketAddr::from(([172, 16, (number >> 8) as u8, number as u8], 1))
}

fn is_invented(addr: SocketAddr) -> bool {
    matches!(addr.ip(), std::net::IpAddr::V4(ip) if ip.octets()[0] == 172)
}

#[derive(Serialize)]
struct Member {
    name: String,
    boot: u64,
    region: &'static str,
    addr: String,
}

/// Returns the invented member with this number. Every tenth is in iad.
fn member(number: usize) -> Member {
    let region = if number % 10 == 9 { "iad" } else { "syd" };
    let (name, boot) = (format!("ghost-{number}"), 1_000 + number as u64);
    Member { name, boot, region, addr: invented(number).to_string() }
}

/// A link of a faulty member, which answers pings as other members do.
struct FaultyMember {
    writer: Arc<AsyncMutex<Box<dyn StreamWriter>>>,
}

impl FaultyMember {
    async fn link(env: &SimEnv, node: &Node) -> Self {
        let BoxStream { reader, mut writer } = env.connect(node.addr()).await.unwrap();
        let hello = Hello { addr: env.addr(PORT).to_string(), ..Hello::default() };
        writer.write_all(&hello.encode()).await.unwrap();
        let writer = Arc::new(AsyncMutex::new(writer));
        tokio::spawn(answer_pings(env.clone(), reader, Arc::clone(&writer)));
        FaultyMember { writer }
    }

    async fn request(&self, id: u64, method: u64, body: &[u8]) {
        let request = frame(kind::REQUEST, &[id, method, 0, 0, 600_000_000], body);
        self.writer.lock().await.write_all(&request).await.unwrap();
    }
}

async fn answer_pings(
    env: SimEnv,
    mut reader: Box<dyn StreamReader>,
    writer: Arc<AsyncMutex<Box<dyn StreamWriter>>>,
) {
    let start = env.now();
    let mut received = Vec::new();
    reader.read_exact(&mut [0; PREFACE.len()]).await.unwrap();
    while reader.read_buf(&mut received).await.is_ok_and(|count| count > 0) {
        let mut rest = received.as_slice();
        while let Some(length) = read_varint(&mut { rest }).map(|length| length as usize) {
            let mut from = rest;
            read_varint(&mut from);
            let Some(frame) = from.get(..length) else { break };
            rest = &from[length..];
            if frame[0] == kind::PING {
                let echo = read_varint(&mut &frame[1..]).unwrap();
                let now = (env.now() - start).as_micros() as u64;
                let pong = self::frame(kind::PONG, &[echo, now], b"");
                if writer.lock().await.write_all(&pong).await.is_err() {
                    return;
                }
            }
        }
        received = rest.to_vec();
    }
}

#[tokio::test(start_paused = true)]
async fn invented_members_cost_a_bounded_number_of_dials_and_are_forgotten() {
    const COUNT: usize = 1_000;
    let net = SimNet::builder().build();
    let env = net.add_host("iad-0", "iad");
    let dials = Arc::<Mutex<Dials>>::default();
    let builder = node_on(&env).env(watched(&env, &dials));
    let node = builder.serve(prober("iad-0", &Counts::default())).start().await.unwrap();
    let faulty = net.add_host("lhr-0", "lhr");
    let faulty = FaultyMember::link(&faulty, &node).await;
    sleep(secs(1)).await;
    faulty.request(1, method::PUSH_MEMBERS, &push_args(0..COUNT)).await;
    sleep(secs(2)).await;
    {
        let dials = dials.lock().unwrap();
        assert_eq!((dials.most, dials.order.len()), (64, 64));
        // Members in the region of the node come first.
        let near: Vec<_> = (9..COUNT).step_by(10).map(invented).collect();
        assert!(dials.order.iter().all(|addr| near.contains(addr)));
    }
    // A real node is still linked, and can be called.
    let hkg = node_on(&net.add_host("hkg-0", "hkg")).seeds([node.addr()]);
    let hkg = hkg.serve(prober("hkg-0", &Counts::default())).start().await.unwrap();
    hkg.ready().await;
    hkg.client::<ProbeClient>().on_region("iad").shout("a".into()).await.unwrap();
    node.client::<ProbeClient>().on_region("hkg").shout("a".into()).await.unwrap();
    // An attempt takes 5 s, and a suspicion 9 s among 1,000 nodes.
    sleep(secs(300)).await;
    assert_eq!(dials.lock().unwrap().most, 64);
    let left = node.peers().iter().filter(|peer| is_invented(peer.addr)).count();
    assert_eq!(left, 0, "of {COUNT}");
    let left = hkg.peers().iter().filter(|peer| is_invented(peer.addr)).count();
    assert_eq!(left, 0, "of {COUNT}");
}

#[tokio::test(start_paused = true)]
async fn a_member_that_invents_twenty_thousand_others_fills_a_bounded_table() {
    const AT_MOST: usize = 10_000;
    let net = SimNet::builder().build();
    let env = net.add_host("iad-0", "iad");
    let builder = node_on(&env).env(watched(&env, &Arc::default()));
    let node = builder.serve(prober("iad-0", &Counts::default())).start().await.unwrap();
    let faulty = FaultyMember::link(&net.add_host("lhr-0", "lhr"), &node).await;
    sleep(secs(1)).await;
    for number in 0..20 {
        let members = push_args(1_000 * number..1_000 * (number + 1));
        faulty.request(1 + number as u64, method::PUSH_MEMBERS, &members).await;
    }
    // Less than the time after which members that cannot be reached are forgotten.
    sleep(secs(3)).await;
    let peers = node.peers();
    let known = peers.iter().filter(|peer| is_invented(peer.addr)).count();
    assert!((AT_MOST - 10..=AT_MOST).contains(&known), "{known}");
    assert!(peers.len() <= AT_MOST + 1, "{}", peers.len());
    let hkg = node_on(&net.add_host("hkg-0", "hkg")).seeds([node.addr()]);
    let hkg = hkg.serve(prober("hkg-0", &Counts::default())).start().await.unwrap();
    hkg.ready().await;
    assert_eq!(node_names(&node, "hkg"), ["hkg-0"]);
    hkg.client::<ProbeClient>().on_region("iad").shout("a".into()).await.unwrap();
    node.client::<ProbeClient>().on_region("hkg").shout("a".into()).await.unwrap();
    let known = hkg.peers().iter().filter(|peer| is_invented(peer.addr)).count();
    assert!(known <= AT_MOST, "{known}");
}

#[tokio::test(start_paused = true)]
async fn a_member_that_floods_a_node_with_syncs_starves_no_other() {
    let net = SimNet::builder().build();
    let env = net.add_host("iad-0", "iad");
    let node = node_on(&env).serve(prober("iad-0", &Counts::default()));
    let node = node.start().await.unwrap();
    let faulty = net.add_host("lhr-0", "lhr");
    let faulty = FaultyMember::link(&faulty, &node).await;
    sleep(secs(1)).await;
    let body = pack(&BTreeMap::from([("digests", Vec::<u64>::new())]));
    for id in 1..4_000 {
        faulty.request(id, method::SYNC_DIGEST, &body).await;
    }
    let start = Instant::now();
    let hkg = node_on(&net.add_host("hkg-0", "hkg")).seeds([node.addr()]).start().await.unwrap();
    hkg.ready().await;
    assert!(start.elapsed() < secs(2), "{:?}", start.elapsed());
    hkg.client::<ProbeClient>().on_region("iad").shout("a".into()).await.unwrap();
}
