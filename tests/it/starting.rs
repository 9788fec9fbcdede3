//! Where a node can be started, and on which address.

use std::error::Error;

use flyrpc::{Node, StartError};
use flyrpc_testkit::SimNet;
use futures_util::FutureExt;
use tokio::runtime::Builder;

use crate::support::node_on;

#[test]
fn a_node_does_not_start_where_it_cannot_run_and_the_error_says_what_to_write() {
    let outside = Node::builder().start().now_or_never().expect("refused at the first poll");
    let without_time = Builder::new_current_thread().enable_io().build().unwrap();
    let without_time = without_time.block_on(Node::builder().start());
    let without_io = Builder::new_current_thread().enable_time().build().unwrap();
    let without_io = without_io.block_on(Node::builder().start());
    for (result, what) in [
        (outside, "`#[tokio::main]`"),
        (without_time, "no time; build it with `enable_all`"),
        (without_io, "no I/O; build it with `enable_all`"),
    ] {
        let error = result.unwrap_err();
        assert!(matches!(error, StartError::Runtime { .. }), "{error:?}");
        assert!(error.to_string().contains(what), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_listens_on_the_address_of_a_host_name() {
    let net = SimNet::builder().build();
    let env = net.add_host("iad-0", "iad");
    let node = node_on(&env).listen_on_host("iad-0:4100").start().await.unwrap();
    assert_eq!(node.addr(), env.addr(4100));
    let second = net.add_host("iad-1", "iad");
    let second = node_on(&second).seeds(["iad-0:4100"]).start().await.unwrap();
    second.ready().await;
    assert_eq!(second.nodes().len(), 2);
}

#[tokio::test]
async fn a_node_listens_on_localhost() {
    let node = Node::builder().listen_on_host("localhost:0").start().await.unwrap();
    assert!(node.addr().ip().is_loopback());
    node.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_host_name_that_cannot_be_looked_up_is_an_error_that_names_it() {
    let net = SimNet::builder().build();
    let env = net.add_host("iad-0", "iad");
    let error = node_on(&env).listen_on_host("nowhere").start().await.unwrap_err();
    assert!(
        matches!(&error, StartError::Resolve { name, .. } if name == "nowhere:3590"),
        "{error:?}"
    );
    assert!(error.source().is_some());
    let error = node_on(&env).listen_on_host("not a name").start().await.unwrap_err();
    assert_eq!(error.to_string(), "listen_on_host is `not a name`: expected `name` or `name:port`");
}

#[tokio::test(start_paused = true)]
async fn a_node_lists_all_live_nodes_and_knows_whether_its_search_is_complete() {
    let net = SimNet::builder().build();
    let iad = node_on(&net.add_host("iad-0", "iad")).start().await.unwrap();
    assert!(iad.is_ready());
    assert_eq!(iad.nodes(), [iad.info().clone()]);
    let hkg = node_on(&net.add_host("hkg-0", "hkg")).seeds([iad.addr()]).start().await.unwrap();
    assert!(!hkg.is_ready());
    hkg.ready().await;
    assert!(hkg.is_ready());
    let mut expected = vec![hkg.info().clone(), iad.info().clone()];
    expected.sort();
    assert_eq!(hkg.nodes(), expected);
    iad.shutdown().await;
    assert!(iad.is_ready());
    hkg.events().next().await;
    assert_eq!(hkg.nodes(), [hkg.info().clone()]);
}
