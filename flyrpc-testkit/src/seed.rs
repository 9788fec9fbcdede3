//! Where a run's seed comes from, and how a failed run is repeated.

use std::{
    env,
    hash::{BuildHasher, RandomState},
    path::PathBuf,
    thread,
};

const VARIABLE: &str = "FLYRPC_SIM_SEED";

/// The seed that the environment asks for.
///
/// # Panics
///
/// If it asks for something else.
pub(crate) fn from_env() -> u64 {
    match env::var(VARIABLE) {
        Ok(value) => parse(&value).unwrap_or_else(|| {
            panic!("{VARIABLE} is {value:?}: it takes a number from 0 to {}, or `random`", u64::MAX)
        }),
        Err(env::VarError::NotPresent) => 0,
        Err(error) => panic!("{VARIABLE} cannot be read: {error}"),
    }
}

fn parse(value: &str) -> Option<u64> {
    match value {
        // The one random number that std has.
        "random" => Some(RandomState::new().hash_one(())),
        number => number.parse().ok(),
    }
}

/// The test that this thread runs. Test harnesses name their threads so.
fn test() -> Option<String> {
    let name = thread::current().name()?.to_owned();
    (name != "main").then_some(name)
}

/// The command that runs this test again with `seed`.
pub(crate) fn command(seed: u64) -> String {
    let mut command = format!("{VARIABLE}={seed} cargo test");
    if let Ok(package) = env::var("CARGO_PKG_NAME") {
        command += &format!(" --package {package}");
    }
    if let Some(test) = test() {
        command += &format!(" -- --exact {test}");
    }
    command
}

/// Where the trace of a failed run is left: below the build's target directory, if the program is
/// in one.
pub(crate) fn trace_file(seed: u64) -> PathBuf {
    let program = env::current_exe().unwrap_or_default();
    let target = program
        .ancestors()
        .find(|path| path.ends_with("deps"))
        .and_then(|deps| deps.parent()?.parent());
    let directory = target.map_or_else(env::temp_dir, PathBuf::from).join("flyrpc-traces");
    let test = test().unwrap_or_else(|| "run".to_owned()).replace("::", "-");
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
    fn the_command_repeats_this_very_test_with_the_seed() {
        let command = command(7);
        assert!(command.starts_with("FLYRPC_SIM_SEED=7 cargo test"), "{command}");
        assert!(
            command.ends_with(
                "-- --exact seed::tests::the_command_repeats_this_very_test_with_the_seed"
            ),
            "{command}"
        );
    }

    #[test]
    fn traces_are_left_below_the_target_directory() {
        let file = trace_file(7);
        assert!(file.parent().is_some_and(|dir| dir.ends_with("flyrpc-traces")), "{file:?}");
        assert_eq!(
            file.file_name().and_then(|name| name.to_str()),
            Some("seed-tests-traces_are_left_below_the_target_directory-7.txt")
        );
    }
}
