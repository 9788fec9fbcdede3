//! Rules about which calls of other nodes a node serves.

use std::sync::{Arc, Mutex};

use flyrpc::{Admission, Denied, ErrorKind, Refusal, RpcError, fly_rpc};
use flyrpc_testkit::{Release, SimCluster};
use tokio::time::Instant;

use crate::support::{
    Counts, Log, ProbeClient, millis, node_names, peer_named, probe_cluster, probe_release, secs,
    sleep, wait_until,
};

/// The calls that a rule has decided on, such as `shout from hkg-0`.
#[derive(Clone, Default)]
struct Asked(Arc<Mutex<Vec<String>>>);

impl Asked {
    fn add(&self, call: &Admission<'_>) {
        let line = format!("{} from {}", call.method(), call.caller().name());
        self.0.lock().unwrap().push(line);
    }

    /// Returns `rule`, which also records its calls here.
    fn rule<F>(&self, rule: F) -> impl Fn(&Admission<'_>) -> Result<(), Denied> + Clone + use<F>
    where
        F: Fn(&Admission<'_>) -> Result<(), Denied> + Clone,
    {
        let asked = self.clone();
        move |call| {
            asked.add(call);
            rule(call)
        }
    }

    /// Takes all calls since the last time.
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

/// A release that serves [`Probe`](crate::support::probe_release) under a rule.
fn ruled(
    counts: &Counts,
    rule: impl Fn(&Admission<'_>) -> Result<(), Denied> + Clone + Send + Sync + 'static,
) -> Release {
    probe_release(counts).configure(move |_, builder| builder.authorize(rule.clone()))
}

/// Starts iad-0, which has a rule, and hkg-0, which has none.
async fn ruled_iad_and_hkg(
    counts: &Counts,
    rule: impl Fn(&Admission<'_>) -> Result<(), Denied> + Clone + Send + Sync + 'static,
) -> SimCluster {
    let cluster = probe_cluster(counts).region("iad", 1).region("hkg", 1);
    cluster.node("iad-0", ruled(counts, rule)).start().await
}

/// A client of hkg-0 that calls iad.
fn hkg_to_iad(cluster: &SimCluster) -> ProbeClient {
    cluster.node("hkg-0").client::<ProbeClient>().on_region("iad")
}

fn deny_all(_: &Admission<'_>) -> Result<(), Denied> {
    Err("closed".into())
}

#[track_caller]
fn reason<T: std::fmt::Debug>(result: Result<T, RpcError>) -> String {
    match result {
        Err(RpcError::Denied { why, .. }) => why,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_denied_call_is_not_executed_and_its_error_contains_the_reason() {
    let counts = Counts::default();
    let cluster = ruled_iad_and_hkg(&counts, deny_all).await;
    let error = hkg_to_iad(&cluster).shout("a".into()).await.unwrap_err();
    let iad = cluster.node("iad-0");
    assert_eq!(error.to_string(), format!("Probe.shout was denied by node {}: closed", iad.info()));
    assert_eq!((error.kind(), error.http_status()), (ErrorKind::Denied, 403));
    assert_eq!(error.node(), Some(iad.info()));
    assert!(!error.may_have_executed());
    assert_eq!(counts.started(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_allowed_call_is_executed() {
    let counts = Counts::default();
    let asked = Asked::default();
    let rule = {
        let asked = asked.clone();
        move |call: &Admission<'_>| {
            asked.add(call);
            if call.method() == "shout" { Ok(()) } else { Err(Denied::new("only shout")) }
        }
    };
    let cluster = ruled_iad_and_hkg(&counts, rule).await;
    let probe = hkg_to_iad(&cluster);
    assert_eq!(probe.shout("a".into()).await.unwrap(), ("A".to_owned(), "iad-0".to_owned()));
    assert_eq!(reason(probe.slow(1).await), "only shout");
    assert_eq!(asked.take(), ["shout from hkg-0", "slow from hkg-0"]);
    assert_eq!(counts.started(), 1);
}

mod renamed {
    use super::*;

    #[fly_rpc(name = "billing.invoices")]
    pub(super) trait Invoices {
        #[rpc(name = "send")]
        async fn mail(&self) -> u64;
    }

    pub(super) struct Mailer;

    impl Invoices for Mailer {
        async fn mail(&self) -> u64 {
            1
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_rule_sees_the_caller_and_the_names_on_the_wire() {
    let rule = |call: &Admission<'_>| Err(Denied::from(format!("{call:?}")));
    let release = Release::new()
        .serve(|_| renamed::ServeInvoices::new(renamed::Mailer))
        .configure(move |_, builder| builder.authorize(rule));
    let cluster = SimCluster::builder().region("iad", 1).region("hkg", 1);
    let cluster = cluster.node("iad-0", release).start().await;
    let hkg = cluster.node("hkg-0");
    let invoices = hkg.client::<renamed::InvoicesClient>().on_region("iad");
    let expected = format!(
        "Admission {{ caller: {:?}, service: \"billing.invoices\", method: \"send\", \
         is_for_primary: false }}",
        hkg.info()
    );
    assert_eq!(reason(invoices.mail().await), expected);
}

#[tokio::test(start_paused = true)]
async fn the_rule_sees_whether_a_call_is_for_the_primary() {
    let rule = |call: &Admission<'_>| Err(call.is_for_primary().to_string().into());
    let cluster = ruled_iad_and_hkg(&Counts::default(), rule).await;
    let probe: ProbeClient = cluster.node("hkg-0").client();
    assert_eq!(reason(probe.on_region("iad").shout("a".into()).await), "false");
    assert_eq!(reason(probe.on_primary().shout("a".into()).await), "true");
    assert_eq!(reason(probe.on_region("iad").write(1).await), "true");
}

mod other_types {
    use super::*;

    /// Has a method of [`Probe`](crate::support::ProbeClient) whose argument has another type.
    #[fly_rpc(name = "Probe")]
    pub(super) trait Probe {
        async fn slow(&self, millis: String) -> u64;
    }
}

#[tokio::test(start_paused = true)]
async fn the_arguments_of_a_denied_call_are_not_decoded() {
    let cluster = ruled_iad_and_hkg(&Counts::default(), deny_all).await;
    let probe: other_types::ProbeClient = cluster.node("hkg-0").client();
    assert_eq!(reason(probe.on_region("iad").slow("not a number".into()).await), "closed");
}

#[tokio::test(start_paused = true)]
async fn the_rule_is_not_asked_about_calls_of_its_own_node() {
    for encoded in [false, true] {
        let cluster = probe_cluster(&Counts::default()).region("iad", 1).force_wire(encoded);
        let cluster = cluster.configure(|_, builder| builder.authorize(deny_all)).start().await;
        let probe: ProbeClient = cluster.node("iad-0").client();
        probe.on_primary().shout("a".into()).await.unwrap();
        probe.slow_and_detached(1).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn nodes_that_deny_every_call_know_each_other_without_gossip() {
    // No datagram arrives, so the nodes learn of each other only by calls of the internal service.
    let cluster = probe_cluster(&Counts::default()).loss(1.0).region("iad", 1).region("hkg", 1);
    let cluster = cluster.configure(|_, builder| builder.authorize(deny_all)).start().await;
    let release =
        ruled(&Counts::default(), deny_all).configure(|_, builder| builder.seeds(["iad-0:3590"]));
    let nrt = cluster.node(cluster.add_node_with("nrt", release).await);
    wait_until(&nrt, || node_names(&nrt, "hkg") == ["hkg-0"]).await;
    let iad = cluster.node("iad-0");
    assert_eq!(nrt.region_of(iad.id()).await.unwrap(), *"iad");
}

#[tokio::test(start_paused = true)]
async fn a_rule_that_panics_denies_the_call_and_is_logged_once() {
    let (log, _guard) = Log::collect(tracing::Level::ERROR);
    let rule = |call: &Admission<'_>| match call.method() {
        "slow" => panic!("cannot decide"),
        _ => Ok(()),
    };
    let counts = Counts::default();
    let cluster = ruled_iad_and_hkg(&counts, rule).await;
    let probe = hkg_to_iad(&cluster);
    for _ in 0..3 {
        assert_eq!(reason(probe.slow(1).await), "its `authorize` function panicked");
        probe.shout("a".into()).await.unwrap();
    }
    assert_eq!(counts.started(), 3);
    let lines = log.lines();
    assert_eq!(lines.len(), 1, "{lines:#?}");
    for part in ["cannot decide", "caller=hkg-0/", "method=\"slow\""] {
        assert!(lines[0].contains(part), "{part}: {lines:#?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_denied_call_is_neither_tried_on_another_node_nor_waits() {
    let asked = Asked::default();
    let rule = asked.rule(deny_all);
    let cluster = probe_cluster(&Counts::default()).region("iad", 2).region("hkg", 1);
    let cluster = cluster.configure(move |_, builder| builder.authorize(rule.clone()));
    let cluster = cluster.start().await;
    sleep(secs(2)).await;
    let start = Instant::now();
    let probe = hkg_to_iad(&cluster).timeout(secs(60)).wait(secs(30));
    assert_eq!(reason(probe.slow_but_repeatable(1).await), "closed");
    assert_eq!(start.elapsed(), millis(202));
    assert_eq!(asked.take(), ["slow_but_repeatable from hkg-0"]);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_denies_calls_is_not_ejected() {
    let counts = Counts::default();
    let cluster = ruled_iad_and_hkg(&counts, |_| Err("no".into())).await;
    let probe = hkg_to_iad(&cluster);
    for _ in 0..100 {
        assert_eq!(probe.shout("a".into()).await.unwrap_err().kind(), ErrorKind::Denied);
    }
    assert!(!peer_named(&cluster.node("hkg-0"), "iad-0").ejected);
}

#[tokio::test(start_paused = true)]
async fn a_denied_detached_call_does_not_start() {
    let counts = Counts::default();
    let cluster = ruled_iad_and_hkg(&counts, deny_all).await;
    assert_eq!(reason(hkg_to_iad(&cluster).slow_and_detached(1).await), "closed");
    sleep(secs(2)).await;
    assert_eq!(counts.started(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_denied_call_takes_no_permit() {
    let rule = |call: &Admission<'_>| match call.method() {
        "slow" => Ok(()),
        _ => Err("closed".into()),
    };
    let counts = Counts::default();
    let full = ruled(&counts, rule).configure(|_, builder| builder.max_in_flight(1));
    let cluster = probe_cluster(&counts).region("iad", 1).region("hkg", 1);
    let cluster = cluster.node("iad-0", full).start().await;
    let probe = hkg_to_iad(&cluster);
    let busy = tokio::spawn(probe.slow(2_000));
    sleep(secs(1)).await;
    let refused = probe.slow(1).await;
    assert!(
        matches!(refused, Err(RpcError::Refused { reason: Refusal::Overloaded, .. })),
        "{refused:?}"
    );
    assert_eq!(reason(probe.shout("a".into()).await), "closed");
    busy.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_long_body_is_denied_once_when_it_is_announced_and_takes_no_memory() {
    const REPLY: usize = 1_000_000;
    const CALLERS: [&str; 4] = ["nrt", "lhr", "fra", "syd"];
    let asked = Asked::default();
    let rule = {
        let asked = asked.clone();
        move |call: &Admission<'_>| match (call.method(), call.caller().region().as_str()) {
            ("echo", "hkg") => {
                asked.add(call);
                Err(Denied::new("closed"))
            }
            _ => Ok(()),
        }
    };
    let counts = Counts::default();
    let full = ruled(&counts, rule).configure(|_, builder| {
        builder.max_body(2 * REPLY + 50_000).max_body_memory(4 * REPLY + 100_000)
    });
    let regions = ["iad", "hkg", "gru"].into_iter().chain(CALLERS);
    let cluster = regions.fold(probe_cluster(&counts), |cluster, region| cluster.region(region, 1));
    let cluster = cluster.node("iad-0", full).start().await;
    sleep(secs(3)).await;
    // The replies to four slow peers use the memory for bodies.
    let _slow = CALLERS.map(|region| cluster.throttle("iad", region, 100_000));
    let _replies = CALLERS.map(|region| {
        let probe: ProbeClient = cluster.node(format!("{region}-0")).client();
        tokio::spawn(probe.on_region("iad").timeout(secs(300)).produce(REPLY))
    });
    sleep(secs(1)).await;
    let body = vec![1; 1 << 20];
    let refused = cluster.node("gru-0").client::<ProbeClient>().on_region("iad");
    let refused = refused.echo(body.clone()).await;
    assert!(
        matches!(refused, Err(RpcError::Refused { reason: Refusal::Memory, .. })),
        "{refused:?}"
    );

    let probe = hkg_to_iad(&cluster);
    assert_eq!(reason(probe.echo(body).await), "closed");
    assert_eq!(asked.take(), ["echo from hkg-0"]);
    // Later calls on the link are not affected by what is left of the body.
    let start = Instant::now();
    probe.shout("a".into()).await.unwrap();
    assert_eq!(start.elapsed(), millis(202));
    assert_eq!(cluster.trace().calls().from_node("hkg-0").count(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_rule_is_asked_once_about_a_request_that_is_held() {
    let asked = Asked::default();
    let rule = asked.rule(|_| Ok(()));
    let cluster = ruled_iad_and_hkg(&Counts::default(), rule).await;
    sleep(secs(3)).await;
    cluster.freeze("iad-0");
    let call = tokio::spawn(hkg_to_iad(&cluster).shout("a".into()));
    sleep(secs(3)).await;
    cluster.resume("iad-0");
    let resumed = Instant::now();
    call.await.unwrap().unwrap();
    // The node asks whether its caller still waits, which takes a round trip, and then responds.
    assert_eq!(resumed.elapsed(), millis(202 + 101));
    assert_eq!(asked.take(), ["shout from hkg-0"]);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_accepts_no_calls_refuses_them_without_asking_the_rule() {
    let asked = Asked::default();
    let rule = asked.rule(deny_all);
    let cluster = ruled_iad_and_hkg(&Counts::default(), rule).await;
    cluster.node("iad-0").hold();
    // Sent before the caller learns that the node is held.
    let refused = hkg_to_iad(&cluster).shout("a".into()).await;
    assert!(matches!(refused, Err(RpcError::Refused { reason: Refusal::Held, .. })), "{refused:?}");
    assert_eq!(asked.take(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_second_rule_replaces_the_first() {
    let release = ruled(&Counts::default(), deny_all);
    let release = release.configure(|_, builder| builder.authorize(|_| Ok(())));
    let cluster = probe_cluster(&Counts::default()).region("iad", 1).region("hkg", 1);
    let cluster = cluster.node("iad-0", release).start().await;
    hkg_to_iad(&cluster).shout("a".into()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_observer_of_the_caller_receives_a_denial_as_the_end_of_its_only_attempt() {
    let cluster = ruled_iad_and_hkg(&Counts::default(), deny_all).await;
    hkg_to_iad(&cluster).wait(secs(3)).slow_but_repeatable(1).await.unwrap_err();
    let trace = cluster.trace();
    let calls: Vec<_> = trace.calls().collect();
    let [call] = &calls[..] else { panic!("{trace}") };
    assert_eq!(call.node(), Some("iad-0"));
    assert_eq!(call.error().map(RpcError::kind), Some(ErrorKind::Denied), "{trace}");
    assert!(trace.to_string().contains("denied"), "{trace}");
}

#[tokio::test(start_paused = true)]
async fn long_reasons_for_many_calls_do_not_end_the_link_of_a_slow_peer() {
    let rule = |call: &Admission<'_>| match call.method() {
        "shout" => Ok(()),
        _ => Err("because ".repeat(1_000).into()),
    };
    let cluster = ruled_iad_and_hkg(&Counts::default(), rule).await;
    sleep(secs(2)).await;
    let _slow = cluster.throttle("iad", "hkg", 100_000);
    let probe = hkg_to_iad(&cluster).timeout(secs(30));
    let calls: Vec<_> = (0..2_000).map(|_| tokio::spawn(probe.slow(1))).collect();
    let allowed = tokio::spawn(probe.shout("a".into()));
    let mut reasons = 0;
    for call in calls {
        reasons += usize::from(!reason(call.await.unwrap()).is_empty());
    }
    assert!((10..100).contains(&reasons), "{reasons} of 2,000 reasons found room");
    allowed.await.unwrap().unwrap();
    assert_eq!(cluster.trace().events().links().since(secs(2)).count(), 0);
}
