//! The table of nodes without any node, for the benchmarks of this repository. Not part of the public
//! API.

use std::{any::TypeId, sync::Arc, time::Duration};

use arc_swap::ArcSwap;

use crate::{
    proto::{
        routing::{
            CallerTrait, Choice, Compat, Compats, Endpoint, Entry, LinkStatus, Pick, Table, pick,
        },
        wire::ids::MethodIndex,
    },
    types::{NodeId, NodeInfo, Region, Target},
};

/// Nodes of one region, all of which can take a call.
#[allow(missing_debug_implementations, reason = "a table of thousands shows nothing")]
pub struct Picking {
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

impl Picking {
    /// A table of so many nodes, built one after the other.
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
        Picking {
            target: Target::Region(region.clone()),
            table: ArcSwap::from_pointee(table),
            entries,
        }
    }

    /// Picks a node, as a call to the region does. `random` decides which.
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

    /// Replaces the table by one in which the entry of one node is another, as a change does.
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
