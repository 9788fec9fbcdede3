//! The nodes of a trace.

use std::fmt;

use flyrpc::Region;

/// One boot of a recorded node.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NodeBoot {
    pub(super) name: String,
    pub(super) region: Region,
    /// The number of this boot among the boots of nodes with this name, counted from 1.
    pub(super) boot: u32,
}

impl fmt::Display for NodeBoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.region)
    }
}
