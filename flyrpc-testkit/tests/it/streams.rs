use std::{io::ErrorKind, time::Duration};

use flyrpc::Env;
use flyrpc_testkit::SimNet;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::sleep,
};

use crate::support::*;

#[tokio::test(start_paused = true)]
async fn a_ping_pong_takes_exactly_the_round_trip() {
    let (_net, iad, hkg) = iad_and_hkg();
    let (mut client, mut server, _listener) = connected(&hkg, &iad).await;
    let (took, ()) = timed(async {
        write(&mut client, b"ping").await;
        assert_eq!(read(&mut server, 4).await, b"ping");
        write(&mut server, b"pong").await;
        assert_eq!(read(&mut client, 4).await, b"pong");
    })
    .await;
    assert_eq!(took, ms(202));
}

#[tokio::test(start_paused = true)]
async fn an_odd_round_trip_is_exact_in_both_directions() {
    let net = SimNet::builder().rtt("iad", "lab", ms(7)).build();
    let (iad, lab) = (net.add_host("iad-0", "iad"), net.add_host("lab-0", "lab"));
    let (mut a, mut b, _listener) = connected(&iad, &lab).await;
    for _ in 0..2 {
        let (took, ()) = timed(async {
            write(&mut a, b"x").await;
            read(&mut b, 1).await;
            write(&mut b, b"x").await;
            read(&mut a, 1).await;
        })
        .await;
        assert_eq!(took, ms(7));
        std::mem::swap(&mut a, &mut b);
    }
}

#[tokio::test(start_paused = true)]
async fn the_round_trip_is_a_millisecond_within_a_region_and_zero_within_a_host() {
    let net = SimNet::builder().build();
    let (a, b) = (net.add_host("iad-0", "iad"), net.add_host("iad-1", "iad"));
    let _listeners = (listen(&a).await, listen(&b).await);
    assert_eq!(timed(a.connect(b.addr(PORT))).await.0, ms(1));
    assert_eq!(timed(a.connect(a.addr(PORT))).await.0, ms(0));
    let loopback = ([127, 0, 0, 1], PORT).into();
    assert_eq!(timed(a.connect(loopback)).await.0, ms(0));
}

#[tokio::test(start_paused = true)]
async fn connecting_takes_a_round_trip_and_the_listener_sees_the_source() {
    let (_net, iad, hkg) = iad_and_hkg();
    let mut listener = listen(&iad).await;
    let (took, stream) = timed(hkg.connect(iad.addr(PORT))).await;
    let _stream = stream.expect("connects");
    assert_eq!(took, ms(202));
    let (took, accepted) = timed(listener.accept()).await;
    assert_eq!(took, ONE_WAY, "the acknowledgement is still in flight");
    assert_eq!(accepted.expect("accepts").1.ip(), hkg.ip());
}

#[tokio::test(start_paused = true)]
async fn connecting_to_a_closed_port_is_refused_after_a_round_trip() {
    let (_net, iad, hkg) = iad_and_hkg();
    let (took, refused) = timed(hkg.connect(iad.addr(PORT))).await;
    assert_eq!(took, ms(202));
    assert_eq!(kind(refused), ErrorKind::ConnectionRefused);
}

