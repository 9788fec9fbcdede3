use std::time::Duration;

use flyrpc::{BoxStream, Env};
use flyrpc_testkit::{SimEnv, SimNet};
use tokio::{io::AsyncReadExt, time::sleep};

use crate::support::*;

const MEGABYTE: usize = 1_000_000;

/// Returns a network with this bandwidth in bytes per second, with one host in iad and one in hkg.
fn limited_to(bandwidth: usize) -> (SimNet, SimEnv, SimEnv) {
    let net = SimNet::builder().bandwidth(bandwidth as u64).build();
    let (iad, hkg) = (net.add_host("iad-0", "iad"), net.add_host("hkg-0", "hkg"));
    (net, iad, hkg)
}

/// Sends `len` bytes over a stream, and returns how long it takes until the last byte arrives.
async fn carry(client: &mut BoxStream, server: &mut BoxStream, len: usize) -> Duration {
    let data = vec![7; len];
    let (took, (received, ())) =
        timed(async { tokio::join!(read(server, len), write(client, &data)) }).await;
    assert_eq!(received, data);
    took
}

#[tokio::test(start_paused = true)]
async fn a_megabyte_at_a_megabyte_per_second_takes_a_second_and_half_a_round_trip() {
    let (_net, iad, hkg) = limited_to(MEGABYTE);
    let (mut client, mut server, _listener) = connected(&hkg, &iad).await;
    let second = ms(1_000) + ONE_WAY;
    assert_eq!(carry(&mut client, &mut server, MEGABYTE).await, second);
    assert_eq!(carry(&mut server, &mut client, MEGABYTE).await, second);
    let both = timed(async {
        let (mut client_reads, mut server_reads) = (vec![0; MEGABYTE], vec![0; MEGABYTE]);
        let data = vec![7; MEGABYTE];
        let _ = tokio::join!(
            tokio::io::AsyncWriteExt::write_all(&mut client.writer, &data),
            tokio::io::AsyncWriteExt::write_all(&mut server.writer, &data),
            client.reader.read_exact(&mut client_reads),
            server.reader.read_exact(&mut server_reads),
        );
    });
    assert_eq!(both.await.0, second, "each direction has its own bandwidth");
}

#[tokio::test(start_paused = true)]
async fn arrivals_are_rounded_up_to_whole_milliseconds() {
    let (_net, iad, hkg) = limited_to(MEGABYTE);
    let (mut client, mut server, _listener) = connected(&hkg, &iad).await;
    assert_eq!(carry(&mut client, &mut server, 1).await, ms(1) + ONE_WAY);
    assert_eq!(carry(&mut client, &mut server, 1_000).await, ms(1) + ONE_WAY);
    assert_eq!(carry(&mut client, &mut server, 1_001).await, ms(2) + ONE_WAY);
}

#[tokio::test(start_paused = true)]
async fn without_a_limit_a_full_buffer_is_sent_at_once() {
    let (_net, iad, hkg) = iad_and_hkg();
    let (mut client, mut server, _listener) = connected(&hkg, &iad).await;
    assert_eq!(carry(&mut client, &mut server, 256 * 1024).await, ONE_WAY);
}

#[tokio::test(start_paused = true)]
async fn a_receiver_sees_progress_and_small_messages_interleave_with_large_ones() {
    let (_net, iad, hkg) = limited_to(MEGABYTE);
    let (mut client, mut server, mut listener) = connected(&hkg, &iad).await;
    let other = tokio::join!(hkg.connect(iad.addr(PORT)), listener.accept());
    let (mut other_client, mut other_server) =
        (other.0.expect("connects"), other.1.expect("accepts").0);

    write(&mut client, &[7; 100_000]).await;
    write(&mut other_client, b"small").await;
    let (first, _) = timed(server.reader.read_u8()).await;
    assert_eq!(first, ms(17) + ONE_WAY, "the first segment has 16 KiB");
    let (next, _) = timed(read(&mut other_server, 5)).await;
    assert_eq!(next, ms(33 - 17), "it waited for two segments of the large message");
    assert_eq!(timed(read(&mut server, 99_999)).await.0, ms(101 - 33), "100,005 bytes in total");
}

