//! The results as plots against the number of nodes, in one SVG.

use std::{error::Error, ops::Range, time::Duration};

use plotters::{coord::combinators::BindKeyPoints, prelude::*};

use crate::{scenarios::Results, table::thousands};

/// Number of plots in a row, and size of each in pixels.
const COLUMNS: usize = 3;
const SIZE: (u32, u32) = (320, 310);

/// Dark enough for a white background, and distinguishable with color blindness (Okabe and Ito).
const COLORS: [RGBColor; 4] =
    [RGBColor(0, 114, 178), RGBColor(213, 94, 0), RGBColor(0, 158, 115), RGBColor(90, 90, 90)];

/// A curve: its label, and its value for a cluster, if that was measured.
type Curve = (&'static str, fn(&Results) -> Option<f64>);

/// One small plot.
struct Plot {
    title: &'static str,
    unit: &'static str,
    curves: &'static [Curve],
}

impl Plot {
    fn has_points(&self, results: &[Results]) -> bool {
        self.curves.iter().any(|(_, curve)| results.iter().any(|all| curve(all).is_some()))
    }
}

const PLOTS: [Plot; 6] = [
    Plot {
        title: "A crash is known to",
        unit: "seconds",
        curves: &[
            ("the first", |all| secs(all.changes?.crash?.first)),
            ("the median", |all| secs(all.changes?.crash?.median)),
            ("the last", |all| secs(all.changes?.crash?.last)),
            ("the last, worst run", |all| secs(all.changes?.crash_worst?)),
        ],
    },
    Plot {
        title: "A leave is known to",
        unit: "seconds",
        curves: &[
            ("the median", |all| secs(all.changes?.leave?.median)),
            ("the last", |all| secs(all.changes?.leave?.last)),
        ],
    },
    Plot {
        title: "After a join",
        unit: "seconds",
        curves: &[
            ("the joiner knows all nodes", |all| secs(all.changes?.joiner?)),
            ("the median node knows it", |all| secs(all.changes?.join?.median)),
            ("the last node knows it", |all| secs(all.changes?.join?.last)),
        ],
    },
    Plot {
        title: "After a partition of 60 s",
        unit: "seconds",
        curves: &[
            ("99 % of pairs know each other", |all| secs(all.partition?.mostly?)),
            ("all nodes know each other", |all| secs(all.partition?.agreed?)),
        ],
    },
    Plot {
        title: "After a rolling restart",
        unit: "seconds",
        curves: &[("all nodes know each other", |all| secs(all.restart?.agreed?))],
    },
    Plot {
        title: "Sent per node",
        unit: "kB per second",
        curves: &[
            ("idle", |all| all.idle.map(|idle| (idle.gossip + idle.syncs) / 1e3)),
            ("during the restart", |all| Some(all.restart?.load.mean / 1e3)),
            ("after the partition", |all| Some(all.partition?.load.mean / 1e3)),
        ],
    },
];

/// Draws `results` as SVG.
///
/// # Errors
///
/// Returns an error if `results` is empty.
pub(crate) fn svg(results: &[Results]) -> Result<String, Box<dyn Error>> {
    let nodes = |all: &Results| all.nodes as f64;
    let (Some(first), Some(last)) = (results.first(), results.last()) else {
        return Err("there are no results to draw".into());
    };
    let plots: Vec<_> = PLOTS.iter().filter(|plot| plot.has_points(results)).collect();
    let rows = plots.len().div_ceil(COLUMNS);
    let range = nodes(first) * 0.85..nodes(last) * 1.18;
    let mut svg = String::new();
    {
        let size = (SIZE.0 * plots.len().min(COLUMNS) as u32, SIZE.1 * rows as u32);
        let root = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        root.fill(&WHITE)?;
        for (area, plot) in root.split_evenly((rows, plots.len().min(COLUMNS))).iter().zip(plots) {
            draw(area, plot, results, range.clone())?;
        }
        root.present()?;
    }
    // Some pages are narrower than the plots.
    Ok(svg.replacen("<svg ", "<svg style=\"max-width:100%;height:auto\" ", 1))
}

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

fn draw(
    area: &Area<'_>,
    plot: &Plot,
    results: &[Results],
    range: Range<f64>,
) -> Result<(), Box<dyn Error>> {
    let points = |curve: fn(&Results) -> Option<f64>| -> Vec<(f64, f64)> {
        results.iter().filter_map(|all| Some((all.nodes as f64, curve(all)?))).collect()
    };
    let curves: Vec<_> = plot.curves.iter().map(|(name, curve)| (*name, points(*curve))).collect();
    let top = curves.iter().flat_map(|(_, points)| points).map(|(_, y)| *y).fold(0.0, f64::max);
    // Room for the legend above.
    let room = 1.1 + 0.1 * curves.len() as f64;
    let height = if top > 0.0 { top * room } else { 1.0 };
    let ticks = results.iter().map(|all| all.nodes as f64).collect();
    let mut chart = ChartBuilder::on(area)
        .caption(plot.title, ("sans-serif", 19))
        .margin(8)
        .x_label_area_size(42)
        .y_label_area_size(56)
        .build_cartesian_2d(range.log_scale().with_key_points(ticks), 0.0..height)?;
    chart
        .configure_mesh()
        .x_desc("nodes")
        .y_desc(plot.unit)
        .x_label_formatter(&|nodes| thousands(*nodes as usize))
        .y_labels(6)
        .label_style(("sans-serif", 15))
        .light_line_style(TRANSPARENT)
        .bold_line_style(RGBColor(225, 225, 225))
        .draw()?;
    for ((name, points), color) in curves.into_iter().zip(COLORS) {
        if points.is_empty() {
            continue;
        }
        let dots: Vec<_> =
            points.iter().map(|point| Circle::new(*point, 3, color.filled())).collect();
        chart
            .draw_series(LineSeries::new(points, color.stroke_width(2)))?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 14, y)], color.stroke_width(2)));
        chart.draw_series(dots)?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .label_font(("sans-serif", 15))
        .background_style(WHITE.mix(0.8))
        .draw()?;
    Ok(())
}

fn secs(time: Duration) -> Option<f64> {
    Some(time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        scenarios::{Changes, Idle},
        stats::Spread,
    };

    fn results(nodes: usize) -> Results {
        let spread = Spread::of(vec![Duration::from_secs(8), Duration::from_secs(12)]);
        let changes = Changes {
            crash: spread,
            crash_worst: spread.map(|spread| spread.last),
            leave: spread,
            join: spread,
            joiner: None,
            false_downs: 0,
            renewals: 0,
        };
        let idle = Idle { gossip: 170.0, syncs: 40.0, datagrams: 1.2, busiest: 500.0 };
        Results { nodes, idle: Some(idle), changes: Some(changes), ..Results::default() }
    }

    #[test]
    fn there_is_a_plot_of_each_simulated_scenario_and_no_line_is_blank() {
        let svg = svg(&[results(100), results(1_000)]).unwrap();
        for text in ["A crash is known to", "the last, worst run", "idle", "1,000", "nodes"] {
            assert!(svg.contains(text), "{text}");
        }
        for text in ["during the restart", "After a partition"] {
            assert!(!svg.contains(text), "{text}");
        }
        // In Markdown, a blank line would end the SVG.
        assert!(svg.lines().all(|line| !line.trim().is_empty()));
        assert!(svg.starts_with("<svg ") && svg.trim_end().ends_with("</svg>"));
    }

    #[test]
    fn drawing_without_results_is_an_error() {
        assert!(svg(&[]).is_err());
    }
}
