//! The payload of hello frames, in which each end of a link announces itself during the handshake.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use super::{
    service_limits::check_services, state::State, status::STATUS_LEVEL, version::VERSIONS,
};
use crate::{
    codec::{
        self,
        bytes::{
            Malformed,
            fields::{self, Unknown},
            varint,
        },
    },
    config::MAX_KEYS,
    types::{KeyId, NodeId, NodeInfo, Region, ServiceSpec, is_label},
};

mod field {
    pub(super) const NODE: u64 = 1;
    pub(super) const SERVICES: u64 = 2;
    pub(super) const STATE: u64 = crate::proto::wire::state::FIELD;
    pub(super) const STAMP: u64 = 4;
    pub(super) const ECHO: u64 = 5;
    pub(super) const STATUS_LEVEL: u64 = 6;
    pub(super) const KEYS: u64 = 7;
    pub(super) const VERSION: u64 = 8;
    pub(super) const VISITOR: u64 = 9;
}

/// More than the bytes of the fields with stamps.
const STAMPS: usize = 32;

/// The first frame of each end of a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hello {
    /// The cluster that the node belongs to.
    pub(crate) cluster: String,
    pub(crate) node: NodeInfo,
    /// Upper bound on the bytes of a body that the node accepts.
    pub(crate) max_body: u64,
    /// The services of the node. A [`MethodIndex`](super::ids::MethodIndex) counts the methods in this
    /// list, across services in order.
    pub(crate) services: Arc<[ServiceSpec]>,
    /// Which calls the node accepts now.
    pub(crate) state: State,
    /// The time on the sender's clock, as in a ping.
    pub(crate) stamp: u64,
    /// The stamp of the hello that this one responds to, as in a pong. `None` if the sender dialed.
    pub(crate) echo: Option<u64>,
    /// The set of statuses that the node knows: see [`STATUS_LEVEL`].
    pub(crate) status_level: u64,
    /// The keys that the node holds, in the order of its keyring.
    pub(crate) keys: Vec<KeyId>,
    /// The version of the node's application. Empty if it is unknown.
    pub(crate) version: SmolStr,
    /// Whether the sender is a visitor: no member of the cluster, but a tool that asks this node something.
    pub(crate) is_visitor: bool,
}

/// The result of decoding a hello.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum HelloOutcome {
    Hello(Box<Hello>),
    /// The peer supports no protocol version that this code supports.
    OtherVersions(IncompatiblePeer),
}

/// A peer that supports only other versions of the protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IncompatiblePeer {
    /// The oldest version that the peer supports.
    pub(crate) first: u64,
    /// The newest version that the peer supports.
    pub(crate) last: u64,
    /// The peer's cluster and identity, if its versions encode them as this one does.
    pub(crate) who: Option<(String, NodeInfo)>,
}

#[derive(Serialize, Deserialize)]
struct NodeField {
    cluster: String,
    name: String,
    boot: u64,
    region: Region,
    addr: SocketAddr,
    max_body: u64,
}

impl NodeField {
    fn info(&self) -> NodeInfo {
        NodeInfo::new(NodeId::new(&self.name, self.boot), self.region.clone(), self.addr)
    }
}

/// The part of a hello that is the same on every link, encoded once.
#[derive(Debug)]
pub(crate) struct EncodedHello {
    services: Arc<[ServiceSpec]>,
    encoded_services: Vec<u8>,
    /// The versions and all fields except the stamp and the echo.
    fields: Vec<u8>,
}

impl EncodedHello {
    pub(crate) fn new(
        cluster: &str,
        node: &NodeInfo,
        max_body: u64,
        services: &Arc<[ServiceSpec]>,
        state: &State,
        keys: &[KeyId],
        version: &str,
    ) -> Self {
        let mut buffer = Vec::new();
        varint::put(VERSIONS.0, &mut buffer);
        varint::put(VERSIONS.1, &mut buffer);
        let node = NodeField {
            cluster: cluster.to_owned(),
            name: node.name().to_owned(),
            boot: node.id().boot(),
            region: node.region().clone(),
            addr: node.addr(),
            max_body,
        };
        put(field::NODE, &node, &mut buffer);
        let encoded_services = encoded(&&services[..]);
        fields::put(field::SERVICES, Unknown::Skip, &encoded_services, &mut buffer);
        put(field::STATE, state, &mut buffer);
        put(field::STATUS_LEVEL, &STATUS_LEVEL, &mut buffer);
        if !keys.is_empty() {
            let keys: Vec<u32> = keys.iter().map(|id| u32::from_be_bytes(*id.as_bytes())).collect();
            put(field::KEYS, &keys, &mut buffer);
        }
        if !version.is_empty() {
            put(field::VERSION, &version, &mut buffer);
        }
        EncodedHello { services: Arc::clone(services), encoded_services, fields: buffer }
    }

