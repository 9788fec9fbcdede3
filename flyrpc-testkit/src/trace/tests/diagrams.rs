//! Sequence diagrams of traces.

use std::sync::Arc;

use flyrpc::{ErrorKind, Event, NodeInfo, RpcError};
use tokio::time::advance;

use super::{busy_run, log, ms, node, recorder, served, upcase};
use crate::trace::{
    call::{AttemptNumber, CallNumber, CallOutcome},
    event::Occurrence,
    execution::{ExecutionNumber, ExecutionOutcome},
    log::{Recorder, TraceLog},
};

#[tokio::test(start_paused = true)]
async fn a_diagram_shows_calls_when_they_start_and_end() {
    let expected = "\
sequenceDiagram
    %% seed 7
    %% without 2 membership events
    box transparent iad
        participant iad_0 as iad-0
    end
    box transparent hkg
        participant hkg_0 as hkg-0
        participant hkg_1 as hkg-1
    end
    Note over iad_0,hkg_1: 0 ms<br/>iad and hkg are partitioned
    iad_0--xhkg_0: #35;1 Strings.upcase (3 B) at 9000 ms, lost
    Note over iad_0: #35;1 no node, 1004 ms
    iad_0->>+hkg_0: #35;1.2 Strings.upcase (3 B) at 10004 ms
    hkg_0->>+hkg_0: #35;1 Strings.upcase at 10004 ms
    hkg_0-->>-hkg_0: #35;1 ok, 0 ms
    hkg_0-->>-iad_0: #35;1.2 ok, 202.25 ms
    Note over hkg_0: #35;2 Strings.upcase to region \"syd\" at 10206.25 ms<br/>no node
    iad_0->>hkg_1: #35;2 Strings.upcase (12000 B) at 10206.25 ms
    iad_0->>hkg_1: #35;3 Strings.upcase (5 B) at 10206.25 ms
    Note over iad_0: #35;2 cancelled, 1 ms
    Note over iad_0,hkg_1: 10207.25 ms<br/>the test stopped waiting
";
    let diagram = busy_run().await.to_mermaid();
    assert_eq!(diagram, expected, "\n{diagram}");
}

#[tokio::test(start_paused = true)]
async fn names_and_texts_are_escaped_in_mermaid() {
    let log = log();
    let names = ["end", "par-0", "par_0", "par_over", "iad-x;#%%{init}", "一", "二"];
    for name in names {
        recorder(&log, name, "tan").on_start(upcase(1, 1, Some(node("a-x", "a;b")), None));
    }
    log.fault("wrap: end; $$x$$ @{y} #35;\n%%{init: {}}%% style:x#y;");
    let expected = "\
sequenceDiagram
    %% seed 7
    box transparent tan
        participant end_ as end
        participant par_0 as par-0
        participant par_0_2 as par_0
        participant par_over_ as par_over
        participant iad_x_____init_ as iad-x#59;#35;#37;#37;#123;init#125;
        participant _ as 一
        participant __2 as 二
    end
    box transparent a#59;b
        participant a_x_ as a-x
    end
    end_->>a_x_: #35;1 Strings.upcase at 0 ms
    par_0->>a_x_: #35;1 Strings.upcase at 0 ms
    par_0_2->>a_x_: #35;1 Strings.upcase at 0 ms
    par_over_->>a_x_: #35;1 Strings.upcase at 0 ms
    iad_x_____init_->>a_x_: #35;1 Strings.upcase at 0 ms
    _->>a_x_: #35;1 Strings.upcase at 0 ms
    __2->>a_x_: #35;1 Strings.upcase at 0 ms
    Note over end_,a_x_: 0 ms<br/>wrap#58; end#59; #36;#36;x#36;#36; #64;#123;y#125; #35;35#59;\
<br/>#37;#37;#123;init#58; #123;#125;#125;#37;#37; style#58;x#35;y#59;
";
    let diagram = log.snapshot().to_mermaid();
    assert_eq!(diagram, expected, "\n{diagram}");
}

#[tokio::test(start_paused = true)]
async fn a_run_without_nodes_has_an_empty_diagram() {
    let log = log();
    log.fault("no node is in the run");
    assert_eq!(log.snapshot().to_mermaid(), "sequenceDiagram\n    %% seed 7\n");
}

/// Two nodes, a and b, whose observations are recorded by hand.
struct Pair {
    log: TraceLog,
    a: Recorder,
    b: Recorder,
    infos: [NodeInfo; 2],
}

