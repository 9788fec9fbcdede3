//! The routes of a simulated cluster, in virtual time.

use std::time::Duration;

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{Method, Request, StatusCode},
};
use flyrpc::{Node, fly_rpc};
use flyrpc_testkit::{Release, SimCluster};
use serde_json::Value;
use tokio::time::{Instant, sleep};
use tower::ServiceExt as _;

/// Work in steps.
#[fly_rpc]
pub trait Work {
    /// Takes this time.
    async fn run(&self, millis: u64) -> String;
}

struct Worker;

impl Work for Worker {
    async fn run(&self, millis: u64) -> String {
        sleep(Duration::from_millis(millis)).await;
        assert_ne!(millis, 13, "unlucky");
        "done".to_owned()
    }
}

/// A cluster of iad-0, iad-1, hkg-0 and fra-0.
async fn cluster() -> SimCluster {
    let cluster = SimCluster::builder().region("iad", 2).region("hkg", 1).region("fra", 1);
    cluster.primary("iad").serve(|_node| ServeWork::new(Worker)).start().await
}

/// A response: its status, its headers and its body.
struct Response {
    status: StatusCode,
    headers: axum::http::HeaderMap,
    body: String,
}

async fn send(router: &Router, method: Method, path: &str) -> Response {
    let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
    let (parts, body) = router.clone().oneshot(request).await.unwrap().into_parts();
    let body = to_bytes(body, 10_000_000).await.unwrap();
    let body = String::from_utf8(body.to_vec()).unwrap();
    Response { status: parts.status, headers: parts.headers, body }
}

async fn get(router: &Router, path: &str) -> String {
    let response = send(router, Method::GET, path).await;
    assert_eq!(response.status, StatusCode::OK, "{path}: {}", response.body);
    response.body
}

async fn status(router: &Router) -> Value {
    serde_json::from_str(&get(router, "/status.json").await).unwrap()
}

