//! A running node of flyrpc 0.1.

use std::{net::SocketAddr, process::Stdio};

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::{Child, ChildStdin, Command},
    sync::mpsc,
    time::timeout,
};

use crate::{GENEROUS_TIMEOUT, build::OLD_NODE};

/// A node in its own process, called `old`, in region iad. Dropping it kills the process.
pub(crate) struct OldNode {
    addr: SocketAddr,
    commands: ChildStdin,
    results: mpsc::UnboundedReceiver<String>,
    events: mpsc::UnboundedReceiver<String>,
    child: Child,
}

impl OldNode {
    pub(crate) async fn start(seeds: &[SocketAddr]) -> Self {
        Self::start_with(seeds, &[]).await
    }

    /// Starts a node with settings (see `node/main.rs`).
    pub(crate) async fn start_with(seeds: &[SocketAddr], settings: &[&str]) -> Self {
        let seeds: Vec<String> = seeds.iter().map(SocketAddr::to_string).collect();
        let mut child = Command::new(&*OLD_NODE)
            .args(settings)
            .env_clear()
            .env("FLY_MACHINE_ID", "old")
            .env("FLY_REGION", "iad")
            .env("PRIMARY_REGION", "iad")
            .env("FLYRPC_LISTEN", "127.0.0.1:0")
            .env("FLYRPC_SEEDS", seeds.join(","))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let commands = child.stdin.take().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let first = timeout(GENEROUS_TIMEOUT, lines.next_line()).await.expect("the node starts");
        let first = first.unwrap().expect("the node prints its address");
        let addr = first.strip_prefix("at ").expect("the node starts").parse().unwrap();
        let (result, results) = mpsc::unbounded_channel();
        let (event, events) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                let (kind, text) = line.split_once(' ').expect("a line has a kind");
                let to = if kind == "event" { &event } else { &result };
                // An error means that the test has ended.
                let _ = to.send(text.to_owned());
            }
        });
        OldNode { addr, commands, results, events, child }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Runs a command in the process, and returns its result.
    pub(crate) async fn run(&mut self, command: &str) -> String {
        self.commands.write_all(format!("{command}\n").as_bytes()).await.unwrap();
        let result = timeout(GENEROUS_TIMEOUT, self.results.recv()).await;
        result.unwrap_or_else(|_| panic!("no result of `{command}`")).expect("the process runs")
    }

    /// Kills the process.
    pub(crate) async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }

    /// Waits until the node or a handler reports an event.
    pub(crate) async fn event(&mut self, expected: &str) {
        let find = async { while self.events.recv().await.expect("it runs") != expected {} };
        timeout(GENEROUS_TIMEOUT, find).await.unwrap_or_else(|_| panic!("no event `{expected}`"));
    }

    /// Returns the next event of a handler.
    pub(crate) async fn handler_event(&mut self) -> String {
        let find = async {
            loop {
                let event = self.events.recv().await.expect("it runs");
                if ["started ", "ended ", "canceled "].iter().any(|kind| event.starts_with(kind)) {
                    return event;
                }
            }
        };
        timeout(GENEROUS_TIMEOUT, find).await.expect("a handler reports an event")
    }

    /// Panics if a handler has started since the last event that was waited for.
    pub(crate) async fn assert_nothing_started(&mut self) {
        // Its result follows all events that the node has printed.
        self.run("nodes iad").await;
        while let Ok(event) = self.events.try_recv() {
            assert!(!event.starts_with("started"), "{event}");
        }
    }
}
