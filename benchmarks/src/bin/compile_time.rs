//! Measures the compile time of a trait of 100 methods, compared with the same trait under tarpc's macro.

use std::{
    error::Error,
    fs, io,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

use clap::Parser;
use flyrpc_examples::show;

/// Measures how long `cargo check` takes for a trait under `#[fly_rpc]` and `#[tarpc::service]`.
///
/// Writes three crates to a temporary directory: the trait with an implementation and calls under each
/// of the two macros, and the trait alone. Checks each crate once with its dependencies, then only the
/// crates themselves, alternately, and prints medians. Takes a minute or two, and needs cargo.
#[derive(Debug, Parser)]
#[command(max_term_width = 100)]
struct Flags {
    /// Number of methods of the trait.
    #[arg(long, default_value_t = 100)]
    methods: usize,
    /// Number of times that each crate is checked.
    #[arg(long, default_value_t = 5)]
    runs: usize,
}

/// A crate to be checked.
struct Subject {
    name: &'static str,
    manifest: String,
    code: String,
}

fn main() -> ExitCode {
    let flags = Flags::parse();
    let at = std::env::temp_dir().join(format!("flyrpc-compile-time-{}", std::process::id()));
    let measured = measure(&flags, &at);
    // Leftovers in a temporary directory do no harm.
    let _ = fs::remove_dir_all(&at);
    match measured {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("compile_time: {}", show::chain(&*error));
            ExitCode::FAILURE
        }
    }
}

fn measure(flags: &Flags, at: &Path) -> Result<(), Box<dyn Error>> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize()?;
    let subjects = [flyrpc(&workspace, flags.methods), tarpc(flags.methods), plain(flags.methods)];
    let mut times = [const { Vec::new() }; 3];
    for subject in &subjects {
        write(at, subject, &workspace)?;
        check(at, subject)?;
    }
    for _ in 0..flags.runs {
        for (subject, times) in subjects.iter().zip(&mut times) {
            // Cargo checks the crate again because the modification time changes.
            fs::write(at.join(subject.name).join("src/lib.rs"), &subject.code)?;
            times.push(check(at, subject)?);
        }
    }
    let [flyrpc, tarpc, plain] = times.map(|mut times| show::median(&mut times));
    let ratio = |a: Duration, b: Duration| format!("{:.2}", a.as_secs_f64() / b.as_secs_f64());
    println!("cargo check of {} methods, median of {}", flags.methods, flags.runs);
    println!("  #[fly_rpc]                         {:>8}", show::time(flyrpc));
    println!("  #[tarpc::service]                  {:>8}", show::time(tarpc));
    println!("  the trait alone, without a macro   {:>8}", show::time(plain));
    println!("  #[fly_rpc] / #[tarpc::service]     {:>8}", ratio(flyrpc, tarpc));
    let (flyrpc, tarpc) = (flyrpc.saturating_sub(plain), tarpc.saturating_sub(plain));
    println!("  the same, minus the trait alone    {:>8}", ratio(flyrpc, tarpc));
    Ok(())
}

fn flyrpc(workspace: &Path, methods: usize) -> Subject {
    let path = workspace.join("flyrpc");
    let calls = calls(methods, "client", "");
    Subject {
        name: "with-flyrpc",
        manifest: format!("flyrpc = {{ path = {path:?} }}\n"),
        code: format!(
            "#[flyrpc::fly_rpc]\npub trait Many {{\n{}}}\n{}\
             pub async fn call(client: ManyClient) {{\n{calls}}}\n",
            signatures(methods),
            implementation(methods, "&self, "),
        ),
    }
}

fn tarpc(methods: usize) -> Subject {
    let calls = calls(methods, "client", "tarpc::context::current(), ");
    Subject {
        name: "with-tarpc",
        manifest: "tarpc = { version = \"0.38\", features = [\"serde1\", \"tokio1\"] }\n\
                   serde = { version = \"1\", features = [\"derive\"] }\n"
            .to_owned(),
        code: format!(
            "#[tarpc::service(derive = [serde::Serialize, serde::Deserialize])]\n\
             pub trait Many {{\n{}}}\n{}\
             pub async fn call(client: ManyClient) {{\n{calls}}}\n",
            signatures(methods).replace("&self, ", ""),
            implementation(methods, "self, _: tarpc::context::Context, "),
        ),
    }
}

fn plain(methods: usize) -> Subject {
    Subject {
        name: "plain",
        manifest: String::new(),
        code: format!(
            "#[allow(async_fn_in_trait)]\npub trait Many {{\n{}}}\n{}",
            signatures(methods),
            implementation(methods, "&self, "),
        ),
    }
}

fn signatures(methods: usize) -> String {
    (0..methods)
        .map(|n| format!("    async fn m{n}(&self, text: String, n: u64) -> Vec<String>;\n"))
        .collect()
}

fn implementation(methods: usize, receiver: &str) -> String {
    let methods: String = (0..methods)
        .map(|n| {
            format!(
                "    async fn m{n}({receiver}text: String, n: u64) -> Vec<String> {{\n        \
                 vec![text; n as usize]\n    }}\n"
            )
        })
        .collect();
    format!("#[derive(Clone)]\npub struct Imp;\nimpl Many for Imp {{\n{methods}}}\n")
}

fn calls(methods: usize, client: &str, context: &str) -> String {
    (0..methods)
        .map(|n| format!("    let _ = {client}.m{n}({context}String::new(), {n}).await;\n"))
        .collect()
}

fn write(at: &Path, subject: &Subject, workspace: &Path) -> io::Result<()> {
    let home = at.join(subject.name);
    fs::create_dir_all(home.join("src"))?;
    let Subject { name, manifest, code } = subject;
    let manifest = format!(
        "[package]\nname = \"{name}\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n\
         [workspace]\n\n[dependencies]\n{manifest}"
    );
    fs::write(home.join("Cargo.toml"), manifest)?;
    // All crates then use the same versions of their common dependencies.
    fs::copy(workspace.join("Cargo.lock"), home.join("Cargo.lock"))?;
    fs::write(home.join("src/lib.rs"), code)
}

/// Checks a crate, and returns how long that took.
fn check(at: &Path, subject: &Subject) -> Result<Duration, Box<dyn Error>> {
    let target: PathBuf = at.join("target");
    let start = Instant::now();
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["check", "--quiet"])
        .current_dir(at.join(subject.name))
        .env("CARGO_TARGET_DIR", target)
        .env("CARGO_INCREMENTAL", "0")
        .stdin(Stdio::null())
        .output()?;
    let took = start.elapsed();
    if output.status.success() {
        return Ok(took);
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    Err(format!("`{}` does not compile:\n{errors}", subject.name).into())
}
