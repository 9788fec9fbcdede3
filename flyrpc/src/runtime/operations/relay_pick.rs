//! Picks a node for a call of a visitor.
//!
//! As for the calls of the node itself, the arguments decide which nodes can take the call, and the cheaper one of two nodes
//! that are drawn at random takes it. Unlike there, the arguments are known only at run time.

use std::{cmp::Ordering, fmt, sync::Arc};

use serde::{
    Deserialize, Deserializer,
    de::{Error, IgnoredAny, MapAccess, Visitor},
};

use crate::{
    codec,
    error::Unsupported,
    proto::{
        routing::{AttemptFailure, Endpoint, LinkStatus},
        wire::ids::MethodIndex,
    },
    runtime::{link::Link, shared::NodeShared},
    types::{MethodSpec, NodeInfo, RelayTarget},
};

/// Upper bound on the arguments of a method. With more, any node takes the call, and reports the reason why it fails.
const MAX_ARGUMENTS: usize = 256;

/// The node that takes a call.
pub(super) struct Picked {
    pub(super) link: Arc<Link>,
    /// The index of the method there.
    pub(super) index: MethodIndex,
    /// Whether the visitor may reach the node, and its method takes the arguments.
    pub(super) suits: bool,
}

/// The names of the encoded arguments of a call.
#[derive(Debug)]
pub(super) struct ArgumentNames(Option<Vec<String>>);

impl ArgumentNames {
    /// Reads the names. Arguments that cannot be read suit every method: the node that takes the call finds the reason.
    pub(super) fn of(arguments: &[u8]) -> Self {
        ArgumentNames(codec::decode::<Keys>(arguments).ok().map(|Keys(names)| names))
    }

    /// Whether a method has all of these arguments, and requires no others.
    pub(super) fn suit(&self, method: &MethodSpec) -> bool {
        let Some(given) = &self.0 else { return true };
        let are_known =
            given.iter().all(|name| method.arguments.iter().any(|argument| argument.name == *name));
        let mut required = method.arguments.iter().filter(|argument| !argument.optional);
        are_known && required.all(|argument| given.contains(&argument.name))
    }
}

/// The keys of a map.
struct Keys(Vec<String>);

impl<'de> Deserialize<'de> for Keys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OfMap;

        impl<'de> Visitor<'de> for OfMap {
            type Value = Keys;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map from names to values")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Keys, A::Error> {
                let mut names = Vec::new();
                while let Some((name, IgnoredAny)) = map.next_entry()? {
                    if names.len() == MAX_ARGUMENTS {
                        return Err(A::Error::custom("too many arguments"));
                    }
                    names.push(name);
                }
                Ok(Keys(names))
            }
        }

        deserializer.deserialize_map(OfMap)
    }
}

/// Returns whether `candidate` belongs to the target.
pub(super) fn includes(node: &NodeShared, target: &RelayTarget, candidate: &NodeInfo) -> bool {
    match target {
        RelayTarget::Region(region) => region == candidate.region(),
        RelayTarget::Primary => node.primary_region() == candidate.region(),
        RelayTarget::Node(id) => id == candidate.id(),
        RelayTarget::Nearest => true,
    }
}

/// Picks a node among those that can take the call. Returns the reason why one of them cannot if none can, or nothing if there
/// is no node. `reachable` is whether the visitor may reach nodes to which the link is sealed or not.
pub(super) fn pick(
    node: &NodeShared,
    target: &RelayTarget,
    (service, method): (&str, &str),
    names: &ArgumentNames,
    reachable: impl Fn(bool) -> bool,
) -> Result<Picked, Option<(NodeInfo, AttemptFailure)>> {
    let (table, now) = (node.table(), node.micros_at(node.env().now()));
    let mut candidates = Candidates::new();
    let mut failure = None;
    for entry in table.nodes().filter(|entry| includes(node, target, &entry.info)) {
        let Some(link) = &entry.link else { continue };
        let refused = match link.status(service) {
            LinkStatus::Good | LinkStatus::Quiet => match find(link, service, method) {
                Ok((index, spec)) => {
                    let round_trip = match target {
                        RelayTarget::Nearest => link.load().region().round_trip(),
                        _ => 0,
                    };
                    let suits = reachable(link.sealed_with().is_some()) && names.suit(spec);
                    let is_last = link.is_quiet() || link.load().is_ejected();
                    let picked = Picked { link: Arc::clone(link), index, suits };
                    let class = (!suits, is_last, round_trip);
                    candidates.offer(class, link.load().cost(now), picked);
                    continue;
                }
                Err(why) => AttemptFailure::Unsupported(why),
            },
            LinkStatus::NotAccepting(reason) => AttemptFailure::Refused(reason),
            LinkStatus::Disconnected => continue,
        };
        // A node that refuses says more than one that does not have the service.
        if failure.is_none() || matches!(refused, AttemptFailure::Refused(_)) {
            failure = Some((entry.info.clone(), refused));
        }
    }
    candidates.draw(node.env().random()).ok_or(failure)
}

