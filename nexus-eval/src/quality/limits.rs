//! Checks of measures against limits, decided on intervals.
//!
//! All decisions are one-sided at 95 %: a check passes when the 90 % two-sided interval keeps the limit as a whole, and
//! fails when none of it does.

use super::verdict::{Check, Verdict};
use crate::stats::distributions::normal_quantile;
use crate::stats::hypothesis::PairedOutcomes;
use crate::stats::{Bootstrap, Interval, Summary, mean_interval, wilson};
use crate::{Error, Result};
use nexus_core::report::Measure;
use serde::{Deserialize, Serialize};

/// Level of the two-sided intervals: each end is a one-sided bound of 95 %.
const LEVEL: f64 = 0.9;

/// The fewest examples for which a mean of scores is taken to be normal.
const FEWEST: usize = 30;

/// Share of new samples on which the number of further examples is enough.
const POWER: f64 = 0.8;

/// How much worse than a baseline a model may be.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MaximumLoss {
    /// This much in the measure's own unit; at least 0.
    Absolute(f64),
    /// This share of the baseline's value, from 0 to 1.
    Relative(f64),
}

/// Checks a number that is known without sampling error, such as a size.
pub fn check_exact(criterion: &str, value: f64, limit: f64, higher_is_better: bool) -> Check {
    let kept = if higher_is_better { value >= limit } else { value <= limit };
    let verdict = if kept { Verdict::Pass } else { Verdict::Fail };
    let reason = format!("{value} against {limit}, known without sampling error");
    let criterion = criterion.into();
    Check { criterion, value, interval: None, limit, higher_is_better, verdict, reason }
}

/// Checks a measure against an absolute limit by `value ± 1.645 stderr`.
///
/// A standard error of 0 at a value of 0 or 1 tells nothing about the next example; the measure is then taken for a
/// share of `n` and Wilson's interval decides. Without a standard error there is not enough data.
pub fn check_measure(criterion: &str, measure: &Measure, limit: f64) -> Check {
    let Measure { value, stderr, n, higher_is_better, .. } = *measure;
    let share = stderr == Some(0.0) && (value == 0.0 || value == 1.0);
    let interval = match stderr {
        Some(_) if share => wilson(if value == 1.0 { n as u64 } else { 0 }, n as u64, LEVEL).ok(),
        Some(stderr) if stderr.is_finite() && n > 1 => {
            let half = normal_quantile(0.5 + 0.5 * LEVEL) * stderr;
            Some(Interval { low: value - half, high: value + half, level: LEVEL })
        }
        _ => None,
    };
    decide(criterion, value, interval, n, limit, higher_is_better)
}

/// Checks that a candidate's mean score is not worse than a baseline's by more than `loss`, on the same examples in the
/// same order (non-inferiority).
///
/// The quantity that is checked is the margin that is left, `candidate - baseline + loss` for measures of which more is
/// better and `baseline - candidate + loss` for others; with a relative loss, `loss` is `share * baseline` of each
/// example, so that the baseline's own error counts too. Its interval is Student's. Where all scores are 0 or 1 and the
/// loss is absolute it is that of Bonett and Price (2012) for paired shares, which is honest about few changed answers.
///
/// # Errors
/// [`Error::Refused`] for different numbers of scores, no scores, scores that are not finite, and for a relative loss
/// against a baseline whose mean is not above 0; [`Error::Config`] for a loss out of range.
pub fn check_loss(
    criterion: &str,
    baseline: &[f64],
    candidate: &[f64],
    higher_is_better: bool,
    loss: MaximumLoss,
) -> Result<Check> {
    loss.check()?;
    let n = baseline.len();
    if n != candidate.len() || n == 0 {
        return Err(Error::Refused(format!(
            "{criterion}: {n} scores of the baseline and {} of the candidate; both need the same examples",
            candidate.len()
        )));
    }
    if let Some(i) = (0..n).find(|&i| !(baseline[i].is_finite() && candidate[i].is_finite())) {
        return Err(Error::Refused(format!("{criterion}: a score of example {i} is not finite")));
    }
    let mean = baseline.iter().sum::<f64>() / n as f64;
    loss.fits(criterion, mean)?;
    let margins: Vec<f64> = baseline
        .iter()
        .zip(candidate)
        .map(|(&b, &c)| margin(b, c, higher_is_better, loss))
        .collect();
    let value = margins.iter().sum::<f64>() / n as f64;
    let binary = baseline.iter().chain(candidate).all(|&score| score == 0.0 || score == 1.0);
    let interval = match loss {
        MaximumLoss::Absolute(allowed) if binary => {
            let right = |scores: &[f64]| {
                scores.iter().map(|&s| (s == 1.0) == higher_is_better).collect::<Vec<_>>()
            };
            let table = PairedOutcomes::count(&right(candidate), &right(baseline))?;
            table.interval(LEVEL).map(|i| Interval {
                low: i.low + allowed,
                high: i.high + allowed,
                ..i
            })
        }
        _ if n < FEWEST => None,
        _ => Some(mean_interval(&Summary::of(&margins)?, LEVEL)?),
    };
    Ok(decide(&format!("{criterion}, {}", loss.words()), value, interval, n, 0.0, true))
}

