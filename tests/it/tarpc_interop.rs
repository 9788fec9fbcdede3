//! Generated services and clients over plain tarpc, without a node.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use flyrpc::{ErrorInfo, ErrorKind, RpcError, fly_rpc};
use futures_util::{StreamExt as _, future};
use tarpc::{
    ServerError,
    client::{self, stub::Stub},
    context, serde_transport,
    server::{self, BaseChannel, Channel as _, incoming::Incoming as _},
    tokio_serde::formats::{Bincode, Json},
    transport,
};

#[fly_rpc]
trait Strings {
    async fn upcase(&self, text: String) -> String;
    async fn join(&self, parts: Vec<String>, by: Option<String>) -> Result<String, String>;
    #[rpc(timeout = "300ms")]
    async fn never(&self);
    async fn remaining_ms(&self) -> u64;
    async fn caller(&self) -> (String, u32, bool);
}

#[derive(Default)]
struct Shout {
    dropped: Arc<AtomicUsize>,
}

struct CountDrop(Arc<AtomicUsize>);

impl Drop for CountDrop {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Strings for Shout {
    async fn upcase(&self, text: String) -> String {
        text.to_uppercase()
    }

    async fn join(&self, parts: Vec<String>, by: Option<String>) -> Result<String, String> {
        if parts.is_empty() {
            return Err("nothing to join".into());
        }
        tokio::task::yield_now().await;
        Ok(parts.join(by.as_deref().unwrap_or(" ")))
    }

    async fn never(&self) {
        let _counted = CountDrop(Arc::clone(&self.dropped));
        future::pending().await
    }

    async fn remaining_ms(&self) -> u64 {
        tokio::task::yield_now().await;
        flyrpc::context().remaining().as_millis() as u64
    }

    async fn caller(&self) -> (String, u32, bool) {
        let context = flyrpc::context();
        (context.caller().name().to_owned(), context.attempt(), context.is_local())
    }
}

type Channel = client::Channel<StringsRequest, StringsResponse>;

fn in_memory(service: Shout) -> Channel {
    let (client, server) = transport::channel::unbounded();
    let requests = BaseChannel::with_defaults(server).execute(ServeStrings::new(service));
    tokio::spawn(requests.for_each(|response| async {
        tokio::spawn(response);
    }));
    client::new(client::Config::default(), client).spawn()
}

async fn check_calls(channel: Channel) {
    let client = StringsClient::from_stub(channel);
    let join = |parts: &[&str], by: Option<&str>| {
        client.join(parts.iter().map(|part| part.to_string()).collect(), by.map(str::to_owned))
    };
    assert_eq!(client.upcase("fly".into()).await.unwrap(), "FLY");
    assert_eq!(join(&["a", "b"], Some("-")).await.unwrap(), Ok("a-b".into()));
    assert_eq!(join(&["a", "b"], None).await.unwrap(), Ok("a b".into()));
    assert_eq!(join(&[], None).await.unwrap(), Err("nothing to join".into()));
}

#[tokio::test]
async fn calls_go_through_a_tarpc_channel_in_memory() {
    check_calls(in_memory(Shout::default())).await;
}

/// Makes calls over TCP, in one of tarpc's formats.
macro_rules! check_calls_over_tcp {
    ($format:ident) => {
        let incoming = serde_transport::tcp::listen("127.0.0.1:0", $format::default).await.unwrap();
        let addr = incoming.local_addr();
        tokio::spawn(
            incoming
                .filter_map(|connection| future::ready(connection.ok()))
                .map(BaseChannel::with_defaults)
                .execute(ServeStrings::new(Shout::default()))
                .for_each(|connection| async {
                    tokio::spawn(connection.for_each(|response| response));
                }),
        );
        let transport = serde_transport::tcp::connect(addr, $format::default).await.unwrap();
        check_calls(client::new(client::Config::default(), transport).spawn()).await;
    };
}

#[tokio::test]
async fn calls_go_through_tcp_with_bincode() {
    check_calls_over_tcp!(Bincode);
}

#[tokio::test]
async fn calls_go_through_tcp_with_json() {
    check_calls_over_tcp!(Json);
}

#[tokio::test]
async fn futures_can_be_spawned() {
    let client = StringsClient::from_stub(in_memory(Shout::default()));
    let call = tokio::spawn(client.upcase("fly".into()));
    assert_eq!(call.await.unwrap().unwrap(), "FLY");
    let served = StringsClient::from_stub(ServeStrings::new(Shout::default()));
    let call = tokio::spawn(served.upcase("fly".into()));
    assert_eq!(call.await.unwrap().unwrap(), "FLY");
}

#[tokio::test(start_paused = true)]
async fn the_timeout_of_a_method_ends_its_calls() {
    let service = Shout::default();
    let dropped = Arc::clone(&service.dropped);
    let client = StringsClient::from_stub(ServeStrings::new(service));
    let started = tokio::time::Instant::now();
    let error = client.never().await.unwrap_err();
    assert_eq!(started.elapsed(), Duration::from_millis(300));
    let expected = Duration::from_millis(300);
    assert!(
        matches!(
            error,
            RpcError::Timeout { after, node: None, service: "Strings", method: "never", .. }
                if after == expected
        ),
        "{error:?}"
    );
    assert!(error.may_have_executed());
    assert_eq!(dropped.load(Ordering::SeqCst), 1, "the handler was dropped with the call");
}

#[tokio::test(start_paused = true)]
async fn the_default_timeout_over_tarpc_is_five_seconds() {
    let client = StringsClient::from_stub(Stuck);
    let started = tokio::time::Instant::now();
    assert!(matches!(client.upcase(String::new()).await, Err(RpcError::Timeout { .. })));
    assert_eq!(started.elapsed(), Duration::from_secs(5));
}

/// A stub that never responds.
struct Stuck;

impl Stub for Stuck {
    type Req = StringsRequest;
    type Resp = StringsResponse;

