//! Services that call services, through the client of their context.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU32, Ordering},
};

use flyrpc::{Closed, ErrorInfo, ErrorKind, Node, RpcError, fly_rpc};
use tokio::time::Instant;

use crate::support::{millis, secs, sleep};

#[fly_rpc]
trait Steps {
    /// Calls itself until `levels` is 0, and returns the number of calls.
    async fn down(&self, levels: u32) -> Result<u32, ErrorInfo>;
    /// Stores a client of the context for later.
    async fn keep_client(&self);
    /// Calls itself until `levels` is 0, and then sleeps for an hour.
    async fn sleep_below(&self, levels: u32);
}

#[derive(Clone, Default)]
struct Stairs {
    kept: Arc<Mutex<Option<StepsClient>>>,
    /// The number of handlers that have started and not ended.
    running: Arc<AtomicU32>,
}

struct Running(Arc<AtomicU32>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Steps for Stairs {
    async fn down(&self, levels: u32) -> Result<u32, ErrorInfo> {
        if levels == 0 {
            return Ok(0);
        }
        let below: StepsClient = flyrpc::context().client();
        Ok(below.down(levels - 1).await?? + 1)
    }

    async fn keep_client(&self) {
        *self.kept.lock().unwrap() = Some(flyrpc::context().client());
    }

    async fn sleep_below(&self, levels: u32) {
        self.running.fetch_add(1, Ordering::Relaxed);
        let _running = Running(Arc::clone(&self.running));
        if levels == 0 {
            return sleep(secs(3600)).await;
        }
        let below: StepsClient = flyrpc::context().client();
        // All levels have the same deadline.
        let _ = below.timeout(secs(7200)).sleep_below(levels - 1).await;
        std::future::pending().await
    }
}

async fn start(stairs: &Stairs) -> Node {
    Node::builder().serve(ServeSteps::new(stairs.clone())).start().await.unwrap()
}

#[tokio::test]
async fn a_service_that_keeps_the_client_of_its_context_keeps_no_node_running() {
    let stairs = Stairs::default();
    let kept = Arc::downgrade(&stairs.kept);
    let node = start(&stairs).await;
    node.client::<StepsClient>().keep_client().await.unwrap();
    let client = stairs.kept.lock().unwrap().clone().unwrap();
    assert_eq!(client.down(1).await.unwrap().unwrap(), 1);
    drop(stairs);
    drop(node);
    let error = client.down(0).await.unwrap_err();
    assert!(
        matches!(error, RpcError::ShutDown { service: "Steps", method: "down", .. }),
        "{error:?}"
    );
    assert!(!format!("{client:?}").is_empty());
    // The node's tasks end one after the other, each when it is polled next. Then nothing refers to the
    // service.
    while kept.upgrade().is_some() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_client_of_a_context_calls_through_its_node_while_the_node_runs() {
    let stairs = Stairs::default();
    let node = start(&stairs).await;
    node.client::<StepsClient>().keep_client().await.unwrap();
    let client = stairs.kept.lock().unwrap().clone().unwrap();
    assert_eq!(client.on_node(node.id()).down(2).await.unwrap().unwrap(), 2);
    node.shutdown().await;
    assert_eq!(node.closed().await, Closed::ShutDown);
    assert_eq!(client.down(2).await.unwrap_err().kind(), ErrorKind::ShutDown);
}

#[test]
fn a_service_may_call_itself_a_thousand_levels_deep() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_stack_size(2 << 20)
        .enable_all()
        .build()
        .unwrap();
    let depth = runtime.block_on(async {
        let node = start(&Stairs::default()).await;
        let client: StepsClient = node.client();
        let depth = tokio::spawn(client.timeout(secs(60)).down(1000)).await.unwrap();
        node.shutdown().await;
        depth
    });
    assert_eq!(depth.unwrap().unwrap(), 1000);
}

#[tokio::test(start_paused = true)]
async fn a_deep_call_that_is_dropped_or_times_out_stops_the_handlers_of_all_levels() {
    let stairs = Stairs::default();
    let node = start(&stairs).await;
    let client: StepsClient = node.client();
    let call = tokio::spawn(client.timeout(secs(7200)).sleep_below(100));
    sleep(secs(1)).await;
    assert_eq!(stairs.running.load(Ordering::Relaxed), 101);
    call.abort();
    sleep(secs(1)).await;
    assert_eq!(stairs.running.load(Ordering::Relaxed), 0);
    let start = Instant::now();
    let error = client.timeout(secs(2)).sleep_below(100).await.unwrap_err();
    assert!(matches!(error, RpcError::Timeout { sent: true, .. }), "{error:?}");
    assert!(start.elapsed() <= secs(2) + millis(1), "{:?}", start.elapsed());
    sleep(millis(1)).await;
    assert_eq!(stairs.running.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn an_error_of_a_nested_call_reaches_the_outer_caller_as_data() {
    #[fly_rpc]
    trait Relay {
        async fn relay(&self) -> Result<u32, ErrorInfo>;
    }

    struct Relaying;

    impl Relay for Relaying {
        async fn relay(&self) -> Result<u32, ErrorInfo> {
            let steps: StepsClient = flyrpc::context().client();
            steps.on_region("nowhere").down(1).await?
        }
    }

    let node = Node::builder().serve(ServeRelay::new(Relaying)).start().await.unwrap();
    let relay: RelayClient = node.client();
    let info = relay.relay().await.unwrap().unwrap_err();
    assert_eq!((info.kind, info.http_status()), (ErrorKind::NoNode, 503));
    assert_eq!((&*info.service, &*info.method), ("Steps", "down"));
    assert!(!info.may_have_executed);
    node.shutdown().await;
}