#[tokio::test(start_paused = true)]
async fn streams_and_datagrams_share_the_bandwidth_of_their_path() {
    let (_net, iad, hkg) = limited_to(MEGABYTE);
    let (mut client, mut server, mut listener) = connected(&hkg, &iad).await;
    let other = tokio::join!(hkg.connect(iad.addr(PORT)), listener.accept());
    let (mut other_client, mut other_server) =
        (other.0.expect("connects"), other.1.expect("accepts").0);
    let (from, to) = (socket(&hkg).await, socket(&iad).await);

    let (took, (first, second, ())) = timed(async {
        let datagrams = async {
            for _ in 0..100 {
                from.send(&[1; 1_000], iad.addr(PORT)).await.expect("sends");
            }
            for _ in 0..100 {
                assert_eq!(receive(&to).await.len(), 1_000);
            }
        };
        tokio::join!(
            carry(&mut client, &mut server, 450_000),
            carry(&mut other_client, &mut other_server, 450_000),
            datagrams,
        )
    })
    .await;
    assert_eq!(took, ms(1_000) + ONE_WAY);
    assert!(first.min(second) > ms(970) + ONE_WAY, "they took turns: {first:?}, {second:?}");
}

#[tokio::test(start_paused = true)]
async fn each_pair_of_hosts_has_its_own_bandwidth() {
    let (net, iad, hkg) = limited_to(MEGABYTE);
    let other = net.add_host("hkg-1", "hkg");
    let (mut client, mut server, listener) = connected(&hkg, &iad).await;
    drop(listener);
    let (mut other_client, mut other_server, _listener) = connected(&other, &iad).await;
    let (first, second) = tokio::join!(
        carry(&mut client, &mut server, MEGABYTE),
        carry(&mut other_client, &mut other_server, MEGABYTE),
    );
    assert_eq!((first, second), (ms(1_000) + ONE_WAY, ms(1_000) + ONE_WAY));

    let loopback = connected(&hkg, &hkg).await;
    let (mut client, mut server, _listener) = loopback;
    assert_eq!(carry(&mut client, &mut server, MEGABYTE).await, ms(0), "loopback is not limited");
}

#[tokio::test(start_paused = true)]
async fn datagrams_queued_for_more_than_a_second_are_lost() {
    let (net, iad, hkg) = iad_and_hkg();
    let _throttle = net.throttle("iad", "hkg", 1_000);
    let (from, to) = (socket(&hkg).await, socket(&iad).await);
    for number in 0..5 {
        from.send(&[number; 400], iad.addr(PORT)).await.expect("sends");
    }
    for (number, after) in [(0, ms(400) + ONE_WAY), (1, ms(400)), (2, ms(400))] {
        let (took, received) = timed(receive(&to)).await;
        assert_eq!((took, received[0]), (after, number));
    }
    assert!(is_pending_forever(receive(&to)).await);
}

#[tokio::test(start_paused = true)]
async fn the_lowest_of_several_limits_applies_until_it_is_healed() {
    let (net, iad, hkg) = limited_to(MEGABYTE);
    let (mut client, mut server, _listener) = connected(&hkg, &iad).await;
    let least = net.throttle("iad-0", "hkg", 100_000);
    let more = net.throttle("iad", "hkg", 500_000);
    assert_eq!(carry(&mut client, &mut server, 100_000).await, ms(1_000) + ONE_WAY);
    drop(least);
    assert_eq!(carry(&mut client, &mut server, 100_000).await, ms(200) + ONE_WAY);
    drop(more);
    assert_eq!(carry(&mut client, &mut server, 100_000).await, ms(100) + ONE_WAY);
}

