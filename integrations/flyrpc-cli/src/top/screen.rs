//! Draws the calls.

use std::{collections::BTreeSet, time::Duration};

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

/// The widths of the regions and the methods on a screen that is not wide. Methods have at least this width.
const NARROW: [u16; 2] = [6, 12];

/// The widths of the numbers after the number of nodes.
const NUMBERS: [u16; 5] = [8, 7, 7, 8, 9];

/// The age from which on a reading is not the present. A node that does not answer delays the next one.
const OLD: Duration = Duration::from_secs(2);

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

    /// Draws the last reading, of this age.
    pub(crate) fn draw(&self, frame: &mut Frame<'_>, age: Option<Duration>) {
        let areas = Layout::vertical([
            Constraint::Length(1),
            Constraint::Length(1),
            Constraint::Fill(1),
            Constraint::Length(1),
        ]);
        let [head, _, body, foot] = areas.areas(frame.area());
        frame.render_widget(self.head(age), head);
        let columns = Columns::of(body.width);
        let rows = self.rows.iter().map(|row| columns.cells(row));
        let table = Table::new(rows, columns.widths()).header(columns.header()).column_spacing(1);
        frame.render_widget(table, body);
        let shown = usize::from(body.height.saturating_sub(1));
        let hidden = self.rows.len().saturating_sub(shown);
        frame.render_widget(self.foot(hidden), foot);
    }

    fn head(&self, age: Option<Duration>) -> Line<'_> {
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
        let age = match age.filter(|age| *age > OLD) {
            Some(age) => format!("  {} s old", age.as_secs()),
            None => String::new(),
        };
        let counts = format!("  {}: {counts}", self.asked);
        Line::from(vec!["flyrpc top".bold(), age.red(), counts.into()])
    }

    fn foot(&self, hidden: usize) -> Line<'_> {
        let hidden = if hidden > 0 { format!("  {hidden} more rows") } else { String::new() };
        Line::from(format!("q quit  s sort: by {}{hidden}", self.sort.name())).dim()
    }
}

/// The columns that a screen shows.
#[derive(Debug, Clone, Copy)]
struct Columns {
    is_wide: bool,
    /// How many of the [`NUMBERS`] are shown, from the left: those that fit.
    numbers: usize,
}

impl Columns {
    /// Columns do not depend on the values, so that they stay in their places.
    fn of(width: u16) -> Self {
        let mut left = width.saturating_sub(NARROW[0] + 1 + NARROW[1]);
        let fits = |number: &&u16| {
            let rest = left.checked_sub(**number + 1);
            left = rest.unwrap_or(0);
            rest.is_some()
        };
        Columns { is_wide: width >= WIDE, numbers: NUMBERS.iter().take_while(fits).count() }
    }

    fn widths(self) -> Vec<Constraint> {
        let mut widths = if self.is_wide {
            vec![Constraint::Length(16), Constraint::Fill(1), Constraint::Length(6)]
        } else {
            vec![Constraint::Length(NARROW[0]), Constraint::Fill(1)]
        };
        widths.extend(NUMBERS[..self.numbers].iter().copied().map(Constraint::Length));
        widths
    }

    fn header(self) -> TableRow<'static> {
        let names = Row::HEADER.map(str::to_owned);
        TableRow::new(self.aligned(names)).style(Style::new().reversed())
    }

    fn cells(self, row: &Row) -> TableRow<'static> {
        let cells = TableRow::new(self.aligned(row.cells().map(|cell| clean(&cell))));
        if row.errors_per_second > 0.0 { cells.red() } else { cells }
    }

    /// Aligns numbers to the right, and leaves out those that are not shown.
    fn aligned(self, cells: [String; 8]) -> Vec<Cell<'static>> {
        let [region, method, nodes, numbers @ ..] = cells;
        let nodes = self.is_wide.then_some(nodes);
        let numbers = nodes.into_iter().chain(numbers.into_iter().take(self.numbers));
        let numbers = numbers.map(|text| Cell::from(Text::from(text).right_aligned()));
        [region, method].map(Cell::from).into_iter().chain(numbers).collect()
    }
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
        drawn_at(screen, Duration::ZERO, width, height)
    }

    fn drawn_at(screen: &Screen, age: Duration, width: u16, height: u16) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| screen.draw(frame, Some(age))).unwrap();
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

    #[test]
    fn a_narrow_screen_shows_fewer_columns_and_no_part_of_a_number() {
        for width in 0..80 {
            let lines = drawn(&screen(&[123_456.0]), width, 24);
            let words: Vec<&str> = lines[3].split_whitespace().skip(2).collect();
            let all = ["123456", "123", "µs", "1.50", "s", "0.0", "7"];
            assert!(all.starts_with(&words), "{width}: {words:?}");
        }
        let lines = drawn(&screen(&[1.0]), 55, 24);
        assert!(lines[2].contains("ERRORS/S") && !lines[2].contains("IN-"), "{}", lines[2]);
    }

    #[test]
    fn an_old_reading_shows_its_age() {
        let screen = screen(&[1.0]);
        let head = |millis| drawn_at(&screen, Duration::from_millis(millis), 80, 24)[0].clone();
        assert!(!head(1_900).contains("old"), "{}", head(1_900));
        assert!(head(3_500).contains("3 s old"), "{}", head(3_500));
    }
}
