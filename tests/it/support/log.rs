//! A log of the tracing events of a test.

use std::{
    cell::RefCell,
    sync::{Arc, Mutex, OnceLock},
};

use tracing::field::{Field, Visit};

/// Collects the log events of this thread as lines such as `flyrpc{node=iad-0 }: message=node linked … `.
#[derive(Debug, Clone)]
pub(crate) struct Log {
    level: tracing::Level,
    lines: Arc<Mutex<Vec<String>>>,
    /// The text of each span, at the index that is its id less 1.
    spans: Arc<Mutex<Vec<String>>>,
}

thread_local! {
    /// The ids of the spans that this thread is in, the innermost last.
    static ENTERED: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

/// The fields of a span or an event, as text.
#[derive(Default)]
struct Fields(String);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0 += &format!("{}={value:?} ", field.name());
    }
}

impl Log {
    /// Collects log events of `level` and more severe ones until the guard is dropped.
    pub(crate) fn collect(level: tracing::Level) -> (Self, tracing::subscriber::DefaultGuard) {
        static UNDECIDED: OnceLock<tracing::Dispatch> = OnceLock::new();
        UNDECIDED.get_or_init(|| tracing::Dispatch::new(Undecided));
        let log = Log { level, lines: Arc::default(), spans: Arc::default() };
        let guard = tracing::subscriber::set_default(log.clone());
        (log, guard)
    }

    /// The lines so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    /// The lines so far that contain all of `parts`.
    pub(crate) fn with(&self, parts: &[&str]) -> Vec<String> {
        let mut lines = self.lines();
        lines.retain(|line| parts.iter().all(|part| line.contains(part)));
        lines
    }
}

/// Receives nothing. While it exists, each log statement asks the subscriber of its thread. Otherwise, one that runs for the
/// first time, in another test, while a subscriber is being set may be disabled for that subscriber, too.
struct Undecided;

impl tracing::Subscriber for Undecided {
    fn register_callsite(
        &self,
        _: &'static tracing::Metadata<'static>,
    ) -> tracing::subscriber::Interest {
        tracing::subscriber::Interest::sometimes()
    }

    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        false
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, _: &tracing::Event<'_>) {}

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

impl tracing::Subscriber for Log {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() <= self.level
    }

    fn new_span(&self, span: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        let mut fields = Fields::default();
        span.record(&mut fields);
        let mut spans = self.spans.lock().unwrap();
        spans.push(format!("{}{{{}}}: ", span.metadata().name(), fields.0));
        tracing::span::Id::from_u64(spans.len() as u64)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let mut line = Fields::default();
        ENTERED.with_borrow(|entered| {
            let spans = self.spans.lock().unwrap();
            line.0.extend(entered.iter().map(|&id| &*spans[id as usize - 1]));
        });
        event.record(&mut line);
        self.lines.lock().unwrap().push(line.0);
    }

    fn enter(&self, span: &tracing::span::Id) {
        ENTERED.with_borrow_mut(|entered| entered.push(span.into_u64()));
    }

    fn exit(&self, span: &tracing::span::Id) {
        let left = ENTERED.with_borrow_mut(Vec::pop);
        assert_eq!(left, Some(span.into_u64()), "spans are left in the reverse order");
    }
}
