//! Arguments that one version of a service has and the other lacks.

use std::collections::HashMap;

use flyrpc::Unsupported;

use super::*;

/// The arguments that a handler received, as text.
type Received = String;

mod old {
    use super::*;

    #[fly_rpc(name = "Notes")]
    pub(super) trait Old {
        async fn save(&self, text: String) -> Received;
        async fn tag(&self, id: u64) -> Received;
        async fn gone(&self) -> Received;
        async fn needs_more(&self) -> Received;
        async fn reordered(&self, first: u8, second: u8) -> Received;
    }

    impl Old for Worker {
        async fn save(&self, text: String) -> Received {
            self.work(0).await;
            format!("old {text}")
        }

        async fn tag(&self, id: u64) -> Received {
            self.work(0).await;
            format!("old {id}")
        }

        async fn gone(&self) -> Received {
            self.work(0).await;
            "old".to_owned()
        }

        async fn needs_more(&self) -> Received {
            self.work(0).await;
            "old".to_owned()
        }

        async fn reordered(&self, first: u8, second: u8) -> Received {
            self.work(0).await;
            format!("old {first} {second}")
        }
    }
}

mod new {
    use super::*;

    /// Has its methods and arguments in another order, and some additional ones.
    #[fly_rpc(name = "Notes")]
    pub(super) trait New {
        async fn needs_more(&self, needed: u8) -> Received;
        async fn reordered(&self, second: u8, first: u8) -> Received;
        async fn tag(
            &self,
            #[rpc(default)] tags: Vec<String>,
            #[rpc(default)] seven: Seven,
            id: u64,
        ) -> Received;
        async fn save(&self, dry_run: Option<bool>, text: String) -> Received;
        async fn added(&self) -> Received;
    }

    /// A number whose default is 7.
    #[derive(serde::Serialize, serde::Deserialize)]
    pub(super) struct Seven(pub(super) u8);

    impl Default for Seven {
        fn default() -> Self {
            Seven(7)
        }
    }

    impl New for Worker {
        async fn needs_more(&self, needed: u8) -> Received {
            self.work(0).await;
            format!("new {needed}")
        }

        async fn reordered(&self, second: u8, first: u8) -> Received {
            self.work(0).await;
            format!("new {first} {second}")
        }

        async fn tag(&self, tags: Vec<String>, seven: Seven, id: u64) -> Received {
            self.work(0).await;
            format!("new {id} {tags:?} {}", seven.0)
        }

        async fn save(&self, dry_run: Option<bool>, text: String) -> Received {
            self.work(0).await;
            format!("new {text} {dry_run:?}")
        }

        async fn added(&self) -> Received {
            self.work(0).await;
            "new".to_owned()
        }
    }
}

use new::{NewClient, ServeNew, Seven};
use old::{OldClient, ServeOld};

fn why(result: Result<Received, RpcError>) -> Unsupported {
    match result {
        Err(error @ RpcError::Unsupported { .. }) => {
            assert!(!error.may_have_executed());
            let RpcError::Unsupported { why, .. } = error else { unreachable!() };
            why
        }
        other => panic!("{other:?}"),
    }
}

fn detail(result: Result<Received, RpcError>) -> String {
    match why(result) {
        Unsupported::Arguments(detail) => detail,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn an_old_caller_omits_optional_arguments_of_a_new_node() {
    let worker = Worker::default();
    remote_and_local!(ServeNew::new(worker.clone()), |old: OldClient| {
        assert_eq!(old.save("a".into()).await.unwrap(), "new a None");
        assert_eq!(old.tag(1).await.unwrap(), "new 1 [] 7");
        assert_eq!(old.reordered(1, 2).await.unwrap(), "new 1 2");
        let detail = detail(old.needs_more().await);
        assert_eq!(detail, "it needs `needed: u8`, which this caller does not have");
    });
    assert_eq!(worker.started_and_finished(), (6, 6));
}

#[tokio::test(start_paused = true)]
async fn a_new_caller_omits_empty_arguments_that_an_old_node_lacks() {
    let worker = Worker::default();
    remote_and_local!(ServeOld::new(worker.clone()), |new: NewClient| {
        assert_eq!(new.save(None, "a".into()).await.unwrap(), "old a");
        assert_eq!(new.tag(vec![], Seven(7), 1).await.unwrap(), "old 1");
        assert_eq!(new.reordered(2, 1).await.unwrap(), "old 1 2");
    });
    assert_eq!(worker.started_and_finished(), (6, 6));
}

#[tokio::test(start_paused = true)]
async fn a_method_that_the_other_version_lacks_is_unsupported() {
    let worker = Worker::default();
    remote_and_local!(ServeOld::new(worker.clone()), |new: NewClient| {
        assert_eq!(why(new.added().await), Unsupported::Method);
    });
    remote_and_local!(ServeNew::new(worker.clone()), |old: OldClient| {
        assert_eq!(why(old.gone().await), Unsupported::Method);
    });
    assert_eq!(worker.started_and_finished(), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_value_for_an_argument_that_an_old_node_lacks_is_refused_without_executing() {
    let worker = Worker::default();
    remote_and_local!(ServeOld::new(worker.clone()), |new: NewClient| {
        let has_value = |name| format!("it does not take `{name}`, which has a value in this call");
        assert_eq!(detail(new.save(Some(false), "a".into()).await), has_value("dry_run"));
        let tags = vec!["x".to_owned()];
        assert_eq!(detail(new.tag(tags, Seven(7), 1).await), has_value("tags"));
        assert_eq!(detail(new.tag(vec![], Seven(0), 1).await), has_value("seven"));
        assert_eq!(detail(new.needs_more(1).await), "it does not take `needed: u8`");
        // A refusal because of a value does not affect the next call.
        assert_eq!(new.save(None, "a".into()).await.unwrap(), "old a");
    });
    assert_eq!(worker.started_and_finished(), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn optional_arguments_work_between_equal_versions() {
    remote_and_local!(ServeNew::new(Worker::default()), |new: NewClient| {
        assert_eq!(new.save(Some(true), "a".into()).await.unwrap(), "new a Some(true)");
        assert_eq!(new.save(None, "a".into()).await.unwrap(), "new a None");
        assert_eq!(new.tag(vec!["x".into()], Seven(0), 1).await.unwrap(), "new 1 [\"x\"] 0");
        assert_eq!(new.tag(vec![], Seven(7), 1).await.unwrap(), "new 1 [] 7");
        assert_eq!(new.needs_more(9).await.unwrap(), "new 9");
    });
}

#[tokio::test(start_paused = true)]
async fn a_call_is_sent_to_a_node_of_its_region_with_a_compatible_version() {
    let cluster = SimCluster::builder()
        .region("iad", 2)
        .region("hkg", 1)
        .node("iad-0", serving(ServeOld::new(Worker::default())))
        .node("iad-1", serving(ServeNew::new(Worker::default())))
        .start()
        .await;
    let hkg = cluster.node("hkg-0");
    let (old, new) =
        (hkg.client::<OldClient>().on_region("iad"), hkg.client::<NewClient>().on_region("iad"));
    let mut replies = HashMap::new();
    for _ in 0..30 {
        assert_eq!(old.gone().await.unwrap(), "old");
        assert_eq!(new.added().await.unwrap(), "new");
        assert_eq!(new.needs_more(1).await.unwrap(), "new 1");
        assert_eq!(new.save(Some(true), "a".into()).await.unwrap(), "new a Some(true)");
        *replies.entry(new.save(None, "a".into()).await.unwrap()).or_insert(0) += 1;
    }
    assert_eq!(replies.len(), 2, "{replies:?}");
}
