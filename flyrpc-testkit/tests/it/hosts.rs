use std::{
    io::ErrorKind,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
};

use flyrpc::Env;
use flyrpc_testkit::{SimEnv, SimNet};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{sleep, timeout},
};

use crate::support::*;

/// Starts a task on `env` that increments a counter every millisecond. Returns the counter.
fn tick(env: &SimEnv) -> Arc<AtomicU32> {
    let ticks = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&ticks);
    env.spawn(Box::pin(async move {
        loop {
            sleep(ms(1)).await;
            count.fetch_add(1, SeqCst);
        }
    }));
    ticks
}

#[tokio::test(start_paused = true)]
async fn a_crash_resets_the_other_ends_of_streams_after_half_a_round_trip() {
    let (net, iad, hkg) = iad_and_hkg();
    let (mut client, mut server, _listener) = connected(&hkg, &iad).await;
    write(&mut server, b"before").await;
    net.crash("iad-0");
    assert_eq!(timed(read(&mut client, 6)).await, (ONE_WAY, b"before".to_vec()));
    assert_eq!(kind(client.reader.read_u8().await), ErrorKind::ConnectionReset);
    assert_eq!(kind(client.writer.write_all(b"x").await), ErrorKind::ConnectionReset);
    assert_eq!(kind(server.writer.write_all(b"x").await), ErrorKind::ConnectionReset);
}

#[tokio::test(start_paused = true)]
async fn a_crash_drops_tasks_without_another_poll() {
    struct SetOnDrop(Arc<AtomicU32>);
    impl Drop for SetOnDrop {
        fn drop(&mut self) {
            self.0.store(1, SeqCst);
        }
    }

    let (net, iad, _hkg) = iad_and_hkg();
    let ticks = tick(&iad);
    let dropped = Arc::new(AtomicU32::new(0));
    let guard = SetOnDrop(Arc::clone(&dropped));
    iad.spawn(Box::pin(async move {
        let _guard = guard;
        std::future::pending::<()>().await;
    }));
    sleep(ms(10)).await;
    let before = ticks.load(SeqCst);
    assert!(before >= 9);
    net.crash("iad-0");
    sleep(ms(10)).await;
    assert_eq!(ticks.load(SeqCst), before);
    assert_eq!(dropped.load(SeqCst), 1);

    let late = tick(&iad);
    sleep(ms(10)).await;
    assert_eq!(late.load(SeqCst), 0, "tasks spawned in a crashed boot do not run");
    assert_eq!(kind(iad.listen(any(PORT)).await), ErrorKind::NetworkDown);
}

#[tokio::test(start_paused = true)]
async fn a_crashed_host_gives_no_response_and_a_restarted_one_refuses() {
    let (net, iad, hkg) = iad_and_hkg();
    let old_listener = listen(&iad).await;
    net.crash("iad-0");
    assert!(is_pending_forever(hkg.connect(iad.addr(PORT))).await);

    let iad = net.restart("iad-0");
    assert_eq!(kind(hkg.connect(iad.addr(PORT)).await), ErrorKind::ConnectionRefused);
    let _listener = listen(&iad).await;
    drop(old_listener);
    hkg.connect(iad.addr(PORT))
        .await
        .expect("dropping the old boot's listener does not close the new one");
}

#[tokio::test(start_paused = true)]
async fn a_connect_that_arrives_after_a_crash_gets_no_response() {
    let (net, iad, hkg) = iad_and_hkg();
    let _listener = listen(&iad).await;
    let attempt = hkg.connect(iad.addr(PORT));
    let crash = async {
        sleep(ms(50)).await;
        net.crash("iad-0");
    };
    let (unanswered, ()) = tokio::join!(is_pending_forever(attempt), crash);
    assert!(unanswered);
}

#[tokio::test(start_paused = true)]
async fn a_crash_during_the_handshake_resets_the_connection() {
    let (net, iad, hkg) = iad_and_hkg();
    let _listener = listen(&iad).await;
    let crash = async {
        sleep(ms(150)).await;
        net.crash("iad-0");
    };
    let (connected, ()) = tokio::join!(hkg.connect(iad.addr(PORT)), crash);
    let mut client = connected.expect("the kernel responded before the crash");
    assert_eq!(kind(client.reader.read_u8().await), ErrorKind::ConnectionReset);
}

