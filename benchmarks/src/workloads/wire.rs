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

pub(crate) const WORKLOAD: Workload = Workload { name: "wire", seconds: 20, run, comparisons };

/// The names of loads in figures, and their concurrent callers.
const LOADS: [(&str, usize); 2] = [("", 1), ("64-callers-", 64)];

fn run(bench: &mut Bench) -> Result<()> {
    let mut open = [0.0; LOADS.len()];
    bench.interleave(&Name::ALL_AND_SEALED, |bench, contender| {
        for ((load, callers), open) in LOADS.into_iter().zip(&mut open) {
            let both = run_load(bench, contender, load, callers)?;
            match contender {
                Name::Flyrpc => *open = both,
                // In the same run, directly after flyrpc without a secret.
                Name::FlyrpcSealed => {
                    let name = format!("wire-{load}both-sealed-more-than-open");
                    bench.figures.add(name, both - *open, "bytes/call");
                }
                _ => {}
            }
        }
        Ok(())
    })
}

/// Adds the figures of one load. Returns the bytes of a call in both directions.
fn run_load(bench: &mut Bench, contender: Name, load: &str, callers: usize) -> Result<f64> {
    let calls = bench.scaled(10_000).next_multiple_of(callers as u64);
    // Through the proxy, about one in a million calls of tarpc or flyrpc was observed to hang. Without
    // it, none was. A second count gives the same number of bytes.
    let counted = count(bench.plan(contender), callers, calls).or_else(|error| {
        bench.note(&format!("bytes of {contender} are counted again after an error: {error:#}"));
        count(bench.plan(contender), callers, calls)
    });
    let [request, reply] = counted?;
    let mut add = |figure: &str, value| {
        bench.figures.add(format!("wire-{load}{figure}-{contender}"), value, "bytes/call");
    };
    add("request", request);
    add("reply", reply);
    add("both", request + reply);
    Ok(request + reply)
}

/// Returns the bytes of a request and of a reply, per call.
fn count(plan: Plan, callers: usize, calls: u64) -> Result<[f64; 2]> {
    // A node needs its advertised address before it listens. So this reserves a port for the server, and
    // releases it once the proxy has another port.
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let listen = taken.local_addr()?;
    let proxy = Proxy::start(listen)?;
    drop(taken);
    let setup = Setup { listen: Some(listen), advertise: Some(proxy.addr()), ..Setup::default() };
    let mut pair = Pair::start(&Plan { setup, ..plan })?;
    // A warm-up, because names, header tables and the like that are sent once are not part of a call.
    pair.count(Call::Upcase, callers, 100)?;
    let before = proxy.seen();
    pair.count(Call::Upcase, callers, calls)?;
    let after = proxy.seen();
    Ok([0, 1].map(|way| (after[way] - before[way]) as f64 / calls as f64))
}

fn comparisons() -> Vec<Comparison> {
    Comparison::with_flyrpc("wire-both", &["raw", "tarpc", "tonic"])
}
