//! Programs on hosts that are not nodes of the plan: nodes that advertise the address of another node,
//! and members that flood a node.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use flyrpc::{BoxStream, Env, Node};
use flyrpc_testkit::{SimCluster, SimEnv};
use tokio::{
    io::AsyncWriteExt,
    time::{sleep, timeout},
};

use super::{
    faults::{ClaimedAddr, Flood},
    ledger::EffectKind,
    plan::Plan,
    service::{RunState, endless_job},
};
use crate::frames::{CHUNKED, FIRST_METHOD, Hello, frame, kind};

/// The port of every simulated node.
pub(super) const PORT: u16 = 3590;

/// The index of the first method of the internal service, whose argument is empty.
const REGION_METHOD: u64 = 0;

/// The timeout that a flood's requests announce, in microseconds.
const FLOOD_TIMEOUT: u64 = 600_000_000;

/// The requests that a member sends over one link, which is more than any plan admits.
const FLOOD_REQUESTS: u64 = 300;

/// The address that no node listens on.
const UNUSED: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(10, 99, 9, 9)), PORT);

/// Runs a node that advertises `addr`, until it leaves after `lasts`.
pub(super) async fn claim(
    plan: &Plan,
    state: &Arc<RunState>,
    cluster: &SimCluster,
    (claimant, region): (&str, &str),
    addr: &ClaimedAddr,
    lasts: Duration,
) {
    let env = cluster.add_host(claimant, region);
    let advertised = match addr {
        ClaimedAddr::Unused => UNUSED,
        ClaimedAddr::Node(node) => state.env(node).addr(PORT),
    };
    let seeds = plan.nodes().into_iter().map(|node| state.env(&node).addr(PORT));
    let mut node = Node::builder()
        .env(env.clone())
        .name(claimant)
        .region(region)
        .primary_region(plan.primary())
        .listen(env.addr(PORT))
        .advertise(advertised)
        .seeds(seeds)
        .max_body(plan.settings.max_body)
        .max_in_flight(plan.settings.max_in_flight)
        .serve(state.service(claimant, &env));
    if plan.secret.is_some() {
        node = node.secret(state.secrets.of(claimant));
    }
    let node = node.start().await.expect("the claimant starts");
    sleep(lasts).await;
    let _stopping = state.ledger.effect(EffectKind::Stopping(claimant.to_owned()));
    node.shutdown().await;
    cluster.kill(claimant);
    state.ledger.effect(EffectKind::Down(claimant.to_owned())).keep();
}

/// Whether a node that other nodes link to is a guest, which serves nothing.
pub(super) fn is_guest(node: &str) -> bool {
    node.contains("-flooder") || node.contains("-claimant")
}

/// Floods a node from a host in the region `from` for `lasts`.
pub(super) async fn flood(
    state: &Arc<RunState>,
    cluster: &SimCluster,
    (node, from): (&str, &str),
    flood: Flood,
    lasts: Duration,
) {
    let host = format!("{from}-flooder");
    let env = cluster.add_host(&host, from);
    let to = state.env(node).addr(PORT);
    let task = {
        let env = env.clone();
        async move {
            loop {
                // The node closes the link of a member that responds to no pings.
                if let Ok(stream) = env.connect(to).await {
                    let _ = send_flood(&env, stream, flood).await;
                }
                sleep(Duration::from_millis(100)).await;
            }
        }
    };
    env.spawn(Box::pin(task));
    sleep(lasts).await;
    cluster.kill(&host);
}

async fn send_flood(env: &SimEnv, stream: BoxStream, flood: Flood) -> std::io::Result<()> {
    let BoxStream { reader: _reader, mut writer } = stream;
    let hello = Hello { name: env.name(), addr: env.addr(PORT).to_string(), ..Hello::default() };
    writer.write_all(&hello.encode()).await?;
    for id in 0..FLOOD_REQUESTS {
        writer.write_all(&request(flood, id)).await?;
    }
    if matches!(flood, Flood::Abandoned(_)) {
        sleep(Duration::from_millis(300)).await;
        writer.abort_on_close();
        return Ok(());
    }
    // Fails once the node has closed the link.
    while timeout(Duration::from_secs(15), writer.write_all(&request(flood, FLOOD_REQUESTS)))
        .await
        .is_ok()
    {
        sleep(Duration::from_millis(200)).await;
    }
    Ok(())
}

fn request(flood: Flood, id: u64) -> Vec<u8> {
    let plain =
        |method, body: &[u8]| frame(kind::REQUEST, &[id, method, 0, 0, FLOOD_TIMEOUT], body);
    let announced =
        |size| frame(kind::REQUEST, &[id, FIRST_METHOD, CHUNKED, 0, FLOOD_TIMEOUT, size], b"");
    match flood {
        Flood::Slow => plain(FIRST_METHOD, &endless_job()),
        Flood::Unread => plain(REGION_METHOD, b"\x80"),
        Flood::Announced(size) => announced(size),
        Flood::Abandoned(size) => {
            let part = vec![7; (size as usize / 2).min(8 << 10)];
            [announced(size), frame(kind::REQUEST_CHUNK, &[id], &part)].concat()
        }
    }
}