    /// Marks the sender as a visitor. Nodes that do not know visitors refuse the hello.
    pub(crate) fn of_visitor(mut self) -> Self {
        fields::put(field::VISITOR, Unknown::Refuse, &[], &mut self.fields);
        self
    }

    /// Encodes the payload of a hello frame.
    pub(crate) fn encode(&self, stamp: u64, echo: Option<u64>) -> Vec<u8> {
        let mut to = Vec::with_capacity(self.fields.len() + STAMPS);
        to.extend_from_slice(&self.fields);
        put(field::STAMP, &stamp, &mut to);
        if let Some(echo) = echo {
            put(field::ECHO, &echo, &mut to);
        }
        to
    }
}

impl Hello {
    /// Encodes the payload of a hello frame.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn encode(&self) -> Vec<u8> {
        let Hello { cluster, node, max_body, services, state, keys, version, .. } = self;
        let encoded = EncodedHello::new(cluster, node, *max_body, services, state, keys, version);
        let encoded = if self.is_visitor { encoded.of_visitor() } else { encoded };
        encoded.encode(self.stamp, self.echo)
    }

    /// Decodes the payload of a hello frame.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn decode(from: &[u8]) -> Result<HelloOutcome, Malformed> {
        Hello::decode_with(from, None)
    }

    /// Decodes the payload of a hello frame.
    ///
    /// Most nodes of a cluster encode the same list of services as `ours`. Their decoded hellos share
    /// the list of `ours` instead of each holding a copy.
    pub(crate) fn decode_with(
        mut from: &[u8],
        ours: Option<&EncodedHello>,
    ) -> Result<HelloOutcome, Malformed> {
        let first = varint::take(&mut from)?;
        let last = varint::take(&mut from)?;
        if first > last || last < VERSIONS.0 || first > VERSIONS.1 {
            return Ok(HelloOutcome::OtherVersions(IncompatiblePeer {
                first,
                last,
                who: who(from),
            }));
        }
        let mut found: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
        fields::read(from, |number, value| {
            let known = (field::NODE..=field::VISITOR).contains(&number);
            if known {
                found.insert(number, value.to_vec());
            }
            Ok(known)
        })?;
        let node: NodeField = take(field::NODE, &found)?;
        let mut state: State = take(field::STATE, &found)?;
        state.check()?;
        let services = services(&found, ours)?;
        state.limit_to(&services);
        let optional = |number| found.get(&number).map(|_| take(number, &found)).transpose();
        let keys = found.get(&field::KEYS).map(|_| take::<Vec<u32>>(field::KEYS, &found));
        let keys = keys.transpose()?.unwrap_or_default().into_iter().take(MAX_KEYS);
        // It is only shown, so an invalid version is ignored.
        let version: Option<String> =
            found.get(&field::VERSION).and_then(|value| codec::decode(value).ok());
        let version = version.filter(|version| is_label(version)).unwrap_or_default();
        Ok(HelloOutcome::Hello(Box::new(Hello {
            max_body: node.max_body,
            node: node.info(),
            cluster: node.cluster,
            services,
            state,
            stamp: take(field::STAMP, &found)?,
            echo: optional(field::ECHO)?,
            status_level: optional(field::STATUS_LEVEL)?.unwrap_or(0),
            keys: keys.map(|id| KeyId::new(id.to_be_bytes())).collect(),
            version: version.into(),
            is_visitor: found.contains_key(&field::VISITOR),
        })))
    }
}

/// Returns the sender of a hello of another version, if that version encodes the sender as this one
/// does. For this to work with later versions, the number of the field and the names in it must never
/// be reused.
fn who(from: &[u8]) -> Option<(String, NodeInfo)> {
    let mut found = None;
    let read = fields::read(from, |number, value| {
        if number == field::NODE {
            found = codec::decode::<NodeField>(value).ok();
        }
        Ok(true)
    });
    read.ok()?;
    found.map(|node| (node.cluster.clone(), node.info()))
}

fn put(number: u64, content: &impl Serialize, to: &mut Vec<u8>) {
    fields::put(number, Unknown::Skip, &encoded(content), to);
}

