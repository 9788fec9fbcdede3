//! Equal seeds give equal runs: many hosts that communicate at random, under faults.

use std::{
    fmt::Write,
    sync::{Arc, Mutex},
    time::Duration,
};

use flyrpc::{BoxStream, Env};
use flyrpc_testkit::{SimEnv, SimNet};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, sleep},
};

use crate::support::*;

const REGIONS: [&str; 5] = ["iad", "hkg", "fra", "ams", "syd"];

#[derive(Clone)]
struct EventLog {
    start: Instant,
    text: Arc<Mutex<String>>,
}

impl EventLog {
    fn record(&self, env: &SimEnv, what: impl std::fmt::Debug) {
        let mut text = self.text.lock().expect("no panic under the lock");
        let at = self.start.elapsed().as_millis();
        writeln!(text, "{at} {} {what:?}", env.name()).expect("writing to a string cannot fail");
    }
}

async fn echo(env: SimEnv, log: EventLog, mut stream: BoxStream) {
    while let Ok(byte) = stream.reader.read_u8().await {
        log.record(&env, ("echoes", byte));
        if stream.writer.write_all(&[byte]).await.is_err() {
            return;
        }
    }
}

async fn serve(env: SimEnv, log: EventLog) {
    let mut listener = listen(&env).await;
    while let Ok((stream, from)) = listener.accept().await {
        log.record(&env, ("accepts", from));
        env.spawn(Box::pin(echo(env.clone(), log.clone(), stream)));
    }
}

async fn talk(env: SimEnv, log: EventLog, others: Vec<SimEnv>) {
    loop {
        sleep(Duration::from_millis(env.random() % 300)).await;
        let other = &others[env.random() as usize % others.len()];
        match env.connect(other.addr(PORT)).await {
            Ok(mut stream) => {
                let sent = stream.writer.write_all(&[env.random() as u8]).await;
                log.record(&env, (other.name(), sent.map_err(|error| error.kind())));
                let received = stream.reader.read_u8().await;
                log.record(&env, received.map_err(|error| error.kind()));
            }
            Err(error) => log.record(&env, error.kind()),
        }
    }
}

async fn gossip(env: SimEnv, log: EventLog, others: Vec<SimEnv>) {
    let socket = env.datagram(any(PORT)).await.expect("the port is free");
    let (sender, from) = (Arc::clone(&socket), env.clone());
    env.spawn(Box::pin(async move {
        loop {
            sleep(ms(100)).await;
            let to = &others[from.random() as usize % others.len()];
            sender.send(&from.random().to_be_bytes(), to.addr(PORT)).await.expect("sends");
        }
    }));
    let mut data = [0; 8];
    while let Ok((_, from)) = socket.receive(&mut data).await {
        log.record(&env, (from, data));
    }
}

/// Returns the log of a run. Each run has its own runtime, with a new clock and a new order of tasks.
fn run(seed: u64) -> String {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().expect("a runtime");
    runtime.block_on(async {
        let net = SimNet::builder().seed(seed).build();
        let log = EventLog { start: Instant::now(), text: Arc::default() };
        let envs: Vec<SimEnv> = (0..15)
            .map(|n| net.add_host(format!("{}-{}", REGIONS[n % 5], n / 5), REGIONS[n % 5]))
            .collect();
        for env in &envs {
            env.spawn(Box::pin(serve(env.clone(), log.clone())));
            env.spawn(Box::pin(talk(env.clone(), log.clone(), envs.clone())));
            env.spawn(Box::pin(gossip(env.clone(), log.clone(), envs.clone())));
        }
        net.lose("iad", "fra", 0.2).keep();
        net.jitter("ams", "hkg", ms(40)).keep();
        net.throttle("ams", "iad", 50).keep();
        sleep(ms(2_000)).await;
        let cut = net.partition_one_way("hkg", "iad");
        net.freeze("fra-1");
        sleep(ms(2_000)).await;
        net.crash("syd-0");
        net.resume("fra-1");
        sleep(ms(2_000)).await;
        drop(cut);
        sleep(ms(2_000)).await;
        log.text.lock().expect("no panic under the lock").clone()
    })
}

#[test]
fn equal_seeds_give_equal_runs() {
    let first = run(3);
    assert!(first.lines().count() > 1_000, "{} lines", first.lines().count());
    assert!(first.contains("ConnectionReset"), "the crash resets connections");
    assert!(first == run(3), "two runs of seed 3 differ");
    assert!(first != run(4), "seeds 3 and 4 give the same run");
}
