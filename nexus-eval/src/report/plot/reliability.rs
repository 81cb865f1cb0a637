//! Confidence against accuracy.

use super::NARROW;
use super::canvas::{Align, Ink, draw};
use super::scale::Scale;
use crate::Result;
use crate::report::ReliabilityDiagram;

/// Accuracy of each bin as a bar, with its mean confidence on the diagonal where it should be, and the number of
/// answers below.
pub(in crate::report) fn reliability(label: &str, diagram: &ReliabilityDiagram) -> Result<String> {
    let wide = f64::from(NARROW);
    let size = (wide - 60.0).min(320.0);
    let (left, top) = (44.0, 26.0);
    let (bottom, strip) = (top + size, 44.0);
    let height = bottom + 34.0 + strip + 22.0;
    draw((NARROW, height as i32), "", label, |canvas| {
        let x = Scale::new((0.0, 1.0), (left, left + size));
        let y = Scale::new((0.0, 1.0), (bottom, top));
        for tenth in [0.0, 0.25, 0.5, 0.75, 1.0] {
            canvas.line((left, y.at(tenth)), (left + size, y.at(tenth)), Ink::Grid, 1)?;
            canvas.line((x.at(tenth), top), (x.at(tenth), bottom), Ink::Grid, 1)?;
            let text = format!("{tenth}");
            canvas.text(&text, (left - 6.0, y.at(tenth)), Align::Right, Ink::Muted)?;
            canvas.text(&text, (x.at(tenth), bottom + 14.0), Align::Middle, Ink::Muted)?;
        }
        let most = diagram.bins.iter().map(|bin| bin.n).max().unwrap_or(0).max(1) as f64;
        let floor = bottom + 34.0 + strip;
        for bin in diagram.bins.iter().filter(|bin| bin.n > 0) {
            let (from, to) = (x.at(bin.low) + 1.0, x.at(bin.high) - 1.0);
            canvas.rectangle((from, y.at(bin.accuracy)), (to, bottom), Ink::Surface)?;
            canvas.rectangle((from, y.at(bin.accuracy)), (to, bottom), Ink::Heat(0.75))?;
            canvas.line((from, y.at(bin.accuracy)), (to, y.at(bin.accuracy)), Ink::Series(0), 2)?;
            let tall = strip * bin.n as f64 / most;
            canvas.rectangle((from, floor - tall.max(1.0)), (to, floor), Ink::Heat(0.4))?;
        }
        canvas.dashes((x.at(0.0), y.at(0.0)), (x.at(1.0), y.at(1.0)), Ink::Text)?;
        for bin in diagram.bins.iter().filter(|bin| bin.n > 0) {
            // From where the bar ends to where it should.
            let at = x.at(bin.confidence);
            canvas.line((at, y.at(bin.accuracy)), (at, y.at(bin.confidence)), Ink::Bad, 2)?;
        }
        canvas.text("accuracy", (0.0, 8.0), Align::Left, Ink::Muted)?;
        canvas.line((left, floor), (left + size, floor), Ink::Grid, 1)?;
        canvas.text(
            "confidence (above) and number of answers",
            (left + size / 2.0, floor + 12.0),
            Align::Middle,
            Ink::Muted,
        )
    })
}
