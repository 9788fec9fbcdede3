//! A node receives the streams that a caller of version 0.1 sent (`tests/golden/920ef7e`), and sends the same
//! replies as the server of version 0.1 did.

use std::{collections::BTreeMap, time::Duration};

use flyrpc::{Node, fly_rpc};
use flyrpc_tests::frames::{PREFACE, frame, kind, read_varint};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// The service of the recorded server, with its methods in order.
#[fly_rpc]
trait Text {
    #[rpc(idempotent)]
    async fn upcase(&self, text: String) -> String;
    #[rpc(idempotent)]
    async fn word_count(&self, document: String) -> usize;
    async fn slow(&self, pause: Duration) -> Duration;
    async fn fail(&self, reason: String) -> Result<String, Failure>;
    async fn panic(&self, message: String) -> String;
}

#[derive(Debug, Serialize, Deserialize)]
struct Failure {
    reason: String,
}

struct TextService;

impl Text for TextService {
    async fn upcase(&self, text: String) -> String {
        text.to_uppercase()
    }

    async fn word_count(&self, document: String) -> usize {
        document.split_whitespace().count()
    }

    async fn slow(&self, pause: Duration) -> Duration {
        tokio::time::sleep(pause).await;
        pause
    }

    async fn fail(&self, reason: String) -> Result<String, Failure> {
        Err(Failure { reason })
    }

    async fn panic(&self, message: String) -> String {
        panic!("{message}")
    }
}

/// The kind and the payload of every frame of a stream.
fn frames(mut stream: &[u8]) -> Vec<(u8, Vec<u8>)> {
    stream = stream.strip_prefix(PREFACE).unwrap();
    let mut frames = Vec::new();
    while let Some((frame, rest)) = next_frame(stream) {
        frames.push((frame[0], frame[1..].to_vec()));
        stream = rest;
    }
    frames
}

fn next_frame(stream: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut rest = stream;
    let length = read_varint(&mut rest)?;
    rest.split_at_checked(length as usize)
}

/// Whether a reply or a status is complete, and the bytes of its frames, by the id of its request.
#[derive(Debug, Default, PartialEq)]
struct Responses(BTreeMap<u64, (u8, Vec<u8>)>);

impl Responses {
    fn add(&mut self, kind: u8, payload: &[u8]) {
        let mut rest = payload;
        let Some(id) = read_varint(&mut rest) else { return };
        match kind {
            kind::REPLY | kind::STATUS => {
                self.0.insert(id, (kind, rest.to_vec()));
            }
            kind::LONG_REPLY => {
                self.0.insert(id, (kind, Vec::new()));
            }
            kind::REPLY_CHUNK => {
                let (_, body) = self.0.get_mut(&id).expect("a chunk follows its announcement");
                body.extend_from_slice(rest);
            }
            _ => {}
        }
    }

    /// The responses to the requests after the two of the internal service.
    fn to_user(&self) -> Vec<(u64, u8, &[u8])> {
        self.0.range(3..).map(|(id, (kind, bytes))| (*id, *kind, &bytes[..])).collect()
    }
}

/// Sends the hello and the requests of `caller` to a node, and compares its responses with those in `server`.
async fn replay(caller: &[u8], server: &[u8]) {
    let mut expected = Responses::default();
    frames(server).iter().for_each(|(kind, payload)| expected.add(*kind, payload));
    let builder = Node::builder().region("iad").primary_region("iad").cluster("local");
    let node = builder.serve(ServeText::new(TextService)).start().await.unwrap();
    let mut stream = TcpStream::connect(node.addr()).await.unwrap();
    let mut sent = PREFACE.to_vec();
    for (kind, payload) in frames(caller) {
        // The stamps in pongs are those of the recorded server.
        let replayed = [kind::HELLO, kind::REQUEST, kind::REQUEST_CHUNK, kind::CANCEL];
        if replayed.contains(&kind) {
            sent.extend(frame(kind, &[], &payload));
        }
    }
    stream.write_all(&sent).await.unwrap();
    let (mut received, mut responses) = (Vec::new(), Responses::default());
    while responses.to_user() != expected.to_user() {
        assert_ne!(stream.read_buf(&mut received).await.unwrap(), 0, "{responses:?}");
        if received.len() < PREFACE.len() {
            continue;
        }
        // Chunks are added to a reply, so all frames are counted again.
        responses = Responses::default();
        frames(&received).iter().for_each(|(kind, payload)| responses.add(*kind, payload));
    }
    drop(stream);
    node.shutdown().await;
}

macro_rules! replay {
    ($name:literal) => {
        replay(
            include_bytes!(concat!("../golden/920ef7e/", $name, ".caller.bin")),
            include_bytes!(concat!("../golden/920ef7e/", $name, ".server.bin")),
        )
        .await
    };
}

#[tokio::test]
async fn caller_of_version_0_1_receives_the_same_replies() {
    replay!("upcase");
    replay!("chunked");
    replay!("fail");
    replay!("panic");
    replay!("timeout");
}
