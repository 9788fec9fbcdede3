//! Simulated multi-region clusters for testing services built with flyrpc.
//!
//! A [`SimNet`] is a network of hosts in regions, in one process and on tokio's clock. With the
//! clock paused, its delays take no real time, are exact to the millisecond, and a run repeats for
//! as long as its [seed](SimNetBuilder::seed) does. Each host has a [`SimEnv`], the
//! [`Env`](flyrpc::Env) that a node on it runs in: the production code, with other sockets.
//!
//! ```
//! use std::{io, time::Duration};
//! use flyrpc::Env;
//! use flyrpc_testkit::SimNet;
//! use tokio::{io::{AsyncReadExt, AsyncWriteExt}, time::{Instant, timeout}};
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
//! assert_eq!(start.elapsed(), Duration::from_millis(202));
//!
//! let (mut far, _) = listener.accept().await?;
//! let cut = net.partition("iad", "hkg");
//! near.writer.write_all(b"hello").await?;
//! let hour = Duration::from_secs(3600);
//! assert!(timeout(hour, far.reader.read_u8()).await.is_err());
//!
//! drop(cut);
//! assert_eq!(far.reader.read_u8().await?, b'h');
//! # Ok(())
//! # }
//! ```
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
mod latency;
mod net;
mod real_io;
mod rng;
mod seed;
mod task;
mod trace;

pub use self::{
    cluster::{Release, Rollout, SimCluster, SimClusterBuilder, SimNode},
    env::SimEnv,
    latency::RoundTrips,
    net::{FaultGuard, SimNet, SimNetBuilder},
    real_io::real_io,
    trace::{CallOutcome, Calls, Events, Occurrence, Trace, TracedCall, TracedEvent},
};
