//! The table of nodes without any node, for the benchmarks of this repository. Not part of the public
//! API.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;

use crate::{
    proto::{
        routing::{Choice, Compat, Endpoint, Entry, LinkStatus, Pick, Table, draw},
        wire::ids::MethodIndex,
    },
    types::{NodeId, NodeInfo, Region},
};

/// Nodes of one region, all of which can take a call.
#[allow(missing_debug_implementations, reason = "a table of thousands shows nothing")]
pub struct Picking {
    region: Region,
    table: ArcSwap<Table<Open>>,
    entries: Vec<Arc<Entry<Open>>>,
}

/// A link over which calls can be sent.
#[derive(Debug, Clone)]
struct Open;

impl Endpoint for Open {
    fn standing(&self, _service: &str) -> LinkStatus {
        LinkStatus::Good
    }

    fn round_trip(&self) -> Option<Duration> {
        None
    }
}

impl Picking {
    /// A table of so many nodes, built one after the other.
    pub fn new(nodes: u16) -> Self {
        let region = Region::from("hkg");
        let entry = |place: u16| {
            let id = NodeId::new(format!("node-{place}"), place.into());
            let info = NodeInfo::new(id, region.clone(), ([10, 0, 0, 1], place).into());
            Arc::new(Entry { info, link: Some(Open), lost: false, other_protocol: false })
        };
        let entries: Vec<_> = (0..nodes).map(entry).collect();
        let mut table = Table::empty();
        entries.iter().for_each(|entry| table.insert(Arc::clone(entry)));
        Picking { region: region.clone(), table: ArcSwap::from_pointee(table), entries }
    }

    /// Picks a node, as a call to the region does. `random` decides which.
    pub fn pick(&self, random: u64) -> bool {
        let fits = |_: &Open| Compat::Yes { number: MethodIndex(3), unlisted: Box::default() };
        let pick = Pick { service: "Strings", fit: fits, tried: &[], nearest: false, random };
        let table = self.table.load();
        matches!(draw(table.region(&self.region), &pick), Choice::Send(_))
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
