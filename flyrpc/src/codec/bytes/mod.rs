//! The pieces that everything sent between nodes is made of, in links and in gossip alike: varints,
//! and optional fields that older nodes skip.

pub(crate) mod fields;
#[cfg(test)]
pub(crate) mod garbage;
pub(crate) mod varint;

/// Bytes of a peer that make no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("malformed {what}")]
pub(crate) struct Malformed {
    /// The thing that was being read.
    pub(crate) what: &'static str,
}

impl Malformed {
    pub(crate) fn new(what: &'static str) -> Self {
        Malformed { what }
    }
}
