use std::io::ErrorKind;

use flyrpc_testkit::SimNet;
use tokio::time::timeout;

use crate::support::*;

#[tokio::test(start_paused = true)]
async fn a_datagram_takes_half_a_round_trip_and_has_its_source() {
    let (_net, iad, hkg) = iad_and_hkg();
    let (a, b) = (socket(&iad).await, socket(&hkg).await);
    a.send(b"gossip", hkg.addr(PORT)).await.expect("sends");
    let mut data = [0; 4];
    let (took, received) = timed(b.receive(&mut data)).await;
    assert_eq!(took, ONE_WAY);
    assert_eq!(received.expect("receives"), (4, iad.addr(PORT)));
    assert_eq!(&data, b"goss", "the datagram is truncated to the buffer");
}

#[tokio::test(start_paused = true)]
async fn sending_to_no_socket_succeeds_and_a_datagram_that_is_too_large_fails() {
    let (_net, iad, hkg) = iad_and_hkg();
    let a = socket(&iad).await;
    a.send(b"x", hkg.addr(PORT)).await.expect("sends");
    a.send(b"x", ([10, 9, 9, 9], 1).into()).await.expect("sends");
    let large = vec![0; 65_508];
    assert_eq!(kind(a.send(&large, hkg.addr(PORT)).await), ErrorKind::InvalidInput);
}

#[tokio::test(start_paused = true)]
async fn a_partition_loses_datagrams_and_a_hold_only_delays_them() {
    let (net, iad, hkg) = iad_and_hkg();
    let (a, b) = (socket(&iad).await, socket(&hkg).await);
    a.send(b"lost in flight", hkg.addr(PORT)).await.expect("sends");
    let cut = net.partition("iad", "hkg");
    a.send(b"lost", hkg.addr(PORT)).await.expect("sends");
    assert!(is_pending_forever(receive(&b)).await);
    drop(cut);
    assert!(is_pending_forever(receive(&b)).await);

    let hold = net.hold("iad", "hkg");
    a.send(b"held", hkg.addr(PORT)).await.expect("sends");
    assert!(is_pending_forever(receive(&b)).await);
    drop(hold);
    assert_eq!(timed(receive(&b)).await, (ONE_WAY, b"held".to_vec()));

    net.hold("iad", "hkg").keep();
    let cut = net.partition_one_way("hkg", "iad");
    a.send(b"held again", hkg.addr(PORT)).await.expect("sends");
    net.release("hkg", "iad");
    assert_eq!(timed(receive(&b)).await, (ONE_WAY, b"held again".to_vec()));
    b.send(b"lost", iad.addr(PORT)).await.expect("sends");
    assert!(is_pending_forever(receive(&a)).await, "a release does not end a partition");
    drop(cut);
}

/// Returns which of 200 datagrams arrive.
async fn survivors(seed: u64, usual_loss: f64, loss: f64) -> Vec<u8> {
    let net = SimNet::builder().seed(seed).loss(usual_loss).build();
    let (iad, hkg) = (net.add_host("iad-0", "iad"), net.add_host("hkg-0", "hkg"));
    let (a, b) = (socket(&iad).await, socket(&hkg).await);
    let _loss = net.lose("iad", "hkg", loss);
    for number in 0..200 {
        a.send(&[number], hkg.addr(PORT)).await.expect("sends");
    }
    let mut survivors = Vec::new();
    while let Ok(data) = timeout(ms(1_000), receive(&b)).await {
        survivors.extend(data);
    }
    survivors
}

#[tokio::test(start_paused = true)]
async fn the_seed_determines_which_datagrams_are_lost() {
    let first = survivors(1, 0.0, 0.3).await;
    assert!((110..170).contains(&first.len()), "{} of 200 survived", first.len());
    assert_eq!(first, survivors(1, 0.0, 0.3).await);
    assert_ne!(first, survivors(2, 0.0, 0.3).await);
}

#[tokio::test(start_paused = true)]
async fn all_paths_can_lose_datagrams_and_a_fault_loses_some_of_the_rest() {
    let usual = survivors(1, 0.3, 0.0).await;
    assert_eq!(usual, survivors(1, 0.0, 0.3).await);
    let more = survivors(1, 0.3, 0.5).await;
    assert!((45..95).contains(&more.len()), "{} of 200 survived", more.len());
}

#[tokio::test(start_paused = true)]
async fn a_full_socket_drops_further_datagrams() {
    let net = SimNet::builder().socket_buffer(10).build();
    let (iad, hkg) = (net.add_host("iad-0", "iad"), net.add_host("hkg-0", "hkg"));
    let (a, b) = (socket(&iad).await, socket(&hkg).await);
    for number in 0..3 {
        a.send(&[number; 5], hkg.addr(PORT)).await.expect("sends");
    }
    assert_eq!(receive(&b).await, [0; 5]);
    assert_eq!(receive(&b).await, [1; 5]);
    assert!(is_pending_forever(receive(&b)).await);
}
