//! A confusion matrix as a heat map.

use super::canvas::{Align, Canvas, Ink, draw};
use super::scale::shortened;
use super::{NARROW, WIDE};
use crate::Result;
use crate::report::ConfusionMatrix;

/// The most classes of a matrix that stands beside others.
const SMALL: usize = 8;

/// Room for a letter, in pixels.
const LETTER: f64 = 7.0;

/// Whether a matrix needs the whole width of the page.
pub(in crate::report) fn needs_width(matrix: &ConfusionMatrix) -> bool {
    matrix.labels.len() > SMALL
}

/// Cells shaded by their share of the row; with their counts where there is room. Large matrices come in both forms.
pub(in crate::report) fn confusion(label: &str, matrix: &ConfusionMatrix) -> Result<String> {
    match needs_width(matrix) {
        true => super::both(|width, class| picture(label, matrix, width.min(WIDE - 200), class)),
        false => picture(label, matrix, NARROW, ""),
    }
}

fn picture(label: &str, matrix: &ConfusionMatrix, width: i32, class: &str) -> Result<String> {
    let classes = matrix.labels.len().max(1) as f64;
    let wide = f64::from(width);
    let longest = matrix.labels.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    let names = (LETTER * (longest as f64 + 4.0)).clamp(56.0, (0.32 * wide).clamp(104.0, 200.0));
    let cell = ((wide - names - 2.0) / classes).clamp(1.0, 72.0);
    let layout = Layout { names, cell, named: cell >= 13.0 };
    let height = Layout::TOP + cell * classes + 4.0;
    draw((width, height as i32), class, label, |canvas| {
        layout.titles(canvas, matrix)?;
        for target in 0..matrix.labels.len() {
            layout.row(canvas, matrix, target)?;
        }
        Ok(())
    })
}

struct Layout {
    /// Room for the classes' names at the left.
    names: f64,
    /// Side of a cell.
    cell: f64,
    /// Whether there is room for names at all.
    named: bool,
}

impl Layout {
    const TOP: f64 = 40.0;

    fn titles(&self, canvas: &mut Canvas<'_>, matrix: &ConfusionMatrix) -> Result<()> {
        canvas.text("target ↓", (self.names - 8.0, 8.0), Align::Right, Ink::Muted)?;
        canvas.text("answered →", (self.names, 8.0), Align::Left, Ink::Muted)?;
        let fits = |name: &String| name.chars().count() as f64 * LETTER < self.cell;
        let numbered = !matrix.labels.iter().all(fits);
        if !self.named {
            return Ok(());
        }
        for (class, name) in matrix.labels.iter().enumerate() {
            let middle = (class as f64 + 0.5) * self.cell;
            // Where names do not fit above the columns, numbers stand there and before the names.
            let (row, column) = match numbered {
                true => (format!("{} {name}", class + 1), (class + 1).to_string()),
                false => (name.clone(), name.clone()),
            };
            let row = shortened(&row, ((self.names - 8.0) / LETTER) as usize);
            canvas.text(&row, (self.names - 8.0, Self::TOP + middle), Align::Right, Ink::Text)?;
            canvas.text(&column, (self.names + middle, 28.0), Align::Middle, Ink::Muted)?;
        }
        Ok(())
    }

    fn row(&self, canvas: &mut Canvas<'_>, matrix: &ConfusionMatrix, target: usize) -> Result<()> {
        let all = matrix.of_class(target);
        let counts = matrix.counts.get(target).map_or(&[][..], Vec::as_slice);
        let gap = if self.cell >= 6.0 { 1.0 } else { 0.0 };
        for (answer, &count) in counts.iter().enumerate() {
            let x = self.names + answer as f64 * self.cell;
            let y = Self::TOP + target as f64 * self.cell;
            let corner = (x + self.cell - gap, y + self.cell - gap);
            canvas.rectangle((x, y), corner, Ink::Empty)?;
            if count > 0 {
                canvas.rectangle((x, y), corner, Ink::Heat(count as f64 / all as f64))?;
            }
            if self.cell >= 26.0 {
                let ink = if count > 0 { Ink::Text } else { Ink::Muted };
                let middle = (x + self.cell / 2.0, y + self.cell / 2.0);
                canvas.text(&short_count(count), middle, Align::Middle, ink)?;
            }
        }
        Ok(())
    }
}

/// At most four characters.
fn short_count(count: u64) -> String {
    match count {
        0..=9_999 => count.to_string(),
        10_000..=999_499 => format!("{:.0}k", count as f64 / 1e3),
        _ => format!("{:.0}M", count as f64 / 1e6),
    }
}
