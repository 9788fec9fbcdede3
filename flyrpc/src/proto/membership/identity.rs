//! The identity of a member in gossip: one boot of a node, and the number of times it was renewed.
//!
//! Defines how identities are ordered, bounded and encoded.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{
    codec::bytes::fields,
    types::{MAX_LABEL, NodeId, NodeInfo, Region, is_label, is_node_addr},
};

/// Maximum length of an identity's optional fields, in bytes.
pub(super) const MAX_EXTRA: usize = 64;

/// Why a node or its cluster cannot be gossiped about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidIdentity {
    /// The node's name is not a valid label.
    #[error("the node's name does not have 1 to {MAX_LABEL} bytes without control characters")]
    Name,
    /// The region's name is not a valid label.
    #[error("the region's name does not have 1 to {MAX_LABEL} bytes without control characters")]
    Region,
    /// The cluster's name is longer than 64 bytes.
    #[error("the cluster's name is longer than {MAX_LABEL} bytes")]
    Cluster,
    /// The address cannot be sent to: it has port 0, or an unspecified, multicast or broadcast IP.
    #[error("the node's address cannot be reached by other nodes")]
    Address,
    /// The optional fields are malformed or longer than 64 bytes.
    #[error("the node's optional fields are malformed or longer than {MAX_EXTRA} bytes")]
    Extra,
}

/// One boot of a node in gossip.
///
/// Equality and order compare only address, boot and bump, because the other fields are fixed for a
/// boot.
#[derive(Clone)]
pub(super) struct Identity {
    /// A copy of the node's address, stored inline. foca searches all members for each update, and
    /// would otherwise follow a pointer for each member.
    key: AddrKey,
    node: NodeInfo,
    bump: u32,
    protocol: u32,
    /// Behind two pointers, because few identities have optional fields and a fat pointer is twice
    /// as large.
    extra: Option<Arc<Box<[u8]>>>,
}

impl Identity {
    /// Creates the first identity of this boot of `node`. `protocol` is the version used on its links.
    pub(super) fn new(node: &NodeInfo, protocol: u32) -> Result<Self, InvalidIdentity> {
        let parts = Parts {
            addr: node.addr(),
            boot: node.id().boot().to_le_bytes(),
            bump: 0,
            protocol,
            name: node.name(),
            region: node.region().as_str(),
            extra: &[],
        };
        parts.check()
    }

    /// Returns the identity of the same boot, renewed `bump` times.
    pub(super) fn with_bump(&self, bump: u32) -> Self {
        Identity { bump, ..self.clone() }
    }

    pub(super) fn node(&self) -> &NodeInfo {
        &self.node
    }

    pub(super) fn addr(&self) -> SocketAddr {
        self.node.addr()
    }

    pub(super) fn boot(&self) -> u64 {
        self.node.id().boot()
    }

    pub(super) fn bump(&self) -> u32 {
        self.bump
    }

    /// Whether this identity and `other` have the same address and boot.
    pub(super) fn is_same_boot(&self, other: &Self) -> bool {
        self.key == other.key && self.boot() == other.boot()
    }

    /// Whether this identity wins the address that both claim.
    ///
    /// The bump is compared before the boot. With the opposite order, a node restarted on the same
    /// address with a lower boot id could never win, and would renew its identity forever.
    pub(super) fn outranks(&self, other: &Self) -> bool {
        (self.bump, self.boot()) > (other.bump, other.boot())
    }

    /// Whether the optional fields contain no unknown field that must be understood.
    pub(super) fn is_understood(&self) -> bool {
        self.extra.as_ref().is_none_or(|extra| fields::understood(extra) == Ok(true))
    }

    pub(super) fn parts(&self) -> Parts<'_> {
        Parts {
            addr: self.addr(),
            boot: self.boot().to_le_bytes(),
            bump: self.bump,
            protocol: self.protocol,
            name: self.node.name(),
            region: self.node.region().as_str(),
            extra: self.extra.as_ref().map_or(&[], |extra| &***extra),
        }
    }
}

impl foca::Identity for Identity {
    type Addr = AddrKey;

    fn renew(&self) -> Option<Self> {
        Some(self.with_bump(self.bump.checked_add(1)?))
    }

    fn addr(&self) -> AddrKey {
        self.key
    }

    fn win_addr_conflict(&self, adversary: &Self) -> bool {
        self.outranks(adversary)
    }
}

/// An address in a form that needs the fewest comparisons.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AddrKey {
    high: u64,
    low: u64,
    port: u16,
    /// Distinguishes an IPv4 address from the IPv6 address with the same bits.
    is_v6: bool,
}

impl From<SocketAddr> for AddrKey {
    fn from(addr: SocketAddr) -> Self {
        let bits = match addr.ip() {
            IpAddr::V4(ip) => u128::from(ip.to_bits()),
            IpAddr::V6(ip) => ip.to_bits(),
        };
        let (high, low) = ((bits >> 64) as u64, bits as u64);
        AddrKey { high, low, port: addr.port(), is_v6: addr.is_ipv6() }
    }
}

impl PartialEq for Identity {
    fn eq(&self, other: &Self) -> bool {
        self.is_same_boot(other) && self.bump == other.bump
    }
}

impl Eq for Identity {}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} bump {}", self.node, self.bump)
    }
}

