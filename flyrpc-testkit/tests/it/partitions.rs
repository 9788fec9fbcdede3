use std::io::ErrorKind;

use flyrpc::Env;
use flyrpc_testkit::SimNet;
use tokio::{io::AsyncReadExt, time::sleep};

use crate::support::*;

#[tokio::test(start_paused = true)]
async fn a_partition_stalls_streams_until_it_heals() {
    let (net, iad, hkg) = iad_and_hkg();
    let (mut client, mut server, _listener) = connected(&hkg, &iad).await;
    let cut = net.partition("iad", "hkg");
    write(&mut client, b"first").await;
    write(&mut server, b"second").await;
    assert!(is_pending_forever(server.reader.read_u8()).await);
    assert!(is_pending_forever(client.reader.read_u8()).await);
    drop(cut);
    let (took, received) =
        timed(async { (read(&mut server, 5).await, read(&mut client, 6).await) }).await;
    assert_eq!(received, (b"first".to_vec(), b"second".to_vec()));
    assert_eq!(took, ONE_WAY);
}

#[tokio::test(start_paused = true)]
async fn messages_that_would_arrive_during_a_partition_are_sent_again_after_it() {
    let (net, iad, hkg) = iad_and_hkg();
    let (mut client, mut server, _listener) = connected(&hkg, &iad).await;
    write(&mut client, b"early").await;
    sleep(ms(50)).await;
    let cut = net.partition("iad-0", "hkg");
    write(&mut client, b" late").await;
    sleep(ms(100)).await;
    drop(cut);
    let (took, received) = timed(read(&mut server, 10)).await;
    assert_eq!((took, received), (ONE_WAY, b"early late".to_vec()));
}

#[tokio::test(start_paused = true)]
async fn streams_keep_their_order_through_partitions_holds_and_delays() {
    let (net, iad, hkg) = iad_and_hkg();
    let (mut client, mut server, _listener) = connected(&hkg, &iad).await;
    for round in 0..24 {
        let fault = match round % 4 {
            0 => net.partition("iad", "hkg"),
            1 => net.hold("iad", "hkg"),
            2 => net.slow("iad", "hkg", ms(70)),
            _ => net.partition_one_way("hkg", "iad"),
        };
        for step in 0..5 {
            write(&mut client, &[5 * round + step]).await;
            sleep(ms(20)).await;
        }
        drop(fault);
        sleep(ms(7)).await;
    }
    let received = read(&mut server, 120).await;
    assert_eq!(received, (0..120).collect::<Vec<u8>>());
}

#[tokio::test(start_paused = true)]
async fn a_partition_that_heals_in_time_delays_nothing_in_flight() {
    let (net, iad, hkg) = iad_and_hkg();
    let (mut client, mut server, _listener) = connected(&hkg, &iad).await;
    write(&mut client, b"x").await;
    net.partition("iad", "hkg").keep();
    net.heal("iad", "hkg");
    assert_eq!(timed(read(&mut server, 1)).await.0, ONE_WAY);
}

#[tokio::test(start_paused = true)]
async fn a_one_way_partition_leaves_the_other_direction_open() {
    let (net, iad, hkg) = iad_and_hkg();
    let (mut client, mut server, _listener) = connected(&hkg, &iad).await;
    let _cut = net.partition_one_way("hkg", "iad");
    write(&mut client, b"delayed").await;
    write(&mut server, b"arrives").await;
    assert_eq!(timed(read(&mut client, 7)).await, (ONE_WAY, b"arrives".to_vec()));
    assert!(is_pending_forever(server.reader.read_u8()).await);
}

#[tokio::test(start_paused = true)]
async fn connecting_across_a_partition_gets_no_response_until_it_heals() {
    let (net, iad, hkg) = iad_and_hkg();
    let _listener = listen(&iad).await;
    let cut = net.partition("iad", "hkg");
    let attempt = hkg.connect(iad.addr(PORT));
    tokio::pin!(attempt);
    assert!(is_pending_forever(&mut attempt).await);
    drop(cut);
    let (took, connected) = timed(attempt).await;
    connected.expect("connects");
    assert_eq!(took, ms(202));
}

#[tokio::test(start_paused = true)]
async fn an_abort_during_a_partition_discards_unsent_bytes() {
    let (net, iad, hkg) = iad_and_hkg();
    let (mut client, mut server, _listener) = connected(&hkg, &iad).await;
    let cut = net.partition("iad", "hkg");
    write(&mut client, b"an abandoned request").await;
    client.writer.abort_on_close();
    drop(client);
    sleep(ms(1_000)).await;
    drop(cut);
    let (took, reset) = timed(server.reader.read_u8()).await;
    assert_eq!((took, kind(reset)), (ONE_WAY, ErrorKind::ConnectionReset));
}

#[tokio::test(start_paused = true)]
async fn a_kept_partition_lasts_until_healed() {
    let (net, iad, hkg) = iad_and_hkg();
    let (mut client, mut server, _listener) = connected(&hkg, &iad).await;
    net.partition("iad", "hkg").keep();
    write(&mut client, b"x").await;
    assert!(is_pending_forever(server.reader.read_u8()).await);
    net.heal("hkg", "iad");
    assert_eq!(timed(read(&mut server, 1)).await.0, ONE_WAY);

    net.partition("iad", "hkg").keep();
    net.partition("iad-0", "hkg-0").keep();
    net.heal_all();
    write(&mut client, b"x").await;
    assert_eq!(timed(read(&mut server, 1)).await.0, ONE_WAY);
}

#[tokio::test(start_paused = true)]
async fn a_partition_of_one_host_leaves_its_region_connected() {
    let net = SimNet::builder().build();
    let [a, b, c] = ["iad-0", "iad-1", "iad-2"].map(|name| net.add_host(name, "iad"));
    let (mut client, mut server, listener) = connected(&a, &b).await;
    let _cut = net.partition("iad-2", "iad");
    write(&mut client, b"x").await;
    read(&mut server, 1).await;
    assert!(is_pending_forever(c.connect(b.addr(PORT))).await);
    drop(listener);
    let _own = listen(&c).await;
    c.connect(c.addr(PORT)).await.expect("a host always reaches itself");
}

#[tokio::test(start_paused = true)]
async fn a_slow_path_adds_to_each_direction_and_keeps_the_order_when_it_recovers() {
    let (net, iad, hkg) = iad_and_hkg();
    let (mut client, mut server, _listener) = connected(&hkg, &iad).await;
    let slow = net.slow("iad", "hkg", ms(400));
    write(&mut client, b"slow").await;
    drop(slow);
    write(&mut client, b"fast").await;
    let (took, received) = timed(read(&mut server, 8)).await;
    assert_eq!((took, received), (ms(400) + ONE_WAY, b"slowfast".to_vec()));
}
