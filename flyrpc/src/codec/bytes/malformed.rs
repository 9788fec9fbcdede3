//! [`Malformed`].

/// The error for bytes of a peer that cannot be decoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("malformed {what}")]
pub(crate) struct Malformed {
    /// The part that was being decoded.
    what: &'static str,
}

impl Malformed {
    pub(crate) fn new(what: &'static str) -> Self {
        Malformed { what }
    }
}
