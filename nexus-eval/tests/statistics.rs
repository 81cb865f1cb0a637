//! Statistics against SciPy and statsmodels, on random cases that both sides draw from one generator.

mod random_cases;

use nexus_eval::stats::distributions::*;
use nexus_eval::stats::hypothesis::*;
use nexus_eval::stats::*;
use nexus_eval::{Error, Result};
use random_cases::{SplitMix64, check, values};

/// Calls `case` with the generator, the case's number and the reference's values.
fn each(name: &str, mut case: impl FnMut(&mut SplitMix64, usize, &[f64])) {
    let mut rng = SplitMix64(name.bytes().map(u64::from).sum());
    for (i, row) in values("statistics", name).iter().enumerate() {
        case(&mut rng, i, row);
    }
}

fn alternative(case: usize) -> Alternative {
    [Alternative::TwoSided, Alternative::Less, Alternative::Greater][case % 3]
}

fn check_test(case: usize, name: &str, found: Result<TestResult>, wanted: &[f64]) {
    if let Err(why) = &found {
        assert!(matches!(why, Error::Refused(_)), "case {case}: {name}: {why}");
    }
    let found = found.ok();
    check(case, name, found.as_ref().map(|result| result.statistic), wanted[0]);
    check(case, name, found.as_ref().map(|result| result.p_value), wanted[1]);
}

#[test]
fn distribution_functions() {
    each("distributions", |rng, case, wanted| {
        let (z, p) = (rng.unit() * 16.0 - 8.0, rng.unit());
        let t = rng.unit() * 20.0 - 10.0;
        let scale = rng.unit();
        let df = scale * 10f64.powi(rng.below(5) as i32) + 0.1;
        let x = rng.unit() * df * 3.0;
        let decade = rng.between(1, 6);
        let n = rng.between(1, 10usize.pow(decade as u32));
        let k = rng.below(n + 1);
        let near = (k as f64 / n as f64 + (rng.unit() - 0.5) * 0.02).clamp(0.0, 1.0);
        let nc = rng.unit() * 12.0 - 6.0;
        let found = [
            normal_cdf(z),
            normal_quantile(p),
            student_t_sf(t, df),
            student_t_quantile(p, df),
            chi_squared_sf(x, df),
            chi_squared_quantile(p, df),
            binomial_cdf(k as u64, n as u64, near),
            noncentral_t_cdf(t, df, nc),
        ];
        for (i, (found, wanted)) in found.into_iter().zip(wanted).enumerate() {
            // SciPy's noncentral t gives NaN in some far tails.
            if i == 7 && wanted.is_nan() {
                continue;
            }
            check(case, &format!("function {i}"), Some(found), *wanted);
        }
    });
}

#[test]
fn small_tails_keep_their_digits() {
    each("tails", |rng, case, wanted| {
        let (z, t, df) = (rng.unit() * 30.0, rng.unit() * 50.0, rng.between(1, 200) as f64);
        let x = rng.unit() * 500.0;
        let found = [normal_sf(z), student_t_sf(t, df), chi_squared_sf(x, df)];
        for (i, (found, wanted)) in found.into_iter().zip(wanted).enumerate() {
            check(case, &format!("tail {i}"), Some(found.ln()), *wanted);
        }
    });
}

#[test]
fn intervals_with_a_closed_form() {
    each("intervals", |rng, case, wanted| {
        let (n, m) = (rng.between(1, 300), rng.between(1, 300));
        let (mut x, mut y) = (rng.below(n + 1), rng.below(m + 1));
        if case % 10 == 0 {
            x = 0;
        }
        if case % 10 == 1 {
            (x, y) = (n, m);
        }
        let level = 0.5 + rng.below(50) as f64 / 100.0;
        let size = rng.between(2, 30);
        let sample = Summary::of(&rng.sample(size, case)).unwrap();
        let (first, second) = ((x as u64, n as u64), (y as u64, m as u64));
        let found = [
            wilson(first.0, first.1, level).unwrap(),
            newcombe(first, second, level).unwrap(),
            mean_interval(&sample, level).unwrap(),
        ];
        for (i, interval) in found.iter().enumerate() {
            check(case, &format!("low {i}"), Some(interval.low), wanted[2 * i]);
            check(case, &format!("high {i}"), Some(interval.high), wanted[2 * i + 1]);
        }
    });
}

