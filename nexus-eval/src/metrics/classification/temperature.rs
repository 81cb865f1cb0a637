//! Temperature scaling.

use super::{
    Binning, check_scores, cross_entropy, expected_calibration_error, reliability, softmax,
};
use crate::stats::bisect;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// Temperatures that are looked for.
const RANGE: (f64, f64) = (1e-3, 1e3);

/// Bins of the expected calibration error, of equal width, as in Guo et al.
const BINS: usize = 15;

/// A temperature by which logits are divided, and what it does on the examples it was fitted to.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TemperatureScaling {
    /// The temperature; above 1 the model was too sure.
    pub temperature: f64,
    /// Mean cross-entropy before, in nats.
    pub loss_before: f64,
    /// Mean cross-entropy after, the smallest that a temperature can reach.
    pub loss_after: f64,
    /// Expected calibration error before (15 bins of equal width).
    pub ece_before: f64,
    /// Expected calibration error after. It can be larger than before, since the cross-entropy is what is minimised.
    pub ece_after: f64,
}

impl TemperatureScaling {
    /// The calibrated probabilities of logits that are finite.
    pub fn probabilities(&self, logits: &[f64]) -> Vec<f64> {
        softmax(&divided(logits, self.temperature))
    }
}

/// Fits a temperature (Guo et al. 2017, section 4.2) on held-out examples by minimising the mean cross-entropy of
/// `softmax(logits / T)`. That is convex in `1 / T`, so its derivative
///
/// ```text
/// mean over examples of  sum_i softmax(logits / T)_i logits_i - logits_class
/// ```
///
/// rises with `1 / T` and its zero is found by bisection. T lies in `[0.001, 1000]`.
///
/// # Errors
/// [`Error::Refused`] without predictions, for rows of different lengths, for logits that are not finite, for a class without
/// a logit, and when no temperature in the range is best: if every answer is right the best is 0, if the logits tell
/// nothing of the classes it is infinite.
pub fn temperature_scaling<R: AsRef<[f64]>>(
    truth: &[usize],
    logits: &[R],
) -> Result<TemperatureScaling> {
    check_scores(truth, logits)?;
    let n = truth.len() as f64;
    let slope = |inverse: f64| {
        let of = |(&class, row): (&usize, &R)| {
            let row = row.as_ref();
            let probabilities = softmax(&row.iter().map(|x| x * inverse).collect::<Vec<_>>());
            let distance = |(p, x): (&f64, &f64)| p * (x - row[class]);
            probabilities.iter().zip(row).map(distance).sum::<f64>()
        };
        truth.iter().zip(logits).map(of).sum::<f64>() / n
    };
    let (coldest, hottest) = (1.0 / RANGE.0, 1.0 / RANGE.1);
    if slope(hottest) >= 0.0 || slope(coldest) <= 0.0 {
        return Err(Error::Refused(format!(
            "no temperature in [{}, {}] is best: the logits separate all examples, or say nothing of their classes; \
             fit on more held-out examples",
            RANGE.0, RANGE.1
        )));
    }
    let temperature = 1.0 / bisect(slope, 0.0, hottest, coldest);
    let measures = |temperature: f64| -> Result<(f64, f64)> {
        let scaled: Vec<Vec<f64>> =
            logits.iter().map(|row| divided(row.as_ref(), temperature)).collect();
        let loss: f64 =
            truth.iter().zip(&scaled).filter_map(|(&class, row)| cross_entropy(row, class)).sum();
        let probabilities: Vec<Vec<f64>> = scaled.iter().map(|row| softmax(row)).collect();
        let bins = reliability(truth, &probabilities, BINS, Binning::EqualWidth)?;
        Ok((loss / n, expected_calibration_error(&bins)?))
    };
    let (loss_before, ece_before) = measures(1.0)?;
    let (loss_after, ece_after) = measures(temperature)?;
    Ok(TemperatureScaling { temperature, loss_before, loss_after, ece_before, ece_after })
}

fn divided(logits: &[f64], temperature: f64) -> Vec<f64> {
    logits.iter().map(|x| x / temperature).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_temperature_by_hand() {
        // Logits (3, 0), right 3 times of 4: the best probability is 3/4, so 3 / T = ln 3.
        let logits = [[3.0, 0.0]; 4];
        let found = temperature_scaling(&[0, 0, 0, 1], &logits).unwrap();
        assert!((found.temperature - 3.0 / 3f64.ln()).abs() < 1e-12, "{found:?}");
        assert!(found.loss_after < found.loss_before && found.ece_after < 1e-12);
        let sure = 1.0 / (1.0 + (-3f64).exp());
        assert!((found.ece_before - (sure - 0.75)).abs() < 1e-12);
        assert!((found.probabilities(&[3.0, 0.0])[0] - 0.75).abs() < 1e-12);
    }

    #[test]
    fn without_a_best_temperature() {
        assert!(temperature_scaling(&[0, 0], &[[1.0, 0.0]; 2]).is_err());
        assert!(temperature_scaling(&[1, 1], &[[1.0, 0.0]; 2]).is_err());
        assert!(temperature_scaling(&[0, 1], &[[2.0, 2.0]; 2]).is_err());
        assert!(temperature_scaling::<[f64; 2]>(&[], &[]).is_err());
        assert!(temperature_scaling(&[0], &[[f64::INFINITY, 0.0]]).is_err());
    }
}
