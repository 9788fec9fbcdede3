//! `flyrpc hold`, `flyrpc accept` and `flyrpc drain`.

use crate::support::{Flyrpc, node, start, wait_until};

#[tokio::test(flavor = "multi_thread")]
async fn nodes_are_held_released_and_drained() {
    let (iad, [hkg]) = start(node("iad-0"), [node("hkg-0")]).await;
    let flyrpc = Flyrpc::at(iad.addr());
    let ran = flyrpc.run(["hold", "hkg-0"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.out.starts_with(&format!("{} accepts no calls", hkg.id())), "{ran:?}");
    wait_until(&iad, || !iad.peers()[0].accepting).await;
    let nodes = flyrpc.run(["nodes"]).await.out;
    assert!(nodes.contains("linked, not accepting"), "{nodes}");
    let ran = flyrpc.run(["accept", &hkg.id().to_string(), "--json"]).await;
    assert_eq!((ran.code, ran.json()["accepting"].as_bool()), (0, Some(true)));
    assert_eq!(flyrpc.run(["hold"]).await.code, 0);
    let nodes = flyrpc.run(["nodes"]).await.out;
    assert!(nodes.contains("asked, held"), "{nodes}");
    assert_eq!(flyrpc.run(["drain", "hkg-0"]).await.code, 0);
    assert!(hkg.is_draining());
    let ran = flyrpc.run(["accept", "hkg-0"]).await;
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.out.contains("only a restart"), "{ran:?}");
    let ran = flyrpc.run(["hold", "syd-0"]).await;
    assert_eq!(ran.code, 65, "{ran:?}");
    assert!(ran.err.contains("no node is named `syd-0`"), "{ran:?}");
}