fn health(status: &Value, name: &str) -> String {
    let nodes = status["nodes"].as_array().unwrap().iter();
    let is_it = |node: &&Value| node["id"].as_str().unwrap().starts_with(&format!("{name}/"));
    nodes.filter(is_it).map(|node| node["health"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(start_paused = true)]
async fn every_node_is_on_the_page_and_in_the_json() {
    let cluster = cluster().await;
    let router = flyrpc_status::router(&cluster.node("iad-0"));
    let (overview, json) = (get(&router, "/").await, status(&router).await);
    assert_eq!(json["nodes"].as_array().unwrap().len(), 4);
    for name in ["iad-0", "iad-1", "hkg-0", "fra-0"] {
        let id = cluster.node(name).id().to_string();
        let link = format!("href=\"?node={}\"", id.replace('/', "%2F"));
        for page in ["?page=nodes", "?page=links", "?page=services", "/"] {
            let html = get(&router, &format!("/{}", page.trim_start_matches('/'))).await;
            assert!(html.contains(&link), "{name} is not on {page}");
        }
        assert!(overview.contains(&format!(">{name}</a>")), "{name} is not on the page");
        assert_eq!(health(&json, name), "good");
        // Each node reports its own view.
        let own = get(&router, &format!("/?node={}", id.replace('/', "%2F"))).await;
        assert!(own.contains("As the node itself reports") && own.contains("Work"), "{own}");
    }
    assert!(overview.contains("None: every node answers"), "{overview}");
    assert!(overview.len() < 100_000);
    let unknown = get(&router, "/?node=x%2F0000000000000001").await;
    assert!(unknown.contains("no such node is known"));
    assert!(get(&router, "/?node=%3Cscript%3E").await.contains("<h2>&lt;script&gt;"));
}

/// Refreshes as an open page does, until the node is in this state. Returns the time that it took.
async fn time_until(router: &Router, name: &str, expected: &str) -> Duration {
    let start = Instant::now();
    loop {
        let found = health(&status(router).await, name);
        if found == expected || start.elapsed() > Duration::from_secs(30) {
            assert_eq!(found, expected, "{name}");
            return start.elapsed();
        }
        sleep(Duration::from_secs(2)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_fails_is_shown_within_5_s() {
    let cluster = cluster().await;
    let router = flyrpc_status::router(&cluster.node("iad-0"));
    status(&router).await;
    let at_most = Duration::from_secs(5);
    cluster.node("iad-1").shutdown().await;
    let took = time_until(&router, "iad-1", "left").await;
    assert!(took < at_most, "left: {took:?}");
    status(&router).await;
    cluster.freeze("hkg-0");
    let took = time_until(&router, "hkg-0", "error").await;
    assert!(took < at_most, "frozen: {took:?}");
    let overview = get(&router, "/").await;
    assert!(overview.contains("did not answer: no answer within 1.5 s"), "{overview}");
    status(&router).await;
    cluster.crash_machine("fra-0");
    let took = time_until(&router, "fra-0", "error").await;
    assert!(took < at_most, "crashed: {took:?}");
    // After some time, the links are lost, too.
    sleep(Duration::from_secs(30)).await;
    let json = status(&router).await;
    assert_eq!((&*health(&json, "fra-0"), &*health(&json, "iad-0")), ("error", "good"));
    // Those that the node no longer lists are shown for a minute.
    sleep(Duration::from_secs(90)).await;
    assert_eq!(health(&status(&router).await, "iad-1"), "");
}

#[tokio::test(start_paused = true)]
async fn the_overview_shows_who_cannot_be_called_and_what_nodes_disagree_on() {
    let key = |digit: &str| digit.repeat(64).parse::<flyrpc::Keyring>().unwrap();
    let release = Release::new().serve(|_node| ServeWork::new(Worker));
    let odd = release.clone().configure(|_, builder| builder.primary_region("fra").version("2"));
    let usual = SimCluster::builder().region("iad", 2).region("fra", 1).primary("iad");
    let usual = usual.secret(key("1")).serve(|_node| ServeWork::new(Worker));
    let cluster = usual.node("fra-0", odd).start().await;
    let router = flyrpc_status::router(&cluster.node("iad-0"));
    let iad: Node = cluster.node("iad-1");
    iad.hold();
    sleep(Duration::from_secs(2)).await;
    let overview = get(&router, "/").await;
    for text in [
        "is held: it accepts no calls",
        "nodes disagree: fra according to fra-0; iad according to iad-0, iad-1",
        "not complete: no version on 2, 2 on 1",
        "1 node of 3 disagree",
        "3 of 3 nodes",
        "No rotation is in progress",
    ] {
        assert!(overview.contains(text), "`{text}` is not in {overview}");
    }
    let json = status(&router).await;
    assert_eq!(json["problems"][0]["severity"], "error");
}

#[tokio::test(start_paused = true)]
async fn methods_have_the_calls_of_the_last_minute() {
    let cluster = cluster().await;
    let router = flyrpc_status::router(&cluster.node("iad-0"));
    let work: WorkClient = cluster.node("fra-0").client();
    work.on_region("hkg").run(10).await.unwrap();
    assert!(get(&router, "/?page=methods").await.contains("have begun to record"));
    for _ in 0..10 {
        work.on_region("hkg").run(10).await.unwrap();
        let _ = work.on_region("hkg").run(13).await;
    }
    sleep(Duration::from_secs(1)).await;
    let json = status(&router).await;
    let rows = json["methods"].as_array().unwrap();
    let hkg = rows.iter().find(|row| row["region"] == "hkg").unwrap();
    assert_eq!((&hkg["calls"], &hkg["errors"]), (&Value::from(20), &Value::from(10)));
    assert_eq!(hkg["by_status"]["PANICKED"], 10);
    assert!((0.010..0.013).contains(&hkg["p50"].as_f64().unwrap()), "{hkg}");
    assert_eq!(json["problems"][0]["text"], "in hkg, 10 of the last 20 calls failed");
    let methods = get(&router, "/?page=methods").await;
    assert!(methods.contains("10 (50.0 %)") && methods.contains("PANICKED 10"), "{methods}");
}

#[tokio::test(start_paused = true)]
async fn all_viewers_share_one_collection_a_second() {
    let cluster = cluster().await;
    let router = flyrpc_status::router(&cluster.node("iad-0"));
    let viewers = (0..20).map(|_| {
        let router = router.clone();
        tokio::spawn(async move { get(&router, "/status.json").await })
    });
    let viewers: Vec<_> = viewers.collect();
    let first = get(&router, "/status.json").await;
    for viewer in viewers {
        assert_eq!(viewer.await.unwrap(), first);
    }
    sleep(Duration::from_millis(500)).await;
    assert_eq!(get(&router, "/status.json").await, first);
    sleep(Duration::from_secs(1)).await;
    assert_ne!(get(&router, "/status.json").await, first);
    // A viewer that hangs up during a collection does not keep others from one.
    sleep(Duration::from_secs(2)).await;
    let canceled = get(&router, "/");
    let canceled = tokio::time::timeout(Duration::from_millis(1), canceled).await;
    assert!(canceled.is_err());
    get(&router, "/").await;
}

#[tokio::test(start_paused = true)]
async fn nothing_runs_a_minute_after_the_last_viewer() {
    let cluster = cluster().await;
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    sleep(Duration::from_secs(60)).await;
    let before = tasks();
    let router = flyrpc_status::router(&cluster.node("iad-0"));
    for _ in 0..10 {
        get(&router, "/?page=methods").await;
        sleep(Duration::from_secs(2)).await;
    }
    // Each node has one task while it records.
    assert!(tasks() > before);
    sleep(Duration::from_secs(62)).await;
    assert!(tasks() <= before, "{} tasks, {before} before", tasks());
    for name in ["iad-0", "hkg-0"] {
        let report = cluster.node("iad-1").watch(cluster.node(name).id()).await.unwrap();
        assert_eq!(report.recording, 0.0, "{name} was recording");
    }
    // The figures start from zero.
    assert!(get(&router, "/?page=methods").await.contains("have begun to record"));
}

#[tokio::test(start_paused = true)]
async fn only_get_is_allowed_and_all_responses_have_the_headers() {
    let cluster = cluster().await;
    let router = flyrpc_status::router(&cluster.node("iad-0"));
    for path in ["/", "/status.json", "/?page=nodes"] {
        for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH, Method::OPTIONS] {
            let response = send(&router, method.clone(), path).await;
            assert_eq!(response.status, StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
        }
    }
    for path in ["/", "/status.json", "/?format=json"] {
        let Response { status, headers, .. } = send(&router, Method::GET, path).await;
        assert_eq!(status, StatusCode::OK);
        let header = |name: &str| headers[name].to_str().unwrap();
        let policy = header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'; ") && policy.contains("'sha256-"));
        assert!(policy.ends_with("frame-ancestors 'none'"));
        assert_eq!(header("cache-control"), "no-store");
        assert_eq!(header("x-content-type-options"), "nosniff");
        assert_eq!(header("referrer-policy"), "no-referrer");
        let is_json = header("content-type") == "application/json";
        assert_eq!(is_json, path.contains("json"), "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_router_can_be_nested() {
    let cluster = cluster().await;
    let status = flyrpc_status::router(&cluster.node("iad-0"));
    let app = Router::new().nest("/admin/flyrpc", status).fallback(|| async { "the application" });
    let page = get(&app, "/admin/flyrpc").await;
    assert!(page.contains("hkg-0") && page.contains("href=\"?page=methods\""));
    assert!(get(&app, "/admin/flyrpc/status.json").await.starts_with('{'));
    assert!(get(&app, "/admin/flyrpc?format=json").await.starts_with('{'));
    assert_eq!(get(&app, "/other").await, "the application");
    let posted = send(&app, Method::POST, "/admin/flyrpc").await;
    assert_eq!(posted.status, StatusCode::METHOD_NOT_ALLOWED);
    // No link leads to an absolute path.
    for link in page.split(" href=\"").skip(1) {
        assert!(link.starts_with('?') || link.starts_with("data:,\""), "{}", &link[..20]);
    }
}

#[tokio::test(start_paused = true)]
async fn the_router_responds_with_503_after_the_node_has_ended() {
    let cluster = cluster().await;
    let node = cluster.node("iad-0");
    let router = flyrpc_status::router(&node);
    get(&router, "/").await;
    node.shutdown().await;
    sleep(Duration::from_secs(1)).await;
    for path in ["/", "/status.json"] {
        let response = send(&router, Method::GET, path).await;
        assert_eq!(response.status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(response.body.contains("The node of this page has ended"), "{}", response.body);
    }
}

#[tokio::test]
async fn the_router_does_not_keep_the_node_running() {
    let node = Node::builder().start().await.unwrap();
    let (router, weak) = (flyrpc_status::router(&node), node.downgrade());
    get(&router, "/").await;
    drop(node);
    assert!(weak.upgrade().is_none());
    let response = send(&router, Method::GET, "/").await;
    assert_eq!(response.status, StatusCode::SERVICE_UNAVAILABLE);
}
