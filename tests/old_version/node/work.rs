//! The service `Work` as an application of 0.1 has it, and calls of it.

use std::sync::Arc;

use flyrpc::{RpcError, fly_rpc};
use tokio::sync::Notify;

/// `work.rs` beside this directory has the newer version of this trait.
#[fly_rpc]
pub(crate) trait Work {
    /// Returns the name of the node.
    async fn name(&self) -> String;
    /// Runs until `release`.
    async fn stall(&self);
    /// Runs until `release`.
    #[rpc(detached)]
    async fn job(&self);
    /// Runs until `release`.
    #[rpc(idempotent)]
    async fn load(&self) -> String;
    /// Runs until `release`.
    #[rpc(idempotent)]
    async fn search(&self) -> String;
    /// Has a limit in the newer version.
    async fn limited(&self);
    #[rpc(primary)]
    async fn write(&self);
    async fn length(&self, text: String) -> u64;
    async fn repeat(&self, times: u64) -> String;
    /// Returns a number in the newer version.
    async fn other_reply(&self) -> String;
    /// Takes a `u64` in the newer version.
    async fn wider(&self, number: u8);
    /// Takes a `u8` in the newer version.
    async fn narrower(&self, number: u64);
    /// Takes `by`, too, in the newer version.
    async fn one_more(&self, number: u64);
    /// Does not take `by` in the newer version.
    async fn one_less(&self, number: u64, by: Option<u64>);
}

pub(crate) struct Works {
    pub(crate) name: String,
    pub(crate) release: Arc<Notify>,
}

impl Works {
    /// Prints the events of a handler that runs until it is released.
    async fn run(&self, method: &'static str) {
        println!("event started {method}");
        let mut end = End { method, how: "canceled" };
        self.release.notified().await;
        end.how = "ended";
    }
}

struct End {
    method: &'static str,
    how: &'static str,
}

impl Drop for End {
    fn drop(&mut self) {
        println!("event {} {}", self.how, self.method);
    }
}

impl Work for Works {
    async fn name(&self) -> String {
        self.name.clone()
    }

    async fn stall(&self) {
        self.run("stall").await;
    }

    async fn job(&self) {
        self.run("job").await;
    }

    async fn load(&self) -> String {
        self.run("load").await;
        self.name.clone()
    }

    async fn search(&self) -> String {
        self.run("search").await;
        self.name.clone()
    }

    async fn limited(&self) {}

    async fn write(&self) {
        println!("event started write");
    }

    async fn length(&self, text: String) -> u64 {
        println!("event started length");
        text.len() as u64
    }

    async fn repeat(&self, times: u64) -> String {
        "a".repeat(times as usize)
    }

    async fn other_reply(&self) -> String {
        "text".into()
    }

    async fn wider(&self, _number: u8) {
        println!("event started wider");
    }

    async fn narrower(&self, _number: u64) {}

    async fn one_more(&self, _number: u64) {
        println!("event started one_more");
    }

    async fn one_less(&self, _number: u64, _by: Option<u64>) {}
}

/// Makes a call, and describes its result.
pub(crate) async fn call(work: WorkClient, method: &str, argument: &str) -> String {
    let number = || argument.parse().expect("the argument is a number");
    let result = match method {
        "name" => work.name().await,
        "stall" => work.stall().await.map(done),
        "job" => work.job().await.map(done),
        "load" => work.load().await,
        "limited" => work.limited().await.map(done),
        "write" => work.write().await.map(done),
        "length" => {
            work.length("a".repeat(number() as usize)).await.map(|length| length.to_string())
        }
        "repeat" => work.repeat(number()).await.map(|reply| reply.len().to_string()),
        "other_reply" => work.other_reply().await,
        "narrower" => work.narrower(number()).await.map(done),
        "one_less" => work.one_less(number(), None).await.map(done),
        "one_less_by" => work.one_less(number(), Some(1)).await.map(done),
        _ => panic!("unknown method: {method}"),
    };
    result.unwrap_or_else(|error| describe(&error))
}

fn done((): ()) -> String {
    "done".into()
}

/// The variant with the fields that tests compare, and whether the call may have executed.
fn describe(error: &RpcError) -> String {
    let what = match error {
        RpcError::NoNode { known, .. } => format!("NoNode({} not accepting)", known.not_accepting),
        RpcError::Unsupported { why, .. } => format!("Unsupported({why:?})"),
        RpcError::NotPrimary { theirs, ours, .. } => format!("NotPrimary({theirs}, {ours})"),
        RpcError::Refused { reason, .. } => format!("Refused({reason:?})"),
        RpcError::Timeout { .. } => "Timeout".into(),
        RpcError::Disconnected { .. } => "Disconnected".into(),
        RpcError::ArgumentsTooLarge { size, limit, .. } => {
            format!("ArgumentsTooLarge({size}, {limit})")
        }
        RpcError::ReplyTooLarge { size, limit, .. } => format!("ReplyTooLarge({size}, {limit})"),
        RpcError::BadReply { source, .. } => format!("BadReply({source})"),
        other => format!("{other:?}"),
    };
    let executed = if error.may_have_executed() { "may have executed" } else { "not executed" };
    format!("{what}, {executed}")
}
