//! The lessons of the tour, in order.

use std::{
    error::Error,
    time::{Duration, Instant},
};

use flyrpc::{Event, NoSupport, NodeId, PeerState, RpcError, Support};
use flyrpc_examples::{
    process::Signal,
    show,
    text::{TextClient, Whoami},
    watch,
};

use crate::{
    cluster::{self, Cluster},
    report::Report,
};

/// Upper bound on the time of an operation that waits for no timeout, on a busy machine.
const AT_ONCE: Duration = Duration::from_secs(1);

/// Number of calls that a median is computed from.
const CALLS: usize = 1_000;

type Lesson = Result<(), Box<dyn Error>>;

pub(crate) async fn all(cluster: &mut Cluster, report: &mut Report) -> Lesson {
    who_is_where(cluster, report);
    calls_to_each_region(cluster, report).await;
    the_primary(cluster, report).await;
    the_short_circuit(cluster, report).await?;
    an_empty_region(cluster, report).await;
    the_other_program(cluster, report);
    a_timeout(cluster, report).await?;
    errors_of_the_service(cluster, report).await;
    a_freeze(cluster, report).await?;
    a_crash(cluster, report).await?;
    a_restart(cluster, report).await?;
    a_graceful_leave(cluster, report).await?;
    the_end(cluster, report).await
}

fn who_is_where(cluster: &Cluster, report: &mut Report) {
    report.lesson("The nodes and their regions: every node reads them from its own table");
    let me = cluster.me.info();
    let row = |region: &str, name: &str, addr: &dyn ToString, state: &str| {
        report.note(&format!("{region:<6}{name:<8}{:<18}{state}", addr.to_string()));
    };
    row(me.region().as_str(), me.name(), &me.addr(), "this process");
    let (mut linked, start) = (0, Instant::now());
    let mut peers = cluster.me.peers();
    let took = start.elapsed();
    // Sorted by region and name. Addresses that are not nodes come last.
    peers.sort_by_key(|peer| {
        let node = peer.node.as_ref();
        (node.is_none(), node.map(|node| (node.region().clone(), node.name().to_owned())))
    });
    for peer in peers {
        let Some(node) = &peer.node else {
            row("-", "-", &peer.addr, &peer.support.to_string());
            continue;
        };
        let serves: Vec<&str> = peer.services.iter().map(|service| &*service.name).collect();
        let state = format!("{}, serves {}", peer.state, serves.join(", "));
        row(node.region().as_str(), node.name(), &node.addr(), &state);
        linked += usize::from(peer.state == PeerState::Linked);
    }
    let iad = cluster.me.nodes_in("iad").len();
    report.check(
        linked == cluster.members.len() && iad == 2,
        "node.peers(), node.nodes_in(\"iad\")",
        format!("{linked} peers linked, {iad} in iad"),
        took,
    );
}

async fn calls_to_each_region(cluster: &Cluster, report: &mut Report) {
    report.lesson("A call runs in the region that it names");
    for region in cluster::regions(cluster) {
        let there = cluster.text.on_region(&region);
        report
            .succeeds(
                &format!("on_region(\"{region}\").upcase(\"fly\")"),
                there.upcase("fly".into()),
                |text| text == "FLY",
                |text| format!("{text:?}"),
            )
            .await;
        report
            .succeeds(
                &format!("on_region(\"{region}\").whoami()"),
                there.whoami(),
                |response| response.region == region,
                whereabouts,
            )
            .await;
    }
}

async fn the_primary(cluster: &Cluster, report: &mut Report) {
    report.lesson("A call can target the primary region (here iad) without its name");
    report
        .succeeds(
            "on_primary().whoami()",
            cluster.text.on_primary().whoami(),
            |response| response.region == *cluster.me.primary_region(),
            whereabouts,
        )
        .await;
}

async fn the_short_circuit(cluster: &Cluster, report: &mut Report) -> Lesson {
    report.lesson("A call to this node's own region runs in this process");
    report
        .succeeds(
            "whoami()",
            cluster.text.whoami(),
            |response| response.node == *cluster.me.id(),
            whereabouts,
        )
        .await;
    let here = median_call(&cluster.text.on_region("fra")).await?;
    let there = median_call(&cluster.text.on_region("hkg")).await?;
    report.check(here < there, "on_region(\"fra\").upcase(…)", "median of 1,000 calls", here);
    report.check(here < there, "on_region(\"hkg\").upcase(…)", "median of 1,000 calls", there);
    Ok(())
}

async fn median_call(text: &TextClient) -> Result<Duration, RpcError> {
    let mut times = Vec::with_capacity(CALLS);
    for _ in 0..CALLS {
        let start = Instant::now();
        text.upcase("fly".into()).await?;
        times.push(start.elapsed());
    }
    Ok(show::median(&mut times))
}

