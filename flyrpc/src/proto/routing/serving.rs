//! Selects the nodes for a call on many nodes.

use std::collections::BTreeSet;

use super::{
    compat::{CallerTrait, Compat},
    endpoint::Endpoint,
    entry::Entry,
    table::Table,
};
use crate::{
    error::Unsupported,
    types::{NodeInfo, Region},
};

/// A live node that serves a service, or may serve it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Serving<'a> {
    pub(crate) node: &'a NodeInfo,
    /// Whether the node is known to serve the service. If no link to it is open yet, its services are not
    /// known.
    pub(crate) known: bool,
}

/// Returns the live nodes of the table that serve the service of `caller`, or may serve it: all of them, or
/// those of one region. Each boot of a node is listed once.
pub(crate) fn serving<'a, L: Endpoint>(
    table: &'a Table<L>,
    region: Option<&Region>,
    caller: &CallerTrait,
) -> Vec<Serving<'a>> {
    // Two addresses may claim one id.
    let mut listed = BTreeSet::new();
    let is_in_region = |entry: &Entry<L>| region.is_none_or(|region| entry.info.region() == region);
    let entries = table.nodes().filter(|entry| is_in_region(entry));
    let serving = entries.filter_map(|entry| {
        let known = serves(entry, caller)?;
        Some(Serving { node: &entry.info, known })
    });
    serving.filter(|serving| listed.insert(serving.node.id())).collect()
}

/// Returns whether the node is known to serve the service. Returns `None` if it is known not to serve it, or
/// is not live.
fn serves<L: Endpoint>(entry: &Entry<L>, caller: &CallerTrait) -> Option<bool> {
    if entry.disconnected || entry.other_protocol {
        return None;
    }
    let Some(link) = &entry.link else { return Some(false) };
    let lacks_service = Compat::Incompatible(Unsupported::Service);
    link.compats(caller).iter().any(|compat| *compat != lacks_service).then_some(true)
}

#[cfg(test)]
mod tests {
    use std::{any::TypeId, sync::Arc};

    use super::*;
    use crate::{
        error::Refusal,
        proto::{
            routing::{Compats, LinkStatus, testing::Path},
            wire::ids::MethodIndex,
        },
        types::NodeId,
    };

    const CALLER: CallerTrait =
        CallerTrait { id: TypeId::of::<()>(), service: "S", signatures: Vec::new };

    fn callable() -> Compat {
        Compat::Callable { method: MethodIndex(0), missing_args: [].into() }
    }

    fn lacks(what: Unsupported) -> Compat {
        Compat::Incompatible(what)
    }

    /// A linked node, named like its region and its port.
    fn linked(region: &str, port: u16, compats: impl Into<Box<Compats>>) -> Entry<Path> {
        let id = NodeId::new(format!("{region}-{port}"), 0);
        let info = NodeInfo::new(id, Region::from(region), ([127, 0, 0, 1], port).into());
        let status = LinkStatus::NotAccepting(Refusal::Held);
        let compats: Box<Compats> = compats.into();
        Entry::linked(info, Some(Path { status, compats: compats.into(), ..Path::good() }))
    }

    /// The names of the nodes that are selected, with `?` if it is not known whether they serve.
    fn names(entries: impl IntoIterator<Item = Entry<Path>>, region: Option<&str>) -> Vec<String> {
        let mut table = Table::empty();
        entries.into_iter().for_each(|entry| table.insert(Arc::new(entry)));
        let region = region.map(Region::from);
        let selected = serving(&table, region.as_ref(), &CALLER);
        let name = |serving: Serving<'_>| {
            serving.node.name().to_owned() + if serving.known { "" } else { "?" }
        };
        selected.into_iter().map(name).collect()
    }

    #[test]
    fn nodes_with_any_method_of_the_service_are_selected_whatever_calls_they_accept() {
        let nodes = || {
            [
                linked("hkg", 1, [lacks(Unsupported::Method), callable()]),
                linked("hkg", 2, [lacks(Unsupported::Service), lacks(Unsupported::Service)]),
                linked("iad", 3, [lacks(Unsupported::Method), lacks(Unsupported::Method)]),
            ]
        };
        assert_eq!(names(nodes(), None), ["hkg-1", "iad-3"]);
        assert_eq!(names(nodes(), Some("hkg")), ["hkg-1"]);
        assert_eq!(names(nodes(), Some("syd")), [""; 0]);
    }

    #[test]
    fn nodes_without_a_link_are_selected_unless_they_were_lost_or_speak_another_protocol() {
        let nodes = [
            Entry { link: None, ..linked("hkg", 1, []) },
            Entry { link: None, unreachable: true, ..linked("hkg", 2, []) },
            Entry { link: None, disconnected: true, ..linked("hkg", 3, []) },
            Entry { link: None, other_protocol: true, ..linked("hkg", 4, []) },
        ];
        assert_eq!(names(nodes, None), ["hkg-1?", "hkg-2?"]);
    }

    #[test]
    fn a_node_that_is_reached_at_two_addresses_is_selected_once() {
        let twice = [1, 2].map(|port| {
            let entry = linked("hkg", port, [callable()]);
            let info =
                NodeInfo::new(NodeId::new("twice", 0), Region::from("hkg"), entry.info.addr());
            Entry { info, ..entry }
        });
        assert_eq!(names(twice, None), ["twice"]);
    }
}
