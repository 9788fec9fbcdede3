// Shared code of the examples in the guide. Each example includes this file; it is not a module.

use std::time::Duration;

use flyrpc::{RpcError, fly_rpc};
use flyrpc_testkit::{Release, SimCluster, SimClusterBuilder};
use tokio::time::{Instant, sleep};

#[fly_rpc]
pub trait Strings {
    async fn upcase(&self, text: String) -> String;
    async fn slow(&self, pause: Duration) -> Duration;
}

pub struct Shout;

impl Strings for Shout {
    async fn upcase(&self, text: String) -> String {
        text.to_uppercase()
    }

    async fn slow(&self, pause: Duration) -> Duration {
        sleep(pause).await;
        pause
    }
}

pub mod v2 {
    #[flyrpc::fly_rpc(name = "Strings")]
    pub trait Strings {
        async fn upcase(&self, text: String) -> String;
        async fn reverse(&self, text: String) -> String;
    }

    pub struct Shout;

    impl Strings for Shout {
        async fn upcase(&self, text: String) -> String {
            text.to_uppercase()
        }

        async fn reverse(&self, text: String) -> String {
            text.chars().rev().collect()
        }
    }
}

pub fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

pub fn regions() -> SimClusterBuilder {
    SimCluster::builder()
        .region("iad", 2)
        .region("hkg", 1)
        .rtt("iad", "hkg", ms(202))
        .serve(|_node| ServeStrings::new(Shout))
}

pub async fn cluster() -> SimCluster {
    regions().announce(false).start().await
}
