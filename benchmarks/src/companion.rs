//! Other programs of this workspace, which some workloads run.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};

use crate::contenders::Name;

/// A program of this build, and the same program of the other build.
#[derive(Debug)]
pub(crate) struct Companion {
    this: PathBuf,
    /// The program of the other build, if it was found.
    beside: Option<PathBuf>,
}

impl Companion {
    /// Builds program `name` of `package` next to `program`, the running executable. Does not build it for
    /// the other build, `beside`, whose source may be gone: there it must already exist.
    ///
    /// # Errors
    ///
    /// Returns an error if the program cannot be built.
    pub(crate) fn build(
        package: &str,
        name: &str,
        program: &Path,
        beside: Option<&Path>,
    ) -> Result<Self> {
        let target = program.ancestors().nth(2);
        let target = target.context("this program is not in a target directory")?;
        let status = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .args(["build", "--release", "--quiet", "--package", package, "--bin", name])
            .arg("--manifest-path")
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"))
            .arg("--target-dir")
            .arg(target)
            .stdin(Stdio::null())
            .status()
            .with_context(|| format!("cannot run cargo, which builds the program `{name}`"))?;
        ensure!(status.success(), "the program `{name}` was not built");
        let beside = beside.map(|beside| beside.with_file_name(name));
        let beside = beside.filter(|program| program.is_file());
        Ok(Companion { this: target.join("release").join(name), beside })
    }

    /// The program of this build.
    pub(crate) fn program(&self) -> &Path {
        &self.this
    }

    /// Returns the program of the build in which a contender is measured.
    pub(crate) fn of(&self, contender: Name) -> Option<&Path> {
        match contender {
            Name::Beside => self.beside.as_deref(),
            _ => Some(self.program()),
        }
    }
}
