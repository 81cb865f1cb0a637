//! Numbers to pixels.

use plotters::coord::ranged1d::Ranged;
use plotters::coord::types::RangedCoordf64;

/// A linear axis.
pub(super) struct Scale {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Scale {
    /// The values from `low` to `high` over the pixels from `from` to `to`. Values that do not differ are given some
    /// room around.
    pub(super) fn new((low, high): (f64, f64), (from, to): (f64, f64)) -> Self {
        let (low, high) = match high > low {
            true => (low, high),
            false => {
                let room = if low == 0.0 { 1.0 } else { 0.1 * low.abs() };
                (low - room, high + room)
            }
        };
        Self { low, high, from, to }
    }

    /// As [`new`](Self::new), with a twentieth more on both sides.
    pub(super) fn padded((low, high): (f64, f64), pixels: (f64, f64)) -> Self {
        let room = 0.05 * (high - low);
        Self::new((low - room, high + room), pixels)
    }

    pub(super) fn at(&self, value: f64) -> f64 {
        self.from + (value - self.low) / (self.high - self.low) * (self.to - self.from)
    }

    /// Round values on the axis, at most `most`, with their labels.
    pub(super) fn ticks(&self, most: usize) -> Vec<(f64, String)> {
        let values = RangedCoordf64::from(self.low..self.high).key_points(most);
        let step = values.windows(2).map(|pair| pair[1] - pair[0]).fold(f64::INFINITY, f64::min);
        let decimals = match step.is_finite() && step > 0.0 {
            true => (-step.log10().floor()).clamp(0.0, 6.0) as usize,
            false => 2,
        };
        let round = |value: f64| if value.abs() < 1e-12 { 0.0 } else { value };
        values
            .into_iter()
            .map(|value| (value, format!("{:.decimals$}", round(value)).replace('-', "−")))
            .collect()
    }
}

/// The smallest and largest of finite values; 0 and 1 when there are none.
pub(super) fn range(values: impl IntoIterator<Item = f64>) -> (f64, f64) {
    let finite = values.into_iter().filter(|value| value.is_finite());
    let range = finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
        (low.min(value), high.max(value))
    });
    if range.0 <= range.1 { range } else { (0.0, 1.0) }
}

/// A text of at most `most` characters; a longer one ends in an ellipsis.
pub(super) fn shortened(text: &str, most: usize) -> String {
    match text.chars().count() > most {
        true => text.chars().take(most.saturating_sub(1)).chain(['…']).collect(),
        false => text.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_by_hand() {
        let scale = Scale::new((0.0, 10.0), (100.0, 200.0));
        assert_eq!(scale.at(5.0), 150.0);
        let labels: Vec<String> = scale.ticks(6).into_iter().map(|tick| tick.1).collect();
        assert_eq!(labels, ["0", "2", "4", "6", "8", "10"]);
        // Equal ends still give an axis.
        assert!(Scale::new((3.0, 3.0), (0.0, 1.0)).at(3.0).is_finite());
        assert!(Scale::new((0.0, 0.0), (0.0, 1.0)).at(0.0).is_finite());
        assert_eq!(range([f64::NAN, 2.0, -1.0]), (-1.0, 2.0));
        assert_eq!(range([]), (0.0, 1.0));
        assert_eq!(shortened("abcdef", 4), "abc…");
        assert_eq!(shortened("абвг", 4), "абвг");
    }
}
