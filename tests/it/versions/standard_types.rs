//! Types of the standard library, collections, and nested types, between versions that use
//! different types for the same values.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque},
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize};

use super::{types, versions};

types! {
    #[derive(Eq, PartialOrd, Ord, Hash)]
    enum Zone { East, West(u8) }
    struct Timed { wait: Duration, at: SystemTime }
    struct TimedV2 { at: SystemTime, wait: Option<Duration>, from: Option<IpAddr> }
    struct Plainly { secs: u64, nanos: u32 }
    struct Deep<K: Ord, V> { by: BTreeMap<K, Vec<Option<V>>> }
    enum Tree { Leaf(i128), Node(Box<Tree>, Box<Tree>) }
    enum TreeV2 { Node(Arc<TreeV2>, Arc<TreeV2>), Leaf(i64) }
}

type Owned = Vec<(String, Box<[u16]>)>;
type Shared = VecDeque<(Arc<str>, Cow<'static, [u32]>)>;

fn at() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_123)
}

versions! {
    equivalent_collections_are_compatible: Owned, Shared {
        old vec![("a".into(), [1, 2].into())] => Ok(VecDeque::from([("a".into(), vec![1, 2].into())]));
        new VecDeque::from([("a".into(), vec![1].into())]) => Ok(vec![("a".into(), [1].into())]);
        new VecDeque::from([("a".into(), vec![70_000].into())]) => Err("[0][1][0]");
    }
    a_set_is_a_list_without_order: BTreeSet<u8>, Vec<u8> {
        old BTreeSet::from([2, 1]) => Ok(vec![1, 2]);
        new vec![2, 1, 2] => Ok(BTreeSet::from([1, 2]));
    }
    hash_sets_and_tree_sets_are_compatible: HashSet<Zone>, BTreeSet<Zone> {
        old HashSet::from([Zone::East]) => Ok(BTreeSet::from([Zone::East]));
        new BTreeSet::from([Zone::West(1)]) => Ok(HashSet::from([Zone::West(1)]));
    }
    an_array_is_a_list_of_its_length: [u8; 3], Vec<u8> {
        old [1, 2, 3] => Ok(vec![1, 2, 3]);
        new vec![1, 2, 3] => Ok([1, 2, 3]);
        new vec![1, 2] => Err("an array of length 3");
        new vec![1, 2, 3, 4] => Err("4 elements where 3 were expected");
    }
    maps_have_keys_of_any_kind: BTreeMap<(u8, u8), Zone>, HashMap<(u16, u16), Zone> {
        old BTreeMap::from([((1, 2), Zone::East)]) => Ok(HashMap::from([((1, 2), Zone::East)]));
        new HashMap::from([((1, 2), Zone::West(3))]) => Ok(BTreeMap::from([((1, 2), Zone::West(3))]));
        new HashMap::from([((1, 256), Zone::East)]) => Err("integer `256`");
    }
    a_number_as_a_key_is_not_text: BTreeMap<u8, bool>, BTreeMap<String, bool> {
        old BTreeMap::from([(1, true)]) => Err("integer `1`");
        new BTreeMap::from([("1".into(), true)]) => Err("string \"1\"");
        new BTreeMap::new() => Ok(BTreeMap::new());
    }
    text_as_a_key_becomes_a_variant: BTreeMap<String, u8>, BTreeMap<Zone, u8> {
        old BTreeMap::from([("East".into(), 1)]) => Ok(BTreeMap::from([(Zone::East, 1)]));
        old BTreeMap::from([("North".into(), 1)]) => Err("unknown variant `North`");
        new BTreeMap::from([(Zone::East, 1)]) => Ok(BTreeMap::from([("East".into(), 1)]));
    }
    a_map_is_not_a_list_of_pairs: BTreeMap<u8, u8>, Vec<(u8, u8)> {
        old BTreeMap::from([(1, 2)]) => Err("map");
        new vec![(1, 2)] => Err("sequence");
    }
    times_and_addresses_are_added: Timed, TimedV2 {
        old Timed { wait: Duration::MAX, at: at() }
            => Ok(TimedV2 { at: at(), wait: Some(Duration::MAX), from: None });
        new TimedV2 { at: at(), wait: Some(Duration::ZERO), from: Some(Ipv6Addr::LOCALHOST.into()) }
            => Ok(Timed { wait: Duration::ZERO, at: at() });
        new TimedV2 { at: at(), wait: None, from: None } => Err("wait: invalid type: none");
    }
    a_duration_is_a_struct_and_not_a_pair: Duration, Plainly {
        old Duration::new(1, 2) => Ok(Plainly { secs: 1, nanos: 2 });
        new Plainly { secs: 1, nanos: 2 } => Ok(Duration::new(1, 2));
        new Plainly { secs: u64::MAX, nanos: u32::MAX } => Err("overflow");
    }
    a_duration_is_not_a_number: Duration, u64 {
        old Duration::from_secs(1) => Err("map");
        new 1 => Err("integer `1`");
    }
    an_ip_address_is_not_a_socket_address: IpAddr, SocketAddr {
        old Ipv6Addr::LOCALHOST.into() => Err("invalid socket address");
        new (Ipv6Addr::LOCALHOST, 80).into() => Err("invalid IP address");
    }
    generics_nest: Deep<u8, Zone>, Deep<u16, Zone> {
        old Deep { by: BTreeMap::from([(1, vec![None, Some(Zone::West(1))])]) }
            => Ok(Deep { by: BTreeMap::from([(1, vec![None, Some(Zone::West(1))])]) });
        new Deep { by: BTreeMap::from([(300, vec![])]) } => Err("by[300]");
    }
    recursive_types_change_at_every_depth: Tree, TreeV2 {
        old Tree::Node(Tree::Leaf(-1).into(), Tree::Leaf(7).into())
            => Ok(TreeV2::Node(TreeV2::Leaf(-1).into(), TreeV2::Leaf(7).into()));
        old Tree::Node(Tree::Leaf(-1).into(), Tree::Leaf(i128::MAX).into())
            => Err("Node[1].Leaf");
        new TreeV2::Node(TreeV2::Leaf(i64::MIN).into(), TreeV2::Leaf(0).into())
            => Ok(Tree::Node(Tree::Leaf(i64::MIN.into()).into(), Tree::Leaf(0).into()));
    }
    results_of_results_nest: Result<Result<u8, String>, ()>, Result<Result<u16, String>, ()> {
        old Ok(Err("no".into())) => Ok(Ok(Err("no".into())));
        old Err(()) => Ok(Err(()));
        new Ok(Ok(256)) => Err("Ok.Ok");
    }
}
