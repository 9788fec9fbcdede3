//! Callers, and the latencies that they measure.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use hdrhistogram::Histogram;
use tokio::task::JoinSet;

use super::{Call, Load, Measured};
use crate::{contenders::Contender, handlers::Record};

/// Makes one call.
pub(super) async fn call<C: Contender>(client: &C, call: Call, body: &Body<C>) -> Result<()> {
    match call {
        Call::Upcase => {
            let reply = client.upcase("fly".to_owned()).await?;
            ensure!(reply == "FLY", "upcase(\"fly\") returned {reply:?}");
        }
        Call::Echo { bytes } => {
            let reply = client.echo(body.bytes.clone()).await?;
            ensure!(reply.len() == bytes, "an echo of {bytes} bytes returned {}", reply.len());
        }
        Call::EchoRecords { .. } => {
            let reply = client.echo_records(body.records.clone()).await?;
            let (sent, received) = (body.records.len(), reply.len());
            ensure!(received == sent, "an echo of {sent} records returned {received}");
        }
        Call::Pause { micros } => client.pause(micros).await?,
        Call::Burn { micros } => client.burn(micros).await?,
        Call::FanOut { nodes } => client.fan_out(nodes, "fly").await?,
    }
    Ok(())
}

/// What echoes send.
pub(super) struct Body<C: Contender> {
    bytes: Bytes,
    records: Vec<C::Record>,
}

impl<C: Contender> Body<C> {
    /// Creates what `call` sends, which is empty unless it is an echo.
    pub(super) fn of(call: Call) -> Self {
        let (bytes, records) = match call {
            Call::Echo { bytes } => (bytes, 0),
            Call::EchoRecords { count } => (0, count),
            _ => (0, 0),
        };
        let bytes = (0..bytes).map(|at| at as u8).collect::<Vec<_>>().into();
        Body { bytes, records: (0..records).map(|id| Record::new(id).into()).collect() }
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
            let body = Body::of(what);
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
    let body = Body::of(what);
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