#[tokio::test(start_paused = true)]
async fn a_frozen_host_is_not_polled_and_its_kernel_buffers() {
    let (net, iad, hkg) = iad_and_hkg();
    let mut listener = listen(&iad).await;
    let server = iad.clone();
    iad.spawn(Box::pin(async move {
        let (mut stream, _) = listener.accept().await.expect("accepts");
        let received = read(&mut stream, 4).await;
        stream.writer.write_all(&received).await.expect("writes");
        // Keep the stream open until the end of the test.
        std::future::pending::<()>().await;
        drop(server);
    }));
    let ticks = tick(&iad);
    net.freeze("iad-0");
    sleep(ms(10)).await;
    assert_eq!(ticks.load(SeqCst), 0);

    let (took, client) = timed(hkg.connect(iad.addr(PORT))).await;
    let mut client = client.expect("the kernel responds");
    assert_eq!(took, ms(202));
    write(&mut client, b"ping").await;
    assert!(is_pending_forever(client.reader.read_u8()).await);

    net.resume("iad-0");
    assert_eq!(timed(read(&mut client, 4)).await, (ONE_WAY, b"ping".to_vec()));
    let resumed = ticks.load(SeqCst);
    assert!(resumed > 0 && resumed < 200, "{resumed} ticks: frozen ticks are not caught up");
}

