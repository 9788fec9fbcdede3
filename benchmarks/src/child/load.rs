//! Callers, and the latencies that they measure.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use hdrhistogram::Histogram;
use tokio::task::JoinSet;

use super::{Call, Load, Measured};
use crate::contenders::Contender;

/// Makes one call.
pub(super) async fn call<C: Contender>(client: &C, call: Call, body: &Bytes) -> Result<()> {
    match call {
        Call::Upcase => {
            let reply = client.upcase("fly".to_owned()).await?;
            ensure!(reply == "FLY", "upcase(\"fly\") returned {reply:?}");
        }
        Call::Echo { bytes } => {
            let reply = client.echo(body.clone()).await?;
            ensure!(reply.len() == bytes, "an echo of {bytes} bytes returned {}", reply.len());
        }
        Call::Pause { micros } => client.pause(micros).await?,
        Call::Burn { micros } => client.burn(micros).await?,
        Call::FanOut { nodes } => client.fan_out(nodes, "fly").await?,
    }
    Ok(())
}

/// Returns the body that a call sends, which is empty unless it is an echo.
pub(super) fn body(call: Call) -> Bytes {
    match call {
        Call::Echo { bytes } => (0..bytes).map(|at| at as u8).collect::<Vec<_>>().into(),
        _ => Bytes::new(),
    }
}

/// Makes calls for the warm-up and the measured time.
pub(super) async fn load<C: Contender>(client: &C, load: &Load) -> Result<Measured> {
    let begin = Instant::now() + load.warm_up;
    let window = (begin, begin + load.time);
    let mut callers = JoinSet::new();
    for _ in 0..load.callers {
        callers.spawn(caller(client.clone(), load.call, window));
    }
    let mut others = JoinSet::new();
    if let Some((call, count)) = load.beside {
        for _ in 0..count {
            others.spawn(caller(client.clone(), call, window));
        }
    }

    let (mut all, mut in_time) = (0, 0);
    let mut latencies = Histogram::<u64>::new(3).expect("three significant digits are supported");
    while let Some(seen) = callers.join_next().await {
        let seen = seen??;
        all += seen.calls;
        in_time += seen.in_time;
        for latency in seen.latencies {
            latencies.record(latency.into()).context("a latency is out of bounds")?;
        }
    }
    while let Some(seen) = others.join_next().await {
        all += seen??.calls;
    }
    ensure!(!latencies.is_empty(), "no call began within {:?}", load.time);
    let micros = |quantile| latencies.value_at_quantile(quantile) as f64 / 1e3;
    Ok(Measured {
        per_second: in_time as f64 / load.time.as_secs_f64(),
        p50: micros(0.5),
        p99: micros(0.99),
        all,
    })
}

/// Makes `calls` calls, divided evenly among `callers` callers.
pub(super) async fn count<C: Contender>(
    client: &C,
    what: Call,
    callers: usize,
    calls: u64,
) -> Result<()> {
    let mut running = JoinSet::new();
    for _ in 0..callers {
        let client = client.clone();
        running.spawn(async move {
            let body = body(what);
            for _ in 0..calls / callers as u64 {
                call(&client, what, &body).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(done) = running.join_next().await {
        done??;
    }
    Ok(())
}

/// The measurements of one caller.
#[derive(Default)]
struct Seen {
    calls: u64,
    in_time: u64,
    /// Latencies in nanoseconds. Adding to a list costs less between calls than updating a histogram.
    latencies: Vec<u32>,
}

async fn caller<C: Contender>(client: C, what: Call, window: (Instant, Instant)) -> Result<Seen> {
    let body = body(what);
    let mut seen = Seen::default();
    let mut start = Instant::now();
    while start < window.1 {
        call(&client, what, &body).await?;
        let end = Instant::now();
        seen.calls += 1;
        if start >= window.0 {
            seen.latencies.push(nanos(end - start));
            seen.in_time += u64::from(end <= window.1);
        }
        start = end;
    }
    Ok(seen)
}

/// Returns a latency in nanoseconds, limited to the maximum of `u32`, which is about four seconds.
fn nanos(latency: Duration) -> u32 {
    latency.as_nanos().try_into().unwrap_or(u32::MAX)
}
