//! A summary of the live members, with which two nodes find where their views differ.

use std::net::SocketAddr;

use crate::types::NodeInfo;

/// Number of digests that summarize the members.
const BUCKETS: usize = 64;

/// One digest for each bucket of live members, updated as members come and go.
///
/// Covers live members only. Nodes forget down members at different times, and suspicions end
/// before the next sync, so digests that covered either would never agree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Digests([u64; BUCKETS]);

impl Digests {
    /// The digests of no members.
    pub(super) fn new() -> Self {
        Digests([0; BUCKETS])
    }

    /// Adds the identity of `node` renewed `bump` times, or removes it if it was added before. The
    /// order of calls does not matter.
    pub(super) fn toggle(&mut self, node: &NodeInfo, bump: u32) {
        let addr_hash = fnv(FNV, addr_bytes(node.addr()));
        let boot = node.id().boot().to_le_bytes();
        let digest = fnv(addr_hash, boot.into_iter().chain(bump.to_le_bytes()));
        self.0[bucket(addr_hash)] ^= scatter(digest);
    }

    pub(super) fn to_vec(&self) -> Vec<u64> {
        self.0.to_vec()
    }
}

/// Whether the member at `addr` is in a bucket in which `ours` and `theirs` differ.
pub(super) fn differs(addr: SocketAddr, ours: &[u64], theirs: &[u64]) -> bool {
    let bucket = bucket(fnv(FNV, addr_bytes(addr)));
    ours.len() != theirs.len() || ours[bucket] != theirs[bucket]
}

fn bucket(addr_hash: u64) -> usize {
    (scatter(addr_hash) % BUCKETS as u64) as usize
}

const FNV: u64 = 0xcbf2_9ce4_8422_2325;

/// FNV-1a: the same on every node and in every version, unlike the standard library's hash.
fn fnv(state: u64, bytes: impl IntoIterator<Item = u8>) -> u64 {
    bytes
        .into_iter()
        .fold(state, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

/// The finalizer of MurmurHash3. The low bits of an FNV hash are weak on their own, and FNV hashes
/// combine poorly under XOR.
fn scatter(mut hash: u64) -> u64 {
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

fn addr_bytes(addr: SocketAddr) -> impl Iterator<Item = u8> {
    let ip = match addr {
        SocketAddr::V4(addr) => addr.ip().to_ipv6_mapped(),
        SocketAddr::V6(addr) => *addr.ip(),
    };
    ip.octets().into_iter().chain(addr.port().to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        proto::membership::identity::Identity,
        types::{NodeId, Region},
    };

    fn identity(n: u8) -> Identity {
        let addr = SocketAddr::from(([10, 0, 0, n], 80));
        let node = NodeInfo::new(NodeId::new("a", u64::from(n)), Region::LOCAL, addr);
        Identity::new(&node, 1).unwrap()
    }

    fn digests<'a>(live: impl IntoIterator<Item = &'a Identity>) -> Vec<u64> {
        let mut digests = Digests::new();
        live.into_iter().for_each(|id| digests.toggle(id.node(), id.bump()));
        digests.to_vec()
    }

    #[test]
    fn digests_ignore_order_and_show_every_change() {
        let ids: Vec<_> = (0..200).map(identity).collect();
        let all = digests(&ids);
        assert_eq!(all, digests(ids.iter().rev()));
        for (n, id) in ids.iter().enumerate() {
            let without = digests(ids.iter().filter(|other| *other != id));
            assert_eq!(without, digests(ids.iter().chain([id])));
            let bumped = digests(ids.iter().take(n).chain([&id.with_bump(1)]).chain(&ids[n + 1..]));
            for other in [without, bumped] {
                assert_eq!(all.iter().zip(&other).filter(|(a, b)| a != b).count(), 1);
                assert!(differs(id.addr(), &all, &other));
            }
            assert!(!differs(id.addr(), &all, &all));
            assert!(differs(id.addr(), &all, &[]));
        }
    }
}