async fn an_empty_region(cluster: &Cluster, report: &mut Report) {
    report.lesson("A call to a region without nodes fails at once, and the error explains why");
    report
        .fails(
            "on_region(\"ams\").upcase(\"fly\")",
            cluster.text.on_region("ams").upcase("fly".into()),
            |error, took| {
                let known =
                    matches!(error, RpcError::NoNode { known, .. } if known.not_flyrpc == 1);
                known && !error.may_have_executed() && took < AT_ONCE
            },
        )
        .await;
}

fn the_other_program(cluster: &Cluster, report: &mut Report) {
    report.lesson("A seed that is not a flyrpc node is detected, listed, and never called");
    let start = Instant::now();
    let peers = cluster.me.peers();
    let took = start.elapsed();
    let peer = peers.iter().find(|peer| peer.addr == cluster.other_program);
    let support = peer.map(|peer| peer.support.clone());
    let kept = matches!(support, Some(Support::Unsupported(NoSupport::NotFlyrpc(_))));
    let shown = support.map_or("not listed".to_owned(), |support| support.to_string());
    report.check(kept, &format!("the peer at {}", cluster.other_program), shown, took);
}

async fn a_timeout(cluster: &Cluster, report: &mut Report) -> Lesson {
    report.lesson("A timeout also cancels the work on the serving node");
    let limit = Duration::from_millis(300);
    let hkg = cluster.text.on_region("hkg");
    report
        .fails(
            "on_region(\"hkg\").timeout(300 ms).slow(10 s)",
            hkg.timeout(limit).slow(Duration::from_secs(10)),
            |error, took| {
                let timeout = matches!(error, RpcError::Timeout { after, .. } if *after == limit);
                timeout && error.may_have_executed() && took >= limit && took < limit + AT_ONCE
            },
        )
        .await;
    let (start, running) = (Instant::now(), until_slow(&hkg, 0).await?);
    report.check(
        running == 0 && start.elapsed() < AT_ONCE,
        "calls of slow() that still run in hkg",
        running,
        start.elapsed(),
    );
    Ok(())
}

async fn errors_of_the_service(cluster: &Cluster, report: &mut Report) {
    report.lesson("Application errors are values, and a panic fails only its own call");
    let syd = cluster.text.on_region("syd");
    report
        .succeeds(
            "on_region(\"syd\").fail(\"no such row\")",
            syd.fail("no such row".into()),
            |response| response.as_ref().is_err_and(|failure| failure.reason == "no such row"),
            |response| {
                response.as_ref().map_or_else(|e| format!("Err({:?})", e.reason), String::clone)
            },
        )
        .await;
    report
        .fails(
            "on_region(\"syd\").panic(\"out of ink\")",
            syd.panic("out of ink".into()),
            |error, _| {
                matches!(error, RpcError::Panicked { message, .. } if message == "out of ink")
            },
        )
        .await;
    report
        .succeeds(
            "on_region(\"syd\").whoami()",
            syd.whoami(),
            |response| response.region == "syd",
            whereabouts,
        )
        .await;
}

async fn a_freeze(cluster: &mut Cluster, report: &mut Report) -> Lesson {
    report
        .lesson("hkg is frozen (SIGSTOP) for a moment: calls that time out meanwhile never start");
    let hkg = cluster.text.on_region("hkg");
    let before = hkg.whoami().await?.started;
    cluster.member("hkg-1").child.freeze()?;
    let frozen = hkg.timeout(Duration::from_millis(500));
    let start = Instant::now();
    let calls: Vec<_> =
        (0..8).map(|_| tokio::spawn(frozen.slow(Duration::from_secs(10)))).collect();
    let mut timed_out = 0;
    for call in calls {
        let outcome = call.await.expect("the call does not panic");
        timed_out += usize::from(matches!(outcome, Err(RpcError::Timeout { .. })));
    }
    let shown = format!("{timed_out} timed out");
    report.check(timed_out == 8, "8 calls with a timeout of 500 ms", shown, start.elapsed());
    cluster.member("hkg-1").child.signal(Signal::CONT)?;
    report
        .succeeds(
            "after it resumes: on_region(\"hkg\").whoami()",
            hkg.whoami(),
            |response| response.region == "hkg",
            whereabouts,
        )
        .await;
    let (start, after) = (Instant::now(), hkg.whoami().await?.started);
    let late = after - before;
    report.check(late == 0, "timed-out calls that started in hkg", late, start.elapsed());
    Ok(())
}

