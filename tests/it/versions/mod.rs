//! Nodes of different versions in one cluster. Compatible changes work in both directions.
//! Incompatible changes cause an error that names the problem, never a different value.

#![allow(clippy::vec_init_then_push, reason = "each row of a table pushes its own value")]

mod arguments;
mod buffered;
mod enums;
mod methods;
mod peers;
mod primary;
mod protocol;

mod scalars;
mod serde_attributes;
mod standard_types;
mod structs;
mod unrepresentable;
mod version_pair;

/// Derives the traits that the argument and reply types of these tests need.
macro_rules! types {
    ($($item:item)*) => {$(
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[allow(dead_code)]
        $item
    )*};
}

/// Declares tests of types that differ between two versions of a service.
///
/// `row: Old, New { old value => Ok(arrived); new value => Err("part of the message"); }` declares
/// a test named `row`. The test sends each value from a node of its version to a node of the other
/// version: once as the argument of a call, and once as the reply.
macro_rules! versions {
    (@values old old $values:ident $value:expr) => { $values.push($value) };
    (@values new new $values:ident $value:expr) => { $values.push($value) };
    (@values $version:ident $side:ident $values:ident $value:expr) => {};
    (@check old $pair:ident $row:ident $old:ty, $new:ty, $value:expr, $expected:expr) => {{
        let expected: Result<$new, &str> = $expected;
        let nth = $pair.next_index("old");
        let take = $pair.client::<old::TakeClient>("old").on_region("new");
        let give = $pair.client::<new::GiveClient>("new").on_region("old");
        $pair.expect_as_argument(|| take.$row($value), "old", &expected).await;
        $pair.expect_as_reply(|| give.$row(nth), "new", &expected).await;
    }};
    (@check new $pair:ident $row:ident $old:ty, $new:ty, $value:expr, $expected:expr) => {{
        let expected: Result<$old, &str> = $expected;
        let nth = $pair.next_index("new");
        let take = $pair.client::<new::TakeClient>("new").on_region("old");
        let give = $pair.client::<old::GiveClient>("old").on_region("new");
        $pair.expect_as_argument(|| take.$row($value), "new", &expected).await;
        $pair.expect_as_reply(|| give.$row(nth), "old", &expected).await;
    }};
    (@version $version:ident $($row:ident: $ty:ty { $($side:ident $value:expr;)* })*) => {
        mod $version {
            #[allow(unused_imports)]
            use super::*;

            #[flyrpc::fly_rpc(name = "Take")]
            pub(super) trait Take {
                $(async fn $row(&self, value: $ty) -> String;)*
            }

            #[flyrpc::fly_rpc(name = "Give")]
            pub(super) trait Give {
                $(async fn $row(&self, nth: usize) -> $ty;)*
            }

            #[derive(Clone)]
            pub(super) struct Served(pub(super) $crate::versions::version_pair::Executed);

            impl Take for Served {
                $(async fn $row(&self, value: $ty) -> String {
                    self.0.add();
                    format!("{value:?}")
                })*
            }

            impl Give for Served {
                $(async fn $row(&self, nth: usize) -> $ty {
                    self.0.add();
                    #[allow(unused_mut)]
                    let mut values: Vec<$ty> = Vec::new();
                    $(versions!(@values $version $side values $value);)*
                    values.swap_remove(nth)
                })*
            }
        }
    };
    ($(
        $(#[$attribute:meta])*
        $row:ident: $old:ty, $new:ty { $($side:ident $value:expr => $expected:expr;)* }
    )*) => {
        versions!(@version old $($row: $old { $($side $value;)* })*);
        versions!(@version new $($row: $new { $($side $value;)* })*);

        $(
            $(#[$attribute])*
            #[tokio::test(start_paused = true)]
            async fn $row() {
                let mut pair = $crate::versions::version_pair::VersionPair::start(
                    |executed| {
                        let served = old::Served(executed.clone());
                        (old::ServeTake::new(served.clone()), old::ServeGive::new(served))
                    },
                    |executed| {
                        let served = new::Served(executed.clone());
                        (new::ServeTake::new(served.clone()), new::ServeGive::new(served))
                    },
                ).await;
                $(versions!(@check $side pair $row $old, $new, $value, $expected);)*
                pair.expect_no_link_events();
            }
        )*
    };
}

use {types, versions};
