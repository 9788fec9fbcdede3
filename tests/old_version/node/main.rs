//! A node of flyrpc 0.1 in its own process. `build.rs` beside this directory builds it against the sources of
//! that version, so this program uses the API of 0.1 and is in no workspace.
//!
//! It is configured by environment variables and arguments, and prints `at <address>` when it has started and
//! `event <event>` for each event of the node and of the handlers of `Work`. Each line of standard input is a command, to
//! which it responds with one line, `result <text>`. It exits when its standard input is closed, or after `shutdown`.

mod work;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use flyrpc::{Node, NodeBuilder, RpcError, fly_rpc};
use futures_util::{StreamExt, future::join_all};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    sync::Notify,
    task::JoinHandle,
};

use crate::work::{ServeWork, WorkClient, Works, call};

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

const GENEROUS_TIMEOUT: Duration = Duration::from_secs(20);

struct Program {
    node: Node,
    release: Arc<Notify>,
    /// The call that `begin` has begun.
    begun: Option<JoinHandle<String>>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let builder = Node::from_env().expect("the environment is valid");
    let builder = builder.heartbeat(Duration::from_millis(100));
    let builder = std::env::args().skip(1).fold(builder, |builder, setting| set(builder, &setting));
    let release = Arc::new(Notify::new());
    let works = Works { name: "old".into(), release: Arc::clone(&release) };
    let builder = builder.serve(ServeText::new(Counted::default())).serve(ServeWork::new(works));
    let node = builder.start().await.expect("the node starts");
    let mut events = node.events();
    println!("at {}", node.addr());
    tokio::spawn(async move {
        while let Some(event) = events.next().await {
            println!("event {event}");
        }
    });
    let mut program = Program { node, release, begun: None };
    let mut commands = BufReader::new(tokio::io::stdin()).lines();
    while let Ok(Some(command)) = commands.next_line().await {
        println!("result {}", program.run(&command).await);
    }
}

fn set(builder: NodeBuilder, setting: &str) -> NodeBuilder {
    let (name, value) = setting.split_once('=').unwrap_or((setting, ""));
    let number = || value.parse().expect("the value is a number");
    match name {
        "hold" => builder.hold(),
        "max_body" => builder.max_body(number()),
        "max_in_flight" => builder.max_in_flight(number()),
        "primary" => builder.primary_region(value),
        _ => panic!("unknown setting: {setting}"),
    }
}

impl Program {
    async fn run(&mut self, command: &str) -> String {
        let words: Vec<&str> = command.split(' ').collect();
        let text = |region: &str| self.node.client::<TextClient>().on_region(region);
        match words[..] {
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
            ["nodes", region] => {
                let nodes = self.node.nodes_in(region);
                nodes.iter().map(|node| node.name()).collect::<Vec<_>>().join(" ")
            }
            // The state and the support of each peer.
            ["peers"] => {
                let peers = self.node.peers();
                let peers = peers.iter().map(|peer| format!("{}, {}", peer.state, peer.support));
                peers.collect::<Vec<_>>().join("; ")
            }
            ["accept"] => {
                self.node.accept();
                "done".into()
            }
            ["serving", serving] => {
                self.node.set_serving::<WorkClient>(serving == "true");
                "done".into()
            }
            ["drain"] => {
                let node = self.node.clone();
                let mut drain = Box::pin(async move { node.drain().await });
                tokio::select! {
                    biased;
                    () = &mut drain => {}
                    // The node drains from the first poll.
                    () = std::future::ready(()) => drop(tokio::spawn(drain)),
                }
                "done".into()
            }
            ["shutdown"] => {
                self.node.shutdown().await;
                "down".into()
            }
            ["release"] => {
                self.release.notify_waiters();
                "done".into()
            }
            _ => self.run_call(&words).await,
        }
    }

    /// Commands that call `Work`.
    async fn run_call(&mut self, words: &[&str]) -> String {
        match *words {
            ["call", target, method] => call(self.work(target), method, "").await,
            ["call", target, method, argument] => call(self.work(target), method, argument).await,
            // How many calls of `length` had which result.
            ["many", target, count, argument] => {
                let count = count.parse().expect("a number of calls");
                let calls = (0..count).map(|_| call(self.work(target), "length", argument));
                let mut results = BTreeMap::new();
                for result in join_all(calls).await {
                    *results.entry(result).or_insert(0) += 1;
                }
                let results = results.iter().map(|(result, count)| format!("{result}: {count}"));
                results.collect::<Vec<_>>().join("; ")
            }
            ["begin", target, method] => {
                let (work, method) = (self.work(target), method.to_owned());
                self.begun = Some(tokio::spawn(async move { call(work, &method, "").await }));
                "begun".into()
            }
            ["finish"] => self.begun.take().expect("a call has begun").await.expect("no panic"),
            ["abort"] => {
                let begun = self.begun.take().expect("a call has begun");
                begun.abort();
                begun.await.expect_err("it is aborted").to_string()
            }
            _ => panic!("unknown command: {words:?}"),
        }
    }

    /// A client for a region or `primary`, and an option: `hkg+hasty`.
    fn work(&self, target: &str) -> WorkClient {
        let work = self.node.client::<WorkClient>().timeout(GENEROUS_TIMEOUT);
        let (target, option) = target.split_once('+').unwrap_or((target, ""));
        let work = if target == "primary" { work.on_primary() } else { work.on_region(target) };
        match option {
            "" => work,
            "hasty" => work.timeout(Duration::from_millis(500)),
            "wait" => work.wait(GENEROUS_TIMEOUT),
            _ => panic!("unknown option: {option}"),
        }
    }
}

fn show<T: std::fmt::Debug>(result: Result<T, RpcError>) -> String {
    match result {
        Ok(value) => format!("{value:?}"),
        Err(error) => error.to_string(),
    }
}