#[test]
fn tests_of_proportions() {
    each("proportions", |rng, case, wanted| {
        let side = alternative(case);
        let largest = [12, 60, 2000][case / 3 % 3];
        let (n, mut m) = (rng.between(1, largest), rng.between(1, largest));
        let (mut x, mut y) = (rng.below(n + 1), rng.below(m + 1));
        if case % 7 == 0 {
            (x, y) = (x / 10, y / 10);
        }
        if case % 7 == 1 {
            (m, y) = (n, n - x);
        }
        let (first, second) = ((x as u64, n as u64), (y as u64, m as u64));
        check_test(case, "z", two_proportions(first, second, side), &wanted[..2]);
        check_test(case, "Fisher", fisher_exact(first, second, side), &wanted[2..4]);
        // statsmodels counts without examples, too; here they are concordant.
        let table =
            PairedOutcomes { both: 1, only_first: x as u64, only_second: y as u64, neither: 0 };
        check_test(case, "exact McNemar", mcnemar_exact(&table), &wanted[4..6]);
        check_test(case, "McNemar", mcnemar(&table, false), &wanted[6..8]);
        check_test(case, "corrected McNemar", mcnemar(&table, true), &wanted[8..10]);
    });
}

#[test]
fn goodness_of_fit() {
    each("fits", |rng, case, wanted| {
        let cells = rng.between(2, 8);
        let counts: Vec<u64> = (0..cells).map(|_| rng.below(200) as u64).collect();
        let shares: Vec<f64> = (0..cells).map(|_| rng.unit() + 0.1).collect();
        check_test(case, "chi-square", chi_squared_fit(&counts, &shares), wanted);
    });
}

#[test]
fn tests_of_means() {
    each("means", |rng, case, wanted| {
        let side = alternative(case);
        let n = rng.between(2, 40);
        let a = rng.sample(n, case);
        let m = rng.between(2, 40);
        let b = Summary::of(&rng.sample(m, case / 5)).unwrap();
        let expected = rng.unit();
        let c = rng.sample(n, case / 7);
        let sample = Summary::of(&a).unwrap();
        check_test(case, "Welch", welch_t(&sample, &b, side), &wanted[..2]);
        check_test(case, "equal variances", equal_variance_t(&sample, &b, side), &wanted[2..4]);
        check_test(case, "one sample", one_sample_t(&sample, expected, side), &wanted[4..6]);
        check_test(case, "paired", paired_t(&a, &c, side), &wanted[6..8]);
    });
}

#[test]
fn intervals_of_differences_of_means() {
    each("confidence", |rng, case, wanted| {
        let n = rng.between(2, 40);
        let a = Summary::of(&rng.sample(n, 3 * (case % 2))).unwrap();
        let m = rng.between(2, 40);
        let b = Summary::of(&rng.sample(m, 3 * (case / 2 % 2))).unwrap();
        let welch = welch_t(&a, &b, Alternative::Less).unwrap();
        check(case, "df", welch.df, wanted[0]);
        let equal = equal_variance_t(&a, &b, Alternative::TwoSided).unwrap();
        for (result, wanted) in [(welch, &wanted[1..3]), (equal, &wanted[3..5])] {
            let interval = result.effect.unwrap().interval.unwrap();
            check(case, "low", Some(interval.low), wanted[0]);
            check(case, "high", Some(interval.high), wanted[1]);
        }
    });
}

#[test]
fn rank_tests() {
    each("ranks", |rng, case, wanted| {
        let side = alternative(case);
        let largest = if case % 2 == 1 { 12 } else { 60 };
        let n = rng.between(1, largest);
        let a = rng.sample(n, case);
        let m = rng.between(1, largest);
        let b = rng.sample(m, case / 5);
        let c = rng.sample(n, case / 7);
        check_test(case, "Mann-Whitney", mann_whitney(&a, &b, side, Method::Auto), &wanted[..2]);
        check_test(case, "Wilcoxon", wilcoxon(&a, &c, side, Method::Auto), &wanted[2..4]);
    });
}

#[test]
fn kolmogorov_smirnov_exact() {
    each("kolmogorov", |rng, case, wanted| {
        let largest = [10, 40, 150][case / 3 % 3];
        let n = rng.between(1, largest);
        let a = rng.sample(n, case);
        let m = rng.between(1, largest);
        let b = rng.sample(m, case / 5);
        check_test(
            case,
            "K-S",
            kolmogorov_smirnov(&a, &b, alternative(case), Method::Auto),
            wanted,
        );
    });
}

