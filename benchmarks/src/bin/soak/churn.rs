//! Faults of the victims: kills, freezes, graceful restarts.

use std::{error::Error, net::SocketAddr, time::Duration};

use flyrpc_examples::process::Signal;
use tokio::time::sleep;

use crate::{
    ledger::Ledger,
    process::{Stopped, Worker},
};

/// The victims, and the number of faults of each kind so far.
pub(crate) struct Churn {
    victims: Vec<Worker>,
    seeds: Vec<SocketAddr>,
    random: u64,
    kills: u32,
    freezes: u32,
    restarts: u32,
}

impl Churn {
    pub(crate) fn new(victims: Vec<Worker>, seeds: Vec<SocketAddr>, seed: u64) -> Self {
        Churn { victims, seeds, random: seed | 1, kills: 0, freezes: 0, restarts: 0 }
    }

    /// Lets the victims work for a moment, then injects a fault into one of them.
    pub(crate) async fn next_fault(&mut self, ledger: &Ledger) -> Result<(), Box<dyn Error>> {
        for victim in &self.victims {
            victim.set_load(true).await?;
        }
        let pause = 500 + self.random() % 3000;
        sleep(Duration::from_millis(pause)).await;
        let at = self.random() as usize % self.victims.len();
        match self.random() % 3 {
            0 => {
                self.kills += 1;
                let stopped = self.victims.swap_remove(at).kill().await?;
                self.restart(&stopped, ledger).await
            }
            1 => {
                self.freezes += 1;
                self.victims[at].signal(Signal::STOP)?;
                let frozen = 200 + self.random() % 8000;
                sleep(Duration::from_millis(frozen)).await;
                Ok(self.victims[at].signal(Signal::CONT)?)
            }
            _ => {
                self.restarts += 1;
                let stopped = self.victims.swap_remove(at).shut_down().await?;
                self.restart(&stopped, ledger).await
            }
        }
    }

    async fn restart(&mut self, stopped: &Stopped, ledger: &Ledger) -> Result<(), Box<dyn Error>> {
        self.victims.push(stopped.restart(&self.seeds, ledger).await?);
        Ok(())
    }

    /// Stops the load of the victims.
    pub(crate) async fn pause(&self) -> Result<(), Box<dyn Error>> {
        for victim in &self.victims {
            victim.set_load(false).await?;
        }
        Ok(())
    }

    /// Kills the victims.
    pub(crate) async fn stop(&mut self) {
        for victim in self.victims.drain(..) {
            // A victim that exited by itself has already printed the reason.
            let _ = victim.kill().await;
        }
    }

    pub(crate) fn summary(&self) -> String {
        let Churn { kills, freezes, restarts, .. } = self;
        format!("faults: {kills} kills, {freezes} freezes, {restarts} graceful restarts")
    }

    /// Returns a random number (Xorshift, which suffices for a reproducible order of faults).
    fn random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }
}