#[tokio::test(start_paused = true)]
async fn a_writer_to_a_frozen_host_waits_once_the_buffers_are_full() {
    let net = SimNet::builder().socket_buffer(1_000).build();
    let (iad, hkg) = (net.add_host("iad-0", "iad"), net.add_host("hkg-0", "hkg"));
    let (mut client, mut server, _listener) = connected(&hkg, &iad).await;
    let frozen = net.frozen("iad-0");
    iad.spawn(Box::pin(async move {
        assert_eq!(read(&mut server, 3_000).await.len(), 3_000);
        write(&mut server, b"all").await;
    }));
    write(&mut client, &[1; 2_000]).await;
    assert!(
        is_pending_forever(client.writer.write_all(&[1; 1])).await,
        "2,000 bytes fill both buffers"
    );
    drop(frozen);
    write(&mut client, &[1; 1_000]).await;
    assert_eq!(read(&mut client, 3).await, b"all");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_also_work_on_many_threads() {
    let net = SimNet::builder().rtt("iad", "hkg", ms(10)).socket_buffer(1_000).build();
    let (iad, hkg) = (net.add_host("iad-0", "iad"), net.add_host("hkg-0", "hkg"));
    assert_eq!(kind(hkg.connect(iad.addr(PORT)).await), ErrorKind::ConnectionRefused);
    let (mut client, mut server, listener) = connected(&hkg, &iad).await;

    let cut = net.partition("iad", "hkg");
    write(&mut client, b"stalls").await;
    assert!(timeout(ms(100), server.reader.read_u8()).await.is_err());
    drop(cut);
    assert_eq!(read(&mut server, 6).await, b"stalls");

    let ticks = tick(&iad);
    let frozen = net.frozen("iad-0");
    sleep(ms(20)).await;
    let before = ticks.load(SeqCst);
    sleep(ms(50)).await;
    assert_eq!(ticks.load(SeqCst), before);
    drop(frozen);

    server.writer.shutdown().await.expect("shuts down");
    assert_eq!(kind(client.reader.read_u8().await), ErrorKind::UnexpectedEof);
    let mut other = hkg.connect(iad.addr(PORT)).await.expect("connects");
    net.crash("iad-0");
    assert_eq!(kind(other.reader.read_u8().await), ErrorKind::ConnectionReset);
    drop(listener);
    let attempt = hkg.connect(iad.addr(PORT));
    assert!(timeout(ms(100), attempt).await.is_err(), "no host responds");
}

#[tokio::test(start_paused = true)]
async fn a_frozen_host_can_crash() {
    let (net, iad, hkg) = iad_and_hkg();
    let (mut client, _server, _listener) = connected(&hkg, &iad).await;
    let ticks = tick(&iad);
    net.freeze("iad-0");
    sleep(ms(10)).await;
    net.crash("iad-0");
    net.resume("iad-0");
    assert_eq!(kind(client.reader.read_u8().await), ErrorKind::ConnectionReset);
    assert_eq!(ticks.load(SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn a_host_is_frozen_until_the_last_freeze_ends() {
    let (net, iad, _hkg) = iad_and_hkg();
    let ticks = tick(&iad);
    let (first, second) = (net.frozen("iad-0"), net.frozen("iad-0"));
    sleep(ms(10)).await;
    drop(first);
    sleep(ms(10)).await;
    assert_eq!(ticks.load(SeqCst), 0);
    drop(second);
    sleep(ms(10)).await;
    let before = ticks.load(SeqCst);
    assert!(before > 0);

    let third = net.frozen("iad-0");
    net.resume("iad-0");
    sleep(ms(10)).await;
    assert!(ticks.load(SeqCst) > before, "`resume` ends all freezes");
    net.freeze("iad-0");
    drop(third);
    sleep(ms(10)).await;
    let before = ticks.load(SeqCst);
    sleep(ms(10)).await;
    assert_eq!(ticks.load(SeqCst), before, "the guard's freeze had already ended");
}

#[tokio::test(start_paused = true)]
async fn a_freeze_ends_with_its_boot() {
    let (net, iad, _hkg) = iad_and_hkg();
    let frozen = net.frozen("iad-0");
    net.crash("iad-0");
    let on_a_crashed_host = net.frozen("iad-0");
    drop(frozen);
    assert_eq!(kind(iad.listen(any(PORT)).await), ErrorKind::NetworkDown);

    let iad = net.restart("iad-0");
    let ticks = tick(&iad);
    sleep(ms(10)).await;
    assert!(ticks.load(SeqCst) > 0);
    net.freeze("iad-0");
    drop(on_a_crashed_host);
    sleep(ms(10)).await;
    let before = ticks.load(SeqCst);
    sleep(ms(10)).await;
    assert_eq!(ticks.load(SeqCst), before);
}

#[tokio::test(start_paused = true)]
async fn random_numbers_depend_on_seed_host_and_boot() {
    let draw = |seed| {
        let net = SimNet::builder().seed(seed).build();
        let (iad, hkg) = (net.add_host("iad-0", "iad"), net.add_host("hkg-0", "hkg"));
        let before = [iad.random(), iad.random(), hkg.random()];
        (before, net.restart("iad-0").random())
    };
    let (before, after) = draw(7);
    assert_eq!(draw(7), (before, after));
    assert_ne!(draw(8), (before, after));
    assert!(before[0] != before[1] && before[0] != before[2] && before[0] != after);
}

#[tokio::test(start_paused = true)]
async fn names_resolve_to_the_addresses_that_were_set_and_hosts_to_their_addresses() {
    let (net, iad, hkg) = iad_and_hkg();
    net.set_name("app.internal", [iad.ip(), hkg.ip()]);
    let resolved = iad.resolve("app.internal:80").await.expect("is set");
    assert_eq!(resolved, [iad.addr(80), hkg.addr(80)]);
    assert_eq!(iad.resolve("hkg-0:80").await.expect("is a host"), [hkg.addr(80)]);
    let address = iad.resolve("10.0.0.1:80").await.expect("is an address");
    assert_eq!(address, [([10, 0, 0, 1], 80).into()]);
    assert_eq!(kind(iad.resolve("unknown:80").await), ErrorKind::NotFound);
    assert_eq!(kind(iad.resolve("app.internal").await), ErrorKind::InvalidInput);
    net.set_name("app.internal", []);
    assert_eq!(kind(iad.resolve("app.internal:80").await), ErrorKind::NotFound);
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "set it with `.rtt(\"iad\", \"lab\", …)`")]
async fn a_region_with_an_unknown_round_trip_is_rejected() {
    let net = SimNet::builder().build();
    net.add_host("iad-0", "iad");
    net.add_host("lab-0", "lab");
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "there is already a host `iad-0`")]
async fn a_host_name_is_unique() {
    let (net, ..) = iad_and_hkg();
    net.add_host("iad-0", "hkg");
}
