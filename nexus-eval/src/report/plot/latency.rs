//! Latency by percentile.

use super::both;
use super::canvas::{Align, Ink, draw};
use super::scale::{Scale, range};
use crate::Result;
use crate::report::LatencyPercentile;

/// A line for each model: its number, its latency by quantile.
pub(in crate::report) type Line<'a> = (usize, &'a [LatencyPercentile]);

/// Latency over the percentile, whose axis gives each further nine the same room; objectives as dashed lines.
pub(in crate::report) fn latency(
    label: &str,
    lines: &[Line<'_>],
    objectives: &[LatencyPercentile],
) -> Result<String> {
    let all = || lines.iter().flat_map(|line| line.1.iter());
    let deepest = range(all().map(|point| nines(point.quantile))).1;
    let longest = range(all().chain(objectives).map(|point| point.seconds)).1;
    let (unit, factor) = if longest < 1.0 { ("ms", 1e3) } else { ("s", 1.0) };
    both(|width, class| {
        let wide = f64::from(width);
        let height = if wide < 400.0 { 240.0 } else { 300.0 };
        draw((width, height as i32), class, label, |canvas| {
            let (left, right, top, bottom) = (48.0, wide - 20.0, 24.0, height - 44.0);
            let x = Scale::new((0.0, deepest.max(1.0)), (left, right));
            let y = Scale::new((0.0, 1.05 * longest * factor), (bottom, top));
            for (value, text) in y.ticks(6) {
                canvas.line((left, y.at(value)), (right, y.at(value)), Ink::Grid, 1)?;
                canvas.text(&text, (left - 6.0, y.at(value)), Align::Right, Ink::Muted)?;
            }
            for quantile in [0.0, 0.5, 0.9, 0.95, 0.99, 0.999, 0.9999, 0.99999] {
                let at = x.at(nines(quantile));
                if at > right + 0.5 || (quantile == 0.95 && wide < 400.0) {
                    continue;
                }
                canvas.line((at, top), (at, bottom + 4.0), Ink::Grid, 1)?;
                let text = format!("{}", (quantile * 1e7_f64).round() / 1e5);
                canvas.text(&text, (at, bottom + 14.0), Align::Middle, Ink::Muted)?;
            }
            canvas.text(&format!("latency in {unit}"), (0.0, 8.0), Align::Left, Ink::Muted)?;
            canvas.text(
                "percentile",
                ((left + right) / 2.0, height - 10.0),
                Align::Middle,
                Ink::Muted,
            )?;
            for goal in objectives {
                let (x, y) = (x.at(nines(goal.quantile)), y.at(goal.seconds * factor));
                canvas.dashes((left, y), (x, y), Ink::Text)?;
                canvas.dashes((x, y), (x, bottom), Ink::Text)?;
            }
            for (series, points) in lines {
                let place =
                    |p: &LatencyPercentile| (x.at(nines(p.quantile)), y.at(p.seconds * factor));
                let places: Vec<(f64, f64)> = points.iter().map(place).collect();
                canvas.path(&places, Ink::Series(*series), 2)?;
                for at in places {
                    canvas.dot(at, 4, Ink::Series(*series))?;
                }
            }
            Ok(())
        })
    })
}

/// How many nines a quantile has: 1 for 0.9, 2 for 0.99.
fn nines(quantile: f64) -> f64 {
    -(1.0 - quantile.clamp(0.0, 0.999_999)).log10()
}