/// As [`check_loss`] for a measure that is no mean of scores, such as macro F1 or BLEU: the closures give it for the
/// examples drawn. The interval of the margin is from the paired bootstrap, at the level of this module.
///
/// # Errors
/// As [`Bootstrap::interval`] and [`check_loss`].
pub fn check_statistic_loss(
    criterion: &str,
    n: usize,
    mut baseline: impl FnMut(&[usize]) -> Option<f64>,
    mut candidate: impl FnMut(&[usize]) -> Option<f64>,
    higher_is_better: bool,
    loss: MaximumLoss,
    bootstrap: &Bootstrap,
) -> Result<Check> {
    loss.check()?;
    let all: Vec<usize> = (0..n).collect();
    if let Some(value) = baseline(&all) {
        loss.fits(criterion, value)?;
    }
    let bootstrap = Bootstrap { level: LEVEL, ..*bootstrap };
    let found = bootstrap.interval(n, |drawn| {
        Some(margin(baseline(drawn)?, candidate(drawn)?, higher_is_better, loss))
    })?;
    let interval = (n >= FEWEST).then_some(found.interval);
    Ok(decide(&format!("{criterion}, {}", loss.words()), found.value, interval, n, 0.0, true))
}

/// What is left of the allowed loss; below 0, more was lost.
fn margin(baseline: f64, candidate: f64, higher_is_better: bool, loss: MaximumLoss) -> f64 {
    let allowed = match loss {
        MaximumLoss::Absolute(allowed) => allowed,
        MaximumLoss::Relative(share) => share * baseline,
    };
    let gain = if higher_is_better { candidate - baseline } else { baseline - candidate };
    gain + allowed
}

impl MaximumLoss {
    fn check(self) -> Result<()> {
        match self {
            Self::Absolute(loss) if !(loss.is_finite() && loss >= 0.0) => {
                Err(Error::config("maximum loss", loss, "a finite number of at least 0"))
            }
            Self::Relative(share) if !(0.0..=1.0).contains(&share) => {
                Err(Error::config("maximum relative loss", share, "a share from 0 to 1"))
            }
            _ => Ok(()),
        }
    }

    fn fits(self, criterion: &str, baseline: f64) -> Result<()> {
        match self {
            Self::Relative(_) if baseline <= 0.0 => Err(Error::Refused(format!(
                "{criterion}: a relative loss needs a baseline above 0, found {baseline}; give an absolute loss"
            ))),
            _ => Ok(()),
        }
    }

    fn words(self) -> String {
        match self {
            Self::Absolute(loss) => format!("margin left of a loss of {loss}"),
            Self::Relative(share) => format!("margin left of a loss of {} %", 100.0 * share),
        }
    }
}

