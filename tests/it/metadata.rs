//! Metadata that is sent with calls.

use flyrpc::{RpcError, fly_rpc};
use flyrpc_testkit::{Release, SimCluster};

use crate::support::{millis, secs, sleep};

#[fly_rpc]
trait Seen {
    /// Returns the metadata of the call, as the handler sees it.
    async fn metadata_seen(&self) -> Vec<(String, String)>;
    #[rpc(name = "metadata_of_task", detached)]
    async fn seen_in_a_task(&self) -> Vec<(String, String)>;
    /// Returns the metadata of a call that the handler makes in this region.
    async fn seen_by_next(&self, region: String) -> Vec<(String, String)>;
    #[rpc(idempotent)]
    async fn long(&self, body: Vec<u8>) -> Vec<(String, String)>;
}

struct Observer;

fn seen() -> Vec<(String, String)> {
    let context = flyrpc::context();
    let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    context.metadata().iter().map(owned).collect()
}

impl Seen for Observer {
    async fn metadata_seen(&self) -> Vec<(String, String)> {
        sleep(millis(1)).await;
        seen()
    }

    async fn seen_in_a_task(&self) -> Vec<(String, String)> {
        let task = flyrpc::context().scope(async { seen() });
        tokio::spawn(task).await.unwrap()
    }

    async fn seen_by_next(&self, region: String) -> Vec<(String, String)> {
        let next: SeenClient = flyrpc::context().client();
        next.on_region(region).metadata_seen().await.unwrap()
    }

    async fn long(&self, _body: Vec<u8>) -> Vec<(String, String)> {
        seen()
    }
}

async fn cluster(force_wire: bool) -> SimCluster {
    let release = Release::new().serve(|_| ServeSeen::new(Observer));
    let cluster = SimCluster::builder().release(release).region("iad", 1).region("hkg", 1);
    let cluster = cluster.force_wire(force_wire).start().await;
    sleep(secs(3)).await;
    cluster
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[tokio::test(start_paused = true)]
async fn a_handler_reads_the_metadata_of_its_call_on_another_node_and_in_process() {
    for force_wire in [false, true] {
        let cluster = cluster(force_wire).await;
        let client: SeenClient = cluster.node("iad-0").client();
        let set = client.metadata("tenant", "a").metadata("request", "1").metadata("tenant", "b");
        let expected = pairs(&[("tenant", "b"), ("request", "1")]);
        for region in ["iad", "hkg"] {
            // Selectors keep the metadata, and the original client has none.
            let set = set.on_region(region).timeout(secs(1));
            assert_eq!(set.metadata_seen().await.unwrap(), expected, "{region}");
            assert_eq!(set.seen_in_a_task().await.unwrap(), expected, "{region}");
            assert_eq!(set.long(vec![0; 100_000]).await.unwrap(), expected, "{region}");
            assert_eq!(client.on_region(region).metadata_seen().await.unwrap(), []);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_calls_of_a_handler_have_only_their_own_metadata() {
    let cluster = cluster(false).await;
    let client: SeenClient = cluster.node("iad-0").client();
    let client = client.on_region("hkg").metadata("tenant", "a");
    for region in ["iad", "hkg"] {
        assert_eq!(client.seen_by_next(region.to_owned()).await.unwrap(), [], "{region}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_retried_call_has_its_metadata_and_calls_after_it_have_theirs() {
    let cluster = cluster(false).await;
    let client: SeenClient = cluster.node("iad-0").client();
    let client = client.on_region("hkg").or_region("iad").metadata("tenant", "a");
    cluster.node("hkg-0").hold();
    assert_eq!(client.long(Vec::new()).await.unwrap(), pairs(&[("tenant", "a")]));
    cluster.node("hkg-0").accept();
    sleep(secs(1)).await;
    // Requests of one link in turn: no value stays for the next one.
    for number in 0..20 {
        let value = number.to_string();
        let set = client.on_region("hkg").metadata("number", &value);
        let expected = pairs(&[("tenant", "a"), ("number", &value)]);
        let bare = cluster.node("iad-0").client::<SeenClient>().on_region("hkg");
        let (with, without) = tokio::join!(set.long(Vec::new()), bare.long(Vec::new()));
        assert_eq!((with.unwrap(), without.unwrap()), (expected, Vec::new()));
    }
}

#[tokio::test(start_paused = true)]
async fn metadata_of_more_than_1_kib_fails_the_call() {
    let cluster = cluster(false).await;
    let client: SeenClient = cluster.node("iad-0").client();
    for region in ["iad", "hkg"] {
        let client = client.on_region(region);
        let seen = client.metadata("n", &"v".repeat(1_023)).metadata_seen().await.unwrap();
        assert_eq!(seen[0].1.len(), 1_023);
        let error = client.metadata("n", &"v".repeat(1_024)).metadata_seen().await.unwrap_err();
        let RpcError::Encode { source, .. } = &error else { panic!("{error:?}") };
        let message = source.to_string();
        assert!(message.contains("its names and values have 1025 bytes"), "{message}");
    }
}