fn encoded(content: &impl Serialize) -> Vec<u8> {
    let mut to = Vec::new();
    codec::encode(content, &mut to).expect("the types in a hello always encode");
    to
}

fn services(
    found: &BTreeMap<u64, Vec<u8>>,
    ours: Option<&EncodedHello>,
) -> Result<Arc<[ServiceSpec]>, Malformed> {
    match ours {
        Some(ours) if found.get(&field::SERVICES) == Some(&ours.encoded_services) => {
            Ok(Arc::clone(&ours.services))
        }
        _ => {
            let services: Vec<ServiceSpec> = take(field::SERVICES, found)?;
            let too_many = |_| Malformed::new("hello that announces too many services or methods");
            check_services(&services).map_err(too_many)?;
            Ok(Arc::from(services))
        }
    }
}

fn take<T: serde::de::DeserializeOwned>(
    number: u64,
    found: &BTreeMap<u64, Vec<u8>>,
) -> Result<T, Malformed> {
    let value = found.get(&number).ok_or(Malformed::new("hello"))?;
    codec::decode(value).map_err(|_| Malformed::new("hello"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        codec::bytes::garbage,
        proto::wire::service_limits::MAX_SERVICES,
        types::{ArgumentSpec, MethodSpec},
    };

    fn hello(echo: Option<u64>) -> Hello {
        let addr = "[fdaa::3]:4000".parse().unwrap();
        Hello {
            cluster: "app".to_owned(),
            node: NodeInfo::new(NodeId::new("web", u64::MAX), Region::from("iad"), addr),
            max_body: 1 << 25,
            services: [service()].into(),
            state: state(),
            stamp: 1 << 40,
            echo,
            status_level: STATUS_LEVEL,
            keys: vec![KeyId::new([1, 2, 3, 4]), KeyId::new([0xff; 4])],
            version: "2f1c9e".into(),
            is_visitor: false,
        }
    }

    fn service() -> ServiceSpec {
        let text = ArgumentSpec { name: "text".into(), ty: "String".into(), optional: false };
        let method = MethodSpec {
            name: "upcase".to_owned(),
            arguments: vec![text],
            returns: "String".to_owned(),
            primary: true,
            idempotent: false,
            detached: false,
        };
        ServiceSpec { name: "Strings".to_owned(), methods: vec![method] }
    }

    fn state() -> State {
        State {
            accepting: true,
            draining: false,
            primary_region: Region::from("hkg"),
            withdrawn: vec!["Strings".to_owned()],
        }
    }

    #[test]
    fn hellos_and_states_round_trip() {
        for echo in [None, Some(0), Some(u64::MAX)] {
            let decoded = Hello::decode(&hello(echo).encode());
            assert_eq!(decoded, Ok(HelloOutcome::Hello(Box::new(hello(echo)))));
        }
        assert_eq!(State::decode(&state().encode()), Ok(state()));
    }

    #[test]
    fn the_hello_of_a_visitor_round_trips_and_must_be_understood() {
        let visitor = Hello { is_visitor: true, ..hello(None) };
        let bytes = visitor.encode();
        assert_eq!(Hello::decode(&bytes), Ok(HelloOutcome::Hello(Box::new(visitor))));
        let mut odd_tags = Vec::new();
        let _ = fields::read(&bytes[2..], |number, _| {
            odd_tags.push(number);
            Ok(number != field::VISITOR)
        })
        .unwrap_err();
        assert!(odd_tags.contains(&field::VISITOR));
    }

    #[test]
    fn an_invalid_version_is_ignored() {
        for version in ["", "a\nb", &"x".repeat(65)] {
            let sent = Hello { version: version.into(), ..hello(None) };
            let expected = Hello { version: SmolStr::default(), ..hello(None) };
            let decoded = Hello::decode(&sent.encode());
            assert_eq!(decoded, Ok(HelloOutcome::Hello(Box::new(expected))), "{version:?}");
        }
    }

    #[test]
    fn a_primary_region_that_is_no_name_is_malformed() {
        for region in ["", "a\nb", &"r".repeat(65)] {
            let state = State { primary_region: Region::from(region), ..state() };
            assert!(State::decode(&state.encode()).is_err(), "{region:?}");
            assert!(Hello::decode(&Hello { state, ..hello(None) }.encode()).is_err(), "{region:?}");
        }
    }

    #[test]
    fn equal_lists_of_services_are_shared_and_others_decoded() {
        let ours = |services: &Arc<[ServiceSpec]>| {
            EncodedHello::new("app", &hello(None).node, 1, services, &state(), &[], "")
        };
        let theirs = hello(None);
        let read = |ours: &EncodedHello| match Hello::decode_with(&theirs.encode(), Some(ours)) {
            Ok(HelloOutcome::Hello(read)) => read.services,
            other => panic!("{other:?}"),
        };
        assert!(Arc::ptr_eq(&read(&ours(&theirs.services)), &theirs.services));
        assert_eq!(read(&ours(&Arc::from([]))), theirs.services);
    }

    #[test]
    fn a_hello_with_too_many_services_is_malformed() {
        for (count, ok) in [(MAX_SERVICES, true), (MAX_SERVICES + 1, false)] {
            let services = vec![service(); count].into();
            let hello = Hello { services, ..hello(None) };
            match Hello::decode(&hello.encode()) {
                Ok(decoded) => assert!(ok && decoded == HelloOutcome::Hello(Box::new(hello))),
                Err(error) => assert!(!ok && error.to_string().contains("too many")),
            }
        }
    }

    #[test]
    fn withdrawn_names_are_bounded_and_only_those_of_services_are_kept() {
        let with = |withdrawn: Vec<String>| State { withdrawn, ..state() };
        let many = with(vec!["Strings".to_owned(); MAX_SERVICES + 1]);
        assert!(State::decode(&many.encode()).unwrap_err().to_string().contains("too many"));
        assert!(Hello::decode(&Hello { state: many, ..hello(None) }.encode()).is_err());
        let long = with(vec!["x".repeat(100_000), "Strings".to_owned(), "Strings".to_owned()]);
        let mut decoded = State::decode(&long.encode()).unwrap();
        decoded.limit_to(&[service()]);
        assert_eq!(decoded, state());
        let decoded = Hello::decode(&Hello { state: long, ..hello(None) }.encode());
        assert_eq!(decoded, Ok(HelloOutcome::Hello(Box::new(hello(None)))));
    }

    #[test]
    fn a_hello_of_other_versions_is_recognized_by_its_first_numbers() {
        let other = |first, last| {
            Ok(HelloOutcome::OtherVersions(IncompatiblePeer { first, last, who: None }))
        };
        assert_eq!(Hello::decode(&[2, 9, 0xff]), other(2, 9));
        assert_eq!(Hello::decode(&[0, 0]), other(0, 0));
        assert_eq!(Hello::decode(&[9, 2]), other(9, 2));
    }

    #[test]
    fn the_sender_of_a_hello_of_other_versions_is_decoded_if_it_can_be() {
        let mut bytes = hello(None).encode();
        bytes[..2].copy_from_slice(&[2, 3]);
        let who = Some(("app".to_owned(), hello(None).node));
        let peer = IncompatiblePeer { first: 2, last: 3, who };
        assert_eq!(Hello::decode(&bytes), Ok(HelloOutcome::OtherVersions(peer)));
    }

    #[test]
    fn a_hello_that_shares_a_version_is_decoded_without_its_unknown_fields() {
        for versions in [[0, 1], [1, 2], [0, 9]] {
            let mut bytes = hello(None).encode();
            bytes[..2].copy_from_slice(&versions);
            fields::put(60, Unknown::Skip, b"from the future", &mut bytes);
            assert_eq!(Hello::decode(&bytes), Ok(HelloOutcome::Hello(Box::new(hello(None)))));
        }
    }

    #[test]
    fn a_hello_without_a_status_level_is_of_a_node_that_knows_the_first_statuses() {
        let mut bytes = hello(None).encode();
        let mut level = Vec::new();
        put(field::STATUS_LEVEL, &STATUS_LEVEL, &mut level);
        let at = bytes.windows(level.len()).position(|window| window == level).unwrap();
        bytes.drain(at..at + level.len());
        let expected = Hello { status_level: 0, ..hello(None) };
        assert_eq!(Hello::decode(&bytes), Ok(HelloOutcome::Hello(Box::new(expected))));
    }

    #[test]
    fn a_hello_that_lacks_a_field_is_malformed() {
        assert_eq!(Hello::decode(&[1, 1]), Err(Malformed::new("hello")));
        assert!(State::decode(&[]).is_err());
    }

    #[test]
    fn garbage_decodes_or_is_an_error() {
        let valid = [hello(None).encode(), hello(Some(300)).encode(), state().encode()];
        garbage::feed(&valid, |bytes| {
            let _ = Hello::decode(bytes);
            let _ = State::decode(bytes);
        });
    }
}
