//! Decodes the streams that nodes of version 0.1 sent: `tests/golden/920ef7e`.

use std::collections::BTreeMap;

use serde::{Deserialize, de::DeserializeOwned};

use super::{
    PREFACE,
    frame::{self, Body, BodyOf, Frame, GoAway},
    hello::{Hello, HelloOutcome},
    state::State,
    status::Status,
};
use crate::{
    codec,
    proto::wire::ids::{MethodIndex, RequestId},
};

macro_rules! golden {
    ($name:literal) => {
        include_bytes!(concat!("../../../../tests/golden/920ef7e/", $name, ".bin"))
    };
}

/// The frames of one end of a link.
#[derive(Default)]
struct Stream {
    hello: Option<Hello>,
    requests: BTreeMap<RequestId, (MethodIndex, Vec<u8>)>,
    replies: BTreeMap<RequestId, Vec<u8>>,
    statuses: BTreeMap<RequestId, Status>,
    canceled: Vec<RequestId>,
    states: Vec<State>,
    left: bool,
}

impl Stream {
    fn decode(bytes: &[u8]) -> Stream {
        let mut rest = bytes.strip_prefix(&PREFACE[..]).expect("a stream begins with the preface");
        let mut stream = Stream::default();
        let start = |body: Body<'_>| match body {
            Body::Whole(bytes) => bytes.to_vec(),
            Body::Chunked(_) => Vec::new(),
        };
        while let Some((bytes, length)) = frame::split(rest).expect("frames are valid") {
            rest = &rest[length..];
            match frame::decode(bytes).expect("every frame can be decoded") {
                Frame::Hello(hello) => match Hello::decode(hello) {
                    Ok(HelloOutcome::Hello(hello)) => stream.hello = Some(*hello),
                    other => panic!("{other:?}"),
                },
                Frame::Request(head, _, body) => {
                    stream.requests.insert(head.id, (head.method, start(body)));
                }
                Frame::Reply { id, body } => {
                    stream.replies.insert(id, start(body));
                }
                Frame::Status { id, status } => {
                    stream.statuses.insert(id, Status::decode(status).expect("a known status"));
                }
                Frame::Chunk { of: BodyOf::Request, id, bytes } => {
                    stream.requests.get_mut(&id).unwrap().1.extend_from_slice(bytes);
                }
                Frame::Chunk { of: BodyOf::Reply, id, bytes } => {
                    stream.replies.get_mut(&id).unwrap().extend_from_slice(bytes);
                }
                Frame::Cancel { id } => stream.canceled.push(id),
                Frame::State(state) => stream.states.push(State::decode(state).unwrap()),
                Frame::GoAway { reason } => stream.left |= reason == GoAway::Leaving,
                Frame::Ping { .. } | Frame::Pong { .. } | Frame::Void => {}
                Frame::Seal(_) | Frame::Unsealed(_) => panic!("version 0.1 seals nothing"),
            }
        }
        assert!(rest.is_empty());
        stream
    }

    fn hello(&self) -> &Hello {
        self.hello.as_ref().expect("a stream has a hello")
    }
}

/// A method of the service `Text`, with its arguments, and its reply or status.
struct Call {
    id: RequestId,
    method: String,
    arguments: Vec<u8>,
    reply: Option<Vec<u8>>,
    status: Option<Status>,
}

/// The calls of `Text` in two streams, after checks of both.
fn calls(caller: &[u8], server: &[u8]) -> (Vec<Call>, Stream) {
    let (caller, server) = (Stream::decode(caller), Stream::decode(server));
    for (stream, name, region) in [(&caller, "caller", "hkg"), (&server, "server", "iad")] {
        let hello = stream.hello();
        assert_eq!(hello.cluster, "local");
        assert_eq!((hello.node.name(), hello.node.region().as_str()), (name, region));
        assert_eq!((hello.max_body, hello.status_level), (32 << 20, 0));
        assert_eq!(hello.state.primary_region.as_str(), "iad");
        assert!(hello.state.accepting && !hello.state.draining);
    }
    assert!(caller.states.last().is_some_and(|state| state.draining) && caller.left);
    let services = &server.hello().services;
    let methods: Vec<_> = services
        .iter()
        .flat_map(|service| service.methods.iter().map(|method| (&service.name, method)))
        .collect();
    let text: Vec<_> = methods
        .iter()
        .filter(|(service, _)| *service == "Text")
        .map(|(_, method)| method)
        .collect();
    let names: Vec<_> = text.iter().map(|method| method.name.as_str()).collect();
    assert_eq!(names, ["upcase", "word_count", "slow", "fail", "panic", "whoami"]);
    assert!(text[0].idempotent && !text[2].idempotent && text[0].arguments[0].name == "text");
    let calls = caller.requests.iter().filter_map(|(id, (index, arguments))| {
        let (service, method) = methods[index.0 as usize];
        (service == "Text").then(|| Call {
            id: *id,
            method: method.name.clone(),
            arguments: arguments.clone(),
            reply: server.replies.get(id).cloned(),
            status: server.statuses.get(id).cloned(),
        })
    });
    (calls.collect(), caller)
}

impl Call {
    fn argument<T: DeserializeOwned>(&self, name: &str) -> T {
        let mut arguments: BTreeMap<String, T> = codec::decode(&self.arguments).unwrap();
        assert_eq!(arguments.len(), 1);
        arguments.remove(name).unwrap()
    }

    fn reply<T: DeserializeOwned>(&self) -> T {
        codec::decode(self.reply.as_ref().unwrap()).unwrap()
    }
}

#[test]
fn requests_and_replies_are_decoded() {
    let (calls, _) = calls(golden!("upcase.caller"), golden!("upcase.server"));
    let texts: Vec<_> = calls
        .iter()
        .map(|call| (&*call.method, call.argument::<String>("text"), call.reply::<String>()))
        .collect();
    let [fly, rpc] = [("fly", "FLY"), ("rpc", "RPC")]
        .map(|(text, reply)| ("upcase", text.to_owned(), reply.to_owned()));
    assert_eq!(texts, [fly, rpc]);
}

#[test]
fn chunked_bodies_are_decoded() {
    let (calls, _) = calls(golden!("chunked.caller"), golden!("chunked.server"));
    let [call] = &calls[..] else { panic!("one call was made") };
    let text = "long text ".repeat(7_000);
    assert_eq!(call.argument::<String>("text"), text);
    assert_eq!(call.reply::<String>(), text.to_uppercase());
}

#[test]
fn errors_are_decoded() {
    #[derive(Debug, PartialEq, Deserialize)]
    struct Failure {
        reason: String,
    }
    let reason = || "no reason".to_owned();
    let (failed, _) = calls(golden!("fail.caller"), golden!("fail.server"));
    assert_eq!(failed[0].argument::<String>("reason"), reason());
    assert_eq!(failed[0].reply::<Result<String, Failure>>(), Err(Failure { reason: reason() }));
    let (panicked, _) = calls(golden!("panic.caller"), golden!("panic.server"));
    assert_eq!(panicked[0].argument::<String>("message"), reason());
    assert_eq!(panicked[0].status, Some(Status::Panicked { message: reason() }));
}

#[test]
fn canceled_call_is_decoded() {
    let (calls, caller) = calls(golden!("timeout.caller"), golden!("timeout.server"));
    let [call] = &calls[..] else { panic!("one call was made") };
    assert_eq!(call.argument::<std::time::Duration>("pause").as_secs(), 10);
    assert_eq!(caller.canceled, [call.id]);
    assert!(call.reply.is_none() && call.status.is_none());
}
