//! The tap receives what programs send.

use std::sync::{Arc, Mutex};

use flyrpc_testkit::{Sent, SimNet, Via};
use tokio::time::sleep;

use crate::support::*;

/// What was sent since the log was created.
fn log_of(net: &SimNet) -> Arc<Mutex<Vec<Sent>>> {
    let log = Arc::new(Mutex::new(Vec::new()));
    net.tap({
        let log = Arc::clone(&log);
        move |sent| log.lock().expect("no panic under the lock").push(sent.clone())
    });
    log
}

fn take(log: &Mutex<Vec<Sent>>) -> Vec<Sent> {
    std::mem::take(&mut *log.lock().expect("no panic under the lock"))
}

#[tokio::test(start_paused = true)]
async fn it_receives_each_write_with_its_connection_and_direction() {
    let (net, iad, hkg) = iad_and_hkg();
    let log = log_of(&net);
    let (mut client, mut server, _listener) = connected(&hkg, &iad).await;
    assert_eq!(take(&log), [], "opening a connection sends no data");
    write(&mut client, b"to iad").await;
    write(&mut server, b"to hkg").await;
    let sent = take(&log);
    assert_eq!(sent.len(), 2, "{sent:?}");
    assert_eq!((&sent[0].bytes[..], sent[0].to), (&b"to iad"[..], iad.addr(PORT)));
    assert_eq!((&sent[1].bytes[..], sent[1].from), (&b"to hkg"[..], iad.addr(PORT)));
    assert_eq!((sent[0].from, sent[0].to), (sent[1].to, sent[1].from));
    assert_eq!(sent[0].from.ip(), hkg.ip());
    let Via::Stream { connection, by_dialer: true } = sent[0].via else { panic!("{sent:?}") };
    assert_eq!(sent[1].via, Via::Stream { connection, by_dialer: false });
}

#[tokio::test(start_paused = true)]
async fn it_receives_what_is_sent_and_not_what_arrives() {
    let (net, iad, hkg) = iad_and_hkg();
    let (mut client, mut server, _listener) = connected(&hkg, &iad).await;
    let (from, _to) = (socket(&iad).await, socket(&hkg).await);
    let log = log_of(&net);
    let cut = net.partition("iad", "hkg");
    from.send(b"lost", hkg.addr(PORT)).await.expect("sends");
    write(&mut client, b"delayed").await;
    sleep(ms(1_000)).await;
    drop(cut);
    assert_eq!(read(&mut server, 7).await, b"delayed");
    let sent: Vec<_> = take(&log).into_iter().map(|sent| (sent.via, sent.bytes)).collect();
    assert_eq!(sent.len(), 2, "what was delayed is reported once: {sent:?}");
    assert_eq!(sent[0], (Via::Datagram, b"lost"[..].into()));
    assert_eq!(sent[1].1, b"delayed"[..]);
}

#[tokio::test(start_paused = true)]
async fn it_can_use_the_network_and_the_latest_replaces_the_others() {
    let (net, iad, hkg) = iad_and_hkg();
    let (from, to) = (socket(&iad).await, socket(&hkg).await);
    let replaced = log_of(&net);
    net.tap({
        let net = net.clone();
        move |_| net.partition("iad", "hkg").keep()
    });
    from.send(b"arrives", hkg.addr(PORT)).await.expect("sends");
    assert!(is_pending_forever(receive(&to)).await, "the tap has cut the path");
    let log = log_of(&net);
    net.heal_all();
    from.send(b"arrives", hkg.addr(PORT)).await.expect("sends");
    assert_eq!(receive(&to).await, b"arrives");
    assert_eq!((take(&log).len(), take(&replaced).len()), (1, 0));
}
