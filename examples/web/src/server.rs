//! One machine of the application: a web server, and the node behind it.
//!
//! What [`run`] does is all that a program of your own needs.

use std::{error::Error, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{Path, Request, State},
    http::{HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::Response,
    routing::{get, post},
};
use flyrpc::{Node, RpcError, fly_rpc};
use flyrpc_examples::{flags::NodeFlags, process};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::watch,
};

/// How long a machine that shuts down still accepts requests while it reports that it is not
/// healthy: longer than the load balancer takes to notice.
const NOTICE: Duration = Duration::from_millis(500);

/// Notes, whose database is in the primary region and is read near.
#[fly_rpc]
trait Notes {
    /// Reads a note.
    #[rpc(idempotent)]
    async fn read(&self, id: u64) -> String;

    /// Writes a note, and says in which region.
    #[rpc(primary, wait = "2s")]
    async fn write(&self, text: String) -> String;
}

/// The implementation, without its database.
struct Database {
    region: String,
}

impl Notes for Database {
    async fn read(&self, id: u64) -> String {
        tokio::time::sleep(Duration::from_millis(id % 20)).await;
        format!("note {id}, read in {}", self.region)
    }

    async fn write(&self, text: String) -> String {
        tokio::time::sleep(Duration::from_millis(text.len() as u64 % 50)).await;
        format!("written in {}", self.region)
    }
}

/// What the machine tells of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Starting,
    Healthy,
    Ending,
}

/// What requests are answered with.
#[derive(Clone)]
struct App {
    notes: NotesClient,
    stage: Arc<watch::Sender<Stage>>,
}

/// Serves HTTP, and the notes to other nodes, until SIGINT or SIGTERM.
pub(crate) async fn run(http: SocketAddr, flags: NodeFlags) -> Result<(), Box<dyn Error>> {
    process::end_with_parent();
    let mut signals = [signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?];
    let region = flags.region.clone().unwrap_or_default();
    // Other nodes know this one from now on, and do not call it yet.
    let builder = flags.apply(Node::builder()).hold();
    let node = builder.serve(ServeNotes::new(Database { region })).start().await?;

    let stage = Arc::new(watch::Sender::new(Stage::Starting));
    let app = App { notes: node.client(), stage: Arc::clone(&stage) };
    let (closing, close) = tokio::sync::oneshot::channel::<()>();
    let listener = TcpListener::bind(http).await?;
    let at = listener.local_addr()?;
    let server = axum::serve(listener, router(app)).with_graceful_shutdown(async {
        // It begins when the other end is dropped, too.
        let _ = close.await;
    });
    let server = tokio::spawn(server.into_future());

    // A machine is healthy once its node knows the others and its database is as this version needs
    // it. Only then do calls and requests come.
    node.ready().await;
    migrate().await;
    node.accept();
    stage.send_replace(Stage::Healthy);
    println!("http={at} {}", process::announcement(node.info()));

    let [interrupt, terminate] = &mut signals;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    // First nobody sends requests any more, then those that came are answered. What they call,
    // here and on other nodes, works until the node is shut down.
    stage.send_replace(Stage::Ending);
    tokio::time::sleep(NOTICE).await;
    drop(closing);
    server.await??;
    node.shutdown().await;
    Ok(())
}

/// What must be done before this version can serve.
async fn migrate() {
    tokio::time::sleep(Duration::from_millis(50)).await;
}

fn router(app: App) -> Router {
    Router::new()
        .route("/notes/{id}", get(read))
        .route("/notes", post(write))
        .route("/health", get(health))
        .layer(middleware::from_fn_with_state(app.clone(), last_answer))
        .with_state(app)
}

/// From this machine, as it serves the notes itself.
async fn read(State(app): State<App>, Path(id): Path<u64>) -> Result<String, (StatusCode, String)> {
    app.notes.read(id).await.map_err(failed)
}

/// Wherever the primary is.
async fn write(State(app): State<App>, text: String) -> Result<String, (StatusCode, String)> {
    app.notes.write(text).await.map_err(failed)
}

fn failed(error: RpcError) -> (StatusCode, String) {
    (StatusCode::BAD_GATEWAY, error.to_string())
}

async fn health(State(app): State<App>) -> StatusCode {
    match *app.stage.borrow() {
        Stage::Healthy => StatusCode::OK,
        Stage::Starting | Stage::Ending => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// Lets connections that are kept end with an answer, rather than between two requests, where a
/// request may be on its way.
async fn last_answer(State(app): State<App>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    if *app.stage.borrow() == Stage::Ending {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}
