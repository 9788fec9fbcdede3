//! The owner of a task: one boot of one host.

/// One boot of a host of a network of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Owner {
    /// The number of the network among the networks of the run.
    pub(crate) net: u32,
    /// The number of the host in its network.
    pub(crate) host: usize,
    pub(crate) boot: u64,
}