/// Decides on an interval, and says how many more examples would decide an open case.
///
/// With h the distance from the value to the interval's end at the limit, and d that to the limit, n examples become
/// `n ((1 + z_power / z_level) h / d)^2`: standard errors shrink with the root of n, and the factor makes a new sample
/// of that size decide in 80 % of cases if the value stays what it is (z_power = 0.842, z_level = 1.645).
fn decide(
    criterion: &str,
    value: f64,
    interval: Option<Interval>,
    n: usize,
    limit: f64,
    higher_is_better: bool,
) -> Check {
    let (verdict, reason) = match interval {
        None => {
            let more_examples = (n < FEWEST).then(|| (FEWEST - n) as u64);
            let reason = format!("{value:.6} of {n} examples, whose spread is not known");
            (Verdict::NotEnoughData { more_examples }, reason)
        }
        Some(Interval { low, high, .. }) => {
            let (worst, best) = if higher_is_better { (low, high) } else { (high, low) };
            let keeps = |end: f64| if higher_is_better { end >= limit } else { end <= limit };
            let verdict = match (keeps(worst), keeps(best)) {
                (true, _) => Verdict::Pass,
                (false, false) => Verdict::Fail,
                (false, true) => {
                    let end = if keeps(value) { worst } else { best };
                    Verdict::NotEnoughData { more_examples: further(n, value, end, limit) }
                }
            };
            let reason = format!(
                "{value:.6} of {n} examples; with 95 % certainty at least {low:.6}, and at most {high:.6}; the limit is \
                 {limit}"
            );
            (verdict, reason)
        }
    };
    let criterion = criterion.into();
    Check { criterion, value, interval, limit, higher_is_better, verdict, reason }
}

