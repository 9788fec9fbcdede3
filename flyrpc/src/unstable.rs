//! Internals for the benchmarks and tools of this repository, behind the feature `unstable`.
//!
//! Exempt from semantic versioning: anything here can change or disappear in any release.

use crate::runtime::{builder::NodeBuilder, server::INLINE_AFTER};

/// Which handlers run inline, one after another in the task of the link, rather than each in a task
/// of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InlineMode {
    /// Those of methods whose recent calls completed quickly: the default.
    Adaptive,
    /// All, however long they take.
    Always,
    /// None.
    Never,
}

impl NodeBuilder {
    /// Selects which handlers run inline. Forcing either way makes the cost of a call repeatable.
    #[doc(hidden)]
    pub fn inline_mode(mut self, mode: InlineMode) -> Self {
        self.inline_after = match mode {
            InlineMode::Adaptive => INLINE_AFTER,
            InlineMode::Always => 0,
            InlineMode::Never => u32::MAX,
        };
        self
    }
}
