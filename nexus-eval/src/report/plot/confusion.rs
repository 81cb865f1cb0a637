//! A confusion matrix as a heat map.

use super::both;
use super::canvas::{Align, Ink, draw};
use super::scale::shortened;
use crate::Result;
use crate::report::ConfusionMatrix;

/// Cells shaded by the share of their row; with their counts where there is room.
pub(in crate::report) fn confusion(label: &str, matrix: &ConfusionMatrix) -> Result<String> {
    let classes = matrix.labels.len().max(1) as f64;
    both(|width, class| {
        let wide = f64::from(width);
        let names = (0.22 * wide).round();
        let room = (wide - names - 8.0).min(480.0);
        let cell = (room / classes).min(72.0).max(1.0);
        let size = cell * classes;
        let numbers = cell >= 26.0;
        let top = 36.0;
        let named = cell >= 13.0;
        draw((width, (top + size + 6.0) as i32), class, label, |canvas| {
            canvas.text("answered", (names + size / 2.0, 8.0), Align::Middle, Ink::Muted)?;
            canvas.text("target", (names - 8.0, 8.0), Align::Right, Ink::Muted)?;
            for (target, name) in matrix.labels.iter().enumerate() {
                let middle = top + (target as f64 + 0.5) * cell;
                if named {
                    let letters = ((names - 8.0) / 7.0) as usize;
                    canvas.text(
                        &shortened(name, letters),
                        (names - 8.0, middle),
                        Align::Right,
                        Ink::Text,
                    )?;
                    let letters = (cell / 7.0).max(1.0) as usize;
                    // Where names do not fit, the order of the rows tells the columns.
                    let column = match name.chars().count() <= letters {
                        true => name.clone(),
                        false => (target + 1).to_string(),
                    };
                    let x = names + (target as f64 + 0.5) * cell;
                    canvas.text(&column, (x, 26.0), Align::Middle, Ink::Muted)?;
                }
                let all = matrix.of_class(target);
                let row = matrix.counts.get(target).map_or(&[][..], Vec::as_slice);
                for (answer, &count) in row.iter().enumerate() {
                    let (x, y) = (names + answer as f64 * cell, top + target as f64 * cell);
                    let share = if all > 0 { count as f64 / all as f64 } else { 0.0 };
                    let gap = if cell >= 6.0 { 1.0 } else { 0.0 };
                    let corner = (x + cell - gap, y + cell - gap);
                    canvas.rectangle((x, y), corner, Ink::Empty)?;
                    canvas.rectangle((x, y), corner, Ink::Heat(share))?;
                    if numbers && (count > 0 || target == answer) {
                        let ink = if count > 0 { Ink::Text } else { Ink::Muted };
                        canvas.text(
                            &short_count(count),
                            (x + cell / 2.0, middle),
                            Align::Middle,
                            ink,
                        )?;
                    }
                }
            }
            Ok(())
        })
    })
}

/// At most four characters.
fn short_count(count: u64) -> String {
    match count {
        0..=9_999 => count.to_string(),
        10_000..=999_499 => format!("{:.0}k", count as f64 / 1e3),
        _ => format!("{:.0}M", count as f64 / 1e6),
    }
}
