//! The service that most tests call.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use flyrpc::{Context, fly_rpc};
use tokio::time::sleep;

/// A service with one method for each behavior of a handler.
#[fly_rpc]
pub(crate) trait Probe {
    /// Converts `text` to uppercase, and returns it with the name of the node.
    async fn shout(&self, text: String) -> (String, String);
    /// Takes `millis` milliseconds.
    async fn slow(&self, millis: u64) -> u64;
    /// Takes `millis` milliseconds, and may be repeated.
    #[rpc(idempotent)]
    async fn slow_but_repeatable(&self, millis: u64) -> u64;
    /// Takes `millis` milliseconds, and continues if its caller drops the call.
    #[rpc(detached)]
    async fn slow_and_detached(&self, millis: u64) -> u64;
    /// Panics with `message`.
    async fn panic(&self, message: String);
    /// Returns its argument.
    async fn echo(&self, bytes: Vec<u8>) -> Vec<u8>;
    /// Returns `size` bytes.
    async fn produce(&self, size: usize) -> Vec<u8>;
    /// Runs only in the primary region.
    #[rpc(primary)]
    async fn write(&self, value: u64) -> String;
    /// Returns the context of the call, as the handler sees it.
    async fn context(&self) -> ContextSeen;
    /// Returns an error of the method's own error type.
    async fn fail(&self) -> Result<u8, String>;
}

/// The context of a call, as its handler saw it.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub(crate) struct ContextSeen {
    pub(crate) caller: String,
    pub(crate) region: String,
    pub(crate) remaining: Duration,
    pub(crate) attempt: u32,
    pub(crate) local: bool,
}

impl From<Context> for ContextSeen {
    fn from(context: Context) -> Self {
        ContextSeen {
            caller: context.caller().name().to_owned(),
            region: context.caller_region().to_string(),
            remaining: context.remaining(),
            attempt: context.attempt(),
            local: context.is_local(),
        }
    }
}

/// The number of handlers that started, and the number that finished. Clones share the counts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counts(Arc<[AtomicU64; 2]>);

impl Counts {
    pub(crate) fn started(&self) -> u64 {
        self.0[0].load(Ordering::SeqCst)
    }

    pub(crate) fn finished(&self) -> u64 {
        self.0[1].load(Ordering::SeqCst)
    }

    fn on_start(&self) {
        self.0[0].fetch_add(1, Ordering::SeqCst);
    }

    fn on_finish(&self) {
        self.0[1].fetch_add(1, Ordering::SeqCst);
    }
}

/// The implementation of [`Probe`] on the node `name`.
pub(crate) struct Prober {
    name: String,
    counts: Counts,
}

/// Creates the service [`Probe`] of the node `name`, which counts its handlers in `counts`.
pub(crate) fn prober(name: &str, counts: &Counts) -> ServeProbe<Prober> {
    ServeProbe::new(Prober { name: name.to_owned(), counts: counts.clone() })
}

impl Prober {
    async fn work(&self, millis: u64) -> u64 {
        self.counts.on_start();
        sleep(Duration::from_millis(millis)).await;
        self.counts.on_finish();
        millis
    }
}

impl Probe for Prober {
    async fn shout(&self, text: String) -> (String, String) {
        self.counts.on_start();
        (text.to_uppercase(), self.name.clone())
    }

    async fn slow(&self, millis: u64) -> u64 {
        self.work(millis).await
    }

    async fn slow_but_repeatable(&self, millis: u64) -> u64 {
        self.work(millis).await
    }

    async fn slow_and_detached(&self, millis: u64) -> u64 {
        self.work(millis).await
    }

    async fn panic(&self, message: String) {
        panic!("{message}");
    }

    async fn echo(&self, bytes: Vec<u8>) -> Vec<u8> {
        bytes
    }

    async fn produce(&self, size: usize) -> Vec<u8> {
        vec![7; size]
    }

    async fn write(&self, value: u64) -> String {
        self.counts.on_start();
        format!("{value} on {}", self.name)
    }

    async fn context(&self) -> ContextSeen {
        flyrpc::context().into()
    }

    async fn fail(&self) -> Result<u8, String> {
        Err("no".to_owned())
    }
}
