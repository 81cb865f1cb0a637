//! Drawing with plotters' SVG backend in inks that a style sheet resolves, so that one picture serves light and dark.

use crate::{Error, Result};
use plotters::backend::{DrawingBackend, SVGBackend};
use plotters::prelude::{FontFamily, FontStyle, IntoFont, RGBAColor, ShapeStyle, TextStyle};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use std::fmt::Display;

/// A colour by its role.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Ink {
    /// Text and main lines.
    Text,
    /// Secondary text.
    Muted,
    /// Grid lines.
    Grid,
    /// The fill of what is empty.
    Empty,
    /// The page behind the plot, to cover lines.
    Surface,
    /// The colour of model i.
    Series(usize),
    /// The fill of a heat map's cell, from 0 to 1.
    Heat(f64),
    /// A change for the better.
    Good,
    /// A change for the worse.
    Bad,
}

/// Colours for models; further ones start again.
pub(in crate::report) const SERIES: usize = 6;

/// The most opaque a heat map's cell gets: text in the page's colour stays legible on it in light and dark.
const HEAT: f64 = 0.6;

impl Ink {
    /// A colour that stands for the role until [`Canvas::finish`] puts the role's name in its place.
    fn placeholder(self) -> RGBAColor {
        let (role, alpha) = match self {
            Self::Text => (1, 1.0),
            Self::Muted => (2, 1.0),
            Self::Grid => (3, 1.0),
            Self::Surface => (4, 1.0),
            Self::Empty => (3, 0.4),
            Self::Good => (5, 1.0),
            Self::Bad => (6, 1.0),
            Self::Heat(share) => (7, HEAT * share.clamp(0.0, 1.0)),
            Self::Series(i) => (8 + (i % SERIES) as u8, 1.0),
        };
        RGBAColor(role, 0, 0, alpha)
    }
}

/// The style sheet's colours in the order of the placeholders, from 1 on.
const COLOURS: [&str; 7 + SERIES] = [
    "currentColor",
    "var(--muted)",
    "var(--line)",
    "var(--card)",
    "var(--good)",
    "var(--bad)",
    "var(--heat)",
    "var(--series-0)",
    "var(--series-1)",
    "var(--series-2)",
    "var(--series-3)",
    "var(--series-4)",
    "var(--series-5)",
];

/// Where a text stands relative to its point.
#[derive(Clone, Copy)]
pub(super) enum Align {
    Left,
    Middle,
    Right,
}

/// Size of all text in a plot, in pixels.
pub(super) const FONT: f64 = 12.0;

/// A picture in pixels, its origin at the top left.
pub(super) struct Canvas<'a> {
    backend: SVGBackend<'a>,
}

/// Draws a picture of this size and gives it as an SVG element that `label` describes to those who do not see it.
pub(super) fn draw(
    (width, height): (i32, i32),
    class: &str,
    label: &str,
    picture: impl FnOnce(&mut Canvas<'_>) -> Result<()>,
) -> Result<String> {
    let size = |length: i32| u32::try_from(length.max(1)).unwrap_or(1);
    let mut svg = String::new();
    let mut canvas =
        Canvas { backend: SVGBackend::with_string(&mut svg, (size(width), size(height))) };
    picture(&mut canvas)?;
    canvas.backend.present().map_err(failed)?;
    drop(canvas);
    for (i, colour) in COLOURS.iter().enumerate() {
        for attribute in ["fill", "stroke"] {
            // Quotes in texts are escaped, so this finds attributes only.
            let placeholder = format!("{attribute}=\"#{:02X}0000\"", i + 1);
            svg = svg.replace(&placeholder, &format!("{attribute}=\"{colour}\""));
        }
    }
    let label = super::super::page::escape(label);
    Ok(svg.replacen(
        "<svg ",
        &format!("<svg role=\"img\" aria-label=\"{label}\" class=\"plot {class}\" "),
        1,
    ))
}

impl Canvas<'_> {
    pub(super) fn line(
        &mut self,
        from: (f64, f64),
        to: (f64, f64),
        ink: Ink,
        width: u32,
    ) -> Result<()> {
        let style = ShapeStyle { color: ink.placeholder(), filled: false, stroke_width: width };
        self.backend.draw_line(pixel(from), pixel(to), &style).map_err(failed)
    }

    pub(super) fn dashes(&mut self, from: (f64, f64), to: (f64, f64), ink: Ink) -> Result<()> {
        const DASH: f64 = 4.0;
        let (dx, dy) = (to.0 - from.0, to.1 - from.1);
        let count = (dx.hypot(dy) / (2.0 * DASH)).ceil().max(1.0);
        let at = |t: f64| (from.0 + dx * t, from.1 + dy * t);
        let mut i = 0.0;
        while i < count {
            self.line(at(i / count), at((i + 0.5) / count), ink, 1)?;
            i += 1.0;
        }
        Ok(())
    }

    pub(super) fn path(&mut self, points: &[(f64, f64)], ink: Ink, width: u32) -> Result<()> {
        let style = ShapeStyle { color: ink.placeholder(), filled: false, stroke_width: width };
        self.backend.draw_path(points.iter().map(|&p| pixel(p)), &style).map_err(failed)
    }

    pub(super) fn rectangle(&mut self, from: (f64, f64), to: (f64, f64), ink: Ink) -> Result<()> {
        self.backend.draw_rect(pixel(from), pixel(to), &ink.placeholder(), true).map_err(failed)
    }

    pub(super) fn dot(&mut self, at: (f64, f64), radius: u32, ink: Ink) -> Result<()> {
        self.backend.draw_circle(pixel(at), radius, &ink.placeholder(), true).map_err(failed)
    }

    pub(super) fn text(
        &mut self,
        text: &str,
        at: (f64, f64),
        align: Align,
        ink: Ink,
    ) -> Result<()> {
        let h_pos = match align {
            Align::Left => HPos::Left,
            Align::Middle => HPos::Center,
            Align::Right => HPos::Right,
        };
        // The backend divides sizes by 1.24.
        let font = (FontFamily::Name("inherit"), 1.24 * FONT, FontStyle::Normal).into_font();
        let colour = ink.placeholder();
        let text_style = TextStyle::from(font).color(&colour).pos(Pos::new(h_pos, VPos::Center));
        self.backend.draw_text(text, &text_style, pixel(at)).map_err(failed)
    }
}

fn pixel((x, y): (f64, f64)) -> (i32, i32) {
    (x.round() as i32, y.round() as i32)
}

fn failed(why: impl Display) -> Error {
    Error::Refused(format!("a plot cannot be drawn: {why}"))
}
