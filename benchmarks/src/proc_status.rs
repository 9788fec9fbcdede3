//! The status of a process, as Linux reports it.

use std::{fs, io};

/// Returns the value of a field in KiB, such as `VmRSS`, the resident memory.
///
/// # Errors
///
/// Returns an error if the process has exited, or if its status has no such field.
pub fn kib(pid: u32, field: &str) -> io::Result<u64> {
    let path = format!("/proc/{pid}/status");
    let status = fs::read_to_string(&path)?;
    let value = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    let kib = value.and_then(|value| value.split_whitespace().next()?.parse().ok());
    kib.ok_or_else(|| io::Error::other(format!("no {field} in {path}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_of_this_process_has_its_memory() {
        let pid = std::process::id();
        assert!(kib(pid, "VmRSS").unwrap() > 0);
        let error = kib(pid, "Vm").unwrap_err().to_string();
        assert_eq!(error, format!("no Vm in /proc/{pid}/status"));
    }
}
