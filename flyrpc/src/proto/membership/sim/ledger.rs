//! Which nodes run, which nodes each of them lists, and how far those lists are from agreement.

use std::time::Duration;

/// The number of a boot, which is never zero.
pub type Boot = u64;

/// The running nodes, and the nodes that each of them lists. A node that is not running lists none.
#[derive(Debug, Default)]
pub struct Ledger {
    running: Vec<Boot>,
    rows: Vec<Row>,
    nodes: usize,
    /// Ordered pairs of running nodes in which the first does not list the second's boot.
    missing: usize,
    /// Listed boots that are not running.
    stale: usize,
    /// Number of times a boot was removed from a list while it was running.
    pub false_downs: usize,
    watch: Option<Watch>,
}

/// The list of one node: a boot for each node, or 0 for none.
#[derive(Debug, Default)]
struct Row {
    listed: Vec<Boot>,
    missing: usize,
    stale: usize,
}

/// The times at which nodes learned of a change of one other node.
#[derive(Debug)]
struct Watch {
    node: usize,
    boot: Boot,
    comes: bool,
    times: Vec<Duration>,
}

impl Ledger {
    /// Creates a ledger for nodes `0..nodes` without running nodes.
    pub(super) fn new(nodes: usize) -> Self {
        let rows = (0..nodes).map(|_| Row::default()).collect();
        Ledger { running: vec![0; nodes], rows, ..Ledger::default() }
    }

    pub(super) fn start(&mut self, node: usize, boot: Boot) {
        self.set_running(node, boot);
        self.nodes += 1;
        self.rows[node] =
            Row { listed: vec![0; self.running.len()], missing: self.nodes - 1, stale: 0 };
        self.missing += self.nodes - 1;
    }

    pub(super) fn stop(&mut self, node: usize) {
        let row = std::mem::take(&mut self.rows[node]);
        self.missing -= row.missing;
        self.stale -= row.stale;
        self.nodes -= 1;
        self.set_running(node, 0);
    }

    /// Records that `by` lists a boot of `node` from now on.
    pub(super) fn list(&mut self, now: Duration, by: usize, node: usize, boot: Boot) {
        assert_ne!(self.rows[by].listed[node], boot, "a boot is listed once");
        self.set(by, node, boot);
        self.see(now, node, boot, true);
    }

    /// Records that `by` no longer lists a boot of `node`.
    pub(super) fn unlist(&mut self, now: Duration, by: usize, node: usize, boot: Boot) {
        assert_eq!(self.rows[by].listed[node], boot, "only a listed boot goes down");
        self.set(by, node, 0);
        self.false_downs += usize::from(self.running[node] == boot);
        self.see(now, node, boot, false);
    }

    /// The boot of `node` that `by` lists, if any.
    pub fn listed(&self, by: usize, node: usize) -> Option<Boot> {
        self.rows[by].listed.get(node).copied().filter(|boot| *boot != 0)
    }

    /// The nodes that `by` lists.
    pub(super) fn list_of(&self, by: usize) -> impl Iterator<Item = usize> {
        let listed = self.rows[by].listed.iter().enumerate();
        listed.filter(|(_, boot)| **boot != 0).map(|(node, _)| node)
    }

    /// The number of running nodes.
    pub fn nodes(&self) -> usize {
        self.nodes
    }

    /// Whether every node lists exactly the others.
    pub fn agrees(&self) -> bool {
        self.missing == 0 && self.stale == 0
    }

    /// Whether `node` lists all the others.
    pub fn knows_all(&self, node: usize) -> bool {
        self.rows[node].missing == 0
    }

    /// The number of ordered pairs of nodes in which the first does not list the second.
    pub fn missing_pairs(&self) -> usize {
        self.missing
    }

    /// The share of ordered pairs of nodes in which the first does not list the second, from 0 to
    /// 1.
    pub fn missing(&self) -> f64 {
        let pairs = self.nodes * self.nodes.saturating_sub(1);
        self.missing as f64 / pairs.max(1) as f64
    }

    /// Starts recording when nodes learn that a boot of `node` started (`comes`) or stopped.
    pub fn watch(&mut self, node: usize, boot: Boot, comes: bool) {
        self.watch = Some(Watch { node, boot, comes, times: Vec::new() });
    }

