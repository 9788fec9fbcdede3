//! The memory of other processes (Linux).

use std::io;

/// Returns a field of the status of the process `pid` in KiB, such as `VmRSS`, its resident memory, or
/// `VmHWM`, the peak of it.
pub fn of(pid: u32, field: &str) -> io::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let mut fields = status.lines().filter_map(|line| line.split_once(':'));
    fields
        .find(|(name, _)| *name == field)
        .and_then(|(_, value)| value.split_whitespace().next()?.parse().ok())
        .ok_or_else(|| io::Error::other(format!("{field} is missing")))
}
