use flyrpc::Env;
use flyrpc_testkit::{SimNet, SimNetBuilder};
use tokio::time::sleep;

use crate::support::*;

/// Sends 100 datagrams at the same instant. Returns their numbers and arrival times in milliseconds, in
/// order of arrival.
async fn arrivals(net: SimNetBuilder, jitter: u64) -> Vec<(u8, u128)> {
    let net = net.build();
    let (iad, hkg) = (net.add_host("iad-0", "iad"), net.add_host("hkg-0", "hkg"));
    let _jitter = net.jitter("iad", "hkg", ms(jitter));
    let (a, b) = (socket(&iad).await, socket(&hkg).await);
    for number in 0..100 {
        a.send(&[number], hkg.addr(PORT)).await.expect("sends");
    }
    let start = tokio::time::Instant::now();
    let mut arrivals = Vec::new();
    for _ in 0..100 {
        let number = receive(&b).await[0];
        arrivals.push((number, start.elapsed().as_millis()));
    }
    arrivals
}

#[tokio::test(start_paused = true)]
async fn jitter_stays_within_its_bound_and_datagrams_overtake_each_other() {
    let arrivals = arrivals(SimNet::builder(), 30).await;
    assert!(arrivals.iter().all(|(_, at)| (101..=131).contains(at)), "{arrivals:?}");
    assert!((arrivals[0].1, arrivals[99].1) == (101, 131), "both bounds are reached");
    assert!(!arrivals.is_sorted(), "{arrivals:?}");
}

#[tokio::test(start_paused = true)]
async fn jitter_depends_on_the_seed_and_adds_to_the_jitter_of_all_paths() {
    let seed = |seed| SimNet::builder().seed(seed);
    let first = arrivals(seed(1), 30).await;
    assert_eq!(first, arrivals(seed(1), 30).await);
    assert_eq!(first, arrivals(seed(1).jitter(ms(30)), 0).await);
    assert_eq!(first, arrivals(seed(1).jitter(ms(10)), 20).await);
    assert_ne!(first, arrivals(seed(2), 30).await);
}

#[tokio::test(start_paused = true)]
async fn no_jitter_leaves_delays_exact() {
    let arrivals = arrivals(SimNet::builder(), 0).await;
    assert!(arrivals.iter().all(|(_, at)| *at == 101) && arrivals.is_sorted(), "{arrivals:?}");
}

#[tokio::test(start_paused = true)]
async fn streams_keep_their_order_under_jitter() {
    let (net, iad, hkg) = iad_and_hkg();
    let (mut client, mut server, _listener) = connected(&hkg, &iad).await;
    let jitter = net.jitter("iad", "hkg", ms(40));
    for byte in 0..200 {
        write(&mut client, &[byte]).await;
        sleep(ms(1)).await;
    }
    drop(jitter);
    write(&mut client, &[200]).await;
    let received = read(&mut server, 201).await;
    assert!(received.is_sorted(), "{received:?}");
}

#[tokio::test(start_paused = true)]
async fn jitter_affects_neither_loopback_nor_the_random_numbers_of_programs() {
    let net = SimNet::builder().seed(3).jitter(ms(500)).build();
    let iad = net.add_host("iad-0", "iad");
    let _listener = listen(&iad).await;
    assert_eq!(timed(iad.connect(iad.addr(PORT))).await.0, ms(0));

    let draws = |jitter| async move {
        let net = SimNet::builder().seed(3).jitter(jitter).build();
        let (iad, hkg) = (net.add_host("iad-0", "iad"), net.add_host("hkg-0", "hkg"));
        let (mut client, mut server, _listener) = connected(&hkg, &iad).await;
        write(&mut client, b"x").await;
        read(&mut server, 1).await;
        (iad.random(), hkg.random())
    };
    assert_eq!(draws(ms(0)).await, draws(ms(30)).await);
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "whole milliseconds")]
async fn fractions_of_a_millisecond_are_rejected() {
    let (net, ..) = iad_and_hkg();
    let _jitter = net.jitter("iad", "hkg", std::time::Duration::from_micros(1_500));
}

#[tokio::test(start_paused = true)]
async fn a_message_on_one_path_changes_no_delay_on_another() {
    let delays = async |extra: u8| {
        let (net, iad, hkg) = iad_and_hkg();
        let fra = net.add_host("fra-0", "fra");
        let _jitter = [net.jitter("iad", "hkg", ms(1_000)), net.jitter("iad", "fra", ms(1_000))];
        let (from, to) = (socket(&iad).await, socket(&hkg).await);
        let mut delays = Vec::new();
        for number in 0..10 {
            // From the same host, but on another path.
            for _ in 0..extra {
                from.send(b"extra", fra.addr(PORT)).await.unwrap();
            }
            let start = tokio::time::Instant::now();
            from.send(&[number], hkg.addr(PORT)).await.unwrap();
            receive(&to).await;
            delays.push(start.elapsed());
        }
        delays
    };
    assert_eq!(delays(0).await, delays(3).await);
}
