//! Which nodes run, which of them each node lists, and how far that is from agreement.

use std::time::Duration;

/// The number of a boot; none is zero.
pub type Boot = u64;

/// The nodes that run, and those that each of them lists. A node that does not run lists none.
#[derive(Debug, Default)]
pub struct Ledger {
    running: Vec<Boot>,
    rows: Vec<Row>,
    nodes: usize,
    /// Pairs of running nodes one of which does not list the other's boot.
    missing: usize,
    /// Boots listed that do not run.
    stale: usize,
    /// Boots taken off a list though they run.
    pub false_downs: usize,
    watch: Option<Watch>,
}

/// What one node lists: a boot for each node, 0 for none.
#[derive(Debug, Default)]
struct Row {
    listed: Vec<Boot>,
    missing: usize,
    stale: usize,
}

/// When each node learns of a change of one other.
#[derive(Debug)]
struct Watch {
    node: usize,
    boot: Boot,
    comes: bool,
    times: Vec<Duration>,
}

impl Ledger {
    /// Room for nodes `0..nodes`, none of which runs.
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

    /// Notes that `by` lists a boot of `node` from now on.
    pub(super) fn list(&mut self, now: Duration, by: usize, node: usize, boot: Boot) {
        assert_ne!(self.rows[by].listed[node], boot, "a boot is listed once");
        self.set(by, node, boot);
        self.see(now, node, boot, true);
    }

    /// Notes that `by` does not list a boot of `node` any more.
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

    /// How many nodes run.
    pub fn nodes(&self) -> usize {
        self.nodes
    }

    /// Whether every node lists all the others, and nobody else.
    pub fn agrees(&self) -> bool {
        self.missing == 0 && self.stale == 0
    }

    /// Whether `node` lists all the others.
    pub fn knows_all(&self, node: usize) -> bool {
        self.rows[node].missing == 0
    }

    /// How many pairs of nodes there are one of which does not list the other.
    pub fn missing_pairs(&self) -> usize {
        self.missing
    }

    /// The share of pairs of nodes one of which does not list the other.
    pub fn missing(&self) -> f64 {
        let pairs = self.nodes * self.nodes.saturating_sub(1);
        self.missing as f64 / pairs.max(1) as f64
    }

    /// Notes from now on when nodes learn that a boot of `node` came, or went.
    pub fn watch(&mut self, node: usize, boot: Boot, comes: bool) {
        self.watch = Some(Watch { node, boot, comes, times: Vec::new() });
    }

    /// How many nodes have learned of what is watched.
    pub fn seen(&self) -> usize {
        self.watch.as_ref().map_or(0, |watch| watch.times.len())
    }

    /// When nodes learned of what was watched, in order.
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

/// Whether a boot is missing where `listed` is listed, and whether what is listed is stale.
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
    fn everyone_must_list_everyone_and_nobody_else() {
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
    fn a_later_boot_is_another() {
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
    fn a_node_taken_off_while_it_runs_is_a_false_down() {
        let mut ledger = three();
        ledger.unlist(NOW, 0, 1, 11);
        assert_eq!(ledger.false_downs, 1);
    }

    #[test]
    fn only_what_is_watched_is_noted() {
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
