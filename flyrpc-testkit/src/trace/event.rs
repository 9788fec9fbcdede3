//! What happened besides calls, and queries about it.

use std::{fmt, ops::RangeBounds, sync::Arc, time::Duration, vec};

use flyrpc::{Event, NodeInfo, Region};

use super::{Site, Stamp};

/// Something that happened at one moment of the run, and is no call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TracedEvent {
    pub(super) stamp: Stamp,
    pub(super) site: Option<Arc<Site>>,
    pub(super) what: Occurrence,
}

impl TracedEvent {
    /// When it happened, counted from the start of the run.
    pub fn at(&self) -> Duration {
        self.stamp.at
    }

    /// The name of the node that learned of it; none for faults and notes, which are of no node.
    pub fn node(&self) -> Option<&str> {
        Some(&self.site.as_ref()?.name)
    }

    /// The region of the node that learned of it.
    pub fn region(&self) -> Option<&Region> {
        Some(&self.site.as_ref()?.region)
    }

    /// What happened.
    pub fn what(&self) -> &Occurrence {
        &self.what
    }

    /// The other node that it is about, if it is about one that is known.
    pub fn subject(&self) -> Option<&NodeInfo> {
        match &self.what {
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

/// What happened, if it is no call.
///
/// Printed, it says what it concerns; [`label`](Occurrence::label) is what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Occurrence {
    /// A node learned something of others, as [`Node::events`](flyrpc::Node::events) tells it.
    Membership(Event),
    /// A link to that node was opened, by either end.
    LinkOpened(NodeInfo),
    /// A link to that node is over; the text is why.
    LinkClosed(NodeInfo, String),
    /// A fault began or ended, or something was done to a node.
    Fault(String),
    /// The test had something to say.
    Note(String),
}

impl Occurrence {
    /// What it is, in a word.
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
                    write!(f, "{node} takes {theirs} for the primary region, this node {ours}")
                }
                // The runtime may learn to tell more than this testkit knows of.
                other => write!(f, "{other}"),
            },
            Occurrence::LinkOpened(node) => write!(f, "{node}"),
            Occurrence::LinkClosed(node, why) => write!(f, "{node}: {why}"),
            Occurrence::Fault(text) | Occurrence::Note(text) => f.write_str(text),
        }
    }
}

/// Events of a trace, in the order in which they happened: an iterator with filters that combine.
///
/// ```
/// # fn check(trace: &flyrpc_testkit::Trace) {
/// let first = trace.events().of_node("iad-0").down("hkg-0").next().expect("iad-0 noticed");
/// assert!(first.at().as_secs() < 15, "{trace}");
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use = "filters only narrow down what is counted or looked at"]
pub struct Events<'a>(vec::IntoIter<&'a TracedEvent>);

impl<'a> Events<'a> {
    pub(super) fn new(events: &'a [TracedEvent]) -> Self {
        Events(events.iter().collect::<Vec<_>>().into_iter())
    }

    fn only(self, keep: impl Fn(&TracedEvent) -> bool) -> Self {
        Events(self.0.filter(|event| keep(event)).collect::<Vec<_>>().into_iter())
    }

    /// Those that the node of this name learned of, in any of its boots.
    pub fn of_node(self, name: &str) -> Self {
        self.only(|event| event.node() == Some(name))
    }

    /// Those that nodes in `region` learned of.
    pub fn of_region(self, region: impl Into<Region>) -> Self {
        let region = region.into();
        self.only(|event| event.region() == Some(&region))
    }

    /// Those that tell of the node of this name.
    pub fn about(self, name: &str) -> Self {
        self.only(|event| event.subject().is_some_and(|node| node.name() == name))
    }

    /// Those in which a node learned that the node of this name is up.
    pub fn up(self, name: &str) -> Self {
        self.about(name).only(|event| matches!(event.what, Occurrence::Membership(Event::Up(_))))
    }

    /// Those in which a node learned that the node of this name is down.
    pub fn down(self, name: &str) -> Self {
        self.about(name).only(|event| matches!(event.what, Occurrence::Membership(Event::Down(_))))
    }

    /// Those in which a node learned that the node of this name has left in good order.
    pub fn left(self, name: &str) -> Self {
        self.about(name).only(|event| matches!(event.what, Occurrence::Membership(Event::Left(_))))
    }

    /// Those in which a node learned something of others.
    pub fn membership(self) -> Self {
        self.only(|event| matches!(event.what, Occurrence::Membership(_)))
    }

    /// Links that were opened or closed. Each end of a link tells of it.
    pub fn links(self) -> Self {
        self.only(|event| {
            matches!(event.what, Occurrence::LinkOpened(_) | Occurrence::LinkClosed(..))
        })
    }

    /// What was done to the network and its nodes.
    pub fn faults(self) -> Self {
        self.only(|event| matches!(event.what, Occurrence::Fault(_)))
    }

    /// What the test had to say.
    pub fn notes(self) -> Self {
        self.only(|event| matches!(event.what, Occurrence::Note(_)))
    }

    /// Those at this time or later, counted from the start of the run.
    pub fn since(self, start: Duration) -> Self {
        self.between(start..)
    }

    /// Those in `range`, counted from the start of the run.
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
