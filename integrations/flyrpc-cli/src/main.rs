//! The command `flyrpc`. See the README.

mod check;
mod cli;
mod commands;
mod exit;
mod json;
mod options;
mod output;
mod session;
mod specs;
mod top;

use std::process::ExitCode;

use clap::Parser as _;

use crate::{
    cli::{Cli, Command},
    exit::Failure,
    options::Options,
};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let is_json = cli.global.json;
    let code = run(cli).unwrap_or_else(|failure| {
        output::print_failure(&failure, is_json);
        failure.exit_code()
    });
    ExitCode::from(code)
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