    /// The number of nodes that have learned of the watched change.
    pub fn seen(&self) -> usize {
        self.watch.as_ref().map_or(0, |watch| watch.times.len())
    }

    /// Stops watching, and returns the times at which nodes learned of the watched change, in
    /// order.
    pub fn end_watch(&mut self) -> Vec<Duration> {
        self.watch.take().map(|watch| watch.times).unwrap_or_default()
    }

    fn see(&mut self, now: Duration, node: usize, boot: Boot, comes: bool) {
        if let Some(watch) = &mut self.watch
            && (watch.node, watch.boot, watch.comes) == (node, boot, comes)
        {
            watch.times.push(now);
        }
    }

    fn set_running(&mut self, node: usize, boot: Boot) {
        let before = std::mem::replace(&mut self.running[node], boot);
        for (by, row) in self.rows.iter_mut().enumerate() {
            if row.listed.is_empty() || by == node {
                continue;
            }
            let listed = row.listed[node];
            let (was, is) = (judge(listed, before), judge(listed, boot));
            self.missing = self.missing + is.0 - was.0;
            self.stale = self.stale + is.1 - was.1;
            row.missing = row.missing + is.0 - was.0;
            row.stale = row.stale + is.1 - was.1;
        }
    }

    fn set(&mut self, by: usize, node: usize, boot: Boot) {
        let row = &mut self.rows[by];
        let before = std::mem::replace(&mut row.listed[node], boot);
        let running = self.running[node];
        let (was, is) = (judge(before, running), judge(boot, running));
        self.missing = self.missing + is.0 - was.0;
        self.stale = self.stale + is.1 - was.1;
        row.missing = row.missing + is.0 - was.0;
        row.stale = row.stale + is.1 - was.1;
    }
}

/// Returns, as 0 or 1 each, whether the running boot is missing from a list that contains `listed`,
/// and whether `listed` is stale.
fn judge(listed: Boot, running: Boot) -> (usize, usize) {
    (usize::from(running != 0 && listed != running), usize::from(listed != 0 && listed != running))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1);

    fn three() -> Ledger {
        let mut ledger = Ledger::new(4);
        for node in 0..3 {
            ledger.start(node, 10 + node as Boot);
        }
        for (by, node) in [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0)] {
            ledger.list(NOW, by, node, 10 + node as Boot);
        }
        ledger
    }

    #[test]
    fn nodes_agree_if_each_lists_exactly_the_others() {
        let mut ledger = three();
        assert!(!ledger.agrees() && ledger.knows_all(0) && !ledger.knows_all(2));
        assert!((ledger.missing() - 1.0 / 6.0).abs() < 1e-9);
        ledger.list(NOW, 2, 1, 11);
        assert!(ledger.agrees());

        ledger.stop(1);
        assert!(!ledger.agrees() && ledger.missing() == 0.0);
        ledger.unlist(NOW, 0, 1, 11);
        ledger.unlist(NOW, 2, 1, 11);
        assert!(ledger.agrees());
        assert_eq!(ledger.false_downs, 0);
    }

    #[test]
    fn a_later_boot_is_a_different_boot() {
        let mut ledger = three();
        ledger.list(NOW, 2, 1, 11);
        ledger.stop(0);
        ledger.start(0, 20);
        assert!(!ledger.agrees());
        for by in [1, 2] {
            ledger.unlist(NOW, by, 0, 10);
            ledger.list(NOW, by, 0, 20);
            ledger.list(NOW, 0, by, 10 + by as Boot);
        }
        assert!(ledger.agrees());
    }

    #[test]
    fn removing_a_running_node_from_a_list_is_a_false_down() {
        let mut ledger = three();
        ledger.unlist(NOW, 0, 1, 11);
        assert_eq!(ledger.false_downs, 1);
    }

    #[test]
    fn only_the_watched_change_is_recorded() {
        let mut ledger = three();
        ledger.watch(2, 12, false);
        ledger.stop(2);
        ledger.unlist(NOW, 0, 2, 12);
        ledger.unlist(NOW, 0, 1, 11);
        ledger.unlist(2 * NOW, 1, 2, 12);
        assert_eq!(ledger.end_watch(), [NOW, 2 * NOW]);
        assert_eq!(ledger.seen(), 0);
    }
}
