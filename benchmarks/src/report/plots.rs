//! Plots of figures against the number of callers, as SVG. Both axes are logarithmic, and each contender
//! has a line.

use std::ops::Range;

use anyhow::{Result, anyhow};
use plotters::{coord::combinators::BindKeyPoints, prelude::*};

use super::number::short;
use crate::{contenders::Name, figures::Figures, workloads::CALLERS};

/// A plot.
pub(super) struct Plot {
    title: &'static str,
    unit: &'static str,
    /// Prefix of the names of the figures.
    figure: &'static str,
}

pub(super) const THROUGHPUT: Plot =
    Plot { title: "upcase(\"fly\"): throughput", unit: "calls per second", figure: "throughput" };

pub(super) const LATENCY: Plot =
    Plot { title: "upcase(\"fly\"): median latency", unit: "microseconds", figure: "latency-p50" };

const SIZE: (u32, u32) = (640, 400);

/// Returns the color of a contender. The colors are distinguishable with color blindness (Okabe and Ito).
fn color(contender: Name) -> RGBColor {
    match contender {
        Name::Raw => RGBColor(90, 90, 90),
        Name::RawBatched => RGBColor(180, 180, 180),
        Name::Tarpc => RGBColor(0, 114, 178),
        Name::Tonic => RGBColor(0, 158, 115),
        Name::Flyrpc => RGBColor(213, 94, 0),
        Name::FlyrpcSealed => RGBColor(240, 228, 66),
        Name::TonicTls => RGBColor(86, 180, 233),
        Name::Beside => RGBColor(204, 121, 167),
    }
}

/// Draws a plot. Returns `None` if none of its figures was measured.
pub(super) fn svg(plot: &Plot, figures: &Figures) -> Result<Option<String>> {
    let lines = Name::WITH_BATCHED.map(|contender| (contender, points(plot, contender, figures)));
    let values: Vec<f64> = lines.iter().flat_map(|(_, points)| points).map(|(_, y)| *y).collect();
    if values.is_empty() {
        return Ok(None);
    }
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(0.0, f64::max);
    let mut svg = String::new();
    // Converted here, because the errors of plotters borrow the buffer that is drawn to.
    draw(&mut svg, plot, &lines, least / 1.5..most * 2.0).map_err(|error| anyhow!("{error}"))?;
    // Some pages are narrower than the plot.
    Ok(Some(svg.replacen("<svg ", "<svg style=\"max-width:100%;height:auto\" ", 1)))
}

type Line = (Name, Vec<(f64, f64)>);

fn points(plot: &Plot, contender: Name, figures: &Figures) -> Vec<(f64, f64)> {
    let point = |&callers: &usize| {
        let figure = figures.get(&format!("{}-{callers}-callers-3B-{contender}", plot.figure))?;
        Some((callers as f64, figure.median()))
    };
    CALLERS.iter().filter_map(point).collect()
}

fn draw(
    svg: &mut String,
    plot: &Plot,
    lines: &[Line],
    range: Range<f64>,
) -> Result<(), Box<dyn std::error::Error>> {
    let root = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let callers = CALLERS.map(|callers| callers as f64);
    let width = callers[0] * 0.85..callers[callers.len() - 1] * 1.18;
    let mut chart = ChartBuilder::on(&root)
        .caption(plot.title, ("sans-serif", 19))
        .margin(8)
        .x_label_area_size(42)
        .y_label_area_size(80)
        .build_cartesian_2d(
            width.log_scale().with_key_points(callers.to_vec()),
            range.log_scale(),
        )?;
    chart
        .configure_mesh()
        .x_desc("callers")
        .y_desc(plot.unit)
        .x_label_formatter(&|callers| format!("{callers}"))
        .y_label_formatter(&|value| short(value.round()).trim_end_matches(".00").to_owned())
        .label_style(("sans-serif", 15))
        .light_line_style(TRANSPARENT)
        .bold_line_style(RGBColor(225, 225, 225))
        .draw()?;
    for (contender, points) in lines.iter().filter(|(_, points)| !points.is_empty()) {
        let line = color(*contender).stroke_width(2);
        let dots: Vec<_> =
            points.iter().map(|point| Circle::new(*point, 3, line.filled())).collect();
        chart
            .draw_series(LineSeries::new(points.iter().copied(), line))?
            .label(contender.to_string())
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 14, y)], line));
        chart.draw_series(dots)?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .label_font(("sans-serif", 15))
        .background_style(WHITE.mix(0.8))
        .draw()?;
    root.present()?;
    Ok(())
}
