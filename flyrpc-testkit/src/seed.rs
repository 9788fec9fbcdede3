//! The seeds that the environment sets, and how to repeat a failed run.

use std::{
    collections::BTreeSet,
    env, fmt,
    hash::{BuildHasher, RandomState},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    thread,
};

use crate::{run::Seeds, trace::Trace};

const SEED_VAR: &str = "FLYRPC_SIM_SEED";

const SEEDS_VAR: &str = "FLYRPC_SIM_SEEDS";

const TRACES_VAR: &str = "FLYRPC_SIM_TRACES";

const DETERMINISM_VAR: &str = "FLYRPC_SIM_DETERMINISM";

/// The files of traces that this process has written.
static WRITTEN: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// Returns the seed in the environment variable `FLYRPC_SIM_SEED`, or 0 if it is not set.
///
/// # Panics
///
/// If the variable is neither a number nor `random`.
pub(crate) fn from_env() -> u64 {
    seed_of_env().unwrap_or(0)
}

/// Returns the seeds that the environment sets: one in `FLYRPC_SIM_SEED`, or several in `FLYRPC_SIM_SEEDS`.
///
/// # Panics
///
/// If a variable cannot be parsed.
pub(crate) fn overridden() -> Option<Seeds> {
    seed_of_env().map(Seeds::from).or_else(|| {
        let value = read(SEEDS_VAR)?;
        Some(value.parse().unwrap_or_else(|error| panic!("{SEEDS_VAR}: {error}")))
    })
}

/// Returns whether the environment asks for a second run of each seed.
///
/// # Panics
///
/// If the variable is neither `0` nor `1`.
pub(crate) fn checks_determinism() -> bool {
    match read(DETERMINISM_VAR).as_deref() {
        None | Some("0" | "") => false,
        Some("1") => true,
        Some(value) => panic!("{DETERMINISM_VAR} is {value:?}: use 0 or 1"),
    }
}

/// Returns the directory for the traces of all runs, including those that do not fail.
pub(crate) fn trace_directory() -> Option<PathBuf> {
    env::var_os(TRACES_VAR).filter(|value| !value.is_empty()).map(PathBuf::from)
}

fn seed_of_env() -> Option<u64> {
    let value = read(SEED_VAR)?;
    Some(parse(&value).unwrap_or_else(|| {
        panic!("{SEED_VAR} is {value:?}: use a number from 0 to {}, or `random`", u64::MAX)
    }))
}

fn read(name: &str) -> Option<String> {
    match env::var(name) {
        Ok(value) => Some(value),
        Err(env::VarError::NotPresent) => None,
        Err(error) => panic!("cannot read {name}: {error}"),
    }
}

fn parse(value: &str) -> Option<u64> {
    match value {
        // The standard library has no other source of random numbers.
        "random" => Some(RandomState::new().hash_one(())),
        number => number.parse().ok(),
    }
}

/// The name of a test, such as `faults::a_write_survives_a_crash`. Empty if it is not known.
#[derive(Debug, Clone)]
pub(crate) struct TestName(String);

impl TestName {
    pub(crate) fn new(name: String) -> Self {
        TestName(name)
    }

    /// Returns the name of the test that this thread runs. Test harnesses name threads after tests.
    pub(crate) fn current() -> Self {
        let name = thread::current().name().map(str::to_owned);
        TestName(name.filter(|name| name != "main").unwrap_or_default())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the command that runs this test again with `seed`.
    pub(crate) fn repeat_command(&self, seed: u64) -> String {
        let mut command = format!("{SEED_VAR}={seed} cargo test");
        if let Ok(package) = env::var("CARGO_PKG_NAME") {
            command += &format!(" --package {package}");
        }
        if !self.0.is_empty() {
            command += &format!(" -- --exact {}", self.0);
        }
        command
    }

    /// Writes the trace of a failed run to a file, and describes the result. A second trace with the same seed in
    /// this process gets a file of its own.
    pub(crate) fn write_trace(&self, seed: u64, trace: &Trace) -> String {
        let mut written = WRITTEN.lock().unwrap_or_else(PoisonError::into_inner);
        let files = (1_u32..).map(|number| self.trace_path(seed, number));
        let file = files.into_iter().find(|file| written.insert(file.clone())).unwrap_or_default();
        match trace.write_to(&file) {
            Ok(()) => format!("trace written to {}", file.display()),
            Err(error) => format!("cannot write the trace to {}: {error}", file.display()),
        }
    }

    /// Writes the traces of a run to a directory.
    ///
    /// # Panics
    ///
    /// If a file cannot be written.
    pub(crate) fn write_traces(&self, directory: &Path, seed: u64, traces: &[Trace]) {
        for (number, trace) in (1..).zip(traces) {
            let file = directory.join(self.file_name(seed, number));
            if let Err(error) = trace.write_to(&file) {
                panic!("cannot write the trace to {}: {error}", file.display());
            }
        }
    }

    /// Returns the path of the file for the trace of a failed run. The file is below the build's target directory if
    /// the program is in one, otherwise below the temporary directory.
    fn trace_path(&self, seed: u64, number: u32) -> PathBuf {
        let program = env::current_exe().unwrap_or_default();
        let target = program
            .ancestors()
            .find(|path| path.ends_with("deps"))
            .and_then(|deps| deps.parent()?.parent());
        let directory = target.map_or_else(env::temp_dir, PathBuf::from).join("flyrpc-traces");
        directory.join(self.file_name(seed, number))
    }

    /// Returns the name of the file for trace `number` of a run, counted from 1.
    fn file_name(&self, seed: u64, number: u32) -> String {
        let test = if self.0.is_empty() { "run" } else { &self.0 }.replace("::", "-");
        match number {
            1 => format!("{test}-{seed}.txt"),
            _ => format!("{test}-{seed}-{number}.txt"),
        }
    }
}

impl fmt::Display for TestName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { f.write_str("the run") } else { write!(f, "`{}`", self.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_a_number_or_random() {
        assert_eq!(parse("7"), Some(7));
        assert_eq!(parse("18446744073709551615"), Some(u64::MAX));
        assert_eq!(parse("-1"), None);
        assert_eq!(parse(""), None);
        assert_ne!(parse("random"), parse("random"));
    }

    #[test]
    fn the_command_repeats_the_test_with_the_seed() {
        let command = TestName::current().repeat_command(7);
        assert!(command.starts_with("FLYRPC_SIM_SEED=7 cargo test"), "{command}");
        assert!(
            command.ends_with("-- --exact seed::tests::the_command_repeats_the_test_with_the_seed"),
            "{command}"
        );
    }

    #[test]
    fn traces_are_written_below_the_target_directory() {
        let file = TestName::new("a::b".to_owned()).trace_path(7, 1);
        assert!(file.parent().is_some_and(|dir| dir.ends_with("flyrpc-traces")), "{file:?}");
        assert_eq!(file.file_name().and_then(|name| name.to_str()), Some("a-b-7.txt"));
        let second = TestName::new(String::new()).trace_path(7, 2);
        assert_eq!(second.file_name().and_then(|name| name.to_str()), Some("run-7-2.txt"));
    }
}
