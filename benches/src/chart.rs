//! Pictures: lines over the number of ranges, both axes logarithmic.

use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::prelude::*;

use crate::figures::Unit;

/// A picture of several lines.
#[derive(Debug, Default)]
pub struct Chart {
    /// What it shows.
    pub title: &'static str,
    /// What the vertical axis shows.
    pub axis: &'static str,
    lines: Vec<(String, Vec<(f64, f64)>)>,
}

/// Colours that people who see colours differently tell apart (Okabe and Ito).
const COLOURS: [RGBColor; 8] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(120, 120, 120),
    RGBColor(0, 0, 0),
];

impl Chart {
    /// An empty one.
    #[must_use]
    pub const fn new(title: &'static str, axis: &'static str) -> Self {
        Self { title, axis, lines: Vec::new() }
    }

    /// Puts a point on the line of this name. What is not above zero has no place on a logarithmic axis.
    pub fn point(&mut self, line: &str, ranges: usize, seconds: f64) {
        if seconds <= 0.0 {
            return;
        }
        let point = (ranges as f64, seconds);
        match self.lines.iter_mut().find(|(name, _)| name == line) {
            // The same figure is in the rows of each of its peers.
            Some((_, points)) if points.contains(&point) => {}
            Some((_, points)) => points.push(point),
            None => self.lines.push((line.to_owned(), vec![point])),
        }
    }

    /// Whether there is nothing to draw.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Draws it into a file.
    pub fn draw(&self, path: &Path) -> Result<()> {
        let points = || self.lines.iter().flat_map(|(_, points)| points);
        let least = |axis: fn(&(f64, f64)) -> f64| points().map(axis).fold(f64::INFINITY, f64::min);
        let most = |axis: fn(&(f64, f64)) -> f64| points().map(axis).fold(0.0, f64::max);
        let width = least(|point| point.0) / 1.5..most(|point| point.0) * 1.5;
        // Room above for the legend.
        let height = least(|point| point.1) / 1.5..most(|point| point.1) * 4.0;
        self.draw_within(path, width, height).map_err(|error| anyhow!("{}: {error}", path.display()))
    }

    fn draw_within(
        &self,
        path: &Path,
        width: std::ops::Range<f64>,
        height: std::ops::Range<f64>,
    ) -> Result<(), Box<dyn std::error::Error>> {
        let area = SVGBackend::new(path, (900, 560)).into_drawing_area();
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .caption(self.title, ("sans-serif", 20))
            .margin(12)
            .x_label_area_size(44)
            .y_label_area_size(84)
            .build_cartesian_2d(width.log_scale(), height.log_scale())?;
        chart
            .configure_mesh()
            .light_line_style(WHITE)
            .x_desc("ranges")
            .y_desc(self.axis)
            .x_label_formatter(&|ranges| format!("{ranges:.0}"))
            .y_label_formatter(&|seconds| Unit::Time.written(*seconds))
            .draw()?;
        for ((name, points), colour) in self.lines.iter().zip(COLOURS.iter().cycle()) {
            chart
                .draw_series(LineSeries::new(points.iter().copied(), colour.stroke_width(2)).point_size(3))?
                .label(name)
                .legend(|(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .background_style(WHITE.mix(0.8))
            .border_style(BLACK.mix(0.2))
            .draw()?;
        area.present()?;
        Ok(())
    }
}
