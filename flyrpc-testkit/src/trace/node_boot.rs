//! The nodes of a trace.

use std::fmt;

use flyrpc::Region;

/// One boot of a recorded node.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NodeBoot {
    pub(super) name: String,
    pub(super) region: Region,
    /// Counts the boots of nodes of this name, from 1.
    pub(super) boot: u32,
}

impl fmt::Display for NodeBoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.region)
    }
}
