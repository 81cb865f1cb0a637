//! Approximate randomisation for paired samples.

use super::{Alternative, TestResult, effect};
use crate::stats::refused;
use crate::{Error, Result};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Differences that are equal but for the order of their summands count as equal.
const SAME_DIFFERENCE: f64 = 1e-12;

/// Approximate randomisation (Noreen 1989; Riezler and Maxwell 2005, figure 1): whether the difference of two models on the
/// same n examples is more than exchanging their answers gives.
///
/// `difference` gets one flag per example, `true` where the two answers are exchanged, and gives first minus second; with
/// all `false` it is the observed difference, which is the statistic and the effect. In each of `trials` (10,000 is usual)
/// every flag is drawn with probability 1/2; then
///
/// ```text
/// p = (1 + number of trials at least as extreme as the observation) / (1 + trials)
/// ```
///
/// Flag i of a trial is bit `i mod 64` of the trial's word `i / 64`, the words being those of ChaCha8 seeded with `seed`.
///
/// Deviation: sacreBLEU counts only trials that are more extreme, which makes two equal models significantly different.
///
/// # Errors
/// [`Error::Refused`] without examples, and when a difference is not finite; [`Error::Config`] for no trial.
pub fn approximate_randomisation(
    n: usize,
    trials: usize,
    seed: u64,
    alternative: Alternative,
    mut difference: impl FnMut(&[bool]) -> f64,
) -> Result<TestResult> {
    if trials == 0 {
        return Err(Error::config("trials", trials, "at least 1"));
    }
    if n == 0 {
        return Err(refused("there is no pair of answers to exchange"));
    }
    let mut evaluate = |flags: &[bool]| match difference(flags) {
        value if value.is_finite() => Ok(value),
        value => Err(refused(format!("a difference is {value}; the measure must be finite"))),
    };
    let mut flags = vec![false; n];
    let observed = evaluate(&flags)?;
    let slack = SAME_DIFFERENCE * observed.abs();
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut extreme = 0usize;
    for _ in 0..trials {
        for chunk in flags.chunks_mut(64) {
            let word = rng.random::<u64>();
            chunk.iter_mut().enumerate().for_each(|(i, flag)| *flag = word >> i & 1 == 1);
        }
        let value = evaluate(&flags)?;
        extreme += usize::from(match alternative {
            Alternative::TwoSided => value.abs() >= observed.abs() - slack,
            Alternative::Greater => value >= observed - slack,
            Alternative::Less => value <= observed + slack,
        });
    }
    Ok(TestResult {
        test: format!("approximate randomisation, {trials} trials, seed {seed}"),
        statistic: observed,
        df: None,
        p_value: (extreme + 1) as f64 / (trials + 1) as f64,
        alternative,
        effect: effect("difference", observed, None),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean_difference<'a>(a: &'a [f64], b: &'a [f64]) -> impl FnMut(&[bool]) -> f64 + 'a {
        move |flags| {
            let signed = |(i, &flag): (usize, &bool)| if flag { b[i] - a[i] } else { a[i] - b[i] };
            flags.iter().enumerate().map(signed).sum::<f64>() / a.len() as f64
        }
    }

    #[test]
    fn it_approaches_the_share_of_all_exchanges() {
        // All 2^8 exchanges, of which 2 reach |difference| = 1 two-sided.
        let (a, b) = ([1.0; 8], [0.0; 8]);
        let p = |alternative| {
            approximate_randomisation(8, 100_000, 7, alternative, mean_difference(&a, &b))
                .unwrap()
                .p_value
        };
        // Five standard deviations of the share of 100,000 trials.
        let near = |p: f64, share: f64| (p - share).abs() < 5.0 * (share / 1e5).sqrt();
        assert!(near(p(Alternative::TwoSided), 2.0 / 256.0));
        assert!(near(p(Alternative::Greater), 1.0 / 256.0));
        assert_eq!(p(Alternative::Less), 1.0);
    }

    #[test]
    fn equal_models_do_not_differ() {
        let a = [0.25; 70];
        let found =
            approximate_randomisation(70, 500, 1, Alternative::TwoSided, mean_difference(&a, &a))
                .unwrap();
        assert_eq!(found.p_value, 1.0);
    }

    #[test]
    fn what_cannot_be_tested_is_refused() {
        let two = Alternative::TwoSided;
        assert!(approximate_randomisation(0, 10, 1, two, |_| 0.0).is_err());
        assert!(approximate_randomisation(3, 0, 1, two, |_| 0.0).is_err());
        assert!(approximate_randomisation(3, 10, 1, two, |_| f64::NAN).is_err());
    }
}
