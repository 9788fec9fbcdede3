//! The command `flyrpc`. See the README.

mod check;
mod cli;
mod commands;
mod exit;
mod input;
mod json;
mod options;
mod output;
mod session;
mod specs;
mod top;

use std::{
    env,
    io::{self, Write as _},
    process::ExitCode,
};

use clap::Parser as _;

use crate::{
    cli::{Cli, Command},
    exit::Failure,
    options::Options,
};

fn main() -> ExitCode {
    let (is_json, result) = match Cli::try_parse() {
        Ok(cli) => (cli.global.json, run(cli)),
        Err(error) => (cli::wants_json(env::args_os()), without_command(&error)),
    };
    let code = result.unwrap_or_else(|failure| {
        output::print_failure(&failure, is_json);
        failure.exit_code()
    });
    ExitCode::from(code)
}

/// Prints the help or the version, or explains why the arguments are wrong.
fn without_command(error: &clap::Error) -> Result<u8, Failure> {
    if !error.use_stderr() {
        output::written(error.print().and_then(|()| io::stdout().flush()))?;
        return Ok(exit::OK);
    }
    if cli::wants_json(env::args_os()) {
        return Err(Failure::Usage(cli::reason(error)));
    }
    // With the usage, and with colors on a terminal. If it cannot be written, nothing else can.
    let _ = error.print();
    Ok(exit::USAGE)
}

fn run(cli: Cli) -> Result<u8, Failure> {
    let options = &cli.global;
    match cli.command {
        Command::Secret { next } => commands::secret::run(options, next.is_some()),
        Command::Compat { old, new } => commands::compat::run(options, &old, &new),
        Command::Completions { shell } => commands::completions::run(shell),
        command => online(options, command),
    }
}

/// Runs a command that connects to a node.
fn online(global: &cli::Global, command: Command) -> Result<u8, Failure> {
    let options = Options::read(global)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::Local(format!("cannot start: {error}")))?;
    let result = runtime.block_on(async {
        match command {
            Command::Nodes { keys } => commands::nodes::run(&options, keys).await,
            Command::Call(call) => commands::call::run(&options, call).await,
            Command::Describe { service } => {
                commands::describe::run(&options, service.as_deref()).await
            }
            Command::Check { target, ascii } => {
                check::run(&options, target.as_deref(), ascii).await
            }
            Command::Top(args) => top::run(&options, args).await,
            Command::Drain { node } => commands::control::drain(&options, node.as_deref()).await,
            Command::Hold { node } => commands::control::hold(&options, node.as_deref()).await,
            Command::Accept { node } => commands::control::accept(&options, node.as_deref()).await,
            Command::Secret { .. } | Command::Compat { .. } | Command::Completions { .. } => {
                unreachable!("it needs no connection")
            }
        }
    });
    // A name that is still being looked up would delay the exit.
    runtime.shutdown_background();
    result
}
