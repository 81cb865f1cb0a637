//! Values with their intervals, one to a row.

use super::both;
use super::canvas::{Align, Ink, draw};
use super::scale::{Scale, range, shortened};
use crate::Result;

/// One row of a forest plot.
pub(in crate::report) struct Row {
    /// What the value is of.
    pub(in crate::report) label: String,
    /// The value.
    pub(in crate::report) value: f64,
    /// Its interval.
    pub(in crate::report) interval: Option<(f64, f64)>,
    /// Number of the model, for the colour.
    pub(in crate::report) series: usize,
    /// `Some(true)` for a change for the better, `Some(false)` for the worse: they have colours of their own.
    pub(in crate::report) better: Option<bool>,
}

const ROW: f64 = 26.0;
const AXIS: f64 = 30.0;

/// Values as dots and intervals as bars on a common axis; with `zero`, a line marks 0.
pub(in crate::report) fn forest(label: &str, rows: &[Row], zero: bool) -> Result<String> {
    both(|width, class| {
        let height = ROW * rows.len() as f64 + AXIS;
        draw((width, height as i32), class, label, |canvas| {
            let width = f64::from(width);
            let names = if width < 400.0 { 124.0 } else { 250.0 };
            let letters = (names / 7.0) as usize;
            let ends = rows.iter().flat_map(|row| {
                let (low, high) = row.interval.unwrap_or((row.value, row.value));
                [low, high, row.value]
            });
            let (mut low, mut high) = range(ends);
            if zero {
                (low, high) = (low.min(0.0), high.max(0.0));
            }
            let scale = Scale::padded((low, high), (names + 10.0, width - 16.0));
            let bottom = height - AXIS;
            for (value, text) in scale.ticks(if width < 400.0 { 4 } else { 8 }) {
                let x = scale.at(value);
                canvas.line((x, 0.0), (x, bottom + 4.0), Ink::Grid, 1)?;
                canvas.text(&text, (x, bottom + 16.0), Align::Middle, Ink::Muted)?;
            }
            if zero {
                canvas.line((scale.at(0.0), 0.0), (scale.at(0.0), bottom), Ink::Text, 1)?;
            }
            for (i, row) in rows.iter().enumerate() {
                let y = (i as f64 + 0.5) * ROW;
                let ink = match row.better {
                    Some(true) => Ink::Good,
                    Some(false) => Ink::Bad,
                    None => Ink::Series(row.series),
                };
                canvas.text(
                    &shortened(&row.label, letters),
                    (names, y),
                    Align::Right,
                    Ink::Text,
                )?;
                if let Some((low, high)) = row.interval {
                    canvas.line((scale.at(low), y), (scale.at(high), y), ink, 2)?;
                    for end in [low, high] {
                        canvas.line((scale.at(end), y - 4.0), (scale.at(end), y + 4.0), ink, 2)?;
                    }
                }
                canvas.dot((scale.at(row.value), y), 5, ink)?;
            }
            Ok(())
        })
    })
}
