//! What a call does: design.md, section 4.

use flyrpc::{Refusal, RpcError, Unsupported};
use tokio::time::Instant;

use crate::support::{ProbeClient, World, millis, secs, until};

#[tokio::test(start_paused = true)]
async fn a_call_to_a_linked_region_takes_one_round_trip_the_first_one_too() {
    let mut world = World::new();
    let _iad = world.start("iad-0", "iad").await;
    let hkg = world.start("hkg-0", "hkg").await;
    let probe: ProbeClient = hkg.client();
    let start = Instant::now();
    let (text, by) = probe.on_region("iad").shout("fly".to_owned()).await.unwrap();
    assert_eq!((text.as_str(), by.as_str()), ("FLY", "iad-0"));
    assert_eq!(start.elapsed(), millis(202));
}
