//! Long bodies on sealed links, most of whose records are read into the body that they continue.

use std::time::Duration;

use flyrpc::{Event, RpcError, fly_rpc};
use flyrpc_testkit::SimCluster;
use futures_util::future::join_all;
use tokio::time::timeout;

use super::keyring;
use crate::support::{ThreadPanics, millis, secs};

#[fly_rpc]
trait Echo {
    async fn echo(&self, number: u64, bytes: Vec<u8>) -> Vec<u8>;
}

struct Echoes;

impl Echo for Echoes {
    async fn echo(&self, number: u64, bytes: Vec<u8>) -> Vec<u8> {
        assert!(bytes == bytes_of(number), "the arguments of call {number} differ");
        bytes
    }
}

/// The bytes that a call sends: up to 700 KiB, also just below and above the size of a chunk.
fn bytes_of(number: u64) -> Vec<u8> {
    let around = [0, 9 << 10, 64 << 10, 128 << 10, 700 << 10][number as usize % 5];
    (0..around + number % 40).map(|at| (at * 7 + number) as u8).collect()
}

#[tokio::test(start_paused = true)]
async fn long_bodies_that_are_given_up_at_any_time_leave_the_link_intact() {
    let panics = ThreadPanics::count();
    let cluster = SimCluster::builder().region("iad", 1).region("hkg", 1).secret(keyring(&[1]));
    let cluster = cluster.serve(|_| ServeEcho::new(Echoes)).rtt("iad", "hkg", millis(5));
    // A call of 700 KiB takes 140 ms in each direction.
    let cluster = cluster.bandwidth(5_000_000).start().await;
    let node = cluster.node("iad-0");
    let mut events = node.events();
    let echo = node.client::<EchoClient>().on_region("hkg").timeout(secs(60));
    let calls = (0..300_u64).map(|number| {
        let echo = &echo;
        async move {
            tokio::time::sleep(millis(7 * (number / 3))).await;
            let call = echo.echo(number, bytes_of(number));
            // Every third call is certain to end.
            let patience = if number % 3 == 0 {
                secs(60)
            } else {
                Duration::from_micros(number * 7919 % 300_000)
            };
            match timeout(patience, call).await {
                Ok(reply) => assert!(reply? == bytes_of(number), "the reply to {number} differs"),
                Err(_) => return Ok(false),
            }
            Ok::<_, RpcError>(true)
        }
    });
    let ended: Vec<bool> = join_all(calls).await.into_iter().collect::<Result<_, _>>().unwrap();
    let replies = ended.iter().filter(|replied| **replied).count();
    assert!((100..250).contains(&replies), "{replies} of 300 calls were not given up");
    let lost = timeout(secs(1), async {
        while let Some(event) = events.next().await {
            if matches!(event, Event::Down(_)) {
                return;
            }
        }
    });
    assert!(lost.await.is_err(), "the link was lost");
    assert_eq!((node.stats().handshakes["OK"], panics.so_far()), (1, 0));
}
