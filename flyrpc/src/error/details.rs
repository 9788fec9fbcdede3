//! The details that the variants of [`RpcError`](super::RpcError) carry.

use std::fmt;

/// The reason why a node cannot serve a call.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Unsupported {
    /// It speaks no version of flyrpc's protocol that this node speaks.
    Protocol,
    /// It does not serve the service.
    Service,
    /// Its version of the service lacks the method.
    Method,
    /// Its method takes other arguments. The text describes one of the differences.
    Arguments(String),
}

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unsupported::Protocol => f.write_str("it speaks another version of the protocol"),
            Unsupported::Service => f.write_str("it does not serve the service"),
            Unsupported::Method => f.write_str("it does not have the method"),
            Unsupported::Arguments(detail) => write!(f, "it takes other arguments: {detail}"),
        }
    }
}

/// The reason why a node refused a call that it could have run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Refusal {
    /// It is draining, and about to shut down.
    Draining,
    /// It executes as many calls as its `max_in_flight` allows in total or for this caller, or as many calls of this
    /// method as `#[rpc(max_in_flight = …)]` allows.
    Overloaded,
    /// It is held and does not accept calls yet, or it withdrew this service.
    Held,
    /// The bodies of other calls take as much memory as its `max_body_memory` allows in total or for
    /// this caller. Nodes of version 0.1 report `Overloaded` instead.
    Memory,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refusal::Draining => "it is draining",
            Refusal::Overloaded => "it is overloaded",
            Refusal::Held => "it is not accepting calls",
            Refusal::Memory => "the bodies of other calls take all of its memory for bodies",
        })
    }
}

/// The numbers of nodes and addresses that the caller knew when no node could take its call, by reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub struct Known {
    /// Nodes that are up according to the membership, but whose link is lost.
    pub unlinked: u32,
    /// Nodes that do not accept calls: held or draining.
    pub not_accepting: u32,
    /// Nodes that do not serve the service, or not this method of it.
    pub unsupported: u32,
    /// Addresses, in any region, where something other than flyrpc responds.
    pub not_flyrpc: u32,
    /// Addresses, in any region, where a node of another cluster responds.
    pub other_cluster: u32,
    /// Addresses, in any region, of nodes that share no secret with this node: they hold another one, or only
    /// one of the two holds any.
    pub other_secret: u32,
    /// Addresses, in any region, where nothing responds. Includes the address of a node that stopped
    /// responding, while it is dialed again.
    pub unreachable: u32,
}

impl fmt::Display for Known {
    /// Writes ` (known: …)` with the counts that are not 0, or nothing if all counts are 0.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            (self.unlinked, "with a lost link"),
            (self.not_accepting, "not accepting calls"),
            (self.unsupported, "not supporting it"),
            (self.not_flyrpc, "at an address where something else responds"),
            (self.other_cluster, "at an address of another cluster"),
            (self.other_secret, "at an address of a node that does not share this node's secret"),
            (self.unreachable, "at an address where nothing responds"),
        ];
        let mut before = " (known: ";
        for (count, what) in parts.iter().filter(|(count, _)| *count > 0) {
            write!(f, "{before}{count} {what}")?;
            before = ", ";
        }
        if before == ", " { f.write_str(")") } else { Ok(()) }
    }
}
