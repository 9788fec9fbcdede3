//! Hellos with claims and with invalid contents, and the requests that follow them.

use std::net::SocketAddr;

use flyrpc_tests::frames::{FIRST_METHOD, Hello, PREFACE, frame, kind, pack};
use serde::Serialize;

use crate::{
    Result,
    connection::Script,
    gossip::{self, Identity},
    noise::{Initiator, Key},
};

/// The methods of the internal service that compare and add members.
const SYNC_DIGEST: u64 = 1;
const PUSH_MEMBERS: u64 = 2;

/// The requests of a burst. Together, they are shorter than what a node receives before a handshake has ended.
const BURST: u64 = 1_000;

/// Names of nodes and regions with control characters.
pub(crate) const CONTROL: [&str; 3] = ["node\n0", "node\x1b[2J", "node\0"];

/// Addresses that no node can have: multicast, unspecified, broadcast, and without a port.
const UNUSABLE: [&str; 8] = [
    "224.0.0.1:3590",
    "[ff02::1]:3590",
    "0.0.0.0:3590",
    "[::]:3590",
    "255.255.255.255:3590",
    "[::ffff:224.0.0.1]:3590",
    "[::ffff:255.255.255.255]:3590",
    "127.0.0.1:0",
];

/// The reasons of unsealed frames.
const UNKNOWN_KEY: u64 = 0;
const NO_SEAL: u64 = 2;

/// The hello of a node that claims to be `claimed`.
pub(crate) fn hello(claimed: &Identity) -> Hello {
    Hello {
        name: claimed.name.clone(),
        region: claimed.region.clone(),
        addr: claimed.addr.to_string(),
        boot: claimed.boot(),
        ..Hello::default()
    }
}

/// Hellos that differ from a valid one in an address, a name or a region that is invalid.
pub(crate) fn invalid(round: u64, addr: SocketAddr) -> Vec<Hello> {
    let valid = || hello(&Identity::new("foreign", round, addr));
    let addrs = UNUSABLE.map(|addr| Hello { addr: addr.to_owned(), ..valid() });
    let names = CONTROL.map(|name| Hello { name: name.to_owned(), ..valid() });
    let regions = CONTROL.map(|region| Hello { region: region.to_owned(), ..valid() });
    addrs.into_iter().chain(names).chain(regions).collect()
}

/// Links of a node that claims to be `claimed`: its hello, alone and followed by frames.
pub(crate) fn links(claimed: &Identity, key: Option<&Key>, round: u64) -> Vec<Script> {
    let hello = hello(claimed);
    let frames = [
        Vec::new(),
        request(1, FIRST_METHOD, &pack(&Arguments { call: round })),
        exchange(1),
        learn(2, round),
        // An answer to no ping.
        frame(kind::PONG, &[round, round], b""),
    ];
    frames.iter().map(|frames| Script::new(&hello, key, frames)).collect()
}

/// Many calls that compare members, and one that adds members.
pub(crate) fn burst(round: u64) -> Vec<u8> {
    let calls = (1..=BURST).flat_map(exchange);
    calls.chain(learn(BURST + 1, round)).collect()
}

/// Bursts on connections that are not authenticated: without a hello, after the hello `claimed` that is open or sealed
/// with `key`, and after the first message of a recorded connection, as frames and in a record.
pub(crate) fn bursts(
    claimed: &Identity,
    key: &Key,
    recorded: Option<&[u8]>,
    round: u64,
) -> Result<Vec<Script>> {
    let (hello, burst) = (hello(claimed), burst(round));
    let (_, seal) = Initiator::start(key, &hello.payload())?;
    let mut firsts = vec![PREFACE.to_vec(), [PREFACE, &frame(kind::SEAL, &[], &seal)].concat()];
    firsts.extend(recorded.map(<[u8]>::to_vec));
    let mut scripts = vec![Script::new(&hello, None, &burst)];
    for first in firsts {
        scripts.push(Script::Bytes([&first[..], &burst].concat()));
        let length = (burst.len() as u16).to_be_bytes();
        scripts.push(Script::Bytes([&first[..], &length, &burst].concat()));
    }
    Ok(scripts)
}

/// What the attacker answers to a node that dials it: hellos of the identities that it claims, invalid ones, and frames that
/// a sealed link must not follow. `key_id` is the id of the node's key.
pub(crate) fn answers(claimed: &[Identity], addr: SocketAddr, key_id: &[u8]) -> Vec<Vec<u8>> {
    let unsealed = |reason, details: &[u8]| frame(kind::UNSEALED, &[reason], details);
    let seal = frame(kind::SEAL, &[1], &[key_id, &[7; 200]].concat());
    let open: Vec<Vec<u8>> = claimed.iter().map(|id| hello(id).encode()).collect();
    let not_sealed = open.iter().map(|hello| {
        let frame = &hello[PREFACE.len()..];
        [PREFACE, &unsealed(NO_SEAL, b""), frame].concat()
    });
    let mut answers = vec![
        [PREFACE, &seal].concat(),
        [PREFACE, &unsealed(UNKNOWN_KEY, key_id), &seal].concat(),
        [PREFACE, &unsealed(UNKNOWN_KEY, b"none")].concat(),
    ];
    answers.extend(not_sealed);
    answers.extend(open);
    answers.extend(invalid(0, addr).iter().map(Hello::encode));
    answers
}

fn request(id: u64, method: u64, body: &[u8]) -> Vec<u8> {
    frame(kind::REQUEST, &[id, method, 0, 0, 60_000_000], body)
}

fn exchange(id: u64) -> Vec<u8> {
    request(id, SYNC_DIGEST, &pack(&Digests { digests: [] }))
}

fn learn(id: u64, round: u64) -> Vec<u8> {
    let members = gossip::invented(round).iter().map(InventedMember::from).collect();
    request(id, PUSH_MEMBERS, &pack(&Members { members }))
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
