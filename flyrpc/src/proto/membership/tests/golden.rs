//! Handles the datagrams that nodes of version 0.1 sent: `tests/golden/920ef7e`.

use std::time::Duration;

use crate::{
    proto::membership::{Membership, Settings},
    types::{NodeInfo, Region},
};

/// Handles the datagrams that were sent to the node `id`, and returns the names of their senders.
fn senders(id: &str, region: &str, port: u16, mut recorded: &[u8]) -> Vec<String> {
    let id = id.parse().unwrap();
    let local = NodeInfo::new(id, Region::from(region), ([127, 0, 0, 1], port).into());
    let mut membership =
        Membership::new(&local, Settings::new("local"), 1, Duration::ZERO).unwrap();
    let mut senders = Vec::new();
    while let Some((length, rest)) = recorded.split_first_chunk() {
        let (datagram, rest) = rest.split_at(u16::from_be_bytes(*length).into());
        recorded = rest;
        let sender = membership.handle_datagram(Duration::from_secs(1), datagram, |_| true);
        senders.push(sender.expect("no datagram is ignored").name().to_owned());
    }
    senders
}

#[test]
fn datagrams_of_version_0_1_are_understood() {
    let from_caller = include_bytes!("../../../../../tests/golden/920ef7e/gossip.caller.bin");
    let from_server = include_bytes!("../../../../../tests/golden/920ef7e/gossip.server.bin");
    assert_eq!(senders("server/2ecbaaa47583968b", "iad", 41_002, from_caller), ["caller"; 7]);
    assert_eq!(senders("caller/c7e764674eb09791", "hkg", 41_004, from_server), ["server"; 4]);
}
