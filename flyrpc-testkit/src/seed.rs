//! The seed of a run, and the command that repeats a failed run.

use std::{
    env,
    hash::{BuildHasher, RandomState},
    path::PathBuf,
    thread,
};

const SEED_VAR: &str = "FLYRPC_SIM_SEED";

/// Returns the seed in the environment variable `FLYRPC_SIM_SEED`, or 0 if it is not set.
///
/// # Panics
///
/// If the variable is neither a number nor `random`.
pub(crate) fn from_env() -> u64 {
    match env::var(SEED_VAR) {
        Ok(value) => parse(&value).unwrap_or_else(|| {
            panic!("{SEED_VAR} is {value:?}: use a number from 0 to {}, or `random`", u64::MAX)
        }),
        Err(env::VarError::NotPresent) => 0,
        Err(error) => panic!("cannot read {SEED_VAR}: {error}"),
    }
}

fn parse(value: &str) -> Option<u64> {
    match value {
        // The standard library has no other source of random numbers.
        "random" => Some(RandomState::new().hash_one(())),
        number => number.parse().ok(),
    }
}

/// Returns the name of the test that this thread runs. Test harnesses name threads after tests.
fn test_name() -> Option<String> {
    let name = thread::current().name()?.to_owned();
    (name != "main").then_some(name)
}

/// Returns the command that runs this test again with `seed`.
pub(crate) fn repeat_command(seed: u64) -> String {
    let mut command = format!("{SEED_VAR}={seed} cargo test");
    if let Ok(package) = env::var("CARGO_PKG_NAME") {
        command += &format!(" --package {package}");
    }
    if let Some(test) = test_name() {
        command += &format!(" -- --exact {test}");
    }
    command
}

/// Returns the path of the file for the trace of a failed run. The file is below the build's target
/// directory if the program is in one, otherwise below the temporary directory.
pub(crate) fn trace_path(seed: u64) -> PathBuf {
    let program = env::current_exe().unwrap_or_default();
    let target = program
        .ancestors()
        .find(|path| path.ends_with("deps"))
        .and_then(|deps| deps.parent()?.parent());
    let directory = target.map_or_else(env::temp_dir, PathBuf::from).join("flyrpc-traces");
    let test = test_name().unwrap_or_else(|| "run".to_owned()).replace("::", "-");
    directory.join(format!("{test}-{seed}.txt"))
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
        let command = repeat_command(7);
        assert!(command.starts_with("FLYRPC_SIM_SEED=7 cargo test"), "{command}");
        assert!(
            command.ends_with("-- --exact seed::tests::the_command_repeats_the_test_with_the_seed"),
            "{command}"
        );
    }

    #[test]
    fn traces_are_written_below_the_target_directory() {
        let file = trace_path(7);
        assert!(file.parent().is_some_and(|dir| dir.ends_with("flyrpc-traces")), "{file:?}");
        assert_eq!(
            file.file_name().and_then(|name| name.to_str()),
            Some("seed-tests-traces_are_written_below_the_target_directory-7.txt")
        );
    }
}
