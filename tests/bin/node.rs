//! A node in a separate process, for tests that kill, stop and restart it.
//!
//! As in production, it is configured only by environment variables. It prints `at <address>` when
//! it has started, or `failed: <error>`, `started` when a call starts, and `finished` when a call finishes. It exits when
//! its standard input is closed, so that no process outlives the test. On SIGINT or SIGTERM it
//! shuts down, and then prints `down` as its last line. If `LOG_LEVEL` is set, it logs to standard error.

use std::{io::Write, sync::OnceLock, time::Duration};

use flyrpc::{Node, fly_rpc};
use futures_util::future::join_all;
use tokio::io::AsyncReadExt;

#[fly_rpc]
trait Worker {
    async fn work(&self, millis: u64) -> String;
    #[rpc(detached)]
    async fn work_detached(&self, millis: u64) -> String;
}

#[fly_rpc]
trait Relay {
    /// Calls `Raw::produce` in `region` this many times at once. Returns the number of calls that succeed.
    async fn relay(&self, region: String, calls: usize, timeout_millis: u64) -> usize;
}

/// The service of a peer that is not a flyrpc node.
#[fly_rpc]
trait Raw {
    async fn produce(&self) -> String;
}

/// This node, once it has started.
static NODE: OnceLock<Node> = OnceLock::new();

struct LocalWorker;

impl Relay for LocalWorker {
    async fn relay(&self, region: String, calls: usize, timeout_millis: u64) -> usize {
        let raw: RawClient = NODE.get().expect("the node has started").client();
        let timeout = Duration::from_millis(timeout_millis);
        let raw = raw.on_region(region).timeout(timeout).wait(timeout);
        let results = join_all((0..calls).map(|_| raw.produce())).await;
        results.into_iter().filter(Result::is_ok).count()
    }
}

impl Worker for LocalWorker {
    async fn work(&self, millis: u64) -> String {
        print_line("started");
        tokio::time::sleep(Duration::from_millis(millis)).await;
        print_line("finished");
        std::env::var("FLY_MACHINE_ID").unwrap_or_default()
    }

    async fn work_detached(&self, millis: u64) -> String {
        self.work(millis).await
    }
}

fn print_line(line: &str) {
    let mut out = std::io::stdout().lock();
    // If the test has ended, writing fails. Standard input is then closed too, and the process
    // exits.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// Logs lines such as ` INFO flyrpc{node=a/7}: node started …`.
fn log_to_stderr(level: &str) {
    let level: tracing_subscriber::filter::LevelFilter = level.parse().expect("a level");
    let log = tracing_subscriber::fmt().with_max_level(level).with_writer(std::io::stderr);
    log.without_time().with_target(false).with_ansi(false).init();
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    if let Ok(level) = std::env::var("LOG_LEVEL") {
        log_to_stderr(&level);
    }
    let heartbeat = std::env::var("HEARTBEAT_MS").ok().and_then(|text| text.parse().ok());
    let builder = match Node::from_env() {
        Ok(builder) => builder,
        Err(error) => return print_line(&format!("failed: {error}")),
    };
    let node = builder
        .heartbeat(Duration::from_millis(heartbeat.unwrap_or(1_000)))
        .serve(ServeWorker::new(LocalWorker))
        .serve(ServeRelay::new(LocalWorker));
    let node = match node.start().await {
        Ok(node) => node,
        Err(error) => return print_line(&format!("failed: {error}")),
    };
    let node = NODE.get_or_init(|| node);
    print_line(&format!("at {}", node.addr()));
    tokio::select! {
        _ = async { tokio::io::stdin().read(&mut [0]).await } => {}
        ended = node.run_until_signal() => {
            ended.expect("signal handlers can be installed");
            print_line("down");
        }
    }
    // A pending read of standard input in another thread must not keep the process running.
    std::process::exit(0);
}
