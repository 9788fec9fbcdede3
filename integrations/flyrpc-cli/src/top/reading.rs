//! Asks all nodes for their calls.

use std::collections::BTreeMap;

use flyrpc::{NodeId, NodeInfo, operations::WatchReport};
use futures_util::{StreamExt as _, stream};

use crate::{
    exit::Failure,
    session::{Session, live_nodes},
};

/// Upper bound on the nodes that are asked at the same time.
const CONCURRENT: usize = 8;

/// The number of readings for which the list of nodes is used.
const LIST_READINGS: u32 = 5;

/// The calls of all nodes at one time.
#[derive(Debug)]
pub(crate) struct Reading {
    pub(crate) reports: BTreeMap<NodeId, WatchReport>,
    /// The number of nodes that did not answer.
    pub(crate) failed: usize,
    nodes: Vec<NodeInfo>,
    /// The number of readings since the nodes were listed.
    age: u32,
}

impl Reading {
    /// Asks the node of the session and every node that it has a link to.
    pub(crate) async fn take(session: &Session, last: Option<&Reading>) -> Result<Self, Failure> {
        let (nodes, age) = match last {
            Some(last) if last.age < LIST_READINGS => (last.nodes.clone(), last.age + 1),
            _ => (live_nodes(&session.report().await?).cloned().collect(), 0),
        };
        let answers = stream::iter(nodes.iter().map(|node| node.id().clone()))
            .map(|id| async move {
                session.limited("the calls", session.visitor.watch(Some(&id))).await
            })
            .buffer_unordered(CONCURRENT)
            .collect::<Vec<Result<WatchReport, Failure>>>()
            .await;
        let mut reading = Reading { reports: BTreeMap::new(), failed: 0, nodes, age };
        let mut error = None;
        for answer in answers {
            match answer {
                Ok(report) => {
                    reading.reports.insert(report.node.id().clone(), report);
                }
                Err(failure) => {
                    reading.failed += 1;
                    error = Some(failure);
                }
            }
        }
        // Even the node of the session did not answer.
        match error {
            Some(failure) if reading.reports.is_empty() => Err(failure),
            _ => Ok(reading),
        }
    }
}
