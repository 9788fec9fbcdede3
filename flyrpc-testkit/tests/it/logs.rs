//! Log lines of nodes.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
};

use flyrpc::fly_rpc;
use flyrpc_testkit::{SimCluster, VirtualTime, init_logs};
use tokio::time::sleep;
use tracing_subscriber::fmt::MakeWriter;

use crate::support::ms;

#[fly_rpc]
pub trait Notes {
    async fn save(&self, note: u32);
}

struct Shelf;

impl Notes for Shelf {
    async fn save(&self, note: u32) {
        tracing::info!(target: "notes", "saved note {note}");
        flyrpc::spawn(async move {
            sleep(ms(500)).await;
            tracing::info!(target: "notes", "copied note {note}");
        });
    }
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(line)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Lines;

    fn make_writer(&'a self) -> Lines {
        self.clone()
    }
}

#[test]
fn log_lines_carry_virtual_time_and_the_name_of_the_node() {
    let lines = Lines::default();
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter("notes=info,flyrpc_testkit=error")
        .with_timer(VirtualTime)
        .with_ansi(false)
        .with_writer(lines.clone())
        .finish();
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().start_paused(true).build().unwrap();
    let run = async {
        let cluster = SimCluster::builder()
            .region("iad", 1)
            .region("hkg", 1)
            .rtt("iad", "hkg", ms(200))
            .serve(|_node| ServeNotes::new(Shelf))
            .start()
            .await;
        let notes: NotesClient = cluster.node("hkg-0").client();
        sleep(ms(2_000) - cluster.elapsed()).await;
        notes.on_primary().save(7).await.unwrap();
        notes.on_region("hkg").save(8).await.unwrap();
        sleep(ms(1_000)).await;
        tracing::info!(target: "notes", "the test ends");
    };
    tracing::subscriber::with_default(subscriber, || runtime.block_on(run));
    let lines = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    let lines: Vec<&str> = lines.lines().map(str::trim).collect();
    assert_eq!(
        lines,
        [
            "2100 ms  INFO sim{node=iad-0}: notes: saved note 7",
            "2200 ms  INFO sim{node=hkg-0}: notes: saved note 8",
            "2600 ms  INFO sim{node=iad-0}: notes: copied note 7",
            "2700 ms  INFO sim{node=hkg-0}: notes: copied note 8",
            "3200 ms  INFO notes: the test ends",
        ]
    );
}

#[test]
fn the_subscriber_can_be_installed_by_every_test() {
    init_logs();
    init_logs();
}
