use std::time::{Duration, SystemTime};

use flyrpc::Env;
use tokio::time::sleep;

use crate::support::*;

const HOUR: Duration = Duration::from_secs(3_600);

#[tokio::test(start_paused = true)]
async fn a_skewed_clock_is_wrong_and_its_timers_are_not() {
    let (net, iad, hkg) = iad_and_hkg();
    let right = net.add_host("lhr-0", "lhr");
    net.skew_ahead("iad-0", ms(5_000));
    net.skew_behind("hkg-0", ms(30));
    let now = right.now();
    assert_eq!(iad.now(), now + ms(5_000));
    assert_eq!(hkg.now(), now - ms(30));
    assert_eq!(timed(sleep(ms(7))).await.0, ms(7));
    assert_eq!(iad.now(), now + ms(5_007));
}

#[tokio::test(start_paused = true)]
async fn a_drifting_clock_runs_fast_and_its_timers_do_not() {
    let (net, iad, hkg) = iad_and_hkg();
    let right = net.add_host("lhr-0", "lhr");
    sleep(HOUR).await;
    net.drift("iad-0", 100);
    net.drift("hkg-0", -100);
    assert_eq!(iad.now(), right.now());
    assert_eq!(timed(sleep(HOUR)).await.0, HOUR);
    assert_eq!(iad.now(), right.now() + ms(360));
    assert_eq!(hkg.now(), right.now() - ms(360));

    net.drift("iad-0", 0);
    sleep(HOUR).await;
    assert_eq!(iad.now(), right.now() + ms(360), "it keeps the accumulated offset");
    net.skew_ahead("iad-0", Duration::ZERO);
    assert_eq!(iad.now(), right.now());
}

#[tokio::test(start_paused = true)]
async fn a_drift_adds_to_a_skew() {
    let (net, iad, _hkg) = iad_and_hkg();
    let right = net.add_host("lhr-0", "lhr");
    net.skew_ahead("iad-0", ms(5_000));
    net.drift("iad-0", 100);
    sleep(HOUR).await;
    assert_eq!(iad.now(), right.now() + ms(5_360));
    net.skew_behind("iad-0", ms(30));
    assert_eq!(iad.now(), right.now() - ms(30), "setting a clock discards the accumulated drift");
    sleep(HOUR).await;
    assert_eq!(iad.now(), right.now() + ms(330), "the clock still drifts");
}

#[tokio::test(start_paused = true)]
async fn a_skew_ends_with_its_guard() {
    let (net, iad, _hkg) = iad_and_hkg();
    let right = net.add_host("lhr-0", "lhr");
    net.skew_ahead("iad-0", ms(5_000));
    let (more, less) = (net.skewed_ahead("iad-0", ms(70)), net.skewed_behind("iad-0", ms(30)));
    assert_eq!(iad.now(), right.now() + ms(5_040));
    drop(more);
    assert_eq!(iad.now(), right.now() + ms(4_970));
    let iad = net.restart("iad-0");
    drop(less);
    assert_eq!(
        iad.now(),
        right.now() + ms(5_000),
        "the clock belongs to the host, not to the boot"
    );

    let over = net.skewed_ahead("iad-0", ms(70));
    net.skew_ahead("iad-0", ms(1_000));
    drop(over);
    assert_eq!(iad.now(), right.now() + ms(1_000));
}

#[tokio::test(start_paused = true)]
async fn a_drift_ends_with_its_guard_and_keeps_the_offset() {
    let (net, iad, _hkg) = iad_and_hkg();
    let right = net.add_host("lhr-0", "lhr");
    net.drift("iad-0", 100);
    let faster = net.drifting("iad-0", 200);
    sleep(HOUR).await;
    drop(faster);
    assert_eq!(iad.now(), right.now() + ms(3 * 360));
    sleep(HOUR).await;
    assert_eq!(iad.now(), right.now() + ms(4 * 360));
}

#[tokio::test(start_paused = true)]
async fn a_clock_can_be_stopped() {
    let (net, iad, _hkg) = iad_and_hkg();
    net.drift("iad-0", -1_000_000);
    let before = iad.now();
    sleep(HOUR).await;
    assert_eq!(iad.now(), before);
}

#[tokio::test(start_paused = true)]
async fn no_clock_runs_backward() {
    let (net, iad, hkg) = iad_and_hkg();
    let clocks = || [iad.now(), hkg.now()];
    let mut before = clocks();
    let mut check = |what: &str| {
        let now = clocks();
        assert!(now.iter().zip(&before).all(|(now, before)| now >= before), "{what}");
        before = now;
    };
    net.skew_behind("hkg-0", HOUR);
    check("one clock is set back");
    let guard = net.skewed_ahead("iad-0", HOUR);
    check("the other clock is set ahead");
    drop(guard);
    check("the other clock is corrected");
    net.skew_ahead("hkg-0", Duration::ZERO);
    check("the first clock is corrected");
    assert_eq!(iad.now(), hkg.now());
}

#[tokio::test(start_paused = true)]
async fn a_wall_clock_starts_at_a_fixed_time_and_follows_the_faults_of_its_host() {
    let (net, iad, hkg) = iad_and_hkg();
    let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600);
    assert_eq!((iad.system_time(), hkg.system_time()), (start, start));
    sleep(ms(1_000)).await;
    net.skew_behind("hkg-0", ms(5_000));
    assert_eq!(iad.system_time(), start + ms(1_000), "other hosts keep their time");
    assert_eq!(hkg.system_time(), start - ms(4_000), "a wall clock can be set back");
    net.skew_ahead("hkg-0", ms(5_000));
    net.drift("iad-0", 1_000);
    sleep(ms(1_000)).await;
    assert_eq!(iad.system_time(), start + ms(2_001));
    assert_eq!(hkg.system_time(), start + ms(7_000));
}
