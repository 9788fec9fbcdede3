//! Bytes per call on the wire, without the headers of TCP and IP, counted by a proxy between the client and
//! the server.

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
    bench.interleave(&Name::ALL_AND_SEALED, |bench, contender| {
        let calls = bench.scaled(10_000);
        // Through the proxy, about one in a million calls of tarpc or flyrpc was observed to hang. Without
        // it, none was. A second count gives the same number of bytes.
        let counted = count(bench.plan(contender), calls).or_else(|error| {
            bench
                .note(&format!("bytes of {contender} are counted again after an error: {error:#}"));
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

/// Returns the bytes of a request and of a reply.
fn count(plan: Plan, calls: u64) -> Result<[f64; 2]> {
    // A node needs its advertised address before it listens. So this reserves a port for the server, and
    // releases it once the proxy has another port.
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let listen = taken.local_addr()?;
    let proxy = Proxy::start(listen)?;
    drop(taken);
    let setup = Setup { listen: Some(listen), advertise: Some(proxy.addr()), ..Setup::default() };
    let mut pair = Pair::start(&Plan { setup, ..plan })?;
    // A warm-up, because names, header tables and the like that are sent once are not part of a call.
    pair.count(Call::Upcase, 1, 100)?;
    let before = proxy.seen();
    pair.count(Call::Upcase, 1, calls)?;
    let after = proxy.seen();
    Ok([0, 1].map(|way| (after[way] - before[way]) as f64 / calls as f64))
}

fn comparisons() -> Vec<Comparison> {
    Comparison::with_flyrpc("wire-both", &["raw", "tarpc", "tonic"])
}
