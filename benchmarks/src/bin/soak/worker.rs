//! A worker: a node that serves, and generates load when its parent asks for it.

use std::{convert::Infallible, error::Error, time::Duration};

use flyrpc::{Node, fly_rpc};
use flyrpc_examples::{
    flags::NodeFlags,
    process::{Signal, announcement},
};
use rustix::process::set_parent_process_death_signal;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    runtime::Handle,
    sync::watch,
    time::sleep,
};

use crate::load;

#[fly_rpc]
pub(crate) trait Work {
    /// Executes at most once; the worker prints its id.
    async fn once(&self, id: String) -> String;
    #[rpc(idempotent)]
    async fn echo(&self, bytes: Vec<u8>) -> Vec<u8>;
    async fn slow(&self, millis: u64) -> u64;
    async fn large(&self, bytes: usize) -> Vec<u8>;
}

struct Service;

impl Work for Service {
    async fn once(&self, id: String) -> String {
        println!("ran {id}");
        id
    }

    async fn echo(&self, bytes: Vec<u8>) -> Vec<u8> {
        bytes
    }

    async fn slow(&self, millis: u64) -> u64 {
        sleep(Duration::from_millis(millis)).await;
        millis
    }

    async fn large(&self, bytes: usize) -> Vec<u8> {
        vec![7; bytes]
    }
}

/// Runs a worker until its parent or a signal stops it.
pub(crate) async fn run(flags: NodeFlags) -> Result<Infallible, Box<dyn Error>> {
    // A frozen worker cannot read the end of its standard input.
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let node = flags.apply(Node::builder()).serve(ServeWork::new(Service)).start().await?;
    println!("{}", announcement(node.info()));
    let (load, on) = watch::channel(false);
    load::start(&node, &on);
    tokio::spawn(async move {
        let mut lines = BufReader::new(tokio::io::stdin()).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            match line.as_str() {
                "tasks" => println!("tasks {}", Handle::current().metrics().num_alive_tasks()),
                other => drop(load.send(other == "load")),
            }
        }
        // The parent has exited.
        std::process::exit(1);
    });
    node.run_until_signal().await?;
    // The runtime would wait for the thread that reads standard input.
    std::process::exit(0);
}
