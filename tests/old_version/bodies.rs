//! Bodies that are too large for one of the nodes, or of types that it does not have.

use flyrpc::{Node, RpcError, Unsupported};

use crate::{client, old_and_new, old_and_new_with};

const LIMIT: usize = 1000;

/// The results of calls with long arguments and of calls with long replies, in which an old node describes them.
const ARGUMENTS_TOO_LARGE: &str = "ArgumentsTooLarge(2009, 1000), not executed";
const REPLY_TOO_LARGE: &str = "ReplyTooLarge(2003, 1000), may have executed";

#[tokio::test]
async fn the_lower_limit_of_an_old_node_holds_for_arguments_and_replies() {
    let (mut old, new, mut handlers) = old_and_new_with(&["max_body=1000"], Node::builder()).await;
    check_calls_of_a_new_node(&new).await;
    old.assert_nothing_started().await;
    assert_eq!(old.run("call hkg length 2000").await, ARGUMENTS_TOO_LARGE);
    handlers.assert_no_event();
    assert_eq!(old.run("call hkg repeat 2000").await, REPLY_TOO_LARGE);
    assert_eq!(old.run("call hkg repeat 900").await, "900");
}

#[tokio::test]
async fn the_lower_limit_of_a_new_node_holds_for_arguments_and_replies() {
    let (mut old, new, mut handlers) = old_and_new_with(&[], Node::builder().max_body(LIMIT)).await;
    check_calls_of_a_new_node(&new).await;
    old.assert_nothing_started().await;
    assert_eq!(old.run("call hkg length 2000").await, ARGUMENTS_TOO_LARGE);
    handlers.assert_no_event();
    assert_eq!(old.run("call hkg repeat 2000").await, REPLY_TOO_LARGE);
    assert_eq!(old.run("call hkg repeat 900").await, "900");
}

async fn check_calls_of_a_new_node(new: &Node) {
    let work = client(new).on_region("iad");
    let error = work.length("a".repeat(2000)).await.unwrap_err();
    assert!(!error.may_have_executed());
    let RpcError::ArgumentsTooLarge { size, limit, .. } = error else { panic!("{error}") };
    assert_eq!((size, limit), (2009, LIMIT));
    let error = work.repeat(2000).await.unwrap_err();
    assert!(error.may_have_executed());
    let RpcError::ReplyTooLarge { size, limit, .. } = error else { panic!("{error}") };
    assert_eq!((size, limit), (2003, LIMIT));
    assert_eq!(work.repeat(900).await.unwrap().len(), 900);
}

#[tokio::test]
async fn a_reply_of_another_type_is_a_bad_reply_for_that_call_only() {
    let (mut old, new) = old_and_new().await;
    let work = client(&new).on_region("iad");
    let error = work.other_reply().await.unwrap_err();
    assert!(error.may_have_executed());
    let RpcError::BadReply { source, .. } = error else { panic!("{error}") };
    assert_eq!(source.to_string(), "invalid type: string \"text\", expected u64");
    assert_eq!(work.name().await.unwrap(), "old");

    let bad = "BadReply(invalid type: integer `7`, expected a string), may have executed";
    assert_eq!(old.run("call hkg other_reply").await, bad);
    assert_eq!(old.run("call hkg name").await, "new");
}

#[tokio::test]
async fn arguments_that_do_not_decode_are_not_executed() {
    let (mut old, new, mut handlers) = old_and_new_with(&[], Node::builder()).await;
    let work = client(&new).on_region("iad");
    work.wider(7).await.unwrap();
    old.event("started wider").await;
    let why = "number: invalid value: integer `300`, expected u8";
    assert_eq!(unsupported(work.wider(300).await), why);
    old.assert_nothing_started().await;

    assert_eq!(old.run("call hkg narrower 7").await, "done");
    assert_eq!(handlers.event().await, "started narrower");
    let unsupported = format!("Unsupported(Arguments({why:?})), not executed");
    assert_eq!(old.run("call hkg narrower 300").await, unsupported);
    handlers.assert_no_event();
}

#[tokio::test]
async fn an_argument_that_the_other_does_not_take_is_refused_if_it_has_a_value() {
    let (mut old, new, mut handlers) = old_and_new_with(&[], Node::builder()).await;
    let work = client(&new).on_region("iad");
    work.one_more(7, None).await.unwrap();
    old.event("started one_more").await;
    let why = "it does not take `by`, which has a value in this call";
    assert_eq!(unsupported(work.one_more(7, Some(1)).await), why);
    old.assert_nothing_started().await;

    assert_eq!(old.run("call hkg one_less 7").await, "done");
    assert_eq!(handlers.event().await, "started one_less");
    let unsupported = format!("Unsupported(Arguments({why:?})), not executed");
    assert_eq!(old.run("call hkg one_less_by 7").await, unsupported);
    handlers.assert_no_event();
}

#[track_caller]
fn unsupported(result: Result<(), RpcError>) -> String {
    let error = result.expect_err("the old node does not take these arguments");
    assert!(!error.may_have_executed());
    match error {
        RpcError::Unsupported { why: Unsupported::Arguments(why), .. } => why,
        other => panic!("{other}"),
    }
}
