//! Draws the calls.

use std::collections::BTreeSet;

use flyrpc::NodeInfo;
use ratatui::{
    Frame,
    layout::{Constraint, Layout},
    style::{Style, Stylize as _},
    text::{Line, Text},
    widgets::{Cell, Row as TableRow, Table},
};

use super::{
    reading::Reading,
    rows::{Row, Sort},
};
use crate::output::clean;

/// The width from which on the number of nodes is shown.
const WIDE: u16 = 100;

/// The state of the screen.
#[derive(Debug)]
pub(crate) struct Screen {
    asked: String,
    /// The number of nodes that answered, of regions, and of nodes that did not answer. `None` before the second reading.
    counts: Option<(usize, usize, usize)>,
    rows: Vec<Row>,
    sort: Sort,
}

impl Screen {
    pub(crate) fn new(asked: &NodeInfo) -> Self {
        Screen { asked: clean(asked.name()), counts: None, rows: Vec::new(), sort: Sort::default() }
    }

    pub(crate) fn update(&mut self, rows: Vec<Row>, reading: &Reading) {
        let regions: BTreeSet<_> = reading.reports.values().map(|it| it.node.region()).collect();
        self.counts = Some((reading.reports.len(), regions.len(), reading.failed));
        self.rows = rows;
        self.sort.apply(&mut self.rows);
    }

    pub(crate) fn sort_by_next(&mut self) {
        self.sort = self.sort.next();
        self.sort.apply(&mut self.rows);
    }

    pub(crate) fn draw(&self, frame: &mut Frame<'_>) {
        let areas = Layout::vertical([
            Constraint::Length(1),
            Constraint::Length(1),
            Constraint::Fill(1),
            Constraint::Length(1),
        ]);
        let [head, _, body, foot] = areas.areas(frame.area());
        frame.render_widget(self.head(), head);
        let is_wide = body.width >= WIDE;
        let table = Table::new(self.rows.iter().map(|row| cells(row, is_wide)), widths(is_wide))
            .header(header(is_wide))
            .column_spacing(1);
        frame.render_widget(table, body);
        let shown = usize::from(body.height.saturating_sub(1));
        let hidden = self.rows.len().saturating_sub(shown);
        frame.render_widget(self.foot(hidden), foot);
    }

    fn head(&self) -> Line<'_> {
        let counts = match self.counts {
            None => "reading the calls of all nodes".to_owned(),
            Some((nodes, regions, failed)) => {
                let failed = match failed {
                    0 => String::new(),
                    failed => format!("; {failed} did not answer"),
                };
                let plural = |count: usize| if count == 1 { "" } else { "s" };
                format!(
                    "{nodes} node{} in {regions} region{}{failed}",
                    plural(nodes),
                    plural(regions)
                )
            }
        };
        Line::from(vec!["flyrpc top".bold(), format!("  {}: {counts}", self.asked).into()])
    }

    fn foot(&self, hidden: usize) -> Line<'_> {
        let hidden = if hidden > 0 { format!("  {hidden} more rows") } else { String::new() };
        Line::from(format!("q quit  s sort: by {}{hidden}", self.sort.name())).dim()
    }
}

/// The widths do not depend on the values, so that columns stay in their places.
fn widths(is_wide: bool) -> Vec<Constraint> {
    let mut widths = if is_wide {
        vec![Constraint::Length(16), Constraint::Fill(1), Constraint::Length(6)]
    } else {
        vec![Constraint::Length(6), Constraint::Fill(1)]
    };
    widths.extend([8, 7, 7, 8, 9].map(Constraint::Length));
    widths
}

fn header(is_wide: bool) -> TableRow<'static> {
    let names = Row::HEADER.map(str::to_owned);
    TableRow::new(aligned(names, is_wide)).style(Style::new().reversed())
}

fn cells(row: &Row, is_wide: bool) -> TableRow<'static> {
    let cells = TableRow::new(aligned(row.cells().map(|cell| clean(&cell)), is_wide));
    if row.errors_per_second > 0.0 { cells.red() } else { cells }
}

/// Aligns numbers to the right, and leaves out the number of nodes on a narrow screen.
fn aligned(cells: [String; 8], is_wide: bool) -> Vec<Cell<'static>> {
    let cells = cells.into_iter().enumerate().filter(|(at, _)| is_wide || *at != 2);
    cells
        .map(|(at, text)| {
            let text = Text::from(text);
            Cell::from(if at < 2 { text } else { text.right_aligned() })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use flyrpc::{NodeId, Region};
    use ratatui::{Terminal, backend::TestBackend};

    use super::*;

    fn screen(calls: &[f64]) -> Screen {
        let node =
            NodeInfo::new(NodeId::new("iad-0", 1), Region::LOCAL, ([127, 0, 0, 1], 1).into());
        let row = |(at, calls): (usize, &f64)| Row {
            region: "iad".into(),
            method: format!("Strings.method_{at}"),
            nodes: 2,
            calls_per_second: *calls,
            p50: Some(0.000_123),
            p99: Some(1.5),
            errors_per_second: 0.0,
            in_flight: 7,
        };
        let mut screen = Screen::new(&node);
        screen.rows = calls.iter().enumerate().map(row).collect();
        screen.counts = Some((2, 1, 0));
        screen
    }

    fn drawn(screen: &Screen, width: u16, height: u16) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| screen.draw(frame)).unwrap();
        let buffer = terminal.backend().buffer().clone();
        let line = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>();
        (0..height).map(line).collect()
    }

    #[test]
    fn columns_do_not_move_with_the_values() {
        for (width, height) in [(80, 24), (200, 60)] {
            let few = drawn(&screen(&[1.0]), width, height);
            let many = drawn(&screen(&[123_456.0, 0.0]), width, height);
            assert_eq!(few[2], many[2], "the header");
            let end = |line: &str| line.trim_end().chars().count();
            assert_eq!((end(&few[3]), end(&many[3])), (width.into(), width.into()));
            assert!(many[3].contains("123456") && many[3].contains("1.50 s"), "{}", many[3]);
            assert!(few[0].contains("iad-0: 2 nodes in 1 region"), "{}", few[0]);
        }
    }

    #[test]
    fn rows_that_do_not_fit_are_counted() {
        let lines = drawn(&screen(&[1.0; 30]), 80, 24);
        assert!(lines[23].contains("10 more rows"), "{}", lines[23]);
    }
}
