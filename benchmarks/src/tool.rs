//! Counting tools that children run under, and their results.

use std::{
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::{Command, id},
};

use anyhow::{Context, Result};

/// A tool that counts what a process does.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Tool {
    /// System calls, of all threads.
    Strace,
    /// Instructions in user mode, of all threads.
    Callgrind,
}

impl Tool {
    fn program(self) -> &'static str {
        match self {
            Tool::Strace => "strace",
            Tool::Callgrind => "valgrind",
        }
    }

    /// Returns the path of the tool, if it is on `PATH`.
    fn path(self) -> Option<PathBuf> {
        let path = env::var_os("PATH").unwrap_or_default();
        env::split_paths(&path).map(|dir| dir.join(self.program())).find(|path| path.is_file())
    }

    pub(crate) fn is_installed(self) -> bool {
        self.path().is_some()
    }

    /// Returns a command that runs `program` under the tool, and writes the counts to `output` when it exits.
    /// The caller adds the arguments of `program`.
    pub(crate) fn command(self, output: &Path, program: &Path) -> Command {
        match self {
            Tool::Strace => {
                let mut command = self.start();
                command.args(["-f", "-c", "-o"]).arg(output).arg("--").arg(program);
                command
            }
            Tool::Callgrind => Tool::callgrind(None, output, program),
        }
    }

    /// Like [`command`](Self::command), for instructions. Counts only those that are executed inside the
    /// functions whose names match `function`, if it is a pattern.
    pub(crate) fn callgrind(function: Option<&str>, output: &Path, program: &Path) -> Command {
        let mut command = Tool::Callgrind.start();
        let mut file = OsString::from("--callgrind-out-file=");
        file.push(output);
        command.args(["--quiet", "--tool=callgrind"]).arg(file);
        command.args(function.map(|function| format!("--toggle-collect={function}")));
        command.arg("--").arg(program);
        command
    }

    fn start(self) -> Command {
        // An absolute path, because some commands run without `PATH`.
        Command::new(self.path().unwrap_or_else(|| self.program().into()))
    }

    /// Returns the total count from a file that the tool wrote.
    pub(crate) fn total(self, output: &Path) -> Result<f64> {
        let text = fs::read_to_string(output)
            .with_context(|| format!("{} wrote no {}", self.program(), output.display()))?;
        let total = match self {
            Tool::Strace => strace_total(&text),
            Tool::Callgrind => callgrind_total(&text),
        };
        total.with_context(|| format!("{} counted nothing: {text}", self.program()))
    }
}

/// Returns the sum of calls over lines such as `59.38  0.000171  85  2  1 futex`. The columns are the share
/// of the time, seconds, microseconds per call, calls, errors if there were any, and the name.
fn strace_total(text: &str) -> Option<f64> {
    let calls = |line: &str| line.split_whitespace().nth(3)?.parse::<f64>().ok();
    let total = text.lines().filter(|line| !line.ends_with(" total")).filter_map(calls).sum();
    (total > 0.0).then_some(total)
}

/// Returns the number in a line such as `totals: 123456`.
fn callgrind_total(text: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix("totals: ")?.trim().parse().ok())
}

/// A temporary directory, which is removed when this is dropped.
#[derive(Debug)]
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new() -> Result<Self> {
        let dir = env::temp_dir().join(format!("flyrpc-benchmarks-{}", id()));
        fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        Ok(Scratch(dir))
    }

    /// Returns the paths of the files for the server and the client.
    pub(crate) fn outputs(&self) -> [PathBuf; 2] {
        ["server", "client"].map(|side| self.0.join(side))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Leftovers are small, and in the directory for temporary files.
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_are_parsed_from_the_output_of_the_tools() {
        let strace = "\
            % time     seconds  usecs/call     calls    errors syscall\n\
             59.38    0.000171          85         2         1 futex\n\
             40.62    0.000117          13         9           read\n\
            100.00    0.000288          26        11         1 total\n";
        assert_eq!(strace_total(strace), Some(11.0));
        assert_eq!(strace_total(""), None);
        let callgrind = "events: Ir\nfn=(1) main\n12 34\ntotals: 5678\n";
        assert_eq!(callgrind_total(callgrind), Some(5678.0));
        assert_eq!(callgrind_total("events: Ir\n"), None);
    }
}
