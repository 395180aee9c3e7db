//! The chart: messages a second as bars, and the spread of the latency beside them.
//!
//! It has colours and a background of its own, so it reads the same on a light and a dark page.

use std::fmt::Write as _;

use crate::figures::Figures;
use crate::lineup::{Outcome, System};
use crate::report::{grouped, ms};

const WIDTH: f64 = 960.0;
const ROW: f64 = 34.0;
const TOP: f64 = 74.0;
/// Where the names end, and the two panels.
const NAMES: f64 = 210.0;
const SPEED: (f64, f64) = (222.0, 540.0);
const LATENCY: (f64, f64) = (640.0, 920.0);
const OURS: &str = "#c2410c";
const THEIRS: &str = "#64748b";
const UNSAFE: &str = "#cbd5e1";

/// The chart as SVG.
pub fn draw(rate: u32, outcomes: &[Outcome]) -> String {
    let measured: Vec<_> =
        outcomes.iter().filter_map(|outcome| Some((outcome, outcome.throughput()?))).collect();
    let rows = measured.iter().fold(0.0, |rows, _| rows + 1.0);
    let height = TOP + rows * ROW + 46.0;
    let fastest = measured.iter().map(|(_, figures)| figures.end_to_end_per_s).fold(1.0, f64::max);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" \
         font-size=\"13\" role=\"img\">\n<title>Messages a second and latency, side by side</title>\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#ffffff\"/>\n"
    );
    label(&mut svg, SPEED.0, 30.0, "start", "#0f172a\" font-weight=\"bold", "messages a second, end to end");
    let title = format!("ms at {} msg/s: p50, p99, p99.9", grouped(f64::from(rate)));
    label(&mut svg, LATENCY.0, 30.0, "start", "#0f172a\" font-weight=\"bold", &title);
    axis(&mut svg, TOP + rows * ROW, outcomes);
    let mut y = TOP;
    for (outcome, figures) in measured {
        let colour = colour(outcome.system);
        label(&mut svg, NAMES, y + 17.0, "end", "#0f172a", outcome.system.name());
        let length = (figures.end_to_end_per_s / fastest * (SPEED.1 - SPEED.0)).max(1.0);
        _ = writeln!(
            svg,
            "<rect x=\"{}\" y=\"{}\" width=\"{length:.1}\" height=\"20\" rx=\"2\" fill=\"{colour}\"/>",
            SPEED.0,
            y + 2.0
        );
        label(
            &mut svg,
            SPEED.0 + length + 6.0,
            y + 17.0,
            "start",
            "#0f172a",
            &grouped(figures.end_to_end_per_s),
        );
        match outcome.latency() {
            Some(latency) => spread(&mut svg, y + 12.0, colour, &latency, outcomes),
            None => label(&mut svg, LATENCY.0 + 8.0, y + 17.0, "start", "#64748b", "can't keep up"),
        }
        y += ROW;
    }
    let note = "pale: confirms before it fsyncs; all others fsync first";
    label(&mut svg, SPEED.0, height - 12.0, "start", "#64748b", note);
    svg + "</svg>\n"
}

fn colour(system: System) -> &'static str {
    match system {
        System::BbqHttp3 | System::BbqHttp2 => OURS,
        System::NatsDefault => UNSAFE,
        System::Redis | System::Rabbitmq | System::Postgres | System::NatsAlways | System::Beanstalkd => {
            THEIRS
        }
    }
}

/// The decades of the latency panel: whole powers of ten around all that is shown, as exponents of microseconds.
fn decades(outcomes: &[Outcome]) -> (f64, f64) {
    let shown = outcomes.iter().filter_map(Outcome::latency);
    let (low, high) = shown.fold((f64::MAX, 1.0_f64), |(low, high), figures| {
        (low.min(figures.p50_us), high.max(figures.p99_9_us))
    });
    if low > high { (3.0, 4.0) } else { (low.log10().floor(), high.log10().ceil()) }
}

fn x_of(us: f64, outcomes: &[Outcome]) -> f64 {
    let (low, high) = decades(outcomes);
    LATENCY.0 + (us.max(1.0).log10() - low) / (high - low).max(1.0) * (LATENCY.1 - LATENCY.0)
}

fn axis(svg: &mut String, bottom: f64, outcomes: &[Outcome]) {
    let (low, high) = decades(outcomes);
    let mut exponent = low;
    while exponent <= high {
        let us = 10_f64.powf(exponent);
        let x = x_of(us, outcomes);
        _ = writeln!(svg, "<path d=\"M{x:.1} {} V{bottom}\" stroke=\"#e2e8f0\"/>", TOP - 8.0);
        label(svg, x, TOP - 14.0, "middle", "#64748b", &format!("{}", us / 1000.0));
        exponent += 1.0;
    }
}

fn spread(svg: &mut String, y: f64, colour: &str, latency: &Figures, outcomes: &[Outcome]) {
    let [p50, p99, p99_9] = [latency.p50_us, latency.p99_us, latency.p99_9_us].map(|us| x_of(us, outcomes));
    _ = writeln!(svg, "<path d=\"M{p50:.1} {y} H{p99_9:.1}\" stroke=\"{colour}\" stroke-width=\"2\"/>");
    _ = writeln!(svg, "<path d=\"M{p50:.1} {y} H{p99:.1}\" stroke=\"{colour}\" stroke-width=\"8\"/>");
    let values = format!(
        "p50 {} ms, p99 {} ms, p99.9 {} ms",
        ms(latency.p50_us),
        ms(latency.p99_us),
        ms(latency.p99_9_us)
    );
    _ = writeln!(
        svg,
        "<circle cx=\"{p50:.1}\" cy=\"{y}\" r=\"6\" fill=\"{colour}\"><title>{values}</title></circle>"
    );
    _ = writeln!(svg, "<path d=\"M{p99_9:.1} {} v10\" stroke=\"{colour}\" stroke-width=\"2\"/>", y - 5.0);
}

fn label(svg: &mut String, x: f64, y: f64, anchor: &str, fill: &str, text: &str) {
    _ = writeln!(
        svg,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" fill=\"{fill}\">{text}</text>"
    );
}
