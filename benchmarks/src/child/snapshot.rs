//! The resources that a process has used since it started.

use std::{fs, ops::Sub, time::Duration};

use anyhow::{Context, Result};
use rustix::{
    param::page_size,
    time::{ClockId, clock_gettime},
};
use serde::{Deserialize, Serialize};

/// The resources that a process has used, or the difference between two snapshots.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Snapshot {
    /// CPU time of all threads, in user mode and in the kernel.
    pub(crate) cpu: Duration,
    /// Bytes of resident memory.
    pub(crate) resident: i64,
    /// Number of allocations, or zero if they are not counted.
    pub(crate) allocations: u64,
}

impl Snapshot {
    /// Takes a snapshot of this process.
    pub(crate) fn take(allocations: fn() -> u64) -> Result<Self> {
        let cpu = clock_gettime(ClockId::ProcessCPUTime);
        let cpu = Duration::new(cpu.tv_sec as u64, cpu.tv_nsec as u32);
        let allocations = allocations();
        let statm = fs::read_to_string("/proc/self/statm").context("no /proc/self/statm")?;
        let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse::<i64>().ok());
        let resident = pages.context("no resident pages in /proc/self/statm")?;
        Ok(Snapshot { cpu, resident: resident * page_size() as i64, allocations })
    }
}

impl Sub for Snapshot {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Snapshot {
            cpu: self.cpu - before.cpu,
            resident: self.resident - before.resident,
            allocations: self.allocations - before.allocations,
        }
    }
}