fn further(n: usize, value: f64, end: f64, limit: f64) -> Option<u64> {
    let factor = 1.0 + normal_quantile(POWER) / normal_quantile(0.5 + 0.5 * LEVEL);
    let wanted = n as f64 * (factor * (end - value) / (limit - value)).powi(2);
    (wanted.is_finite() && wanted < 1e15).then(|| (wanted - n as f64).ceil().max(1.0) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accuracy(value: f64, stderr: Option<f64>, n: usize) -> Measure {
        Measure { name: "accuracy".into(), value, stderr, n, higher_is_better: true }
    }

    fn open(check: &Check) -> Option<u64> {
        match check.verdict {
            Verdict::NotEnoughData { more_examples } => more_examples,
            other => panic!("{other:?}: {}", check.reason),
        }
    }

    #[test]
    fn absolute_limits_by_hand() {
        let measure = accuracy(0.9, Some(0.01), 900);
        // 0.9 ± 1.6449 * 0.01 = 0.88355 to 0.91645.
        assert_eq!(check_measure("a", &measure, 0.883).verdict, Verdict::Pass);
        assert_eq!(check_measure("a", &measure, 0.917).verdict, Verdict::Fail);
        // (1.6449 + 0.8416) * 0.01 / 0.01 = 2.4865; 900 * 2.4865^2 = 5564.3; less 900.
        assert_eq!(open(&check_measure("a", &measure, 0.89)), Some(4665));
        assert_eq!(open(&check_measure("a", &measure, 0.9)), None);
        let loss = Measure { higher_is_better: false, ..measure };
        assert_eq!(check_measure("a", &loss, 0.917).verdict, Verdict::Pass);
        assert_eq!(check_measure("a", &loss, 0.883).verdict, Verdict::Fail);
    }

    #[test]
    fn certainty_of_few_examples_is_not_believed() {
        // Wilson at 90 %: the lower end of 5 of 5 is 5 / (5 + 1.6449^2) = 0.649.
        let five = accuracy(1.0, Some(0.0), 5);
        assert_eq!(check_measure("a", &five, 0.64).verdict, Verdict::Pass);
        assert!(open(&check_measure("a", &five, 0.9)).is_some());
        assert_eq!(open(&check_measure("a", &accuracy(0.9, None, 100), 0.5)), None);
        assert_eq!(open(&check_measure("a", &accuracy(0.9, None, 1), 0.5)), Some(29));
        assert_eq!(open(&check_measure("a", &accuracy(0.0, Some(0.0), 0), 0.5)), Some(30));
    }

    #[test]
    fn a_loss_is_judged_on_the_same_examples() {
        let right = |n: usize, wrong: &[usize]| -> Vec<f64> {
            (0..n).map(|i| f64::from(!wrong.contains(&i))).collect()
        };
        let (base, same) = (right(1000, &[1, 2, 3]), right(1000, &[2, 3, 4]));
        let loss = MaximumLoss::Absolute(0.02);
        assert_eq!(check_loss("a", &base, &same, true, loss).unwrap().verdict, Verdict::Pass);
        let worse: Vec<usize> = (0..60).collect();
        let worse = right(1000, &worse);
        assert_eq!(check_loss("a", &base, &worse, true, loss).unwrap().verdict, Verdict::Fail);
        // As errors, the same answers turned.
        let turned = |scores: &[f64]| scores.iter().map(|s| 1.0 - s).collect::<Vec<_>>();
        let check = check_loss("a", &turned(&base), &turned(&worse), false, loss).unwrap();
        assert_eq!(check.verdict, Verdict::Fail);
        let check = check_loss("a", &turned(&base), &turned(&same), false, loss).unwrap();
        assert_eq!(check.verdict, Verdict::Pass);
        // Three equal answers show nothing.
        assert!(open(&check_loss("a", &[1.0; 3], &[1.0; 3], true, loss).unwrap()).is_some());
    }

    #[test]
    fn a_relative_loss_counts_the_error_of_the_baseline() {
        let base: Vec<f64> = (0..200).map(|i| 2.0 + f64::from(i % 7) / 10.0).collect();
        let candidate: Vec<f64> = base.iter().map(|b| b * 1.04).collect();
        let check = |share, higher| {
            check_loss("loss", &base, &candidate, higher, MaximumLoss::Relative(share)).unwrap()
        };
        assert_eq!(check(0.05, false).verdict, Verdict::Pass);
        assert_eq!(check(0.03, false).verdict, Verdict::Fail);
        assert_eq!(check(0.0, true).verdict, Verdict::Pass);
        let refused = check_loss("x", &[-1.0; 40], &[1.0; 40], true, MaximumLoss::Relative(0.1));
        assert!(refused.unwrap_err().to_string().contains("above 0"));
    }

    #[test]
    fn a_statistic_of_means_agrees_with_the_means() {
        let base: Vec<f64> = (0..400).map(|i| f64::from(i * 31 % 97) / 97.0).collect();
        let candidate: Vec<f64> =
            base.iter().enumerate().map(|(i, b)| b - 0.02 * ((i * 17 % 5) as f64 - 1.0)).collect();
        let loss = MaximumLoss::Absolute(0.03);
        let exact = check_loss("m", &base, &candidate, true, loss).unwrap();
        let mean = |values: &[f64]| {
            let values = values.to_vec();
            move |drawn: &[usize]| {
                Some(drawn.iter().map(|&i| values[i]).sum::<f64>() / drawn.len() as f64)
            }
        };
        let bootstrap = Bootstrap::default();
        let found =
            check_statistic_loss("m", 400, mean(&base), mean(&candidate), true, loss, &bootstrap)
                .unwrap();
        assert!((exact.value - found.value).abs() < 1e-12);
        let (x, y) = (exact.interval.unwrap(), found.interval.unwrap());
        // Quantiles of 1,000 resamples vary by about 5 % of the width.
        assert!((x.low - y.low).abs() < 0.15 * (x.high - x.low), "{x:?} {y:?}");
    }

    #[test]
    fn what_cannot_be_checked_is_refused() {
        let loss = MaximumLoss::Absolute(0.1);
        assert!(check_loss("a", &[1.0], &[], true, loss).is_err());
        assert!(check_loss("a", &[], &[], true, loss).is_err());
        assert!(check_loss("a", &[f64::NAN; 40], &[1.0; 40], true, loss).is_err());
        assert!(check_loss("a", &[1.0], &[1.0], true, MaximumLoss::Absolute(-0.1)).is_err());
        assert!(check_loss("a", &[1.0], &[1.0], true, MaximumLoss::Relative(2.0)).is_err());
        assert_eq!(check_exact("size", 5.0, 4.0, false).verdict, Verdict::Fail);
        assert_eq!(check_exact("size", 4.0, 4.0, false).verdict, Verdict::Pass);
    }
}