impl Pair {
    fn new() -> Self {
        let log = log();
        let (a, b) = (recorder(&log, "a", "iad"), recorder(&log, "b", "iad"));
        Pair { log, a, b, infos: [node("a", "iad"), node("b", "iad")] }
    }

    /// Records that a starts a call of b.
    fn start(&self, call: u64) {
        self.a.on_start(upcase(call, 1, Some(self.infos[1].clone()), None));
    }

    /// Records that a call of a ends.
    fn end(&self, call: u64, outcome: CallOutcome) {
        self.a.on_end(CallNumber(call), AttemptNumber(1), outcome, None);
    }

    /// Records that b starts a handler for a.
    fn run(&self, execution: u64) {
        let [a, b] = &self.infos;
        self.b.on_execution_start(ExecutionNumber(execution), served(a, b, 1));
    }

    /// Records that a handler of b ends.
    fn run_end(&self, execution: u64, outcome: ExecutionOutcome) {
        self.b.on_execution_end(ExecutionNumber(execution), outcome);
    }

    /// Records that b refuses a request of a.
    fn refuse(&self, kind: ErrorKind) {
        let [a, b] = &self.infos;
        self.b.on_refused(&served(a, b, 1), kind);
    }

    #[track_caller]
    fn check(&self, expected: &[&str]) {
        let diagram = self.log.snapshot().to_mermaid();
        let lines: Vec<_> = diagram.lines().skip(6).map(str::trim_start).collect();
        assert_eq!(lines, expected, "{diagram}");
    }
}

fn failed(kind: ErrorKind) -> CallOutcome {
    CallOutcome::Failed(Arc::new(RpcError::for_test(kind, "Strings", "upcase")))
}

#[tokio::test(start_paused = true)]
async fn each_reply_has_the_number_of_its_call() {
    let pair = Pair::new();
    pair.start(1);
    pair.start(2);
    advance(ms(1)).await;
    pair.run(1);
    pair.run(2);
    advance(ms(1)).await;
    pair.run_end(2, ExecutionOutcome::Replied);
    pair.run_end(1, ExecutionOutcome::Failed(ErrorKind::Panicked));
    advance(ms(1)).await;
    pair.end(1, CallOutcome::Replied);
    pair.end(2, failed(ErrorKind::Panicked));
    pair.check(&[
        "a_->>+b_: #35;1 Strings.upcase at 0 ms",
        "a_->>+b_: #35;2 Strings.upcase at 0 ms",
        "b_-->>-a_: #35;1 ok, 3 ms",
        "b_-->>-a_: #35;2 panicked, 3 ms",
    ]);
}