    async fn call(
        &self,
        _: context::Context,
        _: StringsRequest,
    ) -> Result<StringsResponse, client::RpcError> {
        future::pending().await
    }
}

#[tokio::test]
async fn handlers_behind_tarpc_have_a_context() {
    let client = StringsClient::from_stub(in_memory(Shout::default()));
    let left = client.remaining_ms().await.unwrap();
    assert!((4_000..=5_000).contains(&left), "{left} ms");
    assert_eq!(client.caller().await.unwrap(), (String::new(), 1, false));
}

#[fly_rpc]
trait Outer {
    #[rpc(timeout = "1s")]
    async fn inner_fails_after_ms(&self) -> u64;
    /// Calls a service by a client of the context.
    async fn call(&self) -> Result<String, ErrorInfo>;
}

struct CallsStuck;

impl Outer for CallsStuck {
    async fn inner_fails_after_ms(&self) -> u64 {
        let started = std::time::Instant::now();
        tokio::time::sleep(Duration::from_millis(50)).await;
        let _ = flyrpc::context();
        let call = StringsClient::from_stub(Stuck).upcase(String::new());
        match call.await {
            Err(RpcError::Timeout { after, .. }) => after.as_millis() as u64,
            other => panic!("{other:?} after {:?}", started.elapsed()),
        }
    }

    async fn call(&self) -> Result<String, ErrorInfo> {
        let strings: StringsClient = flyrpc::context().client();
        Ok(strings.upcase("a".to_owned()).await?)
    }
}

#[tokio::test]
async fn the_calls_of_a_context_without_a_node_fail_because_it_was_shut_down() {
    let outer = OuterClient::from_stub(ServeOuter::new(CallsStuck));
    let error = outer.call().await.unwrap().unwrap_err();
    assert_eq!(error.kind, ErrorKind::ShutDown);
}

#[tokio::test]
async fn calls_in_a_handler_have_at_most_its_remaining_time() {
    let context = {
        let mut context = context::current();
        context.deadline = std::time::Instant::now() + Duration::from_millis(200);
        context
    };
    let serve = ServeOuter::new(CallsStuck);
    let reply = serve.call(context, OuterRequest::InnerFailsAfterMs {}).await.unwrap();
    let OuterResponse::InnerFailsAfterMs(after) = reply else { panic!("{reply:?}") };
    assert!((1..=150).contains(&after), "{after} ms");
}

/// A stub that responds with the result of the function.
struct RespondsWith(fn() -> Result<StringsResponse, client::RpcError>);

impl Stub for RespondsWith {
    type Req = StringsRequest;
    type Resp = StringsResponse;

