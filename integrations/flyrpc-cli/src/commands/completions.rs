//! `flyrpc completions`

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::{
    cli::Cli,
    exit::{self, Failure},
    output::print,
};

pub(crate) fn run(shell: Shell) -> Result<u8, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "flyrpc", &mut script);
    print(&String::from_utf8_lossy(&script))?;
    Ok(exit::OK)
}
