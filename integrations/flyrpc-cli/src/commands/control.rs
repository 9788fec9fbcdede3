//! `flyrpc drain`, `flyrpc hold` and `flyrpc accept`

use flyrpc::operations::NodeAction;
use serde_json::json;

use crate::{
    exit::{self, Failure},
    options::Options,
    output::{clean, print, print_json},
    session::{Session, find_node},
};

pub(crate) async fn drain(options: &Options, node: Option<&str>) -> Result<u8, Failure> {
    run(options, node, NodeAction::Drain, "accepts no calls until it is restarted").await
}

pub(crate) async fn hold(options: &Options, node: Option<&str>) -> Result<u8, Failure> {
    run(options, node, NodeAction::Hold, "accepts no calls until `flyrpc accept`").await
}

pub(crate) async fn accept(options: &Options, node: Option<&str>) -> Result<u8, Failure> {
    run(options, node, NodeAction::Accept, "accepts calls").await
}

async fn run(
    options: &Options,
    node: Option<&str>,
    action: NodeAction,
    effect: &str,
) -> Result<u8, Failure> {
    let session = Session::open(options).await?;
    // Even for the node at `--addr`: a first request that fails because the node serves too many visitors must change nothing.
    let report = session.report().await?;
    let id = match node {
        Some(node) => find_node(&report, node)?,
        None => report.node.id().clone(),
    };
    let done = session.visitor.control(Some(&id), action);
    session.limited("the confirmation", done).await?;
    // A node that is draining stays so.
    let state = session.limited("the state of the node", session.visitor.status(Some(&id))).await?;
    let effect = match action {
        NodeAction::Accept if state.draining => "is draining: only a restart ends that",
        _ => effect,
    };
    if options.json {
        let (accepting, draining) = (state.accepting, state.draining);
        print_json(&json!({"node": id, "accepting": accepting, "draining": draining}))?;
    } else {
        print(&(clean(&format!("{id} {effect}")) + "\n"))?;
    }
    Ok(if action == NodeAction::Accept && !state.accepting { exit::CHECK_FAILED } else { exit::OK })
}
