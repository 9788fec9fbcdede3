//! What the tour shows, in order.

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

/// What a call costs at most that needs no other node, on a machine that is busy otherwise.
const AT_ONCE: Duration = Duration::from_secs(1);

/// How many calls a median is taken of.
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
    report.lesson("Who is where: a table that every node has, and reads without asking anyone");
    let me = cluster.me.info();
    let row = |region: &str, name: &str, addr: &dyn ToString, state: &str| {
        report.note(&format!("{region:<6}{name:<8}{:<18}{state}", addr.to_string()));
    };
    row(me.region().as_str(), me.name(), &me.addr(), "this process");
    let (mut linked, start) = (0, Instant::now());
    let mut peers = cluster.me.peers();
    let took = start.elapsed();
    // By region and name, and last what is no node.
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
        format!("{linked} others linked, {iad} in iad"),
        took,
    );
}

async fn calls_to_each_region(cluster: &Cluster, report: &mut Report) {
    report.lesson("A call runs in the region that it names");
    for region in cluster::regions(cluster) {
        let there = cluster.text.on_region(&region);
        report
            .answered(
                &format!("on_region(\"{region}\").upcase(\"fly\")"),
                there.upcase("fly".into()),
                |text| text == "FLY",
                |text| format!("{text:?}"),
            )
            .await;
        report
            .answered(
                &format!("on_region(\"{region}\").whoami()"),
                there.whoami(),
                |answer| answer.region == region,
                whereabouts,
            )
            .await;
    }
}

async fn the_primary(cluster: &Cluster, report: &mut Report) {
    report.lesson("The primary region, here iad, need not be named");
    report
        .answered(
            "on_primary().whoami()",
            cluster.text.on_primary().whoami(),
            |answer| answer.region == *cluster.me.primary_region(),
            whereabouts,
        )
        .await;
}

async fn the_short_circuit(cluster: &Cluster, report: &mut Report) -> Lesson {
    report.lesson("A call to this node's own region runs in this process");
    report
        .answered(
            "whoami()",
            cluster.text.whoami(),
            |answer| answer.node == *cluster.me.id(),
            whereabouts,
        )
        .await;
    let here = median_call(&cluster.text.on_region("fra")).await?;
    let there = median_call(&cluster.text.on_region("hkg")).await?;
    report.check(here < there, "on_region(\"fra\").upcase(…)", "the median of 1,000", here);
    report.check(here < there, "on_region(\"hkg\").upcase(…)", "the median of 1,000", there);
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
    report.lesson("A region without nodes is an error at once, which says what else is known");
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
    report.lesson("A seed where something else answers is found out, listed, and never called");
    let start = Instant::now();
    let peers = cluster.me.peers();
    let took = start.elapsed();
    let peer = peers.iter().find(|peer| peer.addr == cluster.other_program);
    let support = peer.map(|peer| peer.support.clone());
    let kept = matches!(support, Some(Support::Unsupported(NoSupport::NotFlyrpc(_))));
    let shown = support.map_or("it is not listed".to_owned(), |support| support.to_string());
    report.check(kept, &format!("the peer at {}", cluster.other_program), shown, took);
}

async fn a_timeout(cluster: &Cluster, report: &mut Report) -> Lesson {
    report.lesson("A timeout holds, and ends the work too");
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
        "calls of slow that still run in hkg",
        running,
        start.elapsed(),
    );
    Ok(())
}