/// An unchecked identity, with its fields in encoding order. The boot id is random, so a varint
/// would lengthen it.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Parts<'a> {
    pub(super) addr: SocketAddr,
    pub(super) boot: [u8; 8],
    pub(super) bump: u32,
    pub(super) protocol: u32,
    pub(super) name: &'a str,
    pub(super) region: &'a str,
    pub(super) extra: &'a [u8],
}

impl Parts<'_> {
    pub(super) fn check(self) -> Result<Identity, InvalidIdentity> {
        if !is_label(self.name) {
            return Err(InvalidIdentity::Name);
        }
        let region = Region::from(self.region);
        // Converting a name to lowercase can make it longer.
        if self.region.len() > MAX_LABEL || !is_label(region.as_str()) {
            return Err(InvalidIdentity::Region);
        }
        if self.extra.len() > MAX_EXTRA || fields::understood(self.extra).is_err() {
            return Err(InvalidIdentity::Extra);
        }
        let id = NodeId::new(self.name, u64::from_le_bytes(self.boot));
        let addr = check_addr(self.addr)?;
        Ok(Identity {
            key: AddrKey::from(addr),
            node: NodeInfo::new(id, region, addr),
            bump: self.bump,
            protocol: self.protocol,
            extra: (!self.extra.is_empty()).then(|| Arc::new(self.extra.into())),
        })
    }
}

/// Returns the address without its IPv6 scope, which is local to its host, or an error if the
/// address cannot be sent to.
fn check_addr(addr: SocketAddr) -> Result<SocketAddr, InvalidIdentity> {
    if !is_node_addr(addr) {
        return Err(InvalidIdentity::Address);
    }
    Ok(SocketAddr::new(addr.ip(), addr.port()))
}

impl Serialize for Identity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.parts().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Identity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Parts::deserialize(deserializer)?.check().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, region: &str, addr: &str) -> NodeInfo {
        NodeInfo::new(NodeId::new(name, 7), Region::from(region), addr.parse().unwrap())
    }

    #[track_caller]
    fn check(node: NodeInfo, expected: Option<InvalidIdentity>) {
        assert_eq!(Identity::new(&node, 1).err(), expected, "{node:?}");
    }

    #[test]
    fn an_identity_that_cannot_be_gossiped_is_refused() {
        check(node("web", "iad", "10.0.0.1:80"), None);
        check(node(&"n".repeat(64), &"r".repeat(64), "[fdaa::3]:1"), None);
        check(node(&"n".repeat(65), "iad", "10.0.0.1:80"), Some(InvalidIdentity::Name));
        check(node("", "iad", "10.0.0.1:80"), Some(InvalidIdentity::Name));
        check(node("web", &"r".repeat(65), "10.0.0.1:80"), Some(InvalidIdentity::Region));
        check(node("web", "iad", "10.0.0.1:0"), Some(InvalidIdentity::Address));
        check(node("web", "iad", "[::]:80"), Some(InvalidIdentity::Address));
        check(node("web", "iad", "224.0.0.1:80"), Some(InvalidIdentity::Address));
        check(node("web", "iad", "255.255.255.255:80"), Some(InvalidIdentity::Address));
        check(node("web", "iad", "[::ffff:224.0.0.1]:80"), Some(InvalidIdentity::Address));
        check(node("w\neb", "iad", "10.0.0.1:80"), Some(InvalidIdentity::Name));
        check(node("web", "i\x1bad", "10.0.0.1:80"), Some(InvalidIdentity::Region));
        check(node("web", "", "10.0.0.1:80"), Some(InvalidIdentity::Region));
    }

    #[test]
    fn address_keys_differ_where_addresses_do() {
        let addrs = [
            "0.0.0.1:80",
            "10.0.0.1:80",
            "10.0.0.1:81",
            "[::1]:80",
            "[::ffff:10.0.0.1]:80",
            "[1::1]:80",
        ];
        let keys = addrs.map(|addr| AddrKey::from(addr.parse::<SocketAddr>().unwrap()));
        for (n, key) in keys.iter().enumerate() {
            assert_eq!(keys.iter().position(|other| other == key), Some(n));
        }
    }

    #[test]
    fn the_bump_decides_before_the_boot() {
        let low = Identity::new(&node("web", "iad", "10.0.0.1:80"), 1).unwrap();
        let high = Identity::new(
            &NodeInfo::new(NodeId::new("web", 9), Region::from("iad"), low.addr()),
            1,
        )
        .unwrap();
        assert!(high.outranks(&low) && !low.outranks(&high));
        assert!(low.with_bump(1).outranks(&high));
        assert!(!low.outranks(&low));
    }

    #[test]
    fn an_identity_survives_the_wire_with_fields_of_later_versions() {
        let plain = Identity::new(&node("web", "iad", "[fdaa::3]:4000"), 1).unwrap();
        for extra in [&[][..], &[2, 1, 9], &[3, 0]] {
            let identity = Parts { extra, ..plain.parts() }.check().unwrap();
            let bytes = postcard::to_stdvec(&identity).unwrap();
            assert!(bytes.len() < 50, "{} bytes", bytes.len());
            let read: Identity = postcard::from_bytes(&bytes).unwrap();
            assert_eq!(read, identity);
            assert_eq!(read.parts().extra, extra);
            assert_eq!(read.is_understood(), extra != [3, 0]);
        }
    }
}
