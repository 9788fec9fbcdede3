//! Formatting of results.

use std::{error::Error, time::Duration};

use flyrpc::RpcError;

/// Formats a duration in a unit that suits its size, from nanoseconds to seconds.
pub fn time(time: Duration) -> String {
    let nanos = time.as_nanos() as f64;
    match time.as_nanos() {
        0..1_000 => format!("{nanos:.0} ns"),
        1_000..10_000 => format!("{:.1} µs", nanos / 1e3),
        10_000..1_000_000 => format!("{:.0} µs", nanos / 1e3),
        1_000_000..100_000_000 => format!("{:.1} ms", nanos / 1e6),
        100_000_000..1_000_000_000 => format!("{:.0} ms", nanos / 1e6),
        _ => format!("{:.1} s", nanos / 1e9),
    }
}

/// Sorts `values` and returns the middle one (the upper of two), or zero if there are none.
pub fn median(values: &mut [Duration]) -> Duration {
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// Formats an error followed by its sources.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// Formats the error of a call, its sources, and whether the call may have executed.
pub fn rpc_error(error: &RpcError) -> String {
    let text = chain(error);
    let already_stated = text.contains("execute");
    match error.may_have_executed() {
        _ if already_stated => text,
        true => format!("{text}; the call may have executed"),
        false => format!("{text}; the call did not execute"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_suits_the_size_of_the_duration() {
        let check = |nanos, expected| assert_eq!(time(Duration::from_nanos(nanos)), expected);
        check(0, "0 ns");
        check(7_250, "7.2 µs");
        check(72_500, "72 µs");
        check(7_250_000, "7.2 ms");
        check(725_000_000, "725 ms");
        check(72_500_000_000, "72.5 s");
    }
}
