//! Student's tests of means.

use super::{Alternative, LEVEL, TestResult, effect};
use crate::stats::interval::around;
use crate::stats::{Summary, check_paired, refused};
use crate::{Error, Result};

/// Welch's t test of two independent means, whose variances may differ (Welch 1947): `ttest_ind(equal_var=False)` of
/// SciPy. Effect: the difference of the means.
///
/// # Errors
/// [`Error::Refused`] when a sample has fewer than two observations, and when neither varies (the
/// statistic is then infinite or 0 / 0), and when a variance overflows.
pub fn welch_t(first: &Summary, second: &Summary, alternative: Alternative) -> Result<TestResult> {
    let (mean, variance) = first.moments("the first sample")?;
    let (other_mean, other_variance) = second.moments("the second sample")?;
    let (n, m) = (first.n() as f64, second.n() as f64);
    let (v, w) = (variance / n, other_variance / m);
    // In shares of the variance, whose squares do not underflow.
    let (share, other) = (v / (v + w), w / (v + w));
    let df = 1.0 / (share * share / (n - 1.0) + other * other / (m - 1.0));
    student(
        "Welch's t test",
        "difference in means",
        mean - other_mean,
        (v + w).sqrt(),
        df,
        alternative,
    )
}

/// Student's t test of two independent means with one variance: `ttest_ind` of SciPy. Effect: the difference of the means.
///
/// # Errors
/// As [`welch_t`].
pub fn equal_variance_t(
    first: &Summary,
    second: &Summary,
    alternative: Alternative,
) -> Result<TestResult> {
    let (mean, variance) = first.moments("the first sample")?;
    let (other_mean, other_variance) = second.moments("the second sample")?;
    let (n, m) = (first.n() as f64, second.n() as f64);
    let df = n + m - 2.0;
    let pooled = ((n - 1.0) * variance + (m - 1.0) * other_variance) / df;
    let stderr = (pooled * (1.0 / n + 1.0 / m)).sqrt();
    let name = "Student's t test, equal variances";
    student(name, "difference in means", mean - other_mean, stderr, df, alternative)
}

/// Student's t test that a mean is `expected`: `ttest_1samp` of SciPy. Effect: the mean's distance from it.
///
/// # Errors
/// As [`welch_t`]; [`Error::Config`] for an expectation that is not finite.
pub fn one_sample_t(
    sample: &Summary,
    expected: f64,
    alternative: Alternative,
) -> Result<TestResult> {
    if !expected.is_finite() {
        return Err(Error::config("expected", expected, "a finite number"));
    }
    let (mean, variance) = sample.moments("the sample")?;
    let n = sample.n() as f64;
    let stderr = (variance / n).sqrt();
    student(
        "one-sample t test",
        "difference in means",
        mean - expected,
        stderr,
        n - 1.0,
        alternative,
    )
}

/// Student's t test of the differences of pairs: `ttest_rel` of SciPy. Effect: the mean of `first - second`.
///
/// # Errors
/// As [`welch_t`], for samples of different lengths and for values that are not finite.
pub fn paired_t(first: &[f64], second: &[f64], alternative: Alternative) -> Result<TestResult> {
    check_paired(first, second)?;
    let differences: Vec<f64> = first.iter().zip(second).map(|(a, b)| a - b).collect();
    let result = one_sample_t(&Summary::of(&differences)?, 0.0, alternative)?;
    Ok(TestResult { test: "paired t test".into(), ..result })
}

fn student(
    test: &str,
    name: &str,
    difference: f64,
    stderr: f64,
    df: f64,
    alternative: Alternative,
) -> Result<TestResult> {
    if !(stderr > 0.0 && stderr.is_finite()) {
        return Err(refused(format!(
            "{test}: the standard error is {stderr}: a test needs observations that differ, of finite variance"
        )));
    }
    let statistic = difference / stderr;
    Ok(TestResult {
        test: test.into(),
        statistic,
        df: Some(df),
        p_value: alternative.student_p(statistic, df),
        alternative,
        effect: effect(name, difference, Some(around(difference, stderr, df, LEVEL)?)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_scipy() {
        let first = Summary::from_moments(13, 15.0, 87.5).unwrap();
        let second = Summary::from_moments(11, 12.0, 39.0).unwrap();
        let two = Alternative::TwoSided;
        let welch = welch_t(&first, &second, two).unwrap();
        assert!((welch.statistic - 0.9358461935556048).abs() < 1e-14);
        assert!((welch.df.unwrap() - 20.984611233429924).abs() < 1e-12);
        assert!((welch.p_value - 0.35999818693244245).abs() < 1e-14);
        let equal = equal_variance_t(&first, &second, two).unwrap();
        assert!((equal.statistic - 0.9051358093310269).abs() < 1e-14);
        assert!((equal.p_value - 0.3751996797581487).abs() < 1e-14);
    }

    #[test]
    fn one_sided_values_are_complements() {
        let (a, b) = ([1.0, 4.0, 2.5, 3.0], [0.5, 3.0, 3.5, 1.0]);
        let p = |alternative| paired_t(&a, &b, alternative).unwrap().p_value;
        assert!((p(Alternative::Less) + p(Alternative::Greater) - 1.0).abs() < 1e-15);
        assert!((p(Alternative::TwoSided) - 2.0 * p(Alternative::Greater)).abs() < 1e-15);
    }

    #[test]
    fn what_cannot_be_tested_is_refused() {
        let two = Alternative::TwoSided;
        let constant = Summary::of(&[2.0, 2.0, 2.0]).unwrap();
        let single = Summary::of(&[1.0]).unwrap();
        for result in [
            welch_t(&constant, &constant, two),
            equal_variance_t(&constant, &constant, two),
            welch_t(&single, &constant, two),
            one_sample_t(&single, 0.0, two),
            paired_t(&[1.0, 2.0], &[1.0], two),
            paired_t(&[1.0, 2.0], &[0.0, 1.0], two),
            paired_t(&[1.0, f64::NAN], &[0.0, 1.0], two),
        ] {
            assert!(matches!(result, Err(crate::Error::Refused(_))), "{result:?}");
        }
    }
}
