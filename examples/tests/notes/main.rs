//! Tests of the notes service: real nodes in three regions on a simulated network, in virtual time.
//! Each test states a guarantee of the service under one fault.

mod distance;
mod machines;
mod network;
mod releases;
mod trace;
mod v1;

use std::{future::Future, time::Duration};

use flyrpc::RpcError;
use flyrpc_examples::notes::{self, Database, NotesClient};
use flyrpc_testkit::{Release, SimCluster, SimClusterBuilder};

/// Two nodes beside the database in iad, one in fra and one in hkg.
fn regions() -> SimClusterBuilder {
    SimCluster::builder()
        .region("iad", 2)
        .region("fra", 1)
        .region("hkg", 1)
        .primary("iad")
        .rtt("iad", "fra", ms(90))
        .rtt("iad", "hkg", ms(200))
}

async fn cluster() -> SimCluster {
    regions().release(release(&Database::default())).start().await
}

/// Returns the current release, whose nodes are started by the same function as in production. The
/// database outlives the nodes.
fn release(database: &Database) -> Release {
    let database = database.clone();
    Release::new().boot(move |_node, builder| notes::start(builder, database.clone()))
}

/// Returns a client of the notebook on the given node.
fn notes(cluster: &SimCluster, node: &str) -> NotesClient {
    cluster.node(node).client()
}

/// Writes the note about tea. A second write of the same text repeats the same request.
fn write(
    notes: &NotesClient,
    text: &str,
) -> impl Future<Output = Result<u64, RpcError>> + Send + use<> {
    notes.write(format!("tea is {text}"), "tea".into(), text.into(), None)
}

/// The result of reading the note about tea.
#[derive(Debug, PartialEq)]
enum Seen {
    Fresh(String),
    Stale(String),
    Nothing,
    Unavailable,
}

async fn read(notes: &NotesClient) -> Seen {
    match notes.read("tea".into()).await.expect("a read is served by the reader's own node") {
        Ok(Some(found)) if found.stale => Seen::Stale(found.note.text),
        Ok(Some(found)) => Seen::Fresh(found.note.text),
        Ok(None) => Seen::Nothing,
        Err(_) => Seen::Unavailable,
    }
}

fn fresh(text: &str) -> Seen {
    Seen::Fresh(text.into())
}

fn stale(text: &str) -> Seen {
    Seen::Stale(text.into())
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}
