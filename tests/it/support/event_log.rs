//! A log of the events of a node.

use std::sync::{Arc, Mutex};

use flyrpc::{Event, Node};

/// The events of a node, each as a short text such as `up iad-0`.
#[derive(Clone)]
pub(crate) struct EventLog(Arc<Mutex<Vec<String>>>);

impl EventLog {
    pub(crate) fn of(node: &Node) -> Self {
        let log = EventLog(Arc::default());
        let (mut events, entries) = (node.events(), Arc::clone(&log.0));
        tokio::spawn(async move {
            while let Some(event) = events.next().await {
                entries.lock().unwrap().push(match event {
                    Event::Up(node) => format!("up {}", node.name()),
                    Event::Down(node) => format!("down {}", node.name()),
                    Event::Left(node) => format!("left {}", node.name()),
                    Event::SupportChanged { node: Some(node), support, .. } => {
                        format!("support {}: {support}", node.name())
                    }
                    Event::SupportChanged { addr, support, .. } => format!("at {addr}: {support}"),
                    Event::PrimaryDisagreement { node, theirs, ours } => {
                        format!("primary of {}: {theirs} not {ours}", node.name())
                    }
                    event @ (Event::AcceptingChanged { .. }
                    | Event::Ejected(_)
                    | Event::Restored(_)) => event.to_string(),
                    other => format!("{other:?}"),
                });
            }
        });
        log
    }

    /// All events so far.
    pub(crate) fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    /// The events so far that report that a node came up, went down or left.
    pub(crate) fn nodes(&self) -> Vec<String> {
        let kinds = ["up ", "down ", "left "];
        let of_node = |event: &String| kinds.iter().any(|kind| event.starts_with(kind));
        self.all().into_iter().filter(of_node).collect()
    }

    pub(crate) fn clear(&self) {
        self.0.lock().unwrap().clear();
    }
}
