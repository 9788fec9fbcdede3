//! Simulated multi-region clusters for testing services built with flyrpc.
//!
//! A [`SimCluster`] runs real nodes, the production code, in one process: on a simulated network and
//! in virtual time. Its delays take no real time and are exact to the millisecond, and a run repeats
//! for as long as its [seed](SimClusterBuilder::seed) does.
//!
//! ```test_harness
//! use std::time::Duration;
//! use flyrpc::{RpcError, fly_rpc};
//! use flyrpc_testkit::SimCluster;
//! use tokio::time::Instant;
//!
//! #[fly_rpc]
//! pub trait Strings {
//!     /// Upper-cases `text`.
//!     async fn upcase(&self, text: String) -> String;
//! }
//!
//! struct Shout;
//!
//! impl Strings for Shout {
//!     async fn upcase(&self, text: String) -> String {
//!         text.to_uppercase()
//!     }
//! }
//!
//! #[tokio::test(start_paused = true)]
//! async fn the_primary_is_a_round_trip_away_and_can_be_cut_off() {
//!     let cluster = SimCluster::builder()
//!         .region("iad", 2)
//!         .region("hkg", 1)
//!         .primary("iad")
//!         .rtt("iad", "hkg", Duration::from_millis(202))
//!         .serve(|_node| ServeStrings::new(Shout))
//!         .start()
//!         .await;
//!     let strings: StringsClient = cluster.node("hkg-0").client(); // a node as in production
//!
//!     let start = Instant::now();
//!     assert_eq!(strings.on_primary().upcase("fly".into()).await.unwrap(), "FLY");
//!     assert_eq!(start.elapsed(), Duration::from_millis(202));
//!
//!     let _cut = cluster.partition("iad", "hkg"); // heals when dropped
//!     let call = strings.on_primary().timeout(Duration::from_secs(1)).upcase("fly".into());
//!     assert!(matches!(call.await, Err(RpcError::Timeout { .. })));
//! }
//! ```
//!
//! **[Testing a multi-region service](guide)** is the guide: it begins with the first test and ends
//! with a rollout under load, has an example of each fault, and says what is out of reach.
//!
//! # Faults
//!
//! Most faults end when their guard is dropped, and each can last instead: `keep` makes any guard's
//! fault last.
//!
//! | fault | until its guard is dropped | until something ends it |
//! |---|---|---|
//! | between two places (regions or hosts): no messages, both ways or one way | [`partition`](SimNet::partition), [`partition_one_way`](SimNet::partition_one_way) | `.keep()`, until [`heal`](SimNet::heal) or [`heal_all`](SimNet::heal_all) |
//! | messages are kept back, then go on | [`hold`](SimNet::hold) | `.keep()`, until [`release`](SimNet::release), `heal` or `heal_all` |
//! | more delay | [`slow`](SimNet::slow) | `.keep()`, until `heal` or `heal_all` |
//! | delays that chance varies | [`jitter`](SimNet::jitter); [`SimNetBuilder::jitter`] for all ways | `.keep()`, until `heal` or `heal_all` |
//! | little bandwidth | [`throttle`](SimNet::throttle); [`SimNetBuilder::bandwidth`] for all ways | `.keep()`, until `heal` or `heal_all` |
//! | lost datagrams | [`lose`](SimNet::lose); [`SimNetBuilder::loss`] for all ways | `.keep()`, until `heal` or `heal_all` |
//! | a host crashes | | [`crash`](SimNet::crash), until [`restart`](SimNet::restart), which gives the environment to start anew in |
//! | it gets no processor time | [`frozen`](SimNet::frozen) | [`freeze`](SimNet::freeze), until [`resume`](SimNet::resume) |
//! | its clock is off | [`skewed_ahead`](SimNet::skewed_ahead), [`skewed_behind`](SimNet::skewed_behind): besides what it is off already | [`skew_ahead`](SimNet::skew_ahead), [`skew_behind`](SimNet::skew_behind): instead of that, until set again |
//! | its clock drifts | [`drifting`](SimNet::drifting): besides what it drifts already | [`drift`](SimNet::drift): instead of that, until `drift(host, 0)` |
//!
//! # The network alone
//!
//! A cluster dereferences to its [`SimNet`], a network of hosts in regions, which can also be used
//! without one: to test other programs written against [`Env`](flyrpc::Env). Each host has a
//! [`SimEnv`], whose sockets, tasks, clock and randomness are simulated.
//!
//! ```
//! use std::{io, time::Duration};
//! use flyrpc::Env;
//! use flyrpc_testkit::SimNet;
//! use tokio::{io::{AsyncReadExt, AsyncWriteExt}, time::Instant};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> io::Result<()> {
//! let net = SimNet::builder().rtt("iad", "hkg", Duration::from_millis(202)).build();
//! let iad = net.add_host("iad-0", "iad");
//! let hkg = net.add_host("hkg-0", "hkg");
//!
//! let start = Instant::now();
//! let mut listener = iad.listen(iad.addr(4100)).await?;
//! let mut near = hkg.connect(iad.addr(4100)).await?;
//! near.writer.write_all(b"hello").await?;
//! let (mut far, _) = listener.accept().await?;
//! assert_eq!(far.reader.read_u8().await?, b'h');
//! assert_eq!(start.elapsed(), Duration::from_millis(303)); // to connect, and one way
//! # Ok(())
//! # }
//! ```
//!
//! # What it does not do
//!
//! - Tasks that a program spawns past its environment, with `tokio::spawn`, are out of its reach:
//!   they run on while their host is frozen and after it has crashed.
//! - Equal runs need tokio's current-thread runtime, its clock paused, and programs that take their
//!   randomness from their environment and do not iterate over `std`'s hash maps.
//! - Bandwidth is bounded by a stream's buffers only, unless it is [limited](SimNetBuilder::bandwidth).
//!   Acknowledgements take no time, headers no bandwidth, and streams lose nothing: there is no
//!   congestion but for the turns that are taken on a limited way.

mod cluster;
mod env;
pub mod large_clusters;
mod latency;
mod net;
mod real_io;
mod rng;
mod seed;
mod task;
mod trace;

#[doc = include_str!("guide.md")]
pub mod guide {}

/// The programs in the README compile and run. They need both crates, so they are tested in this
/// one.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

pub use self::{
    cluster::{Release, Rollout, SimCluster, SimClusterBuilder, SimNode},
    env::SimEnv,
    latency::RoundTrips,
    net::{FaultGuard, SimNet, SimNetBuilder},
    real_io::real_io,
    trace::{CallOutcome, Calls, Events, Occurrence, Trace, TracedCall, TracedEvent},
};
