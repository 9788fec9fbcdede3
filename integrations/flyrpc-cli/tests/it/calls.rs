//! The exit codes of calls.
//!
//! A visitor cannot provoke three of the kinds: `FAILED` is that of a reply of a newer version, `SHUT_DOWN` that of a node
//! that was itself shut down, and `STUB` that of another transport.

use std::sync::Arc;

use flyrpc::operations::{VisitOptions, Visitor};

use crate::support::{CLOSED, Flyrpc, Handler, Ran, client, node, node_with, start};

#[track_caller]
fn check(ran: &Ran, code: i32, kind: &str) {
    assert_eq!(ran.code, code, "{ran:?}");
    assert!(ran.err.contains(kind), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_kind_of_error_has_its_exit_code() {
    let hkg = node("hkg-0").max_body(4_096);
    let (iad, [hkg]) = start(node("iad-0"), [hkg]).await;
    let flyrpc = Flyrpc::at(iad.addr());
    let call = async |words: [&str; 3]| flyrpc.run(["call", words[0], words[1], words[2]]).await;
    check(&call(["syd", "Strings.upcase", r#"{"text":""}"#]).await, 65, "NO_NODE");
    check(&call(["hkg", "Strings.missing", "{}"]).await, 66, "UNSUPPORTED");
    check(&call(["hkg", "Strings.upcase", r#"{"text":1}"#]).await, 66, "UNSUPPORTED");
    check(&call(["hkg", "Strings.save", r#"{"note":""}"#]).await, 67, "NOT_PRIMARY");
    check(&call(["hkg", "Strings.secret", "{}"]).await, 69, "DENIED");
    let ran = flyrpc.run(["call", "hkg", "Strings.hang", "--timeout", "100ms"]).await;
    check(&ran, 71, "TIMEOUT");
    check(&call(["hkg", "Strings.panic", "{}"]).await, 73, "PANICKED");
    let deep = format!(r#"{{"text":{}{}}}"#, "[".repeat(200), "]".repeat(200));
    check(&call(["hkg", "Strings.upcase", &deep]).await, 74, "ENCODE");
    let long = format!(r#"{{"text":"{}"}}"#, "x".repeat(5_000));
    check(&call(["hkg", "Strings.upcase", &long]).await, 75, "ARGUMENTS_TOO_LARGE");
    check(&call(["hkg", "Strings.produce", r#"{"size":5000}"#]).await, 76, "REPLY_TOO_LARGE");
    let ran = call(["hkg", "Strings.nan", "{}"]).await;
    check(&ran, 77, "BAD_REPLY");
    assert!(ran.err.contains("[1]"), "the path: {ran:?}");
    hkg.hold();
    let ran = flyrpc.run(["call", "--node", "hkg-0", "Strings.upcase", r#"{"text":""}"#]).await;
    check(&ran, 68, "REFUSED");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_whose_node_shuts_down_is_disconnected() {
    let handler = Handler::default();
    let hanging = Arc::clone(&handler.hanging);
    let (iad, [hkg]) = start(node("iad-0"), [node_with("hkg-0", handler)]).await;
    let flyrpc = Flyrpc::at(iad.addr());
    let call = tokio::spawn(async move { flyrpc.run(["call", "hkg", "Strings.hang"]).await });
    hanging.notified().await;
    hkg.shutdown().await;
    check(&call.await.unwrap(), 72, "DISCONNECTED");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_err_of_the_handler_exits_with_3() {
    let (iad, []) = start(node("iad-0"), []).await;
    let flyrpc = Flyrpc::at(iad.addr());
    let dry = r#"{"note":"n","dry_run":true}"#;
    let ran = flyrpc.run(["call", "--primary", "Strings.save", dry]).await;
    assert_eq!((&*ran.out, ran.code), ("{\"Err\":\"dry run of \\\"n\\\"\"}\n", 3), "{ran:?}");
    let ran = flyrpc.run(["call", "--each", "Strings.save", dry]).await;
    assert_eq!(ran.code, 3, "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_arguments_show_the_signature() {
    let (iad, [_hkg]) = start(node("iad-0"), [node("hkg-0")]).await;
    let flyrpc = Flyrpc::at(iad.addr());
    let wrong = [
        (r#"{"txt":"fly"}"#, "unknown argument `txt`"),
        ("{}", "missing argument `text`"),
        (r#""fly""#, "JSON object"),
    ];
    for (arguments, why) in wrong {
        let ran = flyrpc.run(["call", "hkg", "Strings.upcase", arguments]).await;
        assert_eq!(ran.code, 2, "{ran:?}");
        assert!(
            ran.err.contains(why) && ran.err.contains("Strings.upcase(text: String) -> String")
        );
    }
    let ran = flyrpc.run(["call", "hkg", "Strings.upcase", "fly"]).await;
    assert!(ran.code == 2 && ran.err.contains("not JSON"), "{ran:?}");
    for words in [["Strings.upcase", "{}"], ["hkg", "upcase"]] {
        let ran = flyrpc.run(["call", words[0], words[1]]).await;
        assert_eq!(ran.code, 2, "{ran:?}");
    }
    let ran = flyrpc.run(["call", "--primary", "hkg", "Strings.upcase", "{}"]).await;
    assert_eq!(ran.code, 2, "{ran:?}");
}

/// The next version of the service.
mod next {
    use flyrpc::fly_rpc;

    #[fly_rpc]
    pub(super) trait Strings {
        async fn upcase(&self, text: String, times: usize) -> String;
    }

    #[derive(Clone)]
    pub(super) struct Handler;

    impl Strings for Handler {
        async fn upcase(&self, text: String, times: usize) -> String {
            text.to_uppercase().repeat(times)
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn during_a_deploy_a_call_goes_to_a_node_that_takes_its_arguments() {
    let new = |name| client(name).serve(next::ServeStrings::new(next::Handler));
    let others = [node("hkg-0"), new("hkg-1"), node("hkg-2"), new("iad-1")];
    let (iad, _others) = start(node("iad-0"), others).await;
    let flyrpc = Flyrpc::at(iad.addr());
    for _ in 0..5 {
        for target in ["hkg", "--primary", "--nearest"] {
            let new = r#"{"text":"fly","times":2}"#;
            for (arguments, reply) in [(new, "\"FLYFLY\"\n"), (r#"{"text":"fly"}"#, "\"FLY\"\n")] {
                let ran = flyrpc.run(["call", target, "Strings.upcase", arguments]).await;
                assert_eq!((&*ran.out, ran.code), (reply, 0), "{target}: {ran:?}");
            }
        }
    }
    let ran = flyrpc.run(["call", "hkg", "Strings.upcase", "{}"]).await;
    assert_eq!(ran.code, 2, "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_without_a_node_names_the_nodes_that_serve_the_method() {
    let (iad, [_hkg]) = start(node("iad-0"), [node("hkg-0")]).await;
    let flyrpc = Flyrpc::at(iad.addr());
    let text = r#"{"text":""}"#;
    for region in ["syd", "my.region"] {
        let calls = [
            flyrpc.run(["call", region, "Strings.upcase", text]).await,
            flyrpc.run(["call", "--each", region, "Strings.upcase", text]).await,
        ];
        for ran in calls {
            check(&ran, 65, &format!("Strings.upcase in region {region}; it is served by hkg-0"));
            check(&ran, 65, "iad-0 in region iad");
        }
    }
    let ran = flyrpc.run(["call", "syd", "Strings.missing", "{}"]).await;
    check(&ran, 65, "no live node in any region serves it");
    for region in ["", "a\nb"] {
        check(&flyrpc.run(["call", region, "Strings.upcase", text]).await, 2, "not a region");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_limit_of_calls_through_the_command_is_named() {
    let (iad, []) = start(node("iad-0"), []).await;
    let flyrpc = Flyrpc::at(iad.addr());
    for size in [5 << 20, 30 << 20] {
        let flyrpc = flyrpc.clone().stdin(format!(r#"{{"text":"{}"}}"#, "x".repeat(size)));
        let ran = flyrpc.run(["call", "iad", "Strings.upcase", "-"]).await;
        check(&ran, 75, "Strings.upcase: the arguments have");
        check(&ran, 75, "calls through a visitor, such as the command `flyrpc`, are limited");
    }
    let produce = r#"{"size":5000000}"#;
    let ran = flyrpc.run(["call", "iad", "Strings.produce", produce]).await;
    check(&ran, 76, "are limited to 4194304");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_visitor_too_many_reads_why_it_is_not_served() {
    let (iad, []) = start(node("iad-0"), []).await;
    let mut visitors = Vec::new();
    for _ in 0..16 {
        let visitor = Visitor::connect(iad.addr(), VisitOptions::new()).await.unwrap();
        visitor.status(None).await.unwrap();
        visitors.push(visitor);
    }
    let flyrpc = Flyrpc::at(iad.addr());
    for ran in [flyrpc.run(["nodes"]).await, flyrpc.run(["hold"]).await] {
        check(&ran, 72, "serves at most 16 visitors at a time; it did not execute");
    }
    assert!(visitors[0].status(None).await.unwrap().accepting);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_connection_the_exit_code_is_that_of_no_node() {
    let flyrpc = Flyrpc::at(CLOSED);
    let ran = flyrpc.run(["nodes"]).await;
    check(&ran, 65, "CONNECT");
    let ran = flyrpc.run(["nodes", "--json"]).await;
    let error: serde_json::Value = serde_json::from_str(&ran.err).unwrap();
    assert_eq!(error["error"]["kind"], "CONNECT");
}