#[tokio::test(start_paused = true)]
async fn a_listener_at_the_loopback_address_is_not_reached_from_elsewhere() {
    let (_net, iad, hkg) = iad_and_hkg();
    let _listener = iad.listen(([127, 0, 0, 1], PORT).into()).await.expect("listens");
    assert_eq!(kind(hkg.connect(iad.addr(PORT)).await), ErrorKind::ConnectionRefused);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_address_is_unreachable() {
    let (_net, iad, _hkg) = iad_and_hkg();
    let nowhere = ([10, 9, 9, 9], PORT).into();
    assert_eq!(kind(iad.connect(nowhere).await), ErrorKind::HostUnreachable);
}

#[tokio::test(start_paused = true)]
async fn a_thousand_writes_in_flight_each_take_half_a_round_trip() {
    let (_net, iad, hkg) = iad_and_hkg();
    let (mut client, mut server, _listener) = connected(&hkg, &iad).await;
    let (took, ()) = timed(async {
        for number in 0..1_000_u32 {
            write(&mut client, &number.to_be_bytes()).await;
        }
        for number in 0..1_000_u32 {
            assert_eq!(read(&mut server, 4).await, number.to_be_bytes());
        }
    })
    .await;
    assert_eq!(took, ONE_WAY);

    // Over more than a round trip, each still takes half a round trip.
    let writer = tokio::spawn(async move {
        for _ in 0..500 {
            write(&mut client, b"x").await;
            sleep(ms(1)).await;
        }
        client
    });
    let (took, _) = timed(read(&mut server, 500)).await;
    assert_eq!(took, ms(499) + ONE_WAY);
    writer.await.expect("writes");
}

#[tokio::test(start_paused = true)]
async fn a_thousand_requests_in_flight_take_one_round_trip() {
    let (_net, iad, hkg) = iad_and_hkg();
    let (mut client, mut server, _listener) = connected(&hkg, &iad).await;
    iad.spawn(Box::pin(async move {
        for number in 0..1_000_u32 {
            assert_eq!(read(&mut server, 4).await, number.to_be_bytes());
            write(&mut server, &number.to_be_bytes()).await;
        }
    }));
    let (took, ()) = timed(async {
        for number in 0..1_000_u32 {
            write(&mut client, &number.to_be_bytes()).await;
        }
        for number in 0..1_000_u32 {
            assert_eq!(read(&mut client, 4).await, number.to_be_bytes());
        }
    })
    .await;
    assert_eq!(took, ms(202));
}

#[tokio::test(start_paused = true)]
async fn a_writer_waits_when_the_buffers_are_full_until_the_reader_drains_them() {
    let net = SimNet::builder().socket_buffer(1_000).build();
    let (iad, hkg) = (net.add_host("iad-0", "iad"), net.add_host("hkg-0", "hkg"));
    let (mut client, mut server, _listener) = connected(&hkg, &iad).await;
    write(&mut client, &[1; 2_000]).await;
    assert!(
        is_pending_forever(client.writer.write_all(&[2; 1])).await,
        "2,000 bytes fill both buffers"
    );

    assert_eq!(read(&mut server, 400).await, [1; 400]);
    write(&mut client, &[2; 400]).await;
    assert!(is_pending_forever(client.writer.write_all(&[3; 1])).await);

    let (took, rest) = timed(read(&mut server, 2_000)).await;
    assert_eq!(rest, [[1; 1_600].as_slice(), [2; 400].as_slice()].concat());
    assert_eq!(took, ONE_WAY, "the sender's buffered bytes are sent when there is room");
}

#[tokio::test(start_paused = true)]
async fn one_direction_can_end_while_the_other_stays_open() {
    let (_net, iad, hkg) = iad_and_hkg();
    let (mut client, mut server, _listener) = connected(&hkg, &iad).await;
    write(&mut client, b"last bytes").await;
    client.writer.shutdown().await.expect("shuts down");
    assert_eq!(kind(client.writer.write_all(b"more").await), ErrorKind::BrokenPipe);

    let mut received = Vec::new();
    let (took, read_to_end) = timed(server.reader.read_to_end(&mut received)).await;
    read_to_end.expect("ends");
    assert_eq!((took, received.as_slice()), (ONE_WAY, b"last bytes".as_slice()));

    write(&mut server, b"reply").await;
    assert_eq!(read(&mut client, 5).await, b"reply");
}

#[tokio::test(start_paused = true)]
async fn closing_delivers_all_written_bytes() {
    let (_net, iad, hkg) = iad_and_hkg();
    let (mut client, mut server, _listener) = connected(&hkg, &iad).await;
    write(&mut client, b"bye").await;
    drop(client);
    let mut received = Vec::new();
    server.reader.read_to_end(&mut received).await.expect("ends");
    assert_eq!(received, b"bye");
}

#[tokio::test(start_paused = true)]
async fn closing_with_unread_data_ends_the_stream_and_then_resets_it() {
    let (_net, iad, hkg) = iad_and_hkg();
    let (mut client, server, _listener) = connected(&hkg, &iad).await;
    write(&mut client, b"unread").await;
    sleep(ONE_WAY).await;
    drop(server);
    let (took, end) = timed(client.reader.read_u8()).await;
    assert_eq!((took, kind(end)), (ONE_WAY, ErrorKind::UnexpectedEof));
    assert_eq!(kind(client.writer.write_all(b"x").await), ErrorKind::BrokenPipe);
}

#[tokio::test(start_paused = true)]
async fn closing_with_unread_data_discards_unsent_bytes() {
    let net = SimNet::builder().socket_buffer(1_000).build();
    let (iad, hkg) = (net.add_host("iad-0", "iad"), net.add_host("hkg-0", "hkg"));
    let (mut client, mut server, _listener) = connected(&hkg, &iad).await;
    write(&mut client, b"unread").await;
    write(&mut server, &[1; 1_500]).await;
    sleep(ONE_WAY).await;
    drop(server);
    let mut received = Vec::new();
    assert_eq!(kind(client.reader.read_to_end(&mut received).await), ErrorKind::ConnectionReset);
    assert_eq!(received, [1; 1_000]);
}

#[tokio::test(start_paused = true)]
async fn writing_to_a_closed_endpoint_is_answered_with_a_reset() {
    let (_net, iad, hkg) = iad_and_hkg();
    let (mut client, server, _listener) = connected(&hkg, &iad).await;
    drop(server);
    assert_eq!(kind(client.reader.read_u8().await), ErrorKind::UnexpectedEof);
    write(&mut client, b"too late").await;
    sleep(ms(202)).await;
    assert_eq!(kind(client.writer.write_all(b"x").await), ErrorKind::BrokenPipe);
}

#[tokio::test(start_paused = true)]
async fn aborting_resets_the_other_end_and_discards_unsent_bytes() {
    let net = SimNet::builder().socket_buffer(1_000).build();
    let (iad, hkg) = (net.add_host("iad-0", "iad"), net.add_host("hkg-0", "hkg"));
    let (mut client, mut server, _listener) = connected(&hkg, &iad).await;
    write(&mut client, &[1; 1_500]).await;
    client.writer.abort_on_close();
    drop(client);
    let mut received = Vec::new();
    let (took, end) = timed(server.reader.read_to_end(&mut received)).await;
    assert_eq!((took, kind(end)), (ONE_WAY, ErrorKind::ConnectionReset));
    assert_eq!(received, [1; 1_000], "the reader receives only the bytes that were in flight");
    assert_eq!(kind(server.writer.write_all(b"x").await), ErrorKind::ConnectionReset);
}

#[tokio::test(start_paused = true)]
async fn an_abort_takes_place_when_both_halves_are_dropped() {
    let (_net, iad, hkg) = iad_and_hkg();
    let (mut client, mut server, _listener) = connected(&hkg, &iad).await;
    client.writer.abort_on_close();
    drop(client.writer);
    assert!(is_pending_forever(server.reader.read_u8()).await);
    drop(client.reader);
    assert_eq!(kind(server.reader.read_u8().await), ErrorKind::ConnectionReset);
}

#[tokio::test(start_paused = true)]
async fn a_closed_listener_resets_connections_that_were_not_accepted() {
    let (_net, iad, hkg) = iad_and_hkg();
    let listener = listen(&iad).await;
    let mut client = hkg.connect(iad.addr(PORT)).await.expect("connects");
    sleep(ONE_WAY).await;
    drop(listener);
    assert_eq!(kind(client.reader.read_u8().await), ErrorKind::ConnectionReset);
    let _again = listen(&iad).await;
}

#[tokio::test(start_paused = true)]
async fn an_abandoned_connect_is_never_accepted() {
    let (_net, iad, hkg) = iad_and_hkg();
    let mut listener = listen(&iad).await;
    let attempt = hkg.connect(iad.addr(PORT));
    assert!(tokio::time::timeout(ms(150), attempt).await.is_err());
    assert!(is_pending_forever(listener.accept()).await, "the acknowledgement never arrives");
}

#[tokio::test(start_paused = true)]
async fn dropping_an_accept_loses_no_connection() {
    let (_net, iad, hkg) = iad_and_hkg();
    let mut listener = listen(&iad).await;
    assert!(tokio::time::timeout(ms(1), listener.accept()).await.is_err());
    let _client = hkg.connect(iad.addr(PORT)).await.expect("connects");
    sleep(ONE_WAY).await;
    listener.accept().await.expect("accepts");
}

#[tokio::test(start_paused = true)]
async fn a_port_is_bound_once_and_port_zero_binds_a_free_one() {
    let (_net, iad, _hkg) = iad_and_hkg();
    let listener = listen(&iad).await;
    assert_eq!(listener.local_addr().expect("is bound"), any(PORT));
    assert_eq!(kind(iad.listen(iad.addr(PORT)).await), ErrorKind::AddrInUse);
    let elsewhere = ([10, 9, 9, 9], PORT).into();
    assert_eq!(kind(iad.listen(elsewhere).await), ErrorKind::AddrNotAvailable);

    let (a, b) = (iad.listen(any(0)).await, iad.listen(any(0)).await);
    let ports =
        [a, b].map(|listener| listener.expect("listens").local_addr().expect("is bound").port());
    assert!(ports[0] != ports[1] && !ports.contains(&0), "{ports:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn streams_also_work_on_many_threads() {
    let net = SimNet::builder().build();
    let hosts: Vec<_> = (0..6).map(|n| net.add_host(format!("iad-{n}"), "iad")).collect();
    let (done, mut finished) = tokio::sync::mpsc::unbounded_channel();
    for (server, client) in hosts.iter().zip(hosts.iter().cycle().skip(1)) {
        let (mut client, mut server, _listener) = connected(client, server).await;
        hosts[1].spawn(Box::pin(async move {
            let mut byte = [0];
            while server.reader.read_exact(&mut byte).await.is_ok() {
                write(&mut server, &byte).await;
            }
        }));
        let done = done.clone();
        hosts[2].spawn(Box::pin(async move {
            for byte in 0..100 {
                write(&mut client, &[byte]).await;
                assert_eq!(read(&mut client, 1).await, [byte]);
            }
            done.send(()).expect("the test is waiting");
        }));
    }
    for _ in 0..20 {
        net.freeze("iad-1");
        let _cut = net.partition("iad-2", "iad");
        sleep(ms(2)).await;
        net.resume("iad-1");
    }
    for _ in &hosts {
        finished.recv().await.expect("no task panics");
    }
}

#[tokio::test]
async fn streams_also_work_in_real_time() {
    let net = SimNet::builder().rtt("iad", "hkg", ms(4)).build();
    let (iad, hkg) = (net.add_host("iad-0", "iad"), net.add_host("hkg-0", "hkg"));
    let (took, ()) = timed(async {
        let (mut client, mut server, _listener) = connected(&hkg, &iad).await;
        write(&mut client, b"ping").await;
        assert_eq!(read(&mut server, 4).await, b"ping");
    })
    .await;
    assert!(took >= ms(8), "{took:?}");
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn both_directions_of_a_tcp_stream_stand_still_while_the_host_is_frozen() {
    let (net, iad, _hkg) = iad_and_hkg();
    let mut listener = iad.tcp_listener(PORT).await.unwrap();
    let user = net.add_host("user", "iad");
    let (mut client, accepted) =
        tokio::join!(async { user.tcp_connect("iad-0:4100").await.unwrap() }, async {
            listener.accept().await.unwrap().0
        });
    let (mut reader, mut writer) = tokio::io::split(accepted);
    // Tasks that the host does not know.
    let echo = tokio::spawn(async move { reader.read_u8().await.unwrap() });
    net.freeze("iad-0");
    let write = tokio::spawn(async move { writer.write_all(b"w").await.unwrap() });
    client.write_all(b"r").await.unwrap();
    sleep(ms(1_000)).await;
    assert!(!echo.is_finished() && !write.is_finished(), "the host is frozen");
    net.resume("iad-0");
    sleep(ms(2)).await;
    assert_eq!(echo.await.unwrap(), b'r');
    write.await.unwrap();
    assert_eq!(client.read_u8().await.unwrap(), b'w');
}
