//! One machine of the application: a web server and its node.
//!
//! [`run`] contains everything that a program of your own needs.

use std::{error::Error, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{Path, Request, State},
    http::{HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use flyrpc::{Metrics, Node, RpcError, fly_rpc};
use flyrpc_examples::{flags::NodeFlags, process};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::watch,
};

use crate::metrics;

/// How long a machine that shuts down still accepts requests while it reports that it is not
/// healthy: longer than the load balancer takes to notice.
const NOTICE: Duration = Duration::from_millis(500);

/// Notes. They are written to the database in the primary region, and read in any region.
#[fly_rpc]
trait Notes {
    /// Reads a note.
    #[rpc(idempotent)]
    async fn read(&self, id: u64) -> String;

    /// Writes a note, and returns the region in which it was written.
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

/// The state of a machine, which its health check reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Starting,
    Healthy,
    Ending,
}

/// The state that the handlers of HTTP requests share.
#[derive(Clone)]
struct App {
    notes: NotesClient,
    stage: Arc<watch::Sender<Stage>>,
    metrics: PrometheusHandle,
}

/// Serves HTTP, and the notes service to other nodes, until SIGINT or SIGTERM.
pub(crate) async fn run(http: SocketAddr, flags: NodeFlags) -> Result<(), Box<dyn Error>> {
    process::end_with_parent();
    let mut signals = [signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?];
    let region = flags.region.clone().unwrap_or_default();
    let metrics = metrics::install()?;
    // Other nodes discover this one from now on, but do not call it yet.
    let builder = flags.apply(Node::builder()).observer(Metrics::new()).hold();
    let node = builder.serve(ServeNotes::new(Database { region })).start().await?;

    let stage = Arc::new(watch::Sender::new(Stage::Starting));
    let app = App { notes: node.client(), stage: Arc::clone(&stage), metrics };
    let (closing, close) = tokio::sync::oneshot::channel::<()>();
    let listener = TcpListener::bind(http).await?;
    let at = listener.local_addr()?;
    let server = axum::serve(listener, router(app)).with_graceful_shutdown(async {
        // This completes with an error when the sender is dropped, which starts the shutdown.
        let _ = close.await;
    });
    let server = tokio::spawn(server.into_future());

    // A machine is healthy once its node has found the others and the database is migrated to this
    // version. It receives no calls and requests before that.
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
    // First, the load balancer stops sending requests. Then the server completes the requests that it
    // has received. Their calls, on this node and on others, work until the node is shut down.
    stage.send_replace(Stage::Ending);
    tokio::time::sleep(NOTICE).await;
    drop(closing);
    server.await??;
    node.shutdown().await;
    Ok(())
}

/// A stand-in for the work that is needed before this version can serve.
async fn migrate() {
    tokio::time::sleep(Duration::from_millis(50)).await;
}

fn router(app: App) -> Router {
    Router::new()
        .route("/notes/{id}", get(read))
        .route("/notes", post(write))
        .route("/health", get(health))
        .route("/metrics", get(render_metrics))
        .layer(middleware::from_fn_with_state(app.clone(), close_while_ending))
        .with_state(app)
}

/// Reads on this machine's own node, because it serves the notes itself.
async fn read(State(app): State<App>, Path(id): Path<u64>) -> Result<String, (StatusCode, String)> {
    app.notes.read(id).await.map_err(failed)
}

/// Writes in the primary region.
async fn write(State(app): State<App>, text: String) -> Result<String, (StatusCode, String)> {
    app.notes.write(text).await.map_err(failed)
}

fn failed(error: RpcError) -> (StatusCode, String) {
    (StatusCode::BAD_GATEWAY, error.to_string())
}

async fn health(State(app): State<App>) -> StatusCode {
    let stage = *app.stage.borrow();
    match stage {
        Stage::Healthy => StatusCode::OK,
        Stage::Starting | Stage::Ending => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// Renders the metrics for Prometheus. In production, serve them where only Prometheus can reach them, for
/// example at another port: they contain the names of all methods, and how often each is called.
async fn render_metrics(State(app): State<App>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], app.metrics.render())
}

/// Closes keep-alive connections with a response while the machine shuts down. If they were closed
/// between two requests, the next request could already be in flight, and would be lost.
async fn close_while_ending(State(app): State<App>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    if *app.stage.borrow() == Stage::Ending {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}
