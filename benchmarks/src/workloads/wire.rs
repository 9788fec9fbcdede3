//! Bytes that a call puts on the wire, counted by a proxy between client and server: without what
//! TCP and IP add.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use anyhow::Result;

use super::{Comparison, Workload};
use crate::{
    bench::Bench,
    child::{Call, Pair, Plan},
    contenders::{Name, Setup},
    proxy::Proxy,
};

pub(crate) const WORKLOAD: Workload = Workload { name: "wire", seconds: 15, run, comparisons };

fn run(bench: &mut Bench) -> Result<()> {
    bench.interleave(&Name::ALL, |bench, contender| {
        let calls = bench.scaled(10_000);
        let listen = free_port()?;
        let proxy = Proxy::start(listen)?;
        let setup =
            Setup { listen: Some(listen), advertise: Some(proxy.addr()), ..Setup::default() };
        let mut pair = Pair::planned(contender, &Plan { setup, ..Plan::default() })?;
        // Names that are said once, tables of headers and the like are no part of a call.
        pair.count(Call::Upcase, 1, 100)?;
        let before = proxy.seen();
        pair.count(Call::Upcase, 1, calls)?;
        let after = proxy.seen();
        let per_call = |way: usize| (after[way] - before[way]) as f64 / calls as f64;
        let mut add = |figure: &str, value| {
            bench.figures.add(format!("wire-{figure}-{contender}"), value, "bytes/call");
        };
        add("request", per_call(0));
        add("reply", per_call(1));
        add("both", per_call(0) + per_call(1));
        Ok(())
    })
}

/// A port that was free a moment ago: a node cannot be told to listen at one and be asked which.
fn free_port() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

fn comparisons() -> Vec<Comparison> {
    Comparison::with_flyrpc("wire-both", &["raw", "tarpc", "tonic"])
}
