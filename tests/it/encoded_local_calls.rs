//! Local calls that are encoded, either because the node is configured that way or because it
//! serves another version of the trait. Such a call is refused wherever a remote call would be.

use flyrpc::{BodyError, RpcError, fly_rpc};
use flyrpc_testkit::{Release, SimCluster, SimClusterBuilder};
use serde::{Deserialize, Serialize, Serializer, ser};
use tokio::time::Instant;

use crate::support::{
    ContextSeen, Counts, ProbeClient, millis, probe_cluster, probe_release, secs, sleep,
};

/// A value that loses a field when it is encoded.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
struct Lossy {
    kept: u64,
    #[serde(skip)]
    lost: u64,
}

/// A number that cannot be encoded if it is odd.
#[derive(Debug, Deserialize)]
struct Even(u64);

impl Serialize for Even {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 % 2 {
            0 => serializer.serialize_u64(self.0),
            _ => Err(ser::Error::custom("it is odd")),
        }
    }
}

#[fly_rpc]
trait Types {
    async fn lossy(&self, value: Lossy) -> Lossy;
    async fn take(&self, value: Even) -> u64;
    async fn give(&self, value: u64) -> Even;
}

struct Same;

impl Types for Same {
    async fn lossy(&self, value: Lossy) -> Lossy {
        value
    }

    async fn take(&self, value: Even) -> u64 {
        value.0
    }

    async fn give(&self, value: u64) -> Even {
        Even(value)
    }
}

/// A later version of [`Probe`](crate::support::Probe) that no node serves.
mod later {
    use super::*;

    #[fly_rpc(name = "Probe")]
    pub(super) trait Later {
        async fn produce(&self, size: usize) -> Vec<u8>;
        async fn echo(&self, bytes: Vec<u8>, times: Option<u8>) -> Vec<u8>;
    }
}

/// A release that serves [`Probe`](crate::support::probe_release) and [`Types`].
fn release(counts: &Counts) -> Release {
    probe_release(counts).serve(|_| ServeTypes::new(Same))
}

/// A cluster of only hkg-0. The primary region is iad, which has no node.
fn hkg_alone(counts: &Counts) -> SimClusterBuilder {
    let release = release(counts).configure(|_, builder| builder.primary_region("iad"));
    SimCluster::builder().region("hkg", 1).release(release)
}

#[tokio::test(start_paused = true)]
async fn a_type_that_does_not_survive_encoding_is_detected() {
    let value = Lossy { kept: 1, lost: 2 };
    for (encode, back) in [(false, value.clone()), (true, Lossy { kept: 1, lost: 0 })] {
        let cluster = hkg_alone(&Counts::default()).force_wire(encode).start().await;
        let node = cluster.node("hkg-0");
        assert_eq!(node.client::<TypesClient>().lossy(value.clone()).await.unwrap(), back);
    }
}

#[tokio::test(start_paused = true)]
async fn a_value_that_cannot_be_encoded_is_an_error() {
    let is_odd_error = |source: &BodyError| source.to_string().contains("it is odd");
    let cluster = hkg_alone(&Counts::default()).force_wire(true).start().await;
    let node = cluster.node("hkg-0");
    let types: TypesClient = node.client();
    let error = types.take(Even(3)).await.unwrap_err();
    assert!(matches!(&error, RpcError::Encode { source, .. } if is_odd_error(source)), "{error:?}");
    let error = types.give(3).await.unwrap_err();
    assert!(
        matches!(&error, RpcError::BadReply { encoded: false, source, .. } if is_odd_error(source)),
        "{error:?}"
    );
    assert!(error.to_string().contains("could not be encoded on node"), "{error}");
    assert_eq!(types.take(Even(4)).await.unwrap(), 4);
}

#[tokio::test(start_paused = true)]
async fn bodies_have_the_same_limit_in_local_and_remote_calls() {
    for encode in [false, true] {
        let counts = Counts::default();
        let limited = release(&counts)
            .configure(move |_, builder| builder.encode_local_calls(encode).max_body(1_000));
        let cluster = probe_cluster(&counts).region("iad", 1).region("hkg", 1);
        let cluster = cluster.node("hkg-0", limited).start().await;
        let node = cluster.node("hkg-0");
        sleep(secs(1)).await;
        let mut sizes = Vec::new();
        for region in ["iad", "hkg"] {
            let probe = node.client::<ProbeClient>().on_region(region);
            let later = node.client::<later::LaterClient>().on_region(region);
            // A local call of the same trait is encoded only if the node is configured that way.
            if region == "iad" || encode {
                let echo = probe.echo(vec![0; 2_000]).await;
                sizes.push(too_large(echo));
                sizes.push(too_large(probe.produce(2_000).await));
                assert_eq!(probe.produce(900).await.unwrap().len(), 900);
            }
            sizes.push(too_large(later.echo(vec![0; 2_000], None).await));
            sizes.push(too_large(later.produce(2_000).await));
            assert_eq!(later.produce(900).await.unwrap().len(), 900);
        }
        let (arguments, reply) = (sizes[0], sizes[1]);
        assert!(arguments.starts_with("arguments") && reply.starts_with("reply"), "{sizes:?}");
        assert!(sizes.chunks(2).all(|pair| pair == [arguments, reply]), "{sizes:?}");
    }
}

/// Returns which body was too large, after checking the size and the limit.
fn too_large(outcome: Result<Vec<u8>, RpcError>) -> &'static str {
    match outcome.unwrap_err() {
        error @ RpcError::ArgumentsTooLarge { limit: 1_000, size: 2_000..2_020, .. } => {
            assert!(!error.may_have_executed());
            "arguments"
        }
        error @ RpcError::ReplyTooLarge { limit: 1_000, size: 2_000..2_010, .. } => {
            assert!(error.may_have_executed());
            "reply"
        }
        error => panic!("{error:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn encoding_changes_nothing_else() {
    let mut seen = Vec::new();
    for encode in [false, true] {
        let counts = Counts::default();
        let cluster = hkg_alone(&counts).force_wire(encode).start().await;
        let node = cluster.node("hkg-0");
        let probe: ProbeClient = node.client();
        let context = probe.context().await.unwrap();
        assert!(context.local);
        assert_eq!(context, ContextSeen { remaining: secs(5), ..context.clone() });

        let error = probe.panic("no".into()).await.unwrap_err();
        assert!(matches!(&error, RpcError::Panicked { message, .. } if message == "no"));
        let start = Instant::now();
        let error = probe.timeout(secs(2)).slow(60_000).await.unwrap_err();
        assert!(matches!(&error, RpcError::Timeout { sent: true, .. }), "{error:?}");
        assert_eq!(start.elapsed(), secs(2));
        let error = probe.write(1).await.unwrap_err();
        assert!(matches!(error, RpcError::NoNode { .. }), "{error:?}");
        let error = probe.on_region("hkg").write(1).await.unwrap_err();
        assert!(matches!(error, RpcError::NotPrimary { .. }), "{error:?}");
        assert_eq!(probe.fail().await.unwrap(), Err("no".to_owned()));

        let before = counts.finished();
        let call = tokio::spawn(probe.slow_and_detached(500));
        let dropped = tokio::spawn(probe.slow(500));
        sleep(millis(100)).await;
        call.abort();
        dropped.abort();
        sleep(secs(1)).await;
        assert_eq!(counts.finished(), before + 1);
        assert_eq!(node.region_of(node.id()).await.unwrap().as_str(), "hkg");
        seen.push(context);
    }
    assert_eq!(seen[0], seen[1]);
}
