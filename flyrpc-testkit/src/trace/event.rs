//! The events of a run other than calls, and filters for them.

use std::{fmt, ops::RangeBounds, sync::Arc, time::Duration, vec};

use flyrpc::{Event, NodeInfo, Region};

use super::{node_boot::NodeBoot, time::Stamp};

/// An event of the run that is not a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TracedEvent {
    pub(super) stamp: Stamp,
    /// `None` for faults and notes.
    pub(super) node: Option<Arc<NodeBoot>>,
    pub(super) occurrence: Occurrence,
}

impl TracedEvent {
    /// Returns when the event occurred, counted from the start of the run.
    pub fn at(&self) -> Duration {
        self.stamp.at
    }

    /// Returns the name of the node that observed the event. `None` for faults and notes.
    pub fn node(&self) -> Option<&str> {
        Some(&self.node.as_ref()?.name)
    }

    /// Returns the region of the node that observed the event. `None` for faults and notes.
    pub fn region(&self) -> Option<&Region> {
        Some(&self.node.as_ref()?.region)
    }

    /// Returns the kind and details of the event.
    pub fn what(&self) -> &Occurrence {
        &self.occurrence
    }

    /// Returns the other node that the event concerns. `None` if it concerns no node, or an unknown node.
    pub fn subject(&self) -> Option<&NodeInfo> {
        match &self.occurrence {
            Occurrence::LinkOpened(node) | Occurrence::LinkClosed(node, _) => Some(node),
            Occurrence::Membership(event) => match event {
                Event::Up(node) | Event::Down(node) | Event::Left(node) => Some(node),
                Event::SupportChanged { node, .. } => node.as_ref(),
                Event::PrimaryDisagreement { node, .. } => Some(node),
                _ => None,
            },
            Occurrence::Fault(_) | Occurrence::Note(_) => None,
        }
    }
}

/// The kind and details of an event other than a call.
///
/// Displays the details. [`label`](Occurrence::label) returns the kind.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Occurrence {
    /// A node observed a change of another node, as in [`Node::events`](flyrpc::Node::events).
    Membership(Event),
    /// A link to this node was opened, by either end.
    LinkOpened(NodeInfo),
    /// A link to this node was closed. The text is the reason.
    LinkClosed(NodeInfo, String),
    /// A fault started or ended, or a host crashed or restarted.
    Fault(String),
    /// A note from the test.
    Note(String),
}

impl Occurrence {
    /// Returns the kind of the event, as one word.
    pub fn label(&self) -> &'static str {
        match self {
            Occurrence::Membership(event) => match event {
                Event::Up(_) => "up",
                Event::Down(_) => "down",
                Event::Left(_) => "left",
                Event::SupportChanged { .. } => "support",
                Event::PrimaryDisagreement { .. } => "primary",
                _ => "event",
            },
            Occurrence::LinkOpened(_) => "linked",
            Occurrence::LinkClosed(..) => "unlinked",
            Occurrence::Fault(_) => "fault",
            Occurrence::Note(_) => "note",
        }
    }
}

impl fmt::Display for Occurrence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Occurrence::Membership(event) => match event {
                Event::Up(node) | Event::Down(node) | Event::Left(node) => write!(f, "{node}"),
                Event::SupportChanged { addr, node: Some(node), support } => {
                    write!(f, "{node} at {addr}: {support}")
                }
                Event::SupportChanged { addr, node: None, support } => {
                    write!(f, "{addr}: {support}")
                }
                Event::PrimaryDisagreement { node, theirs, ours } => {
                    write!(f, "{node} has primary region {theirs}, this node has {ours}")
                }
                // A newer version of flyrpc may have more events.
                other => write!(f, "{other}"),
            },
            Occurrence::LinkOpened(node) => write!(f, "{node}"),
            Occurrence::LinkClosed(node, reason) => write!(f, "{node}: {reason}"),
            Occurrence::Fault(text) | Occurrence::Note(text) => f.write_str(text),
        }
    }
}

/// An iterator over the events of a trace, in order. Its methods are filters that can be combined.
///
/// ```
/// # fn check(trace: &flyrpc_testkit::Trace) {
/// let first = trace.events().of_node("iad-0").down("hkg-0").next().expect("iad-0 detects it");
/// assert!(first.at().as_secs() < 15, "{trace}");
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use = "filters have no effect unless the iterator is used"]
pub struct Events<'a>(vec::IntoIter<&'a TracedEvent>);

impl<'a> Events<'a> {
    pub(super) fn new(events: &'a [TracedEvent]) -> Self {
        Events(events.iter().collect::<Vec<_>>().into_iter())
    }

    fn only(self, keep: impl Fn(&TracedEvent) -> bool) -> Self {
        Events(self.0.filter(|event| keep(event)).collect::<Vec<_>>().into_iter())
    }

    /// Keeps events that the node with this name observed, in any of its boots.
    pub fn of_node(self, name: &str) -> Self {
        self.only(|event| event.node() == Some(name))
    }

    /// Keeps events that nodes in `region` observed.
    pub fn of_region(self, region: impl Into<Region>) -> Self {
        let region = region.into();
        self.only(|event| event.region() == Some(&region))
    }

    /// Keeps events that concern the node with this name.
    pub fn about(self, name: &str) -> Self {
        self.only(|event| event.subject().is_some_and(|node| node.name() == name))
    }

    /// Keeps events in which a node observed that the node with this name is up.
    pub fn up(self, name: &str) -> Self {
        self.about(name)
            .only(|event| matches!(event.occurrence, Occurrence::Membership(Event::Up(_))))
    }

    /// Keeps events in which a node observed that the node with this name is down.
    pub fn down(self, name: &str) -> Self {
        self.about(name)
            .only(|event| matches!(event.occurrence, Occurrence::Membership(Event::Down(_))))
    }

    /// Keeps events in which a node observed that the node with this name has left gracefully.
    pub fn left(self, name: &str) -> Self {
        self.about(name)
            .only(|event| matches!(event.occurrence, Occurrence::Membership(Event::Left(_))))
    }

    /// Keeps events in which a node observed a change of another node.
    pub fn membership(self) -> Self {
        self.only(|event| matches!(event.occurrence, Occurrence::Membership(_)))
    }

    /// Keeps events of links that were opened or closed. Both ends of a link record an event.
    pub fn links(self) -> Self {
        self.only(|event| {
            matches!(event.occurrence, Occurrence::LinkOpened(_) | Occurrence::LinkClosed(..))
        })
    }

    /// Keeps faults, including crashes and restarts of nodes.
    pub fn faults(self) -> Self {
        self.only(|event| matches!(event.occurrence, Occurrence::Fault(_)))
    }

    /// Keeps notes from the test.
    pub fn notes(self) -> Self {
        self.only(|event| matches!(event.occurrence, Occurrence::Note(_)))
    }

    /// Keeps events that occurred at `start` or later, counted from the start of the run.
    pub fn since(self, start: Duration) -> Self {
        self.between(start..)
    }

    /// Keeps events that occurred in `range`, counted from the start of the run.
    pub fn between(self, range: impl RangeBounds<Duration>) -> Self {
        self.only(|event| range.contains(&event.at()))
    }
}

impl<'a> Iterator for Events<'a> {
    type Item = &'a TracedEvent;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl DoubleEndedIterator for Events<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.0.next_back()
    }
}

impl ExactSizeIterator for Events<'_> {}
