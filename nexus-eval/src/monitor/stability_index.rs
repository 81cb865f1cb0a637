//! The population stability index.

use crate::{Error, Result};
use serde::Serialize;

/// How far a distribution has shifted, by the usual thresholds of the population stability index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Shift {
    /// Below 0.1: none to speak of.
    Small,
    /// From 0.1 to below 0.25: worth a look.
    Moderate,
    /// From 0.25 on: the distribution is another one.
    Large,
}

/// The population stability index of two distributions over the same bins.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct StabilityIndex {
    /// The index, 0 when the shares are equal, without upper bound.
    pub value: f64,
    /// What the index is expected to be without any shift, by chance alone: `(B - 1) (1/n + 1/m)` for B bins that are
    /// not empty in both (Yurdakul 2018, Statistical Properties of Population Stability Index). An index near it says
    /// nothing; only more samples help.
    pub by_chance: f64,
    /// What the index says.
    pub shift: Shift,
}

/// The share that an empty bin is given, so that the index stays finite. It adds at most `share * ln(share / 0.0001)` for
/// a bin that is empty on one side; the other bins are not scaled down for it.
const EMPTY: f64 = 1e-4;

/// `sum((p_b - q_b) ln(p_b / q_b))` over bins, where p and q are the shares of the current and the reference counts in
/// bin b; a bin that is empty in both adds nothing, one that is empty in one has the share 0.0001 there. For numbers see
/// [`DriftReference`](super::DriftReference), which makes the bins; categories are bins as they are.
///
/// # Errors
/// [`Error::Refused`] when the two have different numbers of bins, or one is empty.
pub fn population_stability_index(reference: &[u64], current: &[u64]) -> Result<StabilityIndex> {
    if reference.len() != current.len() {
        let (r, c) = (reference.len(), current.len());
        return Err(Error::Refused(format!(
            "the reference has {r} bins, the current counts {c}; both need the same"
        )));
    }
    // In floating point, where a sum of counts cannot overflow.
    let sum = |counts: &[u64]| counts.iter().map(|&count| count as f64).sum::<f64>();
    let (n, m) = (sum(reference), sum(current));
    if n == 0.0 || m == 0.0 {
        return Err(Error::Refused("a stability index needs samples on both sides".into()));
    }
    let (mut value, mut bins) = (0.0, 0u32);
    for (&r, &c) in reference.iter().zip(current).filter(|(r, c)| **r > 0 || **c > 0) {
        let share = |count: u64, all: f64| if count == 0 { EMPTY } else { count as f64 / all };
        let (q, p) = (share(r, n), share(c, m));
        value += (p - q) * (p / q).ln();
        bins += 1;
    }
    let shift = match value {
        value if value < 0.1 => Shift::Small,
        value if value < 0.25 => Shift::Moderate,
        _ => Shift::Large,
    };
    Ok(StabilityIndex { value, by_chance: f64::from(bins - 1) * (1.0 / n + 1.0 / m), shift })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let index = population_stability_index(&[50, 50], &[25, 75]).unwrap();
        // -0.25 ln(0.5) + 0.25 ln(1.5) = 0.25 ln 3.
        assert!((index.value - 0.25 * 3.0f64.ln()).abs() < 1e-15);
        assert_eq!(index.shift, Shift::Large);
        assert_eq!(index.by_chance, 0.02);
        let index = population_stability_index(&[0, 5, 5], &[0, 50, 50]).unwrap();
        assert_eq!((index.value, index.shift), (0.0, Shift::Small));
        // An empty bin: (0.5 - 0.0001) ln(5000) + (0.5 - 1) ln(0.5).
        let index = population_stability_index(&[0, 10], &[5, 5]).unwrap();
        let wanted = 0.4999 * 5000.0f64.ln() - 0.5 * 0.5f64.ln();
        assert!((index.value - wanted).abs() < 1e-12);
    }

    #[test]
    fn counts_that_cannot_be_compared_are_refused() {
        for (reference, current) in
            [(&[1, 2][..], &[1][..]), (&[], &[]), (&[1], &[0]), (&[0], &[1])]
        {
            assert!(population_stability_index(reference, current).is_err());
        }
        population_stability_index(&[u64::MAX, u64::MAX], &[u64::MAX, 1]).unwrap();
    }
}
