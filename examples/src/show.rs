//! How results are shown.

use std::{error::Error, time::Duration};

use flyrpc::RpcError;

/// A length of time in the unit that suits it.
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

/// The middle one of `values`; zero if there are none.
pub fn median(values: &mut [Duration]) -> Duration {
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// An error and what caused it.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// The error of a call, what caused it, and whether the call may have executed.
pub fn rpc_error(error: &RpcError) -> String {
    let text = chain(error);
    let said = text.contains("execute");
    match error.may_have_executed() {
        _ if said => text,
        true => format!("{text}; it may have executed"),
        false => format!("{text}; it did not execute"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_the_unit_that_suits_them() {
        let check = |nanos, expected| assert_eq!(time(Duration::from_nanos(nanos)), expected);
        check(0, "0 ns");
        check(7_250, "7.2 µs");
        check(72_500, "72 µs");
        check(7_250_000, "7.2 ms");
        check(725_000_000, "725 ms");
        check(72_500_000_000, "72.5 s");
    }
}
