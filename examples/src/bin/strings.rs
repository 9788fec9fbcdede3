//! The program that the README shows, with its test.

use flyrpc::{Node, fly_rpc};

#[fly_rpc]
trait Strings {
    /// Converts `text` to upper case.
    #[rpc(idempotent)]
    async fn upcase(&self, text: String) -> String;
}

struct MyStrings;

impl Strings for MyStrings {
    async fn upcase(&self, text: String) -> String {
        text.to_uppercase()
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let node = Node::from_env()?.serve(ServeStrings::new(MyStrings)).start().await?;
    let strings: StringsClient = node.client();
    println!("{}", strings.on_primary().upcase("fly".into()).await?); // FLY
    node.shutdown().await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use flyrpc_testkit::SimCluster;

    #[flyrpc_testkit::test] // in virtual time
    async fn a_crash_of_one_node_fails_no_call() {
        let cluster = SimCluster::builder()
            .region("iad", 2) // the first region is the primary
            .region("hkg", 1)
            .serve(|_node| ServeStrings::new(MyStrings))
            .start()
            .await;
        cluster.crash("iad-0");
        let strings: StringsClient = cluster.node("hkg-0").client();
        assert_eq!(strings.on_primary().upcase("fly".into()).await.unwrap(), "FLY");
    }
}