    async fn call(
        &self,
        _: context::Context,
        _: StringsRequest,
    ) -> Result<StringsResponse, client::RpcError> {
        (self.0)()
    }
}

async fn error_of(respond: fn() -> Result<StringsResponse, client::RpcError>) -> RpcError {
    StringsClient::from_stub(RespondsWith(respond)).upcase(String::new()).await.unwrap_err()
}

#[tokio::test]
async fn errors_of_a_stub_keep_their_meaning() {
    let error = error_of(|| Err(client::RpcError::DeadlineExceeded)).await;
    assert!(matches!(error, RpcError::Timeout { node: None, sent: true, .. }), "{error:?}");

    let error = error_of(|| Err(client::RpcError::Shutdown)).await;
    assert!(matches!(error, RpcError::Disconnected { node: None, sent: true, .. }), "{error:?}");

    let error = error_of(|| Err(client::RpcError::Send("full".into()))).await;
    assert!(matches!(error, RpcError::Disconnected { node: None, sent: true, .. }), "{error:?}");

    let error = error_of(|| {
        let refused = ServerError::new(std::io::ErrorKind::Other, "no".into());
        Err(client::RpcError::Server(refused))
    })
    .await;
    assert!(matches!(error, RpcError::Stub { method: "upcase", .. }), "{error:?}");
    assert!(std::error::Error::source(&error).is_some());
}

#[tokio::test]
async fn an_error_of_flyrpc_passes_through_a_stub_unchanged() {
    let inner = StringsClient::from_stub(RespondsWith(|| Err(client::RpcError::Shutdown)));
    let ours = inner.join(vec![], None).await.unwrap_err();
    let outer = StringsClient::from_stub(Carries(ours));
    let error = outer.upcase(String::new()).await.unwrap_err();
    assert!(matches!(error, RpcError::Disconnected { method: "join", .. }), "{error:?}");
}

/// A stub that fails with one of flyrpc's own errors.
struct Carries(RpcError);

impl Stub for Carries {
    type Req = StringsRequest;
    type Resp = StringsResponse;

    async fn call(
        &self,
        _: context::Context,
        _: StringsRequest,
    ) -> Result<StringsResponse, client::RpcError> {
        Err(client::RpcError::Send(Box::new(self.0.clone())))
    }
}

#[tokio::test]
async fn a_reply_of_another_method_is_an_error() {
    let error = error_of(|| Ok(StringsResponse::Never(()))).await;
    assert!(matches!(error, RpcError::BadReply { node: None, .. }), "{error:?}");
}

#[tokio::test]
async fn a_closed_connection_is_a_disconnection() {
    let (client, server) = transport::channel::unbounded();
    drop(server);
    let channel: Channel = client::new(client::Config::default(), client).spawn();
    let error = StringsClient::from_stub(channel).upcase(String::new()).await.unwrap_err();
    assert!(matches!(error, RpcError::Disconnected { .. }), "{error:?}");
}

#[tokio::test]
async fn the_longest_deadline_is_clamped() {
    let mut context = context::current();
    context.deadline += Duration::from_secs(1 << 40);
    let serve = ServeStrings::new(Shout::default());
    let reply = server::Serve::serve(serve, context, StringsRequest::RemainingMs {}).await.unwrap();
    assert!(matches!(reply, StringsResponse::RemainingMs(left) if left > 1_000_000));
}