async fn errors_of_the_service(cluster: &Cluster, report: &mut Report) {
    report.lesson("Errors are values; a panic is the caller's error and nobody else's");
    let syd = cluster.text.on_region("syd");
    report
        .answered(
            "on_region(\"syd\").fail(\"no such row\")",
            syd.fail("no such row".into()),
            |answer| answer.as_ref().is_err_and(|failure| failure.reason == "no such row"),
            |answer| answer.as_ref().map_or_else(|e| format!("Err({:?})", e.reason), String::clone),
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
        .answered(
            "on_region(\"syd\").whoami()",
            syd.whoami(),
            |answer| answer.region == "syd",
            whereabouts,
        )
        .await;
}

async fn a_freeze(cluster: &mut Cluster, report: &mut Report) -> Lesson {
    report
        .lesson("hkg is frozen (SIGSTOP) for a moment: calls given up meanwhile never start there");
    let hkg = cluster.text.on_region("hkg");
    let before = hkg.whoami().await?.started;
    cluster.member("hkg-1").child.freeze()?;
    let frozen = hkg.timeout(Duration::from_millis(500));
    let start = Instant::now();
    let calls: Vec<_> =
        (0..8).map(|_| tokio::spawn(frozen.slow(Duration::from_secs(10)))).collect();
    let mut timed_out = 0;
    for call in calls {
        let outcome = call.await.expect("no panic");
        timed_out += usize::from(matches!(outcome, Err(RpcError::Timeout { .. })));
    }
    let shown = format!("{timed_out} timed out");
    report.check(timed_out == 8, "8 calls with a timeout of 500 ms", shown, start.elapsed());
    cluster.member("hkg-1").child.signal(Signal::CONT)?;
    report
        .answered(
            "it goes on: on_region(\"hkg\").whoami()",
            hkg.whoami(),
            |answer| answer.region == "hkg",
            whereabouts,
        )
        .await;
    let (start, after) = (Instant::now(), hkg.whoami().await?.started);
    let late = after - before;
    report.check(late == 0, "of the 8 calls ran there after all", late, start.elapsed());
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
            "the call that ran there",
            async { running.await.expect("no panic") },
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
        "it is up, as another boot of hkg-1",
        boot(info.id()),
        start.elapsed(),
    );
    report
        .answered(
            "on_region(\"hkg\").wait(20 s).whoami()",
            async { waiting.await.expect("no panic") },
            |answer| answer.node == *info.id(),
            whereabouts,
        )
        .await;
    watch::until_callable(&cluster.me, &info).await?;
    report
        .answered(
            "on_region(\"hkg\").whoami()",
            hkg.whoami(),
            |answer| answer.node == *info.id(),
            whereabouts,
        )
        .await;
    report
        .fails(
            "on_node(the former boot).whoami()",
            cluster.text.on_node(&before).whoami(),
            |error, took| matches!(error, RpcError::NoNode { .. }) && took < AT_ONCE,
        )
        .await;
    Ok(())
}

async fn a_graceful_leave(cluster: &mut Cluster, report: &mut Report) -> Lesson {
    report.lesson("syd gets SIGTERM while it runs a call");
    let mut events = cluster.me.events();
    let syd = cluster.text.on_region("syd");
    let running = tokio::spawn(syd.slow(Duration::from_millis(500)));
    until_slow(&syd, 1).await?;
    let member = cluster.member("syd-1");
    member.child.signal(Signal::TERM)?;
    let (start, leaver) = (Instant::now(), member.info.clone());
    report
        .answered(
            "the call that ran there, slow(500 ms)",
            async { running.await.expect("no panic") },
            |_| true,
            |pause| format!("answered, {} later", show::time(*pause)),
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
    report.lesson("All leave");
    let start = Instant::now();
    let all = cluster::stop(&mut cluster.members).await?;
    report.check(all, "the other processes", "ended in good order", start.elapsed());
    let start = Instant::now();
    cluster.me.shutdown().await;
    let after = cluster.text.upcase("fly".into()).await;
    let kept = matches!(after, Err(RpcError::ShutDown { .. }));
    report.check(kept, "node.shutdown()", "done", start.elapsed());
    Ok(())
}

/// Asks until `count` calls of slow run there, for a while, and says how many did in the end.
async fn until_slow(text: &TextClient, count: usize) -> Result<usize, RpcError> {
    let start = Instant::now();
    loop {
        let running = text.whoami().await?.slow;
        if running == count || start.elapsed() > AT_ONCE {
            return Ok(running);
        }
    }
}

fn whereabouts(answer: &Whoami) -> String {
    format!("{} in {}", answer.node.name(), answer.region)
}

fn boot(id: &NodeId) -> String {
    format!("boot {:016x}", id.boot())
}
