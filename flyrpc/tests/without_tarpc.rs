//! flyrpc without its default feature `tarpc`. To run all tests of this file:
//!
//! ```sh
//! cargo test -p flyrpc --no-default-features --test without_tarpc
//! ```

use std::process::Command;

/// Runs with and without the feature, so that a dependency that adds tarpc back fails the usual
/// test run.
#[test]
fn the_dependency_tree_without_default_features_has_no_tarpc_crate() {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--package", "flyrpc", "--no-default-features", "--edges", "normal"])
        .args(["--prefix", "none", "--format", "{p}", "--no-dedupe"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo can be run");
    let tree = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(tree.lines().any(|line| line.starts_with("tokio v")), "not a dependency tree: {tree}");
    let unwanted: Vec<&str> = tree
        .lines()
        .filter(|line| line.starts_with("tarpc") || line.contains("opentelemetry"))
        .collect();
    assert!(unwanted.is_empty(), "{unwanted:?}");
}

#[cfg(not(feature = "tarpc"))]
mod nodes {
    use flyrpc::{Node, RpcError, fly_rpc};

    #[fly_rpc]
    trait Strings {
        async fn upcase(&self, text: String) -> String;
        #[rpc(primary, idempotent, timeout = "10s")]
        async fn join(&self, parts: Vec<String>, by: Option<String>) -> Result<String, String>;
        async fn panics(&self);
    }

    struct Shout;

    impl Strings for Shout {
        async fn upcase(&self, text: String) -> String {
            text.to_uppercase()
        }

        async fn join(&self, parts: Vec<String>, by: Option<String>) -> Result<String, String> {
            if parts.is_empty() {
                return Err("nothing to join".into());
            }
            Ok(parts.join(by.as_deref().unwrap_or(" ")))
        }

        async fn panics(&self) {
            panic!("on purpose");
        }
    }

    /// Two nodes on loopback: one in iad, which serves and is in the primary region, and one in
    /// hkg.
    async fn pair() -> (Node, Node) {
        let iad = Node::builder().name("a").region("iad").primary_region("iad");
        let iad = iad.serve(ServeStrings::new(Shout)).start().await.unwrap();
        let hkg = Node::builder().name("b").region("hkg").primary_region("iad");
        let hkg = hkg.seeds([iad.addr()]).start().await.unwrap();
        hkg.ready().await;
        (iad, hkg)
    }

    #[tokio::test]
    async fn nodes_call_each_other() {
        let (iad, hkg) = pair().await;
        let strings: StringsClient = hkg.client();
        assert_eq!(strings.on_region("iad").upcase("fly".into()).await.unwrap(), "FLY");
        let joined = strings.join(vec!["a".into(), "b".into()], Some("-".into()));
        assert_eq!(joined.await.unwrap(), Ok("a-b".into()));
        assert_eq!(strings.join(vec![], None).await.unwrap(), Err("nothing to join".into()));
        let error = strings.on_primary().panics().await.unwrap_err();
        assert!(matches!(error, RpcError::Panicked { .. }), "{error:?}");
        hkg.shutdown().await;
        iad.shutdown().await;
    }

    #[tokio::test]
    async fn a_node_calls_itself_in_process() {
        let (iad, hkg) = pair().await;
        let strings: StringsClient = iad.client();
        assert_eq!(strings.upcase("fly".into()).await.unwrap(), "FLY");
        hkg.shutdown().await;
        iad.shutdown().await;
    }

    #[test]
    fn requests_and_responses_show_their_method() {
        let request = StringsRequest::Upcase { text: "fly".into() };
        assert_eq!(format!("{request:?}"), "Strings.upcase");
        assert_eq!(format!("{:?}", StringsResponse::Panics(())), "Strings.panics");
    }
}