/// Finds a method among the services of the node at the other end of a link.
fn find<'a>(
    link: &'a Link,
    service: &str,
    method: &str,
) -> Result<(MethodIndex, &'a MethodSpec), Unsupported> {
    let mut before = 0;
    for spec in link.all_services() {
        if spec.name == service {
            let at = spec.methods.iter().position(|spec| spec.name == method);
            let at = at.ok_or(Unsupported::Method)?;
            return Ok((MethodIndex((before + at) as u64), &spec.methods[at]));
        }
        before += spec.methods.len();
    }
    Err(Unsupported::Service)
}

/// The candidates of the best class, which is the least one, with their costs.
struct Candidates<C, T> {
    class: Option<C>,
    best: Vec<(f32, T)>,
}

impl<C: Ord, T> Candidates<C, T> {
    fn new() -> Self {
        Candidates { class: None, best: Vec::new() }
    }

    fn offer(&mut self, class: C, cost: f32, candidate: T) {
        match self.class.as_ref().map_or(Ordering::Less, |best| class.cmp(best)) {
            Ordering::Greater => return,
            Ordering::Equal => {}
            Ordering::Less => {
                self.class = Some(class);
                self.best.clear();
            }
        }
        self.best.push((cost, candidate));
    }

    /// Draws two candidates at random, and returns the cheaper one.
    fn draw(mut self, random: u64) -> Option<T> {
        let count = self.best.len() as u64;
        if count == 0 {
            return None;
        }
        let first = (random & 0xffff_ffff) % count;
        // Any but the first one, unless there is no other.
        let second = (first + 1 + (random >> 32) % (count - 1).max(1)) % count;
        let [first, second] = [first, second].map(|at| at as usize);
        let is_second_cheaper = self.best[second].0 < self.best[first].0;
        Some(self.best.swap_remove(if is_second_cheaper { second } else { first }).1)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::types::ArgumentSpec;

    fn names(arguments: &serde_json::Value) -> ArgumentNames {
        let mut encoded = Vec::new();
        codec::encode(arguments, &mut encoded).unwrap();
        ArgumentNames::of(&encoded)
    }

    #[test]
    fn a_method_takes_its_required_arguments_and_no_unknown_ones() {
        let argument = |name: &str, optional| ArgumentSpec {
            name: name.to_owned(),
            ty: "u8".to_owned(),
            optional,
        };
        let method = MethodSpec {
            name: "m".to_owned(),
            arguments: vec![argument("a", false), argument("b", true)],
            returns: "()".to_owned(),
            primary: false,
            idempotent: false,
            detached: false,
        };
        let suit = |arguments| names(&arguments).suit(&method);
        assert!(suit(serde_json::json!({"a": [1, {"c": 2}]})));
        assert!(suit(serde_json::json!({"b": 1, "a": null})));
        assert!(!suit(serde_json::json!({"b": 1})));
        assert!(!suit(serde_json::json!({"a": 1, "c": 1})));
        // The node that takes the call reports what is wrong with it.
        assert!(suit(serde_json::json!("no map")));
    }

    #[test]
    fn equal_candidates_are_drawn_at_random_and_the_most_expensive_never() {
        let drawn = |costs: &[f32]| {
            let draw = |turn: u64| {
                let mut candidates = Candidates::new();
                candidates.offer(1, 0.0, usize::MAX);
                costs.iter().enumerate().for_each(|(at, cost)| candidates.offer(0, *cost, at));
                candidates.offer(2, 0.0, usize::MAX);
                let random = turn.wrapping_mul(0x9e37_79b9_7f4a_7c15);
                candidates.draw(random ^ (random >> 29)).unwrap()
            };
            (1..200).map(draw).collect::<BTreeSet<_>>()
        };
        assert_eq!(drawn(&[1.0]), [0].into());
        assert_eq!(drawn(&[1.0, 1.0]), [0, 1].into());
        assert_eq!(drawn(&[1.0, 2.0]), [0].into());
        assert_eq!(drawn(&[1.0, 1.0, 5.0, 1.0]), [0, 1, 3].into());
        assert!(Candidates::<u8, ()>::new().draw(7).is_none());
    }
}
