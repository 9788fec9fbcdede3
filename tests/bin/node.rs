//! A node in a process of its own, for the tests that kill, stop and restart it.
//!
//! It is configured by the environment alone, as in production. It says `at <address>` when it has
//! started, `began` for each call that begins, and `ended` for each that ends. It ends when its
//! standard input does, so that none is left behind, whatever becomes of the test; at SIGINT or
//! SIGTERM it shuts down, and says `down` at last.

use std::{io::Write, time::Duration};

use flyrpc::{Node, fly_rpc};
use tokio::io::AsyncReadExt;

#[fly_rpc]
trait Worker {
    async fn work(&self, millis: u64) -> String;
    #[rpc(detached)]
    async fn work_detached(&self, millis: u64) -> String;
}

struct Here;

impl Worker for Here {
    async fn work(&self, millis: u64) -> String {
        say("began");
        tokio::time::sleep(Duration::from_millis(millis)).await;
        say("ended");
        std::env::var("FLY_MACHINE_ID").unwrap_or_default()
    }

    async fn work_detached(&self, millis: u64) -> String {
        self.work(millis).await
    }
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    // Whoever reads may be gone; then standard input ends, too.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let heartbeat = std::env::var("HEARTBEAT_MS").ok().and_then(|text| text.parse().ok());
    let node = Node::from_env()
        .expect("the test sets what is needed")
        .heartbeat(Duration::from_millis(heartbeat.unwrap_or(1_000)))
        .serve(ServeWorker::new(Here));
    let node = match node.start().await {
        Ok(node) => node,
        Err(error) => return say(&format!("failed: {error}")),
    };
    say(&format!("at {}", node.addr()));
    tokio::select! {
        _ = async { tokio::io::stdin().read(&mut [0]).await } => {}
        ended = node.run_until_signal() => {
            ended.expect("signals can be listened for");
            say("down");
        }
    }
    // Not even a read of standard input that goes on in another thread keeps it.
    std::process::exit(0);
}
