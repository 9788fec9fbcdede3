//! A [`proptest`] strategy for [schedules](Schedule) of faults, with the feature `proptest`.
//!
//! A failing schedule shrinks to fewer faults, then to shorter, milder and earlier ones.
//!
//! ```
//! # use proptest::{strategy::{Strategy, ValueTree}, test_runner::TestRunner};
//! use flyrpc_testkit::{RandomFaults, strategy};
//!
//! let schedules = strategy::schedules(RandomFaults::new([("iad", 2), ("hkg", 1)]).count(1..=3));
//! # let tree = schedules.new_tree(&mut TestRunner::deterministic()).unwrap();
//! # assert!((1..=3).contains(&tree.current().faults().len()));
//! ```
//!
//! [The guide](crate::guide::random_faults#shrinking-with-proptest) has a property test.

use proptest::{bool, collection, strategy::Strategy};

use super::{
    planned::Schedule,
    random::{Draw, RandomFaults, Share},
};

/// Returns a strategy for schedules within these bounds. Every schedule that [`Schedule::random`] can return is possible.
///
/// # Panics
///
/// If `faults` allows no kind of fault.
#[track_caller]
pub fn schedules(faults: RandomFaults) -> impl Strategy<Value = Schedule> {
    let kinds = faults.kinds();
    let (nodes, scopes) = (faults.nodes.len(), faults.scopes.len());
    let draw = (
        0..=Share::MAX,
        0..=Share::MAX,
        0..=Share::MAX,
        0..kinds.len(),
        0..nodes,
        (0..scopes, 0..scopes - 1),
        bool::ANY,
    );
    let draw = draw.prop_map(|(lasts, magnitude, at, kind, node, scopes, is_slow)| {
        let [lasts, magnitude, at] = [lasts, magnitude, at].map(Share);
        Draw { kind, node, scopes, at, lasts, magnitude, is_slow }
    });
    collection::vec(draw, faults.count.clone())
        .prop_map(move |draws| draws.into_iter().map(|draw| faults.plan(&kinds, draw)).collect())
}