#[tokio::test(start_paused = true)]
async fn a_call_of_a_handler_is_within_the_bar_of_the_handler() {
    let pair = Pair::new();
    let [a, b] = pair.infos.clone();
    pair.start(1);
    pair.run(1);
    pair.b.on_start(upcase(1, 1, Some(a.clone()), None));
    pair.a.on_execution_start(ExecutionNumber(1), served(&b, &a, 1));
    pair.a.on_execution_end(ExecutionNumber(1), ExecutionOutcome::Replied);
    pair.b.on_end(CallNumber(1), AttemptNumber(1), CallOutcome::Replied, None);
    pair.run_end(1, ExecutionOutcome::Replied);
    pair.end(1, CallOutcome::Replied);
    pair.check(&[
        "a_->>+b_: #35;1 Strings.upcase at 0 ms",
        "b_->>+a_: #35;1 Strings.upcase at 0 ms",
        "a_-->>-b_: #35;1 ok, 0 ms",
        "b_-->>-a_: #35;1 ok, 0 ms",
    ]);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_never_arrived_is_lost_and_its_timeout_is_a_note_of_the_caller() {
    let pair = Pair::new();
    pair.start(1);
    advance(ms(1)).await;
    pair.start(2);
    pair.run(1);
    pair.run_end(1, ExecutionOutcome::Replied);
    pair.end(2, CallOutcome::Replied);
    pair.end(1, failed(ErrorKind::Timeout));
    pair.check(&[
        "a_--xb_: #35;1 Strings.upcase at 0 ms, lost",
        "a_->>+b_: #35;2 Strings.upcase at 1 ms",
        "b_-->>-a_: #35;2 ok, 0 ms",
        "Note over a_: #35;1 timeout, 1 ms",
    ]);
}

#[tokio::test(start_paused = true)]
async fn a_request_in_flight_is_not_lost() {
    let pair = Pair::new();
    pair.start(1);
    pair.check(&["a_->>b_: #35;1 Strings.upcase at 0 ms"]);
}

#[tokio::test(start_paused = true)]
async fn a_refused_request_has_arrived() {
    let pair = Pair::new();
    pair.start(1);
    pair.refuse(ErrorKind::Denied);
    pair.end(1, failed(ErrorKind::Denied));
    // The refusal of this one is lost.
    pair.start(2);
    pair.refuse(ErrorKind::Refused);
    pair.end(2, failed(ErrorKind::Timeout));
    // Only the caller decides this one, and nothing is sent.
    pair.start(3);
    pair.end(3, failed(ErrorKind::Unsupported));
    pair.start(4);
    pair.refuse(ErrorKind::Unsupported);
    pair.end(4, failed(ErrorKind::Unsupported));
    pair.check(&[
        "a_->>b_: #35;1 Strings.upcase at 0 ms",
        "b_-->>a_: #35;1 denied, 0 ms",
        "a_->>b_: #35;2 Strings.upcase at 0 ms",
        "Note over a_: #35;2 timeout, 0 ms",
        "a_--xb_: #35;3 Strings.upcase at 0 ms, lost",
        "Note over a_: #35;3 unsupported, 0 ms",
        "a_->>b_: #35;4 Strings.upcase at 0 ms",
        "b_-->>a_: #35;4 unsupported, 0 ms",
    ]);
}

#[tokio::test(start_paused = true)]
async fn an_execution_without_a_reply_ends_with_its_handler() {
    let pair = Pair::new();
    pair.start(1);
    pair.run(1);
    pair.end(1, CallOutcome::Cancelled);
    pair.log.note("the cancellation is on its way");
    pair.run_end(1, ExecutionOutcome::Cancelled);
    pair.start(2);
    pair.run(2);
    pair.log.crashed("b");
    pair.end(2, failed(ErrorKind::Disconnected));
    pair.start(3);
    pair.run(3);
    pair.check(&[
        "a_->>+b_: #35;1 Strings.upcase at 0 ms",
        "Note over a_: #35;1 cancelled, 0 ms",
        "Note over a_,b_: 0 ms<br/>the cancellation is on its way",
        "deactivate b_",
        "a_->>+b_: #35;2 Strings.upcase at 0 ms",
        "deactivate b_",
        "Note over a_: #35;2 disconnected, 0 ms",
        "a_->>+b_: #35;3 Strings.upcase at 0 ms",
        "deactivate b_",
    ]);
}

#[tokio::test(start_paused = true)]
async fn an_execution_after_the_end_of_its_call_is_a_note() {
    let pair = Pair::new();
    pair.start(1);
    pair.end(1, failed(ErrorKind::Timeout));
    advance(ms(5)).await;
    pair.run(1);
    pair.run_end(1, ExecutionOutcome::Replied);
    pair.check(&[
        "a_->>b_: #35;1 Strings.upcase at 0 ms",
        "Note over a_: #35;1 timeout, 0 ms",
        "Note over b_: runs #35;1 Strings.upcase of a at 5 ms",
    ]);
}

#[tokio::test(start_paused = true)]
async fn a_call_and_its_execution_may_be_in_different_parts_of_a_trace() {
    let pair = Pair::new();
    pair.start(1);
    advance(ms(5)).await;
    pair.run(1);
    pair.run_end(1, ExecutionOutcome::Replied);
    pair.end(1, CallOutcome::Replied);
    let trace = pair.log.snapshot();
    let call = trace.between(..ms(5)).to_mermaid();
    let lines = "    a_->>b_: #35;1 Strings.upcase at 0 ms\n    b_-->>a_: #35;1 ok, 5 ms\n";
    assert!(call.ends_with(lines), "{call}");
    let execution = trace.between(ms(5)..).to_mermaid();
    let line = "    Note over b_: runs Strings.upcase of a at 5 ms\n";
    assert!(execution.ends_with(line), "{execution}");
}

#[tokio::test(start_paused = true)]
async fn membership_events_are_included_on_request() {
    let pair = Pair::new();
    let [a, b] = pair.infos.clone();
    for event in [Event::Up(b.clone()), Event::Down(b.clone())] {
        pair.a.on_event(Occurrence::Membership(event));
    }
    pair.b.on_event(Occurrence::Membership(Event::Up(a)));
    let trace = pair.log.snapshot();
    let text = trace.to_mermaid();
    assert!(text.contains("    %% without 3 membership events\n"), "{text}");
    assert!(!text.contains("Note"), "{text}");
    let text = trace.diagram().with_membership().to_string();
    let notes = "    Note over a_: 0 ms<br/>up b<br/>down b\n    Note over b_: 0 ms<br/>up a\n";
    assert!(text.ends_with(notes) && !text.contains("without"), "{text}");
}
