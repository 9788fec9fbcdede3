//! A [`proptest`] strategy for [schedules](Schedule) of faults, with the feature `proptest`.
//!
//! A failing schedule shrinks to fewer faults, then to shorter, milder and earlier ones.
//!
//! ```test_harness
//! # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/guide/preamble.rs"));
//! use flyrpc_testkit::{RandomFaults, Schedule, strategy};
//! use proptest::{prelude::*, test_runner::TestCaseError};
//! use tokio::runtime::Builder;
//!
//! proptest! {
//!     #![proptest_config(ProptestConfig::with_cases(16))]
//!
//!     #[test]
//!     fn calls_succeed_after_faults(
//!         schedule in strategy::schedules(RandomFaults::new([("iad", 2), ("hkg", 1)])),
//!     ) {
//!         let runtime = Builder::new_current_thread().enable_all().start_paused(true).build()?;
//!         runtime.block_on(check(&schedule))?;
//!     }
//! }
//!
//! async fn check(schedule: &Schedule) -> Result<(), TestCaseError> {
//!     let cluster = cluster().await; // 2 nodes in iad, 1 in hkg
//!     cluster.run_schedule(schedule).await;
//!     cluster.settled().await;
//!     let strings: StringsClient = cluster.node("hkg-0").client();
//!     prop_assert_eq!(strings.on_primary().upcase("fly".into()).await?, "FLY");
//!     Ok(())
//! }
//! ```

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
