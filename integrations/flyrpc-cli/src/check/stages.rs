//! The stages of a check: pure functions of what was observed.

use flyrpc::operations::PeerReport;
use serde::Serialize;

use super::{
    answered::stages_of_node,
    cluster,
    failed::{stages_until_failure, unknown_node},
    observe::{Answer, Observed},
};

/// The detail of a seed whose first dial is in progress.
pub(super) const FIRST_DIAL: &str = "it is being dialed for the first time";

/// The result of all stages.
#[derive(Debug, Serialize)]
pub(crate) struct Check {
    pub(crate) target: String,
    pub(crate) stages: Vec<Stage>,
    /// What an operator should know although it is no failure.
    pub(crate) notes: Vec<String>,
    /// The last line: the first failure with its remedy.
    pub(crate) diagnosis: String,
}

/// A stage.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct Stage {
    pub(crate) name: &'static str,
    pub(crate) result: StageResult,
    pub(crate) detail: String,
    /// What is wrong, in two or three words. Empty unless the stage failed.
    pub(crate) cause: &'static str,
    /// What to do about it. Empty unless the stage failed.
    pub(crate) remedy: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum StageResult {
    Passed,
    Failed,
    /// It could not be observed.
    Unknown,
}

impl Check {
    /// The first stage that failed.
    pub(crate) fn failed(&self) -> Option<&Stage> {
        self.stages.iter().find(|stage| stage.result == StageResult::Failed)
    }
}

impl Stage {
    fn new(name: &'static str, result: StageResult, detail: impl Into<String>) -> Self {
        Stage { name, result, detail: detail.into(), cause: "", remedy: String::new() }
    }

    pub(super) fn passed(name: &'static str, detail: impl Into<String>) -> Self {
        Stage::new(name, StageResult::Passed, detail)
    }

    pub(super) fn unknown(name: &'static str, detail: impl Into<String>) -> Self {
        Stage::new(name, StageResult::Unknown, detail)
    }

    pub(super) fn failed(
        name: &'static str,
        cause: &'static str,
        detail: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        let remedy = remedy.into();
        Stage { cause, remedy, ..Stage::new(name, StageResult::Failed, detail) }
    }
}

/// Judges what was observed.
pub(crate) fn judge(observed: &Observed) -> Check {
    let stages = match &observed.answer {
        Answer::Node(node) => stages_of_node(observed, node),
        Answer::Failed { kind, message, keys } => {
            stages_until_failure(observed, kind, message, keys)
        }
        Answer::Dialing => vec![Stage::unknown("listed", FIRST_DIAL)],
        Answer::UnknownNode => vec![unknown_node(observed)],
    };
    let failed = stages.iter().find(|stage| stage.result == StageResult::Failed);
    let diagnosis = match (failed, &observed.asked) {
        (None, _) if matches!(observed.answer, Answer::Dialing) => {
            "notice: it is not known yet whether a node responds: check again in a minute"
                .to_owned()
        }
        (Some(stage), _) => format!("{}: {}", stage.cause, stage.remedy),
        (None, Ok(_)) => "ok: the node can be seen and called".to_owned(),
        (None, Err(_)) => {
            "ok: the node can be reached; it was not compared with another node".to_owned()
        }
    };
    Check { target: observed.target.clone(), stages, notes: notes(observed), diagnosis }
}

fn notes(observed: &Observed) -> Vec<String> {
    let impostor = observed.impostor.as_ref().zip(observed.other()).map(|(impostor, asked)| {
        format!(
            "another program answers at {} from this machine, so {} asked the node: {}",
            impostor.addr,
            asked.report.node.name(),
            impostor.response,
        )
    });
    impostor.into_iter().chain(cluster::note(observed)).collect()
}

/// The state of a peer, with the reason why it cannot be called.
pub(super) fn view(peer: &PeerReport) -> String {
    if peer.reason.is_empty() {
        peer.state.clone()
    } else {
        format!("{} ({})", peer.state, peer.reason)
    }
}
