//! Simulated multi-region clusters for testing services built with flyrpc.
//!
//! A [`SimCluster`] runs real nodes in one process, on a simulated network and in virtual time. The
//! nodes run the production code. Delays take no real time and are exact to the millisecond. Two runs
//! with the same [seed](SimClusterBuilder::seed) are identical.
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
//! #[flyrpc_testkit::test]
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
//! The guide, **[Testing a multi-region service](guide)**, covers everything from the first test to a
//! rollout under load. It has an example of each fault, and lists the limitations.
//!
//! # Faults
//!
//! The methods of a cluster inject faults. Most return a guard, and end when the guard is dropped.
//! Calling `keep` on a guard makes its fault last. A *scope* is a region or a host, given by its name.
//!
//! | fault | lasts until its guard is dropped | lasts until another call ends it |
//! |---|---|---|
//! | no messages between two scopes, in both directions or one | [`partition`](SimCluster::partition), [`partition_one_way`](SimCluster::partition_one_way) | `.keep()`, until [`heal`](SimCluster::heal) or [`heal_all`](SimCluster::heal_all) |
//! | messages are held, then released | [`hold`](SimCluster::hold) | `.keep()`, until [`release`](SimCluster::release), `heal` or `heal_all` |
//! | more delay | [`slow`](SimCluster::slow) | `.keep()`, until `heal` or `heal_all` |
//! | random delays | [`jitter`](SimCluster::jitter); [`SimClusterBuilder::jitter`] for all paths | `.keep()`, until `heal` or `heal_all` |
//! | limited bandwidth | [`throttle`](SimCluster::throttle); [`SimClusterBuilder::bandwidth`] for all paths | `.keep()`, until `heal` or `heal_all` |
//! | lost datagrams | [`lose`](SimCluster::lose); [`SimClusterBuilder::loss`] for all paths | `.keep()`, until `heal` or `heal_all` |
//! | a node's process crashes | | [`crash`](SimCluster::crash), until [`restart`](SimCluster::restart) |
//! | its machine crashes, too | | [`crash_machine`](SimCluster::crash_machine), until [`restart`](SimCluster::restart), or [`restart_machine`](SimCluster::restart_machine) without the node |
//! | a machine gets no processor time | [`frozen`](SimCluster::frozen) | [`freeze`](SimCluster::freeze), until [`resume`](SimCluster::resume) |
//! | its clock is wrong | [`skewed_ahead`](SimCluster::skewed_ahead), [`skewed_behind`](SimCluster::skewed_behind): in addition to other skews | [`skew_ahead`](SimCluster::skew_ahead), [`skew_behind`](SimCluster::skew_behind): in place of other skews, until set again |
//! | its clock drifts | [`drifting`](SimCluster::drifting): in addition to other drifts | [`drift`](SimCluster::drift): in place of other drifts, until `drift(host, 0)` |
//!
//! A [`Fault`] describes any of these faults, and a shutdown, as a value. A [`Schedule`] is a list of faults with their
//! times. It can be random, and shrinks if a test with proptest fails (feature `proptest`).
//!
//! # Secrets, and what is on the wire
//!
//! Nodes have no secret by default. [`SimClusterBuilder::secret`] and [`Release::secret`] set one, and rollouts can
//! rotate it. [`SimCluster::tap`] receives every write to a stream and every datagram.
//!
//! # The network alone
//!
//! A cluster runs on a [`SimNet`], a network of hosts in regions. A `SimNet` can also be used without
//! a cluster, to test other programs written against [`Env`](flyrpc::Env). Each host has a [`SimEnv`],
//! whose sockets, tasks, clock and randomness are simulated. A `SimNet` has the same faults as a
//! cluster, but its [`crash`](SimNet::crash) and [`restart`](SimNet::restart) act on machines.
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
//! let mut client = hkg.connect(iad.addr(4100)).await?;
//! client.writer.write_all(b"hello").await?;
//! let (mut server, _) = listener.accept().await?;
//! assert_eq!(server.reader.read_u8().await?, b'h');
//! assert_eq!(start.elapsed(), Duration::from_millis(303)); // a round trip to connect, half of one to write
//! # Ok(())
//! # }
//! ```
//!
//! # Limitations
//!
//! - Tasks that a program spawns with `tokio::spawn` instead of [`flyrpc::spawn`], [`Node::spawn`](flyrpc::Node::spawn) or
//!   its environment are not controlled. They keep running while their host is frozen and after it has crashed. A test with
//!   [`#[flyrpc_testkit::test]`](macro@test) fails if one outlives a crash.
//! - Runs are repeatable only on tokio's current-thread runtime with a paused clock, and only if
//!   programs take their randomness from their environment and do not iterate over `std`'s hash maps.
//! - Unless bandwidth is [limited](SimNetBuilder::bandwidth), only the buffers of a stream limit its
//!   throughput. Acknowledgements take no time, headers use no bandwidth, and streams lose nothing.
//!   The only congestion is the queue of a path with limited bandwidth.

mod cluster;
mod fault;
#[cfg(feature = "http")]
mod http;
mod latency;
#[cfg(feature = "logs")]
mod logs;
mod net;
mod panic_text;
mod real_io;
mod rng;
mod run;
mod seed;
mod trace;

#[doc = include_str!("test.md")]
pub use flyrpc_macros::sim_test as test;

#[doc = include_str!("guide.md")]
pub mod guide {
    #[doc = include_str!("guide/http_and_sqlite.md")]
    pub mod http_and_sqlite {}
    #[doc = include_str!("guide/random_faults.md")]
    pub mod random_faults {}
    #[doc = include_str!("guide/tasks.md")]
    pub mod tasks {}
}

#[doc = include_str!("comparison.md")]
pub mod comparison {}

#[cfg(feature = "proptest")]
pub use self::fault::strategy;
#[cfg(feature = "http")]
pub use self::http::{HttpClient, HttpStream, SimConnector};
#[cfg(feature = "logs")]
pub use self::logs::{VirtualTime, init_logs};
pub use self::{
    cluster::{Release, Rollout, SimCluster, SimClusterBuilder, SimNode},
    fault::{ActiveFault, Fault, FaultKind, PlannedFault, RandomFaults, Schedule},
    latency::RoundTrips,
    net::{
        Barrier, FaultGuard, Sent, SimDisk, SimEnv, SimNet, SimNetBuilder, SimTcpListener,
        SimTcpStream, Via,
    },
    real_io::real_io,
    run::{ParseSeedsError, Seeds, Simulation, TestResult, for_seeds, simulate},
    trace::{
        CallOutcome, Calls, Diagram, Events, ExecutionOutcome, Executions, Occurrence, Trace,
        TracedCall, TracedEvent, TracedExecution,
    },
};
