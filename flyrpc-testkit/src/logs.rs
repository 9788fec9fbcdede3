//! Log lines with virtual time.

use std::{cell::Cell, fmt};

use tokio::time::Instant;
use tracing_subscriber::{
    EnvFilter,
    fmt::{format::Writer, time::FormatTime},
};

use crate::trace::millis;

thread_local! {
    /// When the latest cluster of this thread was created.
    static START: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Sets the start of the cluster of this thread.
pub(crate) fn set_start(at: Instant) {
    START.set(Some(at));
}

/// Prints the virtual time at the start of a log line, as in a [trace](crate::Trace): the time since the start of the
/// latest cluster of the thread. A line of a thread without a cluster has `-`.
///
/// For a subscriber of your own: `tracing_subscriber::fmt().with_timer(VirtualTime)`. Its filter must let through errors of
/// `flyrpc_testkit`, which is the target of the spans with the names of nodes.
#[derive(Debug, Clone, Copy, Default)]
pub struct VirtualTime;

impl FormatTime for VirtualTime {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        match START.get() {
            Some(start) => write!(writer, "{:>9}", millis(start.elapsed())),
            None => write!(writer, "{:>9}", "-"),
        }
    }
}

/// Prints the log lines of this process from now on, with virtual time and the name of the node: lines of a node are in
/// a span `sim{node=iad-0}`. `RUST_LOG` selects the lines, by default warnings and errors. Test harnesses show them only if the
/// test fails. Has no effect if the process has a subscriber already, so every test may call it.
///
/// ```
/// flyrpc_testkit::init_logs();
/// ```
///
/// ```text
///    606 ms  INFO sim{node=iad-0}: notes: stored note 7
/// ```
pub fn init_logs() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_unset| EnvFilter::new("warn"));
    let filter = filter.add_directive(
        concat!(env!("CARGO_CRATE_NAME"), "=error").parse().expect("the directive is valid"),
    );
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_timer(VirtualTime)
        .with_test_writer();
    // An error means that there is a subscriber already.
    let _ = subscriber.try_init();
}
