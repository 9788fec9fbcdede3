//! What `#[fly_rpc]` generates from a trait with each attribute of 0.1, over a simulated cluster and over tarpc.

use std::{fmt::Debug, time::Duration};

use flyrpc::{Client, NodeId, Region, Routed, RpcError, Service, fly_rpc};
use flyrpc_testkit::SimCluster;
use serde::{Serialize, de::DeserializeOwned};
use tarpc::{RequestName, client::stub::Stub, context, server::Serve};
use tokio::time::Instant;

use crate::{is, is_static};

#[fly_rpc(name = "texts", crate = flyrpc)]
pub(crate) trait Text {
    async fn upcase(&self, text: String) -> String;
    #[rpc(primary, timeout = "2s")]
    async fn save(
        &self,
        key: u32,
        #[rpc(default)] count: u8,
        note: Option<String>,
    ) -> Result<u8, String>;
    #[rpc(idempotent, wait = "1s")]
    async fn load(&self) -> Vec<u8>;
    #[rpc(detached, name = "other")]
    async fn job(&self);
    #[deprecated]
    async fn old(&self);
    #[must_use]
    async fn new(&self);
}

pub(crate) struct Texts;

impl Text for Texts {
    async fn upcase(&self, text: String) -> String {
        text.to_uppercase()
    }

    async fn save(&self, _key: u32, count: u8, note: Option<String>) -> Result<u8, String> {
        note.map_or(Ok(count), Err)
    }

    async fn load(&self) -> Vec<u8> {
        Vec::new()
    }

    async fn job(&self) {}

    async fn old(&self) {}

    async fn new(&self) {}
}

/// An implementation of the trait needs no other traits.
#[expect(dead_code, reason = "it only has to compile")]
fn implementation<S: Text>() {
    fn implied<S: Send + Sync + 'static>() {}
    implied::<S>();
    let _: fn(S) -> ServeText<S> = ServeText::new;
    fn server<
        S: Text,
        T: Service + Clone + Debug + Serve<Req = TextRequest, Resp = TextResponse>,
    >() {
    }
    server::<S, ServeText<S>>();
}

#[expect(dead_code, reason = "it only has to compile")]
fn requests_and_responses() {
    fn plain<T: Serialize + DeserializeOwned + Debug + Send + Sync + Unpin + 'static>() {}
    plain::<TextRequest>();
    plain::<TextResponse>();
    fn named<T: RequestName>() {}
    named::<TextRequest>();
    let _ = |text: String| TextRequest::Upcase { text };
    let _ = |key: u32, count: u8, note: Option<String>| TextRequest::Save { key, count, note };
    let _ =
        || [TextRequest::Load {}, TextRequest::Job {}, TextRequest::Old {}, TextRequest::New {}];
    let _: fn(String) -> TextResponse = TextResponse::Upcase;
    let _: fn(Result<u8, String>) -> TextResponse = TextResponse::Save;
    let _: fn(Vec<u8>) -> TextResponse = TextResponse::Load;
    let _: [fn(()) -> TextResponse; 3] = [TextResponse::Job, TextResponse::Old, TextResponse::New];
}

#[expect(dead_code, reason = "it only has to compile")]
fn client<R: Into<Region>, N: Into<NodeId>>() {
    fn routed<C: Client + Clone + Debug + Send + Sync + Unpin>() {}
    routed::<TextClient>();
    let _: fn(TextClient) -> TextClient<Routed> = |client| client;
    let _: fn(&TextClient, R) -> TextClient = TextClient::on_region;
    let _: fn(&TextClient) -> TextClient = TextClient::on_primary;
    let _: fn(&TextClient, N) -> TextClient = TextClient::on_node;
    let _: fn(&TextClient, Duration) -> TextClient = TextClient::timeout;
    let _: fn(&TextClient, Duration) -> TextClient = TextClient::wait;
}

/// A future of a client can be spawned.
#[expect(dead_code, reason = "it only has to compile")]
#[expect(deprecated, reason = "one of the methods is")]
fn calls(client: &TextClient, text: String) {
    is_static::<Result<String, RpcError>>(client.upcase(text.clone()));
    is_static::<Result<Result<u8, String>, RpcError>>(client.save(1, 2, Some(text)));
    is_static::<Result<Vec<u8>, RpcError>>(client.load());
    is_static::<Result<(), RpcError>>(client.job());
    is_static::<Result<(), RpcError>>(client.old());
    is_static::<Result<(), RpcError>>(client.new());
}

#[expect(dead_code, reason = "it only has to compile")]
fn over_a_stub<S>(stub: S, text: String)
where
    S: Stub<Req = TextRequest, Resp = TextResponse> + Send + Sync + 'static,
{
    let client = TextClient::from_stub(stub).clone();
    // The future of a stub may not be `Send`.
    let _: &dyn Future<Output = Result<String, RpcError>> = &client.upcase(text);
}

#[tokio::test(start_paused = true)]
async fn calls_of_a_program_of_0_1_in_a_simulated_cluster() {
    let cluster = SimCluster::builder()
        .region("iad", 2)
        .region("hkg", 1)
        .primary("iad")
        .rtt("iad", "hkg", Duration::from_millis(202))
        .serve(|_node| ServeText::new(Texts))
        .start()
        .await;
    let text: TextClient = cluster.node("hkg-0").client();
    let start = Instant::now();
    assert_eq!(text.on_region("iad").upcase("fly".into()).await.unwrap(), "FLY");
    assert_eq!(text.save(1, 2, None).await.unwrap(), Ok(2));
    assert_eq!(start.elapsed(), Duration::from_millis(404));
    assert_eq!(text.upcase("local".into()).await.unwrap(), "LOCAL");
    assert_eq!(cluster.trace().calls().method("save").to_region("iad").ok().count(), 1);
    assert_eq!(cluster.trace().calls().local().count(), 1);

    let cut = cluster.partition("iad", "hkg");
    let call = text.on_primary().timeout(Duration::from_secs(1)).job();
    assert!(matches!(call.await, Err(RpcError::Timeout { .. })));
    drop(cut);
    assert!(cluster.trace().to_mermaid().contains("hkg"));
}

#[tokio::test]
async fn calls_of_a_program_of_0_1_over_tarpc() {
    let served = ServeText::new(Texts);
    let request = TextRequest::Upcase { text: "fly".into() };
    assert_eq!(request.name(), "texts.upcase");
    let response = served.clone().serve(context::current(), request).await.unwrap();
    assert!(matches!(response, TextResponse::Upcase(text) if text == "FLY"));
    let client = TextClient::from_stub(served);
    is::<Result<String, RpcError>>(client.upcase("fly".into()));
    assert_eq!(client.upcase("fly".into()).await.unwrap(), "FLY");
}
