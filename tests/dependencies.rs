//! Checks licenses, wildcards, sources and Rust versions of all dependencies.
//!
//! The lists are read from `deny.toml`, so that this test and `cargo deny check` agree.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde::Deserialize;

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    license: Option<String>,
    /// `None` for packages of this workspace.
    source: Option<String>,
    manifest_path: PathBuf,
    rust_version: Option<String>,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    req: String,
    path: Option<PathBuf>,
}

/// The workspaces of this repository, which are resolved separately.
const MANIFESTS: [&str; 3] = ["Cargo.toml", "benchmarks/Cargo.toml", "flyrpc/fuzz/Cargo.toml"];

#[derive(Deserialize)]
struct Deny {
    licenses: Licenses,
    bans: Bans,
    sources: Sources,
}

#[derive(Deserialize)]
struct Bans {
    wildcards: String,
}

#[derive(Deserialize)]
struct Licenses {
    allow: Vec<String>,
    exceptions: Vec<Exception>,
}

#[derive(Deserialize)]
struct Exception {
    #[serde(rename = "crate")]
    package: String,
    allow: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Sources {
    allow_registry: Vec<String>,
}

#[test]
fn every_license_is_allowed() {
    check("Cargo.toml", license_is_allowed());
}

#[test]
#[ignore = "downloads the dependencies of the benchmarks and of the fuzz targets; .ci/run runs it"]
fn every_license_of_the_benchmarks_and_fuzz_targets_is_allowed() {
    for manifest in &MANIFESTS[1..] {
        check(manifest, license_is_allowed());
    }
}

fn license_is_allowed() -> impl Fn(&Package) -> Result<(), String> {
    let licenses = deny().licenses;
    move |package| {
        if package.source.is_none() {
            return Ok(());
        }
        let allowed = |license: &str| {
            let exceptions = licenses.exceptions.iter();
            let mut exceptions = exceptions.filter(|exception| exception.package == package.name);
            licenses.allow.iter().any(|allowed| allowed == license)
                || exceptions.any(|exception| exception.allow.iter().any(|also| also == license))
        };
        match package.license.as_deref() {
            None => Err("has no license expression".to_owned()),
            Some(expression) if satisfies(expression, allowed) => Ok(()),
            Some(expression) => {
                Err(format!("has license `{expression}`, which deny.toml does not allow"))
            }
        }
    }
}

#[test]
fn every_source_is_crates_io_or_this_repository() {
    check("Cargo.toml", source_is_allowed());
}

#[test]
#[ignore = "downloads the dependencies of the benchmarks and of the fuzz targets; .ci/run runs it"]
fn every_source_of_the_benchmarks_and_fuzz_targets_is_crates_io_or_this_repository() {
    for manifest in &MANIFESTS[1..] {
        check(manifest, source_is_allowed());
    }
}

fn source_is_allowed() -> impl Fn(&Package) -> Result<(), String> {
    let sources = deny().sources;
    move |package| match &package.source {
        None if package.manifest_path.starts_with(root()) => Ok(()),
        None => Err(format!("is outside this repository, at {}", package.manifest_path.display())),
        Some(source) => {
            let registry = source.strip_prefix("registry+");
            let allowed = |url| sources.allow_registry.iter().any(|allowed| allowed == url);
            if registry.is_some_and(allowed) {
                Ok(())
            } else {
                Err(format!("is from `{source}`, which deny.toml does not allow"))
            }
        }
    }
}

/// Checks the same as cargo-deny's `wildcards = "deny"` with `allow-wildcard-paths = true`.
#[test]
fn every_dependency_states_a_version() {
    assert_eq!(deny().bans.wildcards, "deny");
    for manifest in MANIFESTS {
        let packages = parse(cargo_metadata(manifest, &["--no-deps", "--offline"])).packages;
        assert!(!packages.is_empty(), "{manifest} has no packages");
        for package in packages {
            for Dependency { name, req, path } in package.dependencies {
                assert!(req != "*" || path.is_some(), "{} accepts any {name}", package.name);
            }
        }
    }
}

#[test]
fn no_dependency_requires_a_newer_rust() {
    let packages = metadata("Cargo.toml").packages;
    let flyrpc = packages.iter().find(|package| package.name == "flyrpc");
    let ours = flyrpc.and_then(|flyrpc| flyrpc.rust_version.as_deref());
    let ours = ours.expect("flyrpc declares its minimum Rust version");
    check("Cargo.toml", |package| match &package.rust_version {
        Some(theirs) if numbers(theirs) > numbers(ours) => {
            Err(format!("requires Rust {theirs}, but this workspace declares {ours}"))
        }
        _ => Ok(()),
    });
}

#[test]
fn license_expressions_are_evaluated() {
    let allowed = |license: &str| matches!(license, "MIT" | "Unicode-3.0");
    for expression in
        ["MIT", "Apache-2.0 OR MIT", "Apache-2.0/MIT", "(MIT OR Apache-2.0) AND Unicode-3.0"]
    {
        assert!(satisfies(expression, allowed), "{expression}");
    }
    for expression in
        ["GPL-3.0", "MIT AND GPL-3.0", "MIT WITH LLVM-exception", "(MIT OR GPL-3.0) AND NCSA"]
    {
        assert!(!satisfies(expression, allowed), "{expression}");
    }
}

/// Fails if any package in the graph of a manifest violates a rule, and lists each with the reason.
#[track_caller]
fn check(manifest: &str, rule: impl Fn(&Package) -> Result<(), String>) {
    let packages = metadata(manifest).packages;
    assert!(packages.len() > 10, "only {} packages", packages.len());
    let failures: Vec<String> = packages
        .iter()
        .filter_map(|package| {
            let reason = rule(package).err()?;
            Some(format!("{} {} {reason}", package.name, package.version))
        })
        .collect();
    assert!(failures.is_empty(), "{failures:#?}");
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package is in the workspace")
}

fn deny() -> Deny {
    let path = root().join("deny.toml");
    let text = fs::read_to_string(&path).expect("deny.toml can be read");
    toml::from_str(&text).expect("deny.toml has the lists that are checked here")
}

/// Returns all packages that a manifest resolves to. Without network access, returns the packages for this
/// platform, which are already downloaded.
fn metadata(manifest: &str) -> Metadata {
    let output = cargo_metadata(manifest, &[]).or_else(|_| {
        cargo_metadata(manifest, &["--offline", "--filter-platform", &host_platform()])
    });
    parse(output)
}

fn parse(output: Result<Vec<u8>, String>) -> Metadata {
    let json = output.unwrap_or_else(|error| panic!("cargo metadata failed: {error}"));
    serde_json::from_slice(&json).expect("the output of cargo metadata is JSON")
}

fn cargo_metadata(manifest: &str, flags: &[&str]) -> Result<Vec<u8>, String> {
    // The fuzz targets have no lock file in the repository.
    let locked = root().join(manifest).with_file_name("Cargo.lock").exists();
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--manifest-path", manifest])
        .args(locked.then_some("--locked"))
        .args(flags)
        .env("CARGO_NET_RETRY", "0")
        .current_dir(root())
        .output()
        .map_err(|error| error.to_string())?;
    if output.status.success() {
        Ok(output.stdout)
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

fn host_platform() -> String {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).args(["--print", "host-tuple"]).output();
    let output = output.expect("a compiler can be run");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn numbers(version: &str) -> Vec<u64> {
    let mut numbers: Vec<u64> = version.split('.').filter_map(|part| part.parse().ok()).collect();
    numbers.resize(3, 0);
    numbers
}

/// Whether an SPDX license expression is satisfied by licenses that are `allowed`.
fn satisfies(expression: &str, allowed: impl Fn(&str) -> bool) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let tokens: Vec<&str> = spaced.split_whitespace().collect();
    let mut tokens = &tokens[..];
    let satisfied = any_of(&mut tokens, &allowed);
    satisfied && tokens.is_empty()
}

fn any_of(tokens: &mut &[&str], allowed: &dyn Fn(&str) -> bool) -> bool {
    let mut satisfied = all_of(tokens, allowed);
    while take(tokens, "OR") {
        satisfied |= all_of(tokens, allowed);
    }
    satisfied
}

fn all_of(tokens: &mut &[&str], allowed: &dyn Fn(&str) -> bool) -> bool {
    let mut satisfied = one(tokens, allowed);
    while take(tokens, "AND") {
        satisfied &= one(tokens, allowed);
    }
    satisfied
}

fn one(tokens: &mut &[&str], allowed: &dyn Fn(&str) -> bool) -> bool {
    if take(tokens, "(") {
        let satisfied = any_of(tokens, allowed);
        return take(tokens, ")") && satisfied;
    }
    let Some((license, rest)) = tokens.split_first() else { return false };
    *tokens = rest;
    if take(tokens, "WITH") {
        // An exception would add permissions, but exceptions are not in the list, so another
        // license must satisfy the expression.
        *tokens = tokens.get(1..).unwrap_or_default();
        return false;
    }
    allowed(license)
}

fn take(tokens: &mut &[&str], token: &str) -> bool {
    match tokens.split_first() {
        Some((first, rest)) if *first == token => {
            *tokens = rest;
            true
        }
        _ => false,
    }
}
