//! The sufficient statistics of a sample's mean.

use super::{check_finite, refused};
use crate::Result;
use serde::{Deserialize, Serialize};

/// Count, mean and variance of a sample that can grow (Welford 1962).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    n: u64,
    mean: f64,
    squares: f64,
}

impl Summary {
    /// That of `values`.
    ///
    /// # Errors
    /// [`Error::Refused`](crate::Error::Refused) for a value that is not finite.
    pub fn of(values: &[f64]) -> Result<Self> {
        check_finite("sample", values)?;
        let n = values.len() as f64;
        // Two passes are more exact than a running update.
        let mean = if values.is_empty() { 0.0 } else { values.iter().sum::<f64>() / n };
        // The rounding of the mean must not look like a variance.
        let constant = values.windows(2).all(|pair| pair[0] == pair[1]);
        let squares = if constant { 0.0 } else { values.iter().map(|v| (v - mean).powi(2)).sum() };
        Ok(Self { n: values.len() as u64, mean, squares })
    }

    /// A sample known by its mean and its sample variance (divisor n - 1).
    ///
    /// # Errors
    /// [`Error::Refused`](crate::Error::Refused) for no observation, a mean that is not finite, a variance that is
    /// negative or not finite.
    pub fn from_moments(n: u64, mean: f64, variance: f64) -> Result<Self> {
        if n == 0 || !mean.is_finite() || !variance.is_finite() || variance < 0.0 {
            return Err(refused(format!(
                "n = {n}, mean {mean}, variance {variance} describe no sample"
            )));
        }
        Ok(Self { n, mean, squares: variance * (n - 1) as f64 })
    }

    /// Adds an observation.
    ///
    /// # Errors
    /// [`Error::Refused`](crate::Error::Refused) for a value that is not finite; the sample is then unchanged.
    pub fn push(&mut self, value: f64) -> Result<()> {
        check_finite("observation", &[value])?;
        self.n += 1;
        let before = value - self.mean;
        self.mean += before / self.n as f64;
        self.squares += before * (value - self.mean);
        Ok(())
    }

    /// Number of observations.
    pub fn n(&self) -> u64 {
        self.n
    }

    /// The mean; `None` without observations.
    pub fn mean(&self) -> Option<f64> {
        (self.n > 0).then_some(self.mean)
    }

    /// The sample variance (divisor n - 1); `None` with fewer than two observations.
    pub fn variance(&self) -> Option<f64> {
        (self.n > 1).then(|| self.squares / (self.n - 1) as f64)
    }

    /// Mean and variance of at least two observations; an error where there are fewer or one of the two overflows.
    pub(super) fn moments(&self, what: &str) -> Result<(f64, f64)> {
        match (self.mean(), self.variance()) {
            (Some(mean), Some(variance)) if mean.is_finite() && variance.is_finite() => {
                Ok((mean, variance))
            }
            (Some(_), Some(_)) => {
                Err(refused(format!("{what}: its mean or variance overflows; scale it down")))
            }
            _ => Err(refused(format!(
                "{what} has {} observation(s); a variance needs at least 2",
                self.n
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growing_and_whole_samples_agree() {
        let values = [3.0, -1.0, 4.0, 1.5, 9.0];
        let mut growing = Summary::default();
        values.iter().for_each(|&value| growing.push(value).unwrap());
        let whole = Summary::of(&values).unwrap();
        assert_eq!((growing.n(), growing.mean()), (5, Some(3.3)));
        // Deviations -0.3, -4.3, 0.7, -1.8, 5.7: squares 54.8.
        assert!((growing.variance().unwrap() - 13.7).abs() < 1e-12);
        assert!((whole.variance().unwrap() - 13.7).abs() < 1e-12);
        assert_eq!(Summary::default().mean(), None);
        assert!(growing.push(f64::NAN).is_err() && growing.n() == 5);
        assert_eq!(Summary::of(&[0.1; 3]).unwrap().variance(), Some(0.0));
        assert!(Summary::of(&[f64::INFINITY]).is_err());
        assert!(Summary::from_moments(0, 1.0, 1.0).is_err());
    }
}
