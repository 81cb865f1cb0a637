//! The plots of a report: SVG elements. Those over the whole page come in a wide and a narrow form, of which the style
//! sheet shows one, so that their text has the same size on a desk and on a phone.

mod canvas;
mod confusion;
mod forest;
mod latency;
mod reliability;
mod scale;

pub(super) use canvas::SERIES;
pub(super) use confusion::{confusion, needs_width};
pub(super) use forest::{Row, forest};
pub(super) use latency::{Line, latency};
pub(super) use reliability::reliability;

use crate::Result;

/// Width in pixels of the form for phones, and of plots that stand beside each other.
const NARROW: i32 = 326;

/// Width in pixels of the form for desks.
const WIDE: i32 = 980;

/// Both forms of a plot, with the classes by which the style sheet knows them.
fn both(draw: impl Fn(i32, &str) -> Result<String>) -> Result<String> {
    Ok(draw(WIDE, "wide")? + &draw(NARROW, "narrow")?)
}
