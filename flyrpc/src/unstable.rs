//! Internals for the benchmarks and tools of this repository, behind the feature `unstable`.
//!
//! Exempt from semantic versioning: anything here can change or disappear in any release.

use std::{any::TypeId, sync::Arc, time::Duration};

use arc_swap::ArcSwap;

use crate::{
    proto::{
        routing::{
            CallerTrait, Choice, Compat, Compats, Endpoint, Entry, LinkStatus, NodeLoad, Pick,
            RegionLoad, Table, pick,
        },
        wire::ids::MethodIndex,
    },
    runtime::{builder::NodeBuilder, server::INLINE_AFTER},
    types::{NodeId, NodeInfo, Region, ServiceSpec, Target, TargetRef},
};

/// The membership protocol without nodes, to simulate clusters that are too large to run.
pub mod sim {
    pub use crate::proto::membership::sim::{Boot, Ledger, Network, Sim, Traffic};
}

/// The choice of handlers that run inline: one after another in the task of the link, instead of each
/// in a separate task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InlineMode {
    /// Handlers of methods whose recent calls completed quickly. The default.
    Adaptive,
    /// All handlers, regardless of how long they take.
    Always,
    /// No handlers.
    Never,
}

impl NodeBuilder {
    /// Selects the handlers that run inline. `Always` and `Never` make the cost of a call repeatable.
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

/// The routing table of a region in which every node can take a call. The nodes themselves do not exist.
#[allow(missing_debug_implementations, reason = "thousands of entries are not readable")]
pub struct Routing {
    target: Target,
    table: ArcSwap<Table<Arc<Open>>>,
    entries: Vec<Arc<Entry<Arc<Open>>>>,
}

/// A link over which calls can be sent. Like that of a node, it has its own allocation.
#[derive(Debug)]
struct Open {
    node: NodeInfo,
    compats: Arc<Compats>,
    services: Arc<[ServiceSpec]>,
    load: Arc<NodeLoad>,
}

/// When each node has answered a call, and when nodes are picked, in microseconds.
const NOW: u64 = 1_000_000;

/// The service that is called.
const SERVICE: &str = "Strings";

impl Endpoint for Arc<Open> {
    fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(self, other)
    }

    fn node(&self) -> &NodeId {
        self.node.id()
    }

    fn status(&self, _service: &str) -> LinkStatus {
        LinkStatus::Good
    }

    fn is_congested(&self) -> bool {
        false
    }

    fn load(&self) -> &Arc<NodeLoad> {
        &self.load
    }

    fn services(&self) -> &[ServiceSpec] {
        &self.services
    }

    fn compats(&self, _caller: &CallerTrait) -> &Compats {
        &self.compats
    }

    fn round_trip(&self) -> Option<Duration> {
        None
    }

    fn considers_primary(&self, _region: &Region) -> bool {
        true
    }
}

impl Routing {
    /// Creates a table of `nodes` nodes, which are inserted one after the other.
    pub fn new(nodes: u16) -> Self {
        let region = Region::from("hkg");
        let callable = Compat::Callable { method: MethodIndex(3), missing_args: Box::default() };
        let compats: Arc<Compats> = [callable].into();
        let services: Arc<[ServiceSpec]> =
            vec![ServiceSpec { name: SERVICE.to_owned(), methods: Vec::new() }].into();
        let load = Arc::new(RegionLoad::new());
        // Latencies, and thus costs, differ by up to a fifth. No call is in flight: the more nodes there are, the less
        // likely it is that a drawn one has any.
        let link = |node: NodeInfo, number: u16| {
            let load = Arc::new(NodeLoad::new(Arc::clone(&load)));
            load.on_start();
            load.on_reply(1.0 + f32::from(number % 9) / 40.0, NOW);
            let (compats, services) = (Arc::clone(&compats), Arc::clone(&services));
            Arc::new(Open { node, compats, services, load })
        };
        let entry = |number: u16| {
            let id = NodeId::new(format!("node-{number}"), number.into());
            let info = NodeInfo::new(id, region.clone(), ([10, 0, 0, 1], number).into());
            Arc::new(Entry::linked(info.clone(), Some(link(info, number))))
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

    /// Picks a node in the same way as a call to the region. `random` determines which node. Returns
    /// whether there was a candidate.
    pub fn pick(&self, random: u64) -> bool {
        self.pick_for(self.target.borrowed(), random)
    }

    /// The same as a call to the nearest node.
    pub fn pick_nearest(&self, random: u64) -> bool {
        self.pick_for(TargetRef::Nearest, random)
    }

    fn pick_for(&self, target: TargetRef<'_>, random: u64) -> bool {
        let caller = CallerTrait { id: TypeId::of::<()>(), service: SERVICE, signatures: Vec::new };
        let with = Pick {
            target,
            caller: &caller,
            method: 0,
            tried: &[],
            accepts_unresponsive: true,
            primary_moved: false,
            random,
            now: NOW,
        };
        matches!(pick(&self.table.load(), &with), Choice::Send { .. })
    }

    /// Replaces the entry of one node, selected by `turn`, and publishes the new table, as every change
    /// of a node does.
    ///
    /// # Panics
    ///
    /// Panics if there are no nodes.
    pub fn change(&self, turn: usize) {
        let mut table = Table::clone(&self.table.load());
        table.insert(Arc::new(Entry::clone(&self.entries[turn % self.entries.len()])));
        self.table.store(Arc::new(table));
    }
}
