//! The identity of one boot of a node, and its description.

use std::{fmt, net::SocketAddr, str::FromStr, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use smol_str::SmolStr;

use super::region::Region;

/// Identifies one boot of one node by the node's name and a random number that is drawn at its start.
///
/// A restarted node has a different id. Therefore, a call that targets an id with [`on_node`] never runs on
/// a later boot, which has lost the in-memory state of the earlier one. The text form, such as
/// `name/3f9a0c52b1d4e687`, can be parsed, and is also the serialized form.
///
/// [`on_node`]: crate::fly_rpc#selectors-and-options
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId {
    name: SmolStr,
    boot: u64,
}

impl NodeId {
    /// Creates the id of a boot of the node called `name`, from the random number `boot`.
    pub fn new(name: impl AsRef<str>, boot: u64) -> Self {
        NodeId { name: SmolStr::new(name), boot }
    }

    /// The node's name. It is not unique if two nodes are configured with the same name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The random number of this boot.
    pub fn boot(&self) -> u64 {
        self.boot
    }
}

impl From<&NodeId> for NodeId {
    fn from(id: &NodeId) -> Self {
        id.clone()
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{:016x}", self.name, self.boot)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The error returned when a text is not a node id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a node id: expected `name/` and 16 hexadecimal digits")]
pub struct ParseNodeIdError {
    text: String,
}

impl FromStr for NodeId {
    type Err = ParseNodeIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParseNodeIdError { text: text.to_owned() };
        let (name, boot) = text.rsplit_once('/').ok_or_else(error)?;
        if boot.len() != 16 || boot.starts_with('+') {
            return Err(error());
        }
        let boot = u64::from_str_radix(boot, 16).map_err(|_| error())?;
        Ok(NodeId::new(name, boot))
    }
}

impl Serialize for NodeId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for NodeId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// Describes one boot of a node: its id, region and address. Cheap to clone. Serialized as a map with these
/// three fields.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeInfo(Arc<Facts>);

#[derive(PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
struct Facts {
    id: NodeId,
    region: Region,
    addr: SocketAddr,
}

impl NodeInfo {
    /// Describes the node `id` in `region`, reached at `addr`.
    pub fn new(id: NodeId, region: Region, addr: SocketAddr) -> Self {
        NodeInfo(Arc::new(Facts { id, region, addr }))
    }

    /// The id of this boot of the node.
    pub fn id(&self) -> &NodeId {
        &self.0.id
    }

    /// The node's name.
    pub fn name(&self) -> &str {
        self.0.id.name()
    }

    /// The region that the node runs in.
    pub fn region(&self) -> &Region {
        &self.0.region
    }

    /// The address where other nodes reach it: TCP for links, UDP for gossip.
    pub fn addr(&self) -> SocketAddr {
        self.0.addr
    }
}

impl Serialize for NodeInfo {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for NodeInfo {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Facts::deserialize(deserializer).map(|facts| NodeInfo(Arc::new(facts)))
    }
}

impl fmt::Display for NodeInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {}", self.0.id, self.0.region)
    }
}

impl fmt::Debug for NodeInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {} at {}", self.0.id, self.0.region, self.0.addr)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_parses_back_from_its_text() {
        let id = NodeId::new("app/web-1", 0x2a);
        assert_eq!(id.to_string(), "app/web-1/000000000000002a");
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!("web-1/2a".parse::<NodeId>().is_err());
        assert!("web-1".parse::<NodeId>().is_err());
    }
}
