//! Bytes that a call puts on the wire, counted by a proxy between client and server: without what
//! TCP and IP add.

use std::net::{Ipv4Addr, TcpListener};

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
        // Through the proxy a call of tarpc or flyrpc was seen to hang, about once in a million; without
        // it none ever was. Bytes are the same whenever they are counted.
        let counted = count(bench.plan(contender), calls).or_else(|error| {
            bench.note(&format!("the bytes of {contender} are counted again, for: {error:#}"));
            count(bench.plan(contender), calls)
        });
        let [request, reply] = counted?;
        let mut add = |figure: &str, value| {
            bench.figures.add(format!("wire-{figure}-{contender}"), value, "bytes/call");
        };
        add("request", request);
        add("reply", reply);
        add("both", request + reply);
        Ok(())
    })
}

/// Bytes of a request and of a reply.
fn count(plan: Plan, calls: u64) -> Result<[f64; 2]> {
    // A node must be told where it is reached before it listens. So a port is taken, and given back
    // for the server once the proxy has another.
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let listen = taken.local_addr()?;
    let proxy = Proxy::start(listen)?;
    drop(taken);
    let setup = Setup { listen: Some(listen), advertise: Some(proxy.addr()), ..Setup::default() };
    let mut pair = Pair::start(&Plan { setup, ..plan })?;
    // Names that are said once, tables of headers and the like are no part of a call.
    pair.count(Call::Upcase, 1, 100)?;
    let before = proxy.seen();
    pair.count(Call::Upcase, 1, calls)?;
    let after = proxy.seen();
    Ok([0, 1].map(|way| (after[way] - before[way]) as f64 / calls as f64))
}

fn comparisons() -> Vec<Comparison> {
    Comparison::with_flyrpc("wire-both", &["raw", "tarpc", "tonic"])
}
