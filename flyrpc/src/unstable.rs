//! Internals for the benchmarks and tools of this repository, behind the feature `unstable`.
//!
//! Exempt from semantic versioning: anything here can change or disappear in any release.

use std::{any::TypeId, sync::Arc, time::Duration};

use arc_swap::ArcSwap;

use crate::{
    proto::{
        routing::{
            CallerTrait, Choice, Compat, Compats, Endpoint, Entry, LinkStatus, Pick, Table, pick,
        },
        wire::ids::MethodIndex,
    },
    runtime::{builder::NodeBuilder, server::INLINE_AFTER},
    types::{NodeId, NodeInfo, Region, Target},
};

/// The membership without nodes around it, in simulated clusters larger than could be run.
pub mod sim {
    pub use crate::proto::membership::sim::{Boot, Ledger, Network, Sim, Traffic};
}

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

/// The routing table of a region, all of whose nodes can take a call, without the nodes.
#[allow(missing_debug_implementations, reason = "a table of thousands shows nothing")]
pub struct Routing {
    target: Target,
    table: ArcSwap<Table<Open>>,
    entries: Vec<Arc<Entry<Open>>>,
}

/// A link over which calls can be sent.
#[derive(Debug, Clone)]
struct Open(Arc<Compats>);

impl Endpoint for Open {
    fn status(&self, _service: &str) -> LinkStatus {
        LinkStatus::Good
    }

    fn compats(&self, _caller: &CallerTrait) -> Arc<Compats> {
        Arc::clone(&self.0)
    }

    fn round_trip(&self) -> Option<Duration> {
        None
    }

    fn considers_primary(&self, _region: &Region) -> bool {
        true
    }
}

impl Routing {
    /// A table of `nodes` nodes, inserted one after the other.
    pub fn new(nodes: u16) -> Self {
        let region = Region::from("hkg");
        let callable = Compat::Callable { method: MethodIndex(3), missing_args: Box::default() };
        let link = Open([callable].into());
        let entry = |place: u16| {
            let id = NodeId::new(format!("node-{place}"), place.into());
            let info = NodeInfo::new(id, region.clone(), ([10, 0, 0, 1], place).into());
            Arc::new(Entry {
                info,
                link: Some(link.clone()),
                disconnected: false,
                other_protocol: false,
            })
        };
        let entries: Vec<_> = (0..nodes).map(entry).collect();
        let mut table = Table::empty();
        entries.iter().for_each(|entry| table.insert(Arc::clone(entry)));
        Routing {
            target: Target::Region(region.clone()),
            table: ArcSwap::from_pointee(table),
            entries,
        }
    }

    /// Picks a node as a call to the region does; `random` decides which. Returns whether there is one.
    pub fn pick(&self, random: u64) -> bool {
        let caller =
            CallerTrait { id: TypeId::of::<()>(), service: "Strings", signatures: Vec::new };
        let with = Pick {
            target: &self.target,
            caller: &caller,
            method: 0,
            tried: &[],
            primary_moved: false,
            random,
        };
        matches!(pick(&self.table.load(), &with), Choice::Send { .. })
    }

    /// Publishes a table in which the entry of one node was replaced, as every change does.
    ///
    /// # Panics
    ///
    /// If there are no nodes.
    pub fn change(&self, turn: usize) {
        let mut table = Table::clone(&self.table.load());
        table.insert(Arc::new(Entry::clone(&self.entries[turn % self.entries.len()])));
        self.table.store(Arc::new(table));
    }
}
