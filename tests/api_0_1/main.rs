//! The public API of flyrpc 0.1 and flyrpc-testkit 0.1, which later versions keep. Each item is used with its full
//! signature, so this test does not compile if one of them is missing or has changed: every type, field, variant, method
//! and function, every implementation of a trait, and everything that `#[fly_rpc]` generates.
//!
//! The items are those that rustdoc lists (`--output-format json`) for commit 920ef7e, the last one of 0.1. These
//! files compiled against that commit without a change, and their tests passed. A new item of a later version does not
//! belong here.
//!
//! # What is omitted
//!
//! The breaking changes that the guide *Upgrading from 0.1* or the changelog lists, as far as they concern items:
//!
//! - the types of `BoxStream::reader`, of the counts in `Known`, of the source of `RpcError::Stub`, and of the result of
//!   `Node::events`. What programs do with their values is tested, without naming the types.
//! - `NoSupport::SameAddress`
//! - that `SimCluster` dereferences to `SimNet`, and so `SimNet::crash` and `SimNet::restart` on a cluster. All other
//!   methods of `SimNet` are called on a cluster.
//! - the module `flyrpc_testkit::large_clusters`, which had no items
//!
//! What is no part of the API: items that the documentation hides (`flyrpc::__private`, `__membership`, `__routing`, the
//! items of `Client` and `Service`), names of generic parameters, traits that a type does not implement, and the
//! auto traits `Freeze` and `UnsafeUnpin`, which are not stable.

mod forms;
mod generated;
mod impls;
#[expect(dead_code, reason = "it only has to compile")]
mod methods;
#[expect(dead_code, reason = "it only has to compile")]
#[expect(clippy::extra_unused_lifetimes, reason = "signatures within functions use them")]
mod testkit;
mod traits;
#[expect(dead_code, reason = "it only has to compile")]
#[expect(clippy::extra_unused_lifetimes, reason = "signatures within functions use them")]
mod values;

/// Modules that contain documentation only.
#[expect(unused_imports, reason = "they contain no items")]
mod guides {
    use flyrpc::guide::changing_a_service as _;
    use flyrpc_testkit::guide as _;
}

/// Compiles if the output of the future is a `T`, and if the future can be awaited in a task.
fn is<T>(_: impl Future<Output = T> + Send) {}

/// Compiles if the output of the future is a `T`, and if the future can be spawned.
fn is_static<T>(_: impl Future<Output = T> + Send + 'static) {}
