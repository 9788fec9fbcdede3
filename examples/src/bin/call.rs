//! Calls the text service once for each line of standard input.

use std::{
    error::Error,
    io::{self, BufRead},
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::{Parser, ValueEnum};
use flyrpc::{Node, NodeId, RpcError};
use flyrpc_examples::{
    flags::{self, NodeFlags},
    show,
    text::TextClient,
};

/// Joins a cluster as a client, and calls the text service once for each line of standard input.
///
/// Each reply is printed to standard output on a separate line, after the time that the call took.
/// Errors are printed to standard error. Exits with 0 if all calls succeeded, 1 if a call failed, and
/// 2 on any other error.
#[derive(Debug, Parser)]
#[command(
    max_term_width = 100,
    after_help = "\
Examples:
  echo fly | call --seed 127.0.0.1:3590 --on-region hkg
  call --seed 127.0.0.1:3590 --on-primary --primary-region iad --method word-count --whole < README.md
  echo 10s | call --seed 127.0.0.1:3590 --method slow --timeout 300ms"
)]
struct Flags {
    /// Calls a node in this region.
    #[arg(long, value_name = "REGION", group = "target")]
    on_region: Option<String>,
    /// Calls a node in the primary region.
    #[arg(long, group = "target")]
    on_primary: bool,
    /// Calls the node with this id, as `node` prints it. Without a target, calls the nearest node.
    #[arg(long, value_name = "ID", group = "target")]
    on_node: Option<NodeId>,
    /// Method to call.
    #[arg(long, value_enum, default_value_t = Method::Upcase)]
    method: Method,
    /// Timeout of each call [default: 5s].
    #[arg(long, value_name = "TIME", value_parser = flags::duration)]
    timeout: Option<Duration>,
    /// How long a call waits if no node can take it [default: it fails at once].
    #[arg(long, value_name = "TIME", value_parser = flags::duration)]
    wait: Option<Duration>,
    /// Makes one call with all of standard input, instead of one call per line.
    #[arg(long)]
    whole: bool,
    #[command(flatten)]
    node: NodeFlags,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Method {
    /// Upper-cases the line.
    Upcase,
    /// Counts lines, words and bytes.
    WordCount,
    /// Replies after the duration in the line, such as `300ms`.
    Slow,
    /// Returns the line as an error of the service.
    Fail,
    /// Panics with the line as the message.
    Panic,
    /// Returns the node that executes the call, and ignores the line.
    Whoami,
}

#[tokio::main]
async fn main() -> ExitCode {
    let flags = Flags::parse();
    flags::log("error");
    match run(flags).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("call: {}", show::chain(&*error));
            ExitCode::from(2)
        }
    }
}

/// Makes the calls. Returns true if all of them succeeded.
async fn run(flags: Flags) -> Result<bool, Box<dyn Error>> {
    let node = flags.node.clone().apply(Node::from_env()?).start().await?;
    let text = select(&node, &flags);
    // Without this, the first call would wait until the node is ready, and its time would include that.
    node.ready().await;
    let mut all = true;
    let input = if flags.whole {
        Box::new(std::iter::once(io::read_to_string(io::stdin())))
            as Box<dyn Iterator<Item = io::Result<String>>>
    } else {
        Box::new(io::stdin().lock().lines())
    };
    for line in input {
        let line = line?;
        let start = Instant::now();
        let outcome = call(&text, flags.method, line).await;
        let took = show::time(start.elapsed());
        match outcome {
            Ok(reply) => println!("{took:>8}  {reply}"),
            Err(error) => {
                eprintln!("{took:>8}  {error}");
                all = false;
            }
        }
    }
    node.shutdown().await;
    Ok(all)
}

fn select(node: &Node, flags: &Flags) -> TextClient {
    let mut text: TextClient = node.client();
    if let Some(region) = &flags.on_region {
        text = text.on_region(region);
    }
    if flags.on_primary {
        text = text.on_primary();
    }
    if let Some(id) = &flags.on_node {
        text = text.on_node(id);
    }
    if let Some(timeout) = flags.timeout {
        text = text.timeout(timeout);
    }
    if let Some(wait) = flags.wait {
        text = text.wait(wait);
    }
    text
}

/// Makes one call, and formats its reply or error.
async fn call(text: &TextClient, method: Method, line: String) -> Result<String, String> {
    let reply: Result<String, RpcError> = match method {
        Method::Upcase => text.upcase(line).await,
        Method::WordCount => text.word_count(line).await.map(|counts| {
            format!("{} lines, {} words, {} bytes", counts.lines, counts.words, counts.bytes)
        }),
        Method::Slow => {
            let pause = flags::duration(&line)?;
            text.slow(pause).await.map(|pause| format!("waited {}", show::time(pause)))
        }
        Method::Fail => match text.fail(line).await {
            Ok(Err(failure)) => return Err(format!("the service failed: {}", failure.reason)),
            Ok(Ok(reply)) => Ok(reply),
            Err(error) => Err(error),
        },
        Method::Panic => text.panic(line).await,
        Method::Whoami => text.whoami().await.map(|at| format!("{} in {}", at.node, at.region)),
    };
    reply.map_err(|error| show::rpc_error(&error))
}