async fn a_crash(cluster: &mut Cluster, report: &mut Report) -> Lesson {
    report.lesson("hkg is killed (SIGKILL) while it runs a call");
    let mut events = cluster.me.events();
    let hkg = cluster.text.on_region("hkg").timeout(Duration::from_secs(30));
    let running = tokio::spawn(hkg.slow(Duration::from_secs(30)));
    until_slow(&hkg, 1).await?;
    let member = cluster.member("hkg-1");
    member.child.signal(Signal::KILL)?;
    let (start, dead) = (Instant::now(), member.info.clone());
    report
        .fails(
            "the running call",
            async { running.await.expect("the call does not panic") },
            |error, took| {
                let lost = matches!(error, RpcError::Disconnected { .. });
                lost && error.may_have_executed() && took < AT_ONCE
            },
        )
        .await;
    watch::event(&mut events, "the crash", |event| *event == Event::Down(dead.clone())).await?;
    let noticed = start.elapsed();
    report.check(noticed < AT_ONCE, "node.events()", "Down(hkg-1)", noticed);
    report
        .fails("on_region(\"hkg\").upcase(\"fly\")", hkg.upcase("fly".into()), |error, took| {
            let none = matches!(error, RpcError::NoNode { .. });
            none && !error.may_have_executed() && took < AT_ONCE
        })
        .await;
    cluster.member("hkg-1").child.ended().await?;
    Ok(())
}

async fn a_restart(cluster: &mut Cluster, report: &mut Report) -> Lesson {
    report.lesson("hkg is started again, at the same address");
    let hkg = cluster.text.on_region("hkg");
    let (start, before) = (Instant::now(), cluster.member("hkg-1").info.id().clone());
    let waiting =
        tokio::spawn(hkg.wait(Duration::from_secs(20)).timeout(Duration::from_secs(20)).whoami());
    let info = cluster.restart("hkg-1").await?;
    report.check(
        *info.id() != before,
        "hkg-1 is up, as another boot",
        boot(info.id()),
        start.elapsed(),
    );
    report
        .succeeds(
            "on_region(\"hkg\").wait(20 s).whoami()",
            async { waiting.await.expect("the call does not panic") },
            |response| response.node == *info.id(),
            whereabouts,
        )
        .await;
    watch::until_callable(&cluster.me, &info).await?;
    report
        .succeeds(
            "on_region(\"hkg\").whoami()",
            hkg.whoami(),
            |response| response.node == *info.id(),
            whereabouts,
        )
        .await;
    report
        .fails(
            "on_node(the previous boot).whoami()",
            cluster.text.on_node(&before).whoami(),
            |error, took| matches!(error, RpcError::NoNode { .. }) && took < AT_ONCE,
        )
        .await;
    Ok(())
}

async fn a_graceful_leave(cluster: &mut Cluster, report: &mut Report) -> Lesson {
    report.lesson("syd receives SIGTERM while it runs a call");
    let mut events = cluster.me.events();
    let syd = cluster.text.on_region("syd");
    let running = tokio::spawn(syd.slow(Duration::from_millis(500)));
    until_slow(&syd, 1).await?;
    let member = cluster.member("syd-1");
    member.child.signal(Signal::TERM)?;
    let (start, leaver) = (Instant::now(), member.info.clone());
    report
        .succeeds(
            "the running call, slow(500 ms)",
            async { running.await.expect("the call does not panic") },
            |_| true,
            |pause| format!("succeeded after {}", show::time(*pause)),
        )
        .await;
    watch::event(&mut events, "the leave", |event| *event == Event::Left(leaver.clone())).await?;
    report.check(true, "node.events()", "Left(syd-1)", start.elapsed());
    let status = cluster.member("syd-1").child.ended().await?;
    report.check(status.success(), "the process", status, start.elapsed());
    report
        .fails("on_region(\"syd\").upcase(\"fly\")", syd.upcase("fly".into()), |error, took| {
            matches!(error, RpcError::NoNode { .. }) && took < AT_ONCE
        })
        .await;
    Ok(())
}

async fn the_end(cluster: &mut Cluster, report: &mut Report) -> Lesson {
    report.lesson("All nodes shut down");
    let start = Instant::now();
    let all = cluster::stop(&mut cluster.members).await?;
    report.check(all, "the other processes", "shut down gracefully", start.elapsed());
    let start = Instant::now();
    cluster.me.shutdown().await;
    let after = cluster.text.upcase("fly".into()).await;
    let kept = matches!(after, Err(RpcError::ShutDown { .. }));
    report.check(kept, "node.shutdown()", "done", start.elapsed());
    Ok(())
}

/// Waits until `count` calls of `slow` run on the node, but at most [`AT_ONCE`]. Returns the last number
/// observed.
async fn until_slow(text: &TextClient, count: usize) -> Result<usize, RpcError> {
    let start = Instant::now();
    loop {
        let running = text.whoami().await?.slow;
        if running == count || start.elapsed() > AT_ONCE {
            return Ok(running);
        }
    }
}

fn whereabouts(response: &Whoami) -> String {
    format!("{} in {}", response.node.name(), response.region)
}

fn boot(id: &NodeId) -> String {
    format!("boot {:016x}", id.boot())
}
