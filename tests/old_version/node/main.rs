//! A node of flyrpc 0.1 in its own process. `build.rs` beside this directory builds it against the sources of
//! that version, so this program uses the API of 0.1 and is in no workspace.
//!
//! It is configured by environment variables, and prints `at <address>` when it has started and
//! `event <event>` for each event. Each line of standard input is a command, to which it responds with one
//! line, `result <text>`. It exits when its standard input is closed, or after `shutdown`.

use std::time::Duration;

use flyrpc::{Node, RpcError, fly_rpc};
use futures_util::StreamExt;
use tokio::io::{AsyncBufReadExt, BufReader};

#[fly_rpc]
trait Text {
    async fn upcase(&self, text: String) -> String;
    async fn parse(&self, text: String) -> Result<u64, String>;
    async fn panic(&self, text: String);
    /// Returns how many methods of this node were called.
    async fn calls(&self) -> u64;
}

#[derive(Default)]
struct Counted(std::sync::atomic::AtomicU64);

impl Counted {
    fn count(&self) -> u64 {
        self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst)
    }
}

impl Text for Counted {
    async fn upcase(&self, text: String) -> String {
        self.count();
        text.to_uppercase()
    }

    async fn parse(&self, text: String) -> Result<u64, String> {
        self.count();
        text.parse().map_err(|_| format!("{text} is not a number"))
    }

    async fn panic(&self, text: String) {
        self.count();
        panic!("{text}");
    }

    async fn calls(&self) -> u64 {
        self.count()
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let builder = Node::from_env().expect("the environment is valid");
    let builder = builder.heartbeat(Duration::from_millis(100));
    let node = builder.serve(ServeText::new(Counted::default())).start().await;
    let node = node.expect("the node starts");
    let mut events = node.events();
    println!("at {}", node.addr());
    tokio::spawn(async move {
        while let Some(event) = events.next().await {
            println!("event {event}");
        }
    });
    let mut commands = BufReader::new(tokio::io::stdin()).lines();
    while let Ok(Some(command)) = commands.next_line().await {
        println!("result {}", run(&node, &command).await);
    }
}

async fn run(node: &Node, command: &str) -> String {
    let words: Vec<&str> = command.split(' ').collect();
    let text = |region: &str| node.client::<TextClient>().on_region(region);
    match words[..] {
        ["nodes", region] => {
            let names = node.nodes_in(region).into_iter().map(|node| node.name().to_owned());
            names.collect::<Vec<_>>().join(" ")
        }
        ["upcase", region, argument] => show(text(region).upcase(argument.into()).await),
        ["long", region, bytes] => {
            let bytes = bytes.parse().expect("a number of bytes");
            match text(region).upcase("a".repeat(bytes)).await {
                Ok(reply) if reply == "A".repeat(bytes) => "ok".into(),
                other => format!("{:?}", other.map(|reply| reply.len())),
            }
        }
        ["parse", region, argument] => show(text(region).parse(argument.into()).await),
        ["panic", region, argument] => show(text(region).panic(argument.into()).await),
        ["shutdown"] => {
            node.shutdown().await;
            "down".into()
        }
        _ => panic!("unknown command: {command}"),
    }
}

fn show<T: std::fmt::Debug>(result: Result<T, RpcError>) -> String {
    match result {
        Ok(value) => format!("{value:?}"),
        Err(error) => error.to_string(),
    }
}