#[tokio::test(start_paused = true)]
async fn queued_messages_are_sent_when_a_bandwidth_limit_ends() {
    let (net, iad, hkg) = iad_and_hkg();
    let (mut client, mut server, _listener) = connected(&hkg, &iad).await;
    let (from, to) = (socket(&hkg).await, socket(&iad).await);
    let throttle = net.throttle("iad", "hkg", 1_000);
    write(&mut client, &[7; 100_000]).await;
    from.send(b"datagram", iad.addr(PORT)).await.expect("sends");
    from.send(&[1; 10_000], iad.addr(PORT)).await.expect("sends");
    from.send(b"waits", iad.addr(PORT)).await.expect("sends");
    sleep(ms(1_000)).await;
    drop(throttle);
    let (took, _) = timed(read(&mut server, 100_000)).await;
    assert_eq!(took, ONE_WAY);
    assert_eq!(receive(&to).await, b"datagram");
    assert_eq!(timed(receive(&to)).await, (ms(0), b"waits".to_vec()));
}

#[tokio::test(start_paused = true)]
async fn a_partition_of_a_path_with_limited_bandwidth_loses_no_stream() {
    let (net, iad, hkg) = limited_to(MEGABYTE);
    let (mut client, mut server, _listener) = connected(&hkg, &iad).await;
    let faults = async {
        for _ in 0..5 {
            sleep(ms(150)).await;
            let cut = net.partition("iad", "hkg");
            sleep(ms(50)).await;
            drop(cut);
        }
    };
    let (took, ()) = tokio::join!(carry(&mut client, &mut server, MEGABYTE), faults);
    assert!(took > ms(1_250) + ONE_WAY && took < ms(2_500), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_very_low_bandwidth_makes_progress() {
    let (net, iad, hkg) = iad_and_hkg();
    let (mut client, mut server, _listener) = connected(&hkg, &iad).await;
    let _throttle = net.throttle("iad", "hkg", 3);
    write(&mut client, b"abc").await;
    assert_eq!(timed(read(&mut server, 1)).await.0, ms(334) + ONE_WAY);
    assert_eq!(timed(read(&mut server, 2)).await.0, ms(666));
}

#[tokio::test(start_paused = true)]
async fn a_reset_discards_queued_bytes() {
    let (_net, iad, hkg) = limited_to(1_000);
    let (mut client, mut server, _listener) = connected(&hkg, &iad).await;
    write(&mut client, &[7; 10_000]).await;
    client.writer.abort_on_close();
    drop(client);
    let (took, _) = timed(server.reader.read_to_end(&mut Vec::new())).await;
    assert_eq!(took, ms(50) + ONE_WAY, "directly after the segment that was being transmitted");
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "bandwidth must not be 0: use `partition` to block all messages")]
async fn a_bandwidth_of_zero_is_rejected() {
    let (net, ..) = iad_and_hkg();
    let _throttle = net.throttle("iad", "hkg", 0);
}

#[tokio::test(start_paused = true)]
async fn a_stream_takes_no_more_than_its_low_water_mark_unsent() {
    let (_net, iad, hkg) = limited_to(MEGABYTE);
    let (mut client, mut server, _listener) = connected(&hkg, &iad).await;
    // The first 16 KiB are sent together, and do not count.
    let (took, ()) = timed(write(&mut client, &[7; 16 * 1024 + 128 * 1024])).await;
    assert_eq!(took, ms(0));
    read(&mut server, 16 * 1024 + 128 * 1024).await;

    client.writer.set_low_water(10_000);
    let (took, ()) = timed(write(&mut client, &[7; 2 * 10_000])).await;
    assert_eq!(took, ms(0));
    // The same number of bytes has to be sent first.
    let (took, ()) = timed(write(&mut client, &[7; 10_000])).await;
    assert_eq!(took, ms(10));
}
