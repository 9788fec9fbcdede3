//! Tests of the code in the guide *Patterns*, on simulated clusters and in virtual time.

mod cache;
mod calling;
mod guide;
mod http;
mod idempotency;
mod lease;
mod pagination;

use std::time::Duration;

use flyrpc_testkit::{SimCluster, SimClusterBuilder};

/// Two nodes beside the database in iad, one in fra and one in hkg.
fn regions() -> SimClusterBuilder {
    SimCluster::builder()
        .region("iad", 2)
        .region("fra", 1)
        .region("hkg", 1)
        .primary("iad")
        .rtt("iad", "fra", ms(90))
        .rtt("iad", "hkg", ms(200))
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}
