//! The plots of a report: SVG elements, each in a wide and a narrow form, of which the style sheet shows one.

mod canvas;
mod confusion;
mod forest;
mod latency;
mod reliability;
mod scale;

pub(super) use canvas::SERIES;
pub(super) use confusion::confusion;
pub(super) use forest::{Row, forest};
pub(super) use latency::{Line, latency};
pub(super) use reliability::reliability;

use crate::Result;

/// Widths of the two forms in pixels, and the classes by which the style sheet knows them.
const FORMS: [(i32, &str); 2] = [(680, "wide"), (326, "narrow")];

/// Both forms of a plot.
fn both(draw: impl Fn(i32, &str) -> Result<String>) -> Result<String> {
    let [wide, narrow] = FORMS;
    Ok(draw(wide.0, wide.1)? + &draw(narrow.0, narrow.1)?)
}
