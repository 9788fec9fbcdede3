//! The map of the regions, as an SVG.

use std::fmt::{self, Write as _};

use super::{
    class,
    overview::RegionView,
    regions::place,
    text::{count, name},
};

/// The land of Natural Earth at 1:110 m, which is in the public domain, converted by `tools/land.py`.
const LAND: &str = include_str!("land.svgpath");

/// The projection of [`LAND`]: equirectangular, with this number of units in a degree.
const UNITS: f64 = 4.0;
const NORTH: f64 = 84.0;
const SIZE: (f64, f64) = (1_440.0, 568.0);

/// The size of the dots and labels on a screen of one width.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scale {
    class: &'static str,
    font: f64,
    radius: f64,
    max_radius: f64,
}

/// The same map, on which dots and labels have the size for a wide or a narrow screen. The style shows one of the two.
pub(super) const WIDE: Scale = Scale { class: "wide", font: 26.0, radius: 9.0, max_radius: 15.0 };
pub(super) const NARROW: Scale =
    Scale { class: "narrow", font: 42.0, radius: 16.0, max_radius: 24.0 };

/// The distance of the ring around the primary region from its dot, in radii of a dot.
const RING: f64 = 0.6;

/// Writes the map.
pub(super) fn map(out: &mut String, regions: &[RegionView<'_>]) -> fmt::Result {
    let (width, height) = SIZE;
    writeln!(
        out,
        "<svg viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"Map of the regions\">\
         <path class=\"land\" d=\"{}\"/>",
        LAND.trim_end()
    )?;
    for scale in [WIDE, NARROW] {
        writeln!(out, "<g class=\"{}\">", scale.class)?;
        let dots = dots(regions, scale);
        let mut drawn: Vec<_> = labels(&dots, scale).into_iter().zip(&dots).collect();
        // The dots of regions with problems cover others.
        drawn.sort_by_key(|(_, dot)| dot.region.health);
        for (label, dot) in drawn {
            dot.draw(out, label, scale)?;
        }
        out.push_str("</g>\n");
    }
    out.push_str("</svg>\n");
    Ok(())
}

/// A region on the map.
#[derive(Debug)]
pub(super) struct Dot<'a> {
    region: &'a RegionView<'a>,
    x: f64,
    y: f64,
    radius: f64,
    text: String,
}

/// A rectangle: its left, top, right and bottom edge.
#[derive(Debug, Clone, Copy)]
pub(super) struct Area([f64; 4]);

impl Area {
    pub(super) fn overlaps(&self, other: &Area) -> bool {
        let ([a0, a1, a2, a3], [b0, b1, b2, b3]) = (self.0, other.0);
        a0 < b2 && b0 < a2 && a1 < b3 && b1 < a3
    }

    fn is_on_the_map(&self) -> bool {
        let [left, top, right, bottom] = self.0;
        left >= 0.0 && top >= 0.0 && right <= SIZE.0 && bottom <= SIZE.1
    }
}

impl Dot<'_> {
    fn area(&self) -> Area {
        let Dot { x, y, radius, .. } = self;
        Area([x - radius, y - radius, x + radius, y + radius])
    }

    fn draw(&self, out: &mut String, label: Option<Area>, scale: Scale) -> fmt::Result {
        let Dot { x, y, radius, region, text } = self;
        if let Some(Area([left, top, right, bottom])) = label {
            let (near_x, near_y) = (x.clamp(left, right), y.clamp(top, bottom));
            if (near_x - x).hypot(near_y - y) > radius + scale.font {
                write!(out, "<path class=\"lead\" d=\"M{x:.0} {y:.0}L{near_x:.0} {near_y:.0}\"/>")?;
            }
            let base = bottom - scale.font * 0.25;
            write!(out, "<text x=\"{left:.0}\" y=\"{base:.0}\">{}</text>", name(text))?;
        }
        if region.is_primary {
            let ring = radius + scale.radius * RING;
            write!(out, "<circle class=\"ring\" cx=\"{x:.0}\" cy=\"{y:.0}\" r=\"{ring:.0}\"/>")?;
        }
        let class = class(region.health);
        writeln!(
            out,
            "<circle class=\"dot {class}\" cx=\"{x:.0}\" cy=\"{y:.0}\" r=\"{radius:.1}\"><title>{}: {}</title></circle>",
            name(region.region.as_str()),
            count(region.live, "node")
        )
    }
}

/// The dots of the regions whose places are known.
pub(super) fn dots<'a>(regions: &'a [RegionView<'a>], scale: Scale) -> Vec<Dot<'a>> {
    let dot = |region: &'a RegionView<'a>| {
        let place = place(region.region)?;
        let radius = scale.radius * (1.0 + 0.15 * (region.live.max(1) as f64).ln());
        Some(Dot {
            region,
            x: (place.longitude + 180.0) * UNITS,
            y: (NORTH - place.latitude) * UNITS,
            radius: radius.min(scale.max_radius),
            text: format!("{} {}", region.region, region.live),
        })
    };
    regions.iter().filter_map(dot).collect()
}

/// Finds the area of each label, such that it covers no dot and no other label. `None` if there is no room nearby.
pub(super) fn labels(dots: &[Dot<'_>], scale: Scale) -> Vec<Option<Area>> {
    let mut taken: Vec<Area> = dots.iter().map(Dot::area).collect();
    let mut areas = Vec::new();
    for dot in dots {
        let is_free =
            |area: &Area| area.is_on_the_map() && !taken.iter().any(|taken| area.overlaps(taken));
        let area = candidates(dot, scale).find(is_free);
        taken.extend(area);
        areas.push(area);
    }
    areas
}

/// The areas around a dot, the nearest first.
fn candidates(dot: &Dot<'_>, scale: Scale) -> impl Iterator<Item = Area> {
    // To the right, to the left, above, below, and the corners.
    const SIDES: [(f64, f64); 8] = [
        (1.0, 0.0),
        (-1.0, 0.0),
        (0.0, -1.0),
        (0.0, 1.0),
        (1.0, -1.0),
        (1.0, 1.0),
        (-1.0, -1.0),
        (-1.0, 1.0),
    ];
    let (width, height) = (dot.text.chars().count() as f64 * scale.font * 0.62, scale.font * 1.15);
    let (x, y, radius) = (
        dot.x,
        dot.y,
        dot.radius + scale.radius * if dot.region.is_primary { RING + 0.4 } else { 0.4 },
    );
    (0..8).flat_map(move |ring| {
        let gap = radius + f64::from(ring) * height * 0.7;
        SIDES.into_iter().map(move |(dx, dy)| {
            let left = x - width / 2.0 + dx * (gap + width / 2.0);
            let top = y - height / 2.0 + dy * (gap + height / 2.0);
            Area([left, top, left + width, top + height])
        })
    })
}
