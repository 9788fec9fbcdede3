//! [`Malformed`].

/// Bytes of a peer that cannot be decoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("malformed {what}")]
pub(crate) struct Malformed {
    /// What was being decoded.
    what: &'static str,
}

impl Malformed {
    pub(crate) fn new(what: &'static str) -> Self {
        Malformed { what }
    }
}
