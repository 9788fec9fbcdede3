//! The instructions of a call stay within their budgets.
//!
//! Run it in a release build: `cargo test --release --manifest-path benchmarks/Cargo.toml -p
//! flyrpc-benchmarks-pair --test budgets`. It prints the counts with `-- --nocapture`.
//!
//! The test steps through the program `pair` with ptrace, one instruction at a time, so it needs no tool. A
//! count varies by a few instructions per call, with the alignment of memory.

#![cfg(all(target_os = "linux", target_arch = "x86_64", not(debug_assertions)))]

use std::{
    process::{Child, Command, Stdio},
    thread,
};

use anyhow::{Context, Result, bail, ensure};
use nix::{
    errno::Errno,
    sys::{
        ptrace,
        signal::Signal,
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::Pid,
};

/// Instructions per call of both nodes of a pair with 64 callers, for each mode of running handlers. Lower
/// them when a change saves instructions. A commit that raises one states the reason.
const BUDGETS: [(&str, u64); 3] = [("inline", 6_860), ("task", 7_960), ("sealed", 7_170)];

/// The compiler of the budgets. Other versions generate other code.
const COMPILER: &str = "rustc 1.95.";

/// A count may exceed its budget by this much.
const TOLERANCE_PERCENT: u64 = 3;

const CALLERS: u64 = 64;

#[test]
fn a_call_takes_no_more_instructions_than_its_budget() -> Result<()> {
    let compiler = Command::new("rustc").arg("--version").output()?;
    let compiler = String::from_utf8(compiler.stdout)?;
    let comparable = compiler.starts_with(COMPILER);
    if !comparable {
        println!("not compared: the budgets are for {COMPILER}x, and this is {compiler}");
    }
    // Each in a thread, because stepping takes long. Only the thread that attached to a process can step through it.
    thread::scope(|scope| {
        let counts =
            BUDGETS.map(|(mode, budget)| (mode, budget, scope.spawn(move || per_call(mode))));
        for (mode, budget, count) in counts {
            let Some(count) = count.join().expect("a thread does not panic")? else {
                println!("not counted: this environment does not permit ptrace");
                return Ok(());
            };
            println!("{mode}: {count} instructions per call, budget {budget}");
            let limit = budget + budget * TOLERANCE_PERCENT / 100;
            ensure!(
                !comparable || count <= limit,
                "a call takes {count} instructions with handlers in mode `{mode}`, more than {limit}"
            );
        }
        Ok(())
    })
}

/// Returns the instructions per call, or `None` if the environment does not permit ptrace.
fn per_call(mode: &str) -> Result<Option<u64>> {
    // The difference cancels out what the callers cost, and most of what the nodes do by themselves.
    let [few, many] = [count(mode, CALLERS)?, count(mode, 3 * CALLERS)?];
    Ok(few.zip(many).map(|(few, many)| (many - few) / (2 * CALLERS)))
}

/// Returns the instructions that `pair` executes between its two stops, to make `calls` calls. Returns `None` if
/// the environment does not permit ptrace.
fn count(mode: &str, calls: u64) -> Result<Option<u64>> {
    let mut pair = Command::new(env!("CARGO_BIN_EXE_pair"));
    let numbers = [CALLERS, calls].map(|number| number.to_string());
    // The size of the environment affects the alignment of the stack.
    let pair = pair.args(numbers).args([mode, "stop"]).env_clear().stdin(Stdio::null());
    let pair = Killed(pair.spawn().context("cannot start pair")?);
    let pid = Pid::from_raw(pair.0.id().cast_signed());
    let stopped = waitpid(pid, Some(WaitPidFlag::WUNTRACED))?;
    ensure!(stopped == WaitStatus::Stopped(pid, Signal::SIGSTOP), "pair did not stop: {stopped:?}");
    match ptrace::attach(pid) {
        Err(Errno::EPERM | Errno::ENOSYS | Errno::EACCES) => return Ok(None),
        attached => attached.context("cannot trace pair")?,
    }
    waitpid(pid, None)?;
    let mut steps = 0;
    loop {
        ptrace::step(pid, None)?;
        match waitpid(pid, None)? {
            WaitStatus::Stopped(_, Signal::SIGTRAP) => steps += 1,
            // Attaching has sent another signal.
            WaitStatus::Stopped(_, Signal::SIGSTOP) if steps < calls => {}
            WaitStatus::Stopped(_, Signal::SIGSTOP) => return Ok(Some(steps)),
            other => bail!("pair ended after {steps} instructions: {other:?}"),
        }
    }
}

/// A process that is killed when this is dropped.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // An error means that it has ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
