//! The outcomes of the calls, as a table.

use std::fmt;

use flyrpc::RpcError;
use flyrpc_examples::show;

use crate::load::Tally;

const MOVED: &str = "moved: refused by a draining node, then executed by another";

/// The outcomes that are allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expected {
    /// Every call succeeds.
    Success,
    /// A call succeeds, or fails because no node takes it.
    Absence,
}

impl Expected {
    fn allows(self, error: &RpcError) -> bool {
        let absent = matches!(error, RpcError::NoNode { .. } | RpcError::Refused { .. });
        self == Expected::Absence && absent
    }
}

/// The calls of several callers, and the outcomes that are allowed.
pub(crate) struct Table<'a> {
    pub(crate) title: &'a str,
    pub(crate) tallies: &'a [Tally],
    pub(crate) expected: Expected,
}

impl Table<'_> {
    /// Returns true if no call failed unexpectedly, and both versions executed calls.
    pub(crate) fn is_as_expected(&self) -> bool {
        let succeeded = |version| self.tallies.iter().any(|tally| tally.succeeded(version) > 0);
        let mut failed = self.tallies.iter().flat_map(|tally| tally.failed.values());
        failed.all(|(_, error)| self.expected.allows(error)) && succeeded(1) && succeeded(2)
    }
}

impl Tally {
    fn succeeded(&self, version: u32) -> usize {
        self.succeeded.get(&version).copied().unwrap_or_default()
    }

    /// Formats the errors by kind: `none`, or `NoNode 12, Refused 3`.
    fn errors(&self) -> String {
        let kinds = self.failed.iter().map(|(kind, (count, _))| format!("{kind} {count}"));
        let kinds = kinds.collect::<Vec<_>>().join(", ");
        if kinds.is_empty() { "none".to_owned() } else { kinds }
    }
}

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n", self.title)?;
        let heads = ["caller", "by v1", "by v2", "moved", "longest gap", "errors"];
        line(f, heads.map(str::to_owned))?;
        for tally in self.tallies {
            line(
                f,
                [
                    tally.caller.clone(),
                    tally.succeeded(1).to_string(),
                    tally.succeeded(2).to_string(),
                    tally.elsewhere.to_string(),
                    show::time(tally.longest_gap),
                    tally.errors(),
                ],
            )?;
        }
        writeln!(f, "  ({MOVED})")?;
        for (_, error) in self.tallies.iter().flat_map(|tally| tally.failed.values()) {
            if !self.expected.allows(error) {
                writeln!(f, "  unexpected: {}", show::rpc_error(error))?;
            }
        }
        Ok(())
    }
}

fn line(
    f: &mut fmt::Formatter<'_>,
    [caller, v1, v2, moved, gap, errors]: [String; 6],
) -> fmt::Result {
    writeln!(f, "  {caller:<24}{v1:>7}{v2:>7}{moved:>7}{gap:>13}   {errors}")
}
