//! The service `Work` of the new nodes.

use std::sync::Arc;

use flyrpc::fly_rpc;
use tokio::{
    sync::{Notify, mpsc},
    time::timeout,
};

use crate::GENEROUS_TIMEOUT;

/// A newer version of the trait in `node/work.rs`.
#[fly_rpc]
pub(crate) trait Work {
    async fn name(&self) -> String;
    async fn stall(&self);
    #[rpc(detached)]
    async fn job(&self);
    #[rpc(idempotent)]
    async fn load(&self) -> String;
    #[rpc(idempotent, hedge = "200ms")]
    async fn search(&self) -> String;
    #[rpc(max_in_flight = 1)]
    async fn limited(&self);
    #[rpc(primary)]
    async fn write(&self);
    async fn length(&self, text: String) -> u64;
    async fn repeat(&self, times: u64) -> String;
    async fn other_reply(&self) -> u64;
    async fn wider(&self, number: u64);
    async fn narrower(&self, number: u8);
    async fn one_more(&self, number: u64, by: Option<u64>);
    async fn one_less(&self, number: u64);
}

/// The name of a node whose handler of `load` runs until it is released.
pub(crate) const STALLING: &str = "stalling";

/// The handlers of a node report what happens to them.
pub(crate) struct Works {
    name: String,
    events: mpsc::UnboundedSender<String>,
    release: Arc<Notify>,
}

/// The events of the handlers of a node, as an old node prints them.
pub(crate) struct Handlers {
    events: mpsc::UnboundedReceiver<String>,
    release: Arc<Notify>,
}

impl Works {
    pub(crate) fn new(name: &str) -> (Self, Handlers) {
        let (sender, events) = mpsc::unbounded_channel();
        let release = Arc::new(Notify::new());
        let handlers = Handlers { events, release: Arc::clone(&release) };
        (Works { name: name.to_owned(), events: sender, release }, handlers)
    }

    fn report(&self, event: &str) {
        // An error means that the test does not look at the events.
        let _ = self.events.send(event.to_owned());
    }

    /// Reports the events of a handler that runs until it is released.
    async fn run(&self, method: &'static str) {
        self.report(&format!("started {method}"));
        let mut end = End { works: self, method, how: "canceled" };
        self.release.notified().await;
        end.how = "ended";
    }
}

impl Handlers {
    /// Returns the next event.
    pub(crate) async fn event(&mut self) -> String {
        let event = timeout(GENEROUS_TIMEOUT, self.events.recv()).await;
        event.expect("a handler reports an event").expect("the node runs")
    }

    /// Panics if handlers have reported more than the events that were returned.
    pub(crate) fn assert_no_event(&mut self) {
        assert_eq!(self.events.try_recv().ok(), None);
    }

    /// Lets all handlers that run return.
    pub(crate) fn release(&self) {
        self.release.notify_waiters();
    }
}

struct End<'a> {
    works: &'a Works,
    method: &'static str,
    how: &'static str,
}

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.works.report(&format!("{} {}", self.how, self.method));
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
        if self.name == STALLING {
            self.run("load").await;
        }
        self.name.clone()
    }

    async fn search(&self) -> String {
        self.name.clone()
    }

    async fn limited(&self) {
        self.run("limited").await;
    }

    async fn write(&self) {
        self.report("started write");
    }

    async fn length(&self, text: String) -> u64 {
        self.report("started length");
        text.len() as u64
    }

    async fn repeat(&self, times: u64) -> String {
        "a".repeat(usize::try_from(times).expect("it fits into memory"))
    }

    async fn other_reply(&self) -> u64 {
        7
    }

    async fn wider(&self, _number: u64) {}

    async fn narrower(&self, _number: u8) {
        self.report("started narrower");
    }

    async fn one_more(&self, _number: u64, _by: Option<u64>) {}

    async fn one_less(&self, _number: u64) {
        self.report("started one_less");
    }
}
