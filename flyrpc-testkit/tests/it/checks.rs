//! Panics on invalid arguments.

use std::panic::{AssertUnwindSafe, catch_unwind};

use flyrpc::Env;
use flyrpc_testkit::{FaultGuard, SimNet};
use tokio::time::sleep;

use crate::support::*;

/// Checks the panic message of `call`, and that the network still works.
fn check(net: &SimNet, call: impl FnOnce(&SimNet) -> Option<FaultGuard>, expected: &str) {
    let panic = catch_unwind(AssertUnwindSafe(|| call(net))).expect_err("the call panics");
    let message = panic.downcast_ref::<String>().expect("the panic has a message");
    assert_eq!(message, expected);
    net.partition("iad-0", "hkg").keep();
    net.heal_all();
}

fn network() -> SimNet {
    let net = SimNet::builder().build();
    net.add_host("iad-0", "iad");
    net.add_host("iad-1", "iad");
    net.add_host("hkg-0", "hkg");
    net
}

#[tokio::test(start_paused = true)]
async fn the_panic_for_an_unknown_place_lists_hosts_and_regions() {
    let net = network();
    let expected = "there is no host or region `syd`: the hosts are `iad-0`, `iad-1`, `hkg-0`; \
                    the regions are `iad`, `hkg`";
    check(&net, |net| Some(net.partition("iad", "syd")), expected);
    check(&net, |net| Some(net.slow("syd", "iad", ms(1))), expected);
    check(
        &net,
        |net| {
            net.heal("iad", "syd");
            None
        },
        expected,
    );
}

#[tokio::test(start_paused = true)]
async fn the_panic_for_an_unknown_host_lists_the_hosts() {
    let net = network();
    let expected = "there is no host `hkg-1`: the hosts are `iad-0`, `iad-1`, `hkg-0`";
    check(&net, |net| Some(net.frozen("hkg-1")), expected);
    check(
        &net,
        |net| {
            net.crash("hkg-1");
            None
        },
        expected,
    );
    let expected = "`iad` is a region, not a host: use one of its hosts, `iad-0`, `iad-1`";
    check(&net, |net| Some(net.drifting("iad", 1)), expected);
}

#[tokio::test(start_paused = true)]
async fn long_lists_of_hosts_are_truncated() {
    let net = network();
    for nth in 1..300 {
        net.add_host(format!("hkg-{nth}"), "hkg");
    }
    let expected = "there is no host or region `syd`: the hosts are `iad-0`, `iad-1`, `hkg-0`, \
                    `hkg-1`, `hkg-2`, `hkg-3`, `hkg-4`, `hkg-5` and 294 more; the regions are \
                    `iad`, `hkg`";
    check(&net, |net| Some(net.hold("syd", "iad")), expected);
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "there is no host `iad-0`: the network has no hosts yet")]
async fn an_unknown_host_in_a_network_without_hosts() {
    SimNet::builder().build().freeze("iad-0");
}

#[tokio::test(start_paused = true)]
async fn a_region_is_not_partitioned_from_itself() {
    let net = network();
    let expected = "both scopes are the region `iad`, which cannot be partitioned from itself: \
                    use another region, or a host of `iad`, for one of them";
    check(&net, |net| Some(net.partition("iad", "IAD")), expected);
    check(&net, |net| Some(net.partition_one_way("iad", "iad")), expected);
    check(&net, |net| Some(net.hold("iad", "iad")), expected);
    let _valid = (net.slow("iad", "iad", ms(1)), net.lose("iad", "iad", 0.1));
}

#[tokio::test(start_paused = true)]
async fn a_host_always_reaches_itself() {
    let net = network();
    let expected = "both scopes are the host `iad-0`, and a host always reaches itself: \
                    use another host or a region for one of them";
    check(&net, |net| Some(net.partition("iad-0", "iad-0")), expected);
    check(&net, |net| Some(net.slow("iad-0", "iad-0", ms(1))), expected);
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "a share must be between 0 and 1: got 1.5")]
async fn a_share_is_at_most_one() {
    let _loss = network().lose("iad", "hkg", 1.5);
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "a clock that drifts by -1000001 parts per million runs backward")]
async fn a_clock_does_not_run_backward() {
    network().drift("iad-0", -1_000_001);
}

#[tokio::test(start_paused = true)]
async fn a_guard_that_is_dropped_at_once_is_an_error() {
    let (net, _iad, hkg) = iad_and_hkg();
    for start in [
        |net: &SimNet| drop(net.partition("iad", "hkg")),
        |net: &SimNet| drop(net.slow("iad", "hkg", ms(5))),
        |net: &SimNet| drop(net.frozen("hkg-0")),
    ] {
        let panic = catch_unwind(AssertUnwindSafe(|| start(&net))).unwrap_err();
        let message = panic.downcast_ref::<String>().expect("the message has arguments");
        let file = concat!("the fault that started at ", file!());
        assert!(message.starts_with(file), "{message}");
        assert!(message.contains("`let _guard =`"), "{message}");
    }
    // Skews can be read without the network, and a fault that lasts has its effect later.
    let before = hkg.now();
    let ahead = net.skewed_ahead("hkg-0", ms(5));
    assert_eq!(hkg.now(), before + ms(5));
    drop(ahead);
    net.partition("iad", "hkg").keep();
    let held = net.hold("iad-0", "hkg");
    sleep(ms(1)).await;
    hkg.connect(hkg.addr(PORT)).await.unwrap_err();
    drop(held);
}
