//! Builds the node of flyrpc 0.1 from the history of this repository.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::LazyLock,
};

/// The last commit of version 0.1.
const COMMIT: &str = "920ef7e";

/// The package of the node. Its profile is that of this workspace, so that both share compiled dependencies.
const MANIFEST: &str = r#"
[package]
name = "flyrpc-old-node"
version = "0.1.0"
edition = "2024"

[[bin]]
name = "flyrpc-old-node"
path = "main.rs"

[dependencies]
flyrpc = { path = "../920ef7e/flyrpc" }
futures-util = { version = "0.3", default-features = false, features = ["std"] }
tokio = { version = "1", features = ["full"] }

[profile.dev]
debug = "line-tables-only"

[workspace]
"#;

/// The program. It is built once for all tests.
pub(crate) static OLD_NODE: LazyLock<PathBuf> = LazyLock::new(build);

fn build() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("it is in `target`");
    let directory = target.join("old_version");
    let sources = directory.join(COMMIT);
    if !sources.exists() {
        extract(&directory, &sources);
    }
    let package = directory.join("node");
    fs::create_dir_all(&package).expect("the target directory is writable");
    write_if_changed(&package.join("Cargo.toml"), MANIFEST);
    write_if_changed(&package.join("main.rs"), include_str!("node/main.rs"));
    write_if_changed(&package.join("work.rs"), include_str!("node/work.rs"));
    if !package.join("Cargo.lock").exists() {
        // The dependencies that 0.1 had, without those of its tests.
        fs::copy(sources.join("Cargo.lock"), package.join("Cargo.lock")).expect("it can be copied");
    }
    run(Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--target-dir"])
        .arg(target)
        .current_dir(&package));
    target.join("debug/flyrpc-old-node")
}

/// Extracts the sources of the commit to the directory `to`, which exists afterwards only if it is complete.
fn extract(directory: &Path, to: &Path) {
    let (archive, partial) = (directory.join("archive.tar"), directory.join("partial"));
    let _ = fs::remove_dir_all(&partial);
    fs::create_dir_all(&partial).expect("the target directory is writable");
    run(Command::new("git")
        .args(["archive", "--format=tar", COMMIT, "--output"])
        .arg(&archive)
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/..")));
    run(Command::new("tar").arg("-xf").arg(&archive).arg("-C").arg(&partial));
    fs::remove_file(archive).expect("it exists");
    fs::rename(partial, to).expect("both are in one directory");
}

/// Keeps the time of a file that is up to date, so that cargo does not build it again.
fn write_if_changed(path: &Path, text: &str) {
    if fs::read_to_string(path).is_ok_and(|old| old == text) {
        return;
    }
    fs::write(path, text).expect("the target directory is writable");
}

fn run(command: &mut Command) {
    let status = command.status().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        status.success(),
        "{command:?}: {status}. Commit {COMMIT} must be in this clone: `git fetch --unshallow`"
    );
}
