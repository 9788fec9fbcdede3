//! The times of R1 as a plot: the share of calls that took longer, for each policy.

use std::time::Duration;

use anyhow::Result;
use plotters::prelude::*;

use crate::policy::Policy;

const SIZE: (u32, u32) = (640, 360);

/// Distinguishable with color blindness (Okabe and Ito).
const COLORS: [RGBColor; 3] = [RGBColor(0, 114, 178), RGBColor(213, 94, 0), RGBColor(90, 90, 90)];

/// The shares of calls for which the plot has points, from half of them to one in ten thousand.
const POINTS: u32 = 200;

/// Draws the times of each policy as SVG.
pub(crate) fn svg(runs: &[(Policy, Vec<Duration>)]) -> Result<String> {
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        root.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&root)
            .caption("Ten nodes of different speed (R1)", ("sans-serif", 19))
            .margin(8)
            .x_label_area_size(42)
            .y_label_area_size(64)
            .build_cartesian_2d((0.1_f64..2_000.0).log_scale(), (1e-4_f64..1.0).log_scale())?;
        chart
            .configure_mesh()
            .x_desc("milliseconds")
            .y_desc("share of calls that took longer")
            .label_style(("sans-serif", 15))
            .light_line_style(TRANSPARENT)
            .bold_line_style(RGBColor(225, 225, 225))
            .draw()?;
        for ((policy, times), color) in runs.iter().zip(COLORS) {
            chart
                .draw_series(LineSeries::new(points(times), color.stroke_width(2)))?
                .label(policy.name())
                .legend(move |(x, y)| {
                    PathElement::new([(x, y), (x + 14, y)], color.stroke_width(2))
                });
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::LowerLeft)
            .label_font(("sans-serif", 15))
            .background_style(WHITE.mix(0.8))
            .draw()?;
        root.present()?;
    }
    Ok(svg.replacen("<svg ", "<svg style=\"max-width:100%;height:auto\" ", 1))
}

fn points(times: &[Duration]) -> Vec<(f64, f64)> {
    let mut times: Vec<f64> = times.iter().map(|time| time.as_secs_f64() * 1e3).collect();
    times.sort_by(f64::total_cmp);
    let point = |at: u32| {
        // From 1 to 1e-4.
        let share = 10_f64.powf(-4.0 * f64::from(at) / f64::from(POINTS));
        let rank = ((1.0 - share) * times.len() as f64) as usize;
        (times[rank.min(times.len() - 1)].max(0.1), share)
    };
    (0..=POINTS).map(point).collect()
}