#[test]
fn kolmogorov_smirnov_asymptotic() {
    each("kolmogorov_asymptotic", |rng, case, wanted| {
        let largest = [6, 300, 2000][case / 3 % 3];
        let n = rng.between(1, largest);
        let a = rng.sample(n, case);
        let m = rng.between(1, largest);
        let b = rng.sample(m, case / 5);
        let found = kolmogorov_smirnov(&a, &b, alternative(case), Method::Asymptotic);
        check_test(case, "K-S", found, wanted);
    });
}

#[test]
fn corrections_for_many_tests() {
    each("multiple", |rng, case, wanted| {
        let mut p: Vec<f64> = (0..3).map(|_| rng.unit() * rng.unit()).collect();
        if rng.below(4) == 0 {
            p[2] = p[1];
        }
        let found = [bonferroni(&p), holm(&p), benjamini_hochberg(&p)];
        let found = found.into_iter().flat_map(Result::unwrap);
        for (i, (found, wanted)) in found.zip(wanted).enumerate() {
            check(case, &format!("value {i}"), Some(found), *wanted);
        }
    });
}

#[test]
fn power_and_sample_sizes() {
    each("sizes", |rng, case, wanted| {
        let (alpha, ratio) = (0.01 + rng.unit() * 0.14, 0.25 + rng.unit() * 3.75);
        let power = 0.5 + rng.unit() * 0.45;
        let less = alternative(case) == Alternative::Less;
        let (low, gap) = (0.05 + rng.unit() * 0.4, 0.01 + rng.unit() * 0.4);
        let d = 0.05 + rng.unit() * 1.5;
        let (d, n) = (if less { -d } else { d }, rng.between(3, 500) as f64);
        let (p, q) = if less { (low, low + gap) } else { (low + gap, low) };
        let plan = PowerAnalysis { alpha, ratio, alternative: alternative(case) };
        let found = [
            plan.proportions_power(p, q, n),
            plan.proportions_n(p, q, power),
            Ok(cohens_h(p, q)),
            plan.effect_power(d, n),
            plan.effect_n(d, power),
            plan.means_power(d, n),
            plan.means_n(d, power),
        ];
        for (i, (found, wanted)) in found.into_iter().zip(wanted).enumerate() {
            // The power of the t test rests on the noncentral t, whose far tails SciPy gives as NaN.
            if i == 5 && wanted.is_nan() {
                continue;
            }
            check(case, &format!("value {i}"), Some(found.unwrap()), *wanted);
        }
    });
}

#[test]
fn bootstrap_intervals() {
    each("bootstrap", |rng, case, wanted| {
        let continuous = [0, 3].contains(&(case % 5));
        let n = match continuous {
            true => rng.between(16, 40),
            false => rng.between(2, [4, 30][case / 5 % 2]),
        };
        let data = rng.sample(n, case);
        let variance = continuous && case / 5 % 2 == 1;
        let level = [0.9, 0.95][case / 10 % 2];
        let statistic = |indices: &[usize]| {
            let n = indices.len() as f64;
            let mean = indices.iter().map(|&i| data[i]).sum::<f64>() / n;
            let squares: f64 = indices.iter().map(|&i| (data[i] - mean).powi(2)).sum();
            Some(if variance { squares / n } else { mean })
        };
        let resamples: Vec<Vec<usize>> =
            (0..200).map(|_| (0..n).map(|_| rng.below(n)).collect()).collect();
        for (method, wanted) in
            [(BootstrapMethod::Percentile, &wanted[..3]), (BootstrapMethod::Bca, &wanted[3..])]
        {
            // The statistic is asked for all examples, for each resample, for all but one. The reference's draws stand
            // in for ours.
            let mut calls = 0;
            let draws = |indices: &[usize]| {
                calls += 1;
                statistic(if (2..=201).contains(&calls) { &resamples[calls - 2] } else { indices })
            };
            let bootstrap = Bootstrap { resamples: 200, level, seed: 1, method };
            let found = bootstrap.interval(n, draws).ok();
            check(case, "low", found.map(|f| f.interval.low), wanted[0]);
            check(case, "high", found.map(|f| f.interval.high), wanted[1]);
            if let Some(&stderr) = wanted.get(2) {
                check(case, "stderr", found.map(|f| f.stderr), stderr);
            }
        }
    });
}
