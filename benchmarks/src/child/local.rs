//! Calls of `upcase("fly")` that stay in this process.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

use crate::contenders::{flyrpc, tarpc};

/// How a call reaches the handler.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) enum LocalPath {
    /// A direct call of the trait's method.
    Direct,
    /// Through tarpc's `Serve`, which is a `Stub`.
    TarpcStub,
    /// Through a flyrpc service as a tarpc `Stub`, and flyrpc's client.
    FlyrpcStub,
    /// Through a node, to its own region.
    ShortCircuit,
}

/// Makes `calls` calls, and returns the time that they took.
pub(super) async fn call(way: LocalPath, calls: u64) -> Result<Duration> {
    match way {
        LocalPath::Direct => {
            let handlers = black_box(flyrpc::Handlers);
            repeat(calls, async |text| Ok(flyrpc::Strings::upcase(&handlers, text).await)).await
        }
        LocalPath::TarpcStub => {
            use tarpc::Strings as _;
            let client = tarpc::StringsClient::from(tarpc::Handlers.serve());
            let context = ::tarpc::context::current();
            repeat(calls, async |text| Ok(client.upcase(context, text).await?)).await
        }
        LocalPath::FlyrpcStub => {
            let service = flyrpc::ServeStrings::new(flyrpc::Handlers);
            let client = flyrpc::StringsClient::from_stub(service);
            repeat(calls, async |text| Ok(client.upcase(text).await?)).await
        }
        LocalPath::ShortCircuit => {
            let node = flyrpc::server::<false>()?.start().await?;
            let client: flyrpc::StringsClient = node.client();
            repeat(calls, async |text| Ok(client.on_region(flyrpc::SERVER).upcase(text).await?))
                .await
        }
    }
}

async fn repeat(
    calls: u64,
    mut upcase: impl AsyncFnMut(String) -> Result<String>,
) -> Result<Duration> {
    let start = Instant::now();
    for _ in 0..calls {
        let reply = upcase(black_box("fly").to_owned()).await?;
        ensure!(reply == "FLY", "upcase(\"fly\") returned {reply:?}");
    }
    Ok(start.elapsed())
}
