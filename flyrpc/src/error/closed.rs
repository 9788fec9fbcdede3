//! [`Closed`] and [`NodeFailure`], which describe why a node ended.

/// Why a node ended. Returned by [`Node::closed`](crate::Node::closed).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Closed {
    /// The program shut down or stopped the node: [`shutdown`](crate::Node::shutdown) completed, or a
    /// second signal ended [`run_until_signal`](crate::Node::run_until_signal).
    ShutDown,
    /// A task of the node failed, and the node could not continue without it.
    Failed(NodeFailure),
}

/// The failure of a task that a node cannot run without. The cause is a defect of flyrpc, a defect of an
/// [`Env`](crate::Env), or the end of the runtime in which the node was started.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the node ended because its {task} task {why}")]
pub struct NodeFailure {
    task: &'static str,
    why: String,
}

impl NodeFailure {
    pub(crate) fn panicked(task: &'static str, message: &str) -> Self {
        NodeFailure { task, why: format!("panicked: {message}") }
    }

    pub(crate) fn dropped(task: &'static str) -> Self {
        NodeFailure { task, why: "was dropped, as when its runtime is shut down".to_owned() }
    }

    /// The name of the task, for example `cluster`, `accept` or `gossip receiver`.
    pub fn task(&self) -> &str {
        self.task
    }
}
