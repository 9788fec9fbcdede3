//! Measures how much memory the process of an idle node takes.

use std::{error::Error, io, time::Duration};

use flyrpc_benchmarks::proc_status;
use flyrpc_examples::process::Child;

use crate::{heading, row, start_node};

/// Number of other nodes that the node is linked to.
const OTHERS: usize = 4;

pub(crate) async fn idle() -> Result<(), Box<dyn Error>> {
    heading("Memory of an idle process (VmRSS)");
    let mut echo = Child::spawn(["echo"], false)?;
    echo.line().await?;
    let (alone, _) = start_node("iad-9", "").await?;
    let (first, info) = start_node("iad-1", "").await?;
    let seed = info.addr().to_string();
    let mut others = Vec::new();
    for name in 2..2 + OTHERS {
        others.push(start_node(&format!("iad-{name}"), &seed).await?);
    }
    // A few heartbeats, after which links have released their buffers.
    tokio::time::sleep(Duration::from_secs(3)).await;
    row("the same program, serving plain TCP without flyrpc", resident(&echo)?);
    row("a node alone", resident(&alone)?);
    row(&format!("a node linked to {OTHERS} others"), resident(&first)?);
    Ok(())
}

/// Returns the resident memory of a process, in MiB.
fn resident(child: &Child) -> io::Result<String> {
    let pid = child.pid().ok_or_else(|| io::Error::other("a child process exited"))?;
    let kib = proc_status::kib(pid, "VmRSS")?;
    Ok(format!("{:.1} MiB", kib as f64 / 1024.0))
}
