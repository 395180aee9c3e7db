//! A chart of several series over one time, each in a panel of its own.

use plotters::prelude::*;

/// One panel.
pub struct Panel {
    pub title: String,
    /// Minutes since the beginning, and a value.
    pub samples: Vec<(f64, f64)>,
}

const SIZE: (u32, u32) = (960, 160);

/// Draws the panels below one another, as SVG. It has a background of its own, so it reads the same on a light and a dark page.
pub fn draw(panels: &[Panel]) -> String {
    let mut svg = String::new();
    let height = SIZE.1 * u32::try_from(panels.len()).expect("a few");
    {
        let root = SVGBackend::with_string(&mut svg, (SIZE.0, height)).into_drawing_area();
        root.fill(&WHITE).expect("a string takes all");
        for (area, panel) in root.split_evenly((panels.len(), 1)).iter().zip(panels) {
            let minutes = panel.samples.last().map_or(1.0, |sample| sample.0);
            let highest = panel.samples.iter().map(|sample| sample.1).fold(1.0, f64::max);
            let mut chart = ChartBuilder::on(area)
                .caption(&panel.title, ("sans-serif", 14))
                .margin(8)
                .margin_right(24)
                .x_label_area_size(22)
                .y_label_area_size(56)
                .build_cartesian_2d(0.0..minutes, 0.0..highest * 1.1)
                .expect("a string takes all");
            chart
                .configure_mesh()
                .light_line_style(TRANSPARENT)
                .y_labels(4)
                .x_label_formatter(&|minute| format!("{minute:.0} min"))
                .y_label_formatter(&|value| format!("{value:.0}"))
                .draw()
                .expect("a string takes all");
            let line = LineSeries::new(panel.samples.iter().copied(), RGBColor(194, 65, 12).stroke_width(2));
            chart.draw_series(line).expect("a string takes all");
        }
    }
    svg
}
