//! What must hold of statistics for any sample, and the error of each sample that cannot answer.

use nexus_eval::stats::distributions::*;
use nexus_eval::stats::hypothesis::*;
use nexus_eval::stats::*;
use nexus_eval::{Error, Result};
use proptest::prelude::*;

/// Of sums in another order, and of a tail that is one less the other.
const ROUNDING: f64 = 1e-12;

/// Of a quantile, where rounding of its probability is divided by a density down to 1e-4.
const INVERSE: f64 = 1e-9;

const SIDES: [Alternative; 3] = [Alternative::TwoSided, Alternative::Less, Alternative::Greater];

/// The claim about the samples in the other order.
fn turned(side: Alternative) -> Alternative {
    match side {
        Alternative::TwoSided => Alternative::TwoSided,
        Alternative::Less => Alternative::Greater,
        Alternative::Greater => Alternative::Less,
    }
}

fn near(found: f64, wanted: f64, tolerance: f64) -> bool {
    (found - wanted).abs() <= tolerance * wanted.abs().max(1.0)
}

/// Whole numbers, so that ties occur and sums are exact.
fn sample(least: usize) -> impl Strategy<Value = Vec<f64>> {
    prop::collection::vec((-20i32..20).prop_map(f64::from), least..25)
}

/// The tests of two independent samples that know only the order of the values.
fn order_tests(a: &[f64], b: &[f64], side: Alternative) -> Vec<TestResult> {
    let mut found = vec![
        mann_whitney(a, b, side, Method::Auto).unwrap(),
        mann_whitney(a, b, side, Method::Asymptotic).unwrap(),
        kolmogorov_smirnov(a, b, side, Method::Exact).unwrap(),
    ];
    // One value against one has none.
    found.extend(kolmogorov_smirnov(a, b, side, Method::Asymptotic).ok());
    found
}

proptest! {
    #[test]
    fn tests_of_order_do_not_depend_on_which_sample_is_first(a in sample(1), b in sample(1)) {
        for side in SIDES {
            let found = order_tests(&a, &b, side);
            let swapped = order_tests(&b, &a, turned(side));
            prop_assert_eq!(found.len(), swapped.len());
            for (found, swapped) in found.iter().zip(&swapped) {
                prop_assert!((0.0..=1.0).contains(&found.p_value), "{found:?}");
                prop_assert!(near(found.p_value, swapped.p_value, ROUNDING), "{found:?} {swapped:?}");
            }
            prop_assert_eq!(found[0].statistic + swapped[0].statistic, (a.len() * b.len()) as f64);
            prop_assert_eq!(found[2].statistic, swapped[2].statistic);
        }
    }

    #[test]
    fn tests_of_order_do_not_depend_on_the_scale(a in sample(1), b in sample(1)) {
        let scaled = |values: &[f64]| values.iter().map(|x| x.powi(3) * 8.0 - 1.0).collect::<Vec<_>>();
        let reversed = |values: &[f64]| values.iter().rev().copied().collect::<Vec<_>>();
        for side in SIDES {
            let found = order_tests(&a, &b, side);
            prop_assert_eq!(&found, &order_tests(&scaled(&a), &scaled(&b), side));
            prop_assert_eq!(&found, &order_tests(&reversed(&a), &reversed(&b), side));
        }
    }

    #[test]
    fn signed_ranks_and_t_turn_with_the_samples(
        pairs in prop::collection::vec((-20i32..20, -20i32..20), 2..40),
    ) {
        let (a, b): (Vec<f64>, Vec<f64>) =
            pairs.iter().map(|&(a, b)| (f64::from(a), f64::from(b))).unzip();
        let (of_a, of_b) = (Summary::of(&a).unwrap(), Summary::of(&b).unwrap());
        type Outcome = Result<TestResult>;
        for side in SIDES {
            let turned = turned(side);
            let both: [(Outcome, Outcome); 4] = [
                (wilcoxon(&a, &b, side, Method::Auto), wilcoxon(&b, &a, turned, Method::Auto)),
                (paired_t(&a, &b, side), paired_t(&b, &a, turned)),
                (welch_t(&of_a, &of_b, side), welch_t(&of_b, &of_a, turned)),
                (equal_variance_t(&of_a, &of_b, side), equal_variance_t(&of_b, &of_a, turned)),
            ];
            for (found, swapped) in both {
                prop_assert_eq!(found.is_ok(), swapped.is_ok());
                let (Ok(found), Ok(swapped)) = (found, swapped) else { continue };
                prop_assert!((0.0..=1.0 + ROUNDING).contains(&found.p_value), "{found:?}");
                prop_assert!(near(found.p_value, swapped.p_value, ROUNDING), "{found:?} {swapped:?}");
            }
        }
    }

    #[test]
    fn tests_of_counts_do_not_depend_on_which_row_is_first(
        n in 1u64..40, m in 1u64..40, x in 0u64..40, y in 0u64..40,
    ) {
        let (first, second) = ((x.min(n), n), (y.min(m), m));
        for side in SIDES {
            for test in [fisher_exact, two_proportions] {
                let (found, swapped) = (test(first, second, side), test(second, first, turned(side)));
                prop_assert_eq!(found.is_ok(), swapped.is_ok());
                let (Ok(found), Ok(swapped)) = (found, swapped) else { continue };
                prop_assert!(near(found.p_value, swapped.p_value, ROUNDING), "{found:?} {swapped:?}");
            }
        }
        let table = PairedOutcomes { both: 1, only_first: x, only_second: y, neither: 0 };
        let swapped = PairedOutcomes { only_first: y, only_second: x, ..table };
        prop_assert_eq!(
            mcnemar_exact(&table).unwrap().p_value,
            mcnemar_exact(&swapped).unwrap().p_value
        );
    }

    #[test]
    fn quantiles_invert_distribution_functions(
        p in 1e-12..1.0f64, s in -3.0..4.0f64, scale in -1.0..4.0f64,
    ) {
        let df = 10f64.powf(scale);
        let by_normal = (normal_cdf(normal_quantile(p)), normal_quantile(normal_cdf(s)));
        let by_t = (
            student_t_cdf(student_t_quantile(p, df), df),
            student_t_quantile(student_t_cdf(s, df), df),
        );
        for (back, at) in [by_normal, by_t] {
            prop_assert!(near(back, p, ROUNDING) && near(at, s, INVERSE), "{back} {at}");
        }
        // Standard deviations from the mean, but not below the support.
        let x = (df + s * (2.0 * df).sqrt()).max(0.1 * df);
        let back = chi_squared_cdf(chi_squared_quantile(p, df), df);
        let at = chi_squared_quantile(chi_squared_cdf(x, df), df);
        prop_assert!(near(back, p, ROUNDING) && (at / x - 1.0).abs() <= INVERSE, "{back} {at} {x}");
    }

    #[test]
    fn distribution_functions_rise_and_leave_the_rest_to_the_tail(
        x in 0.0..30.0f64, step in 0.0..5.0f64, df in 0.2..300.0f64, nc in -5.0..5.0f64,
        n in 1u64..300, k in 0u64..300, share in 0.0..1.0f64,
    ) {
        let y = x + step;
        prop_assert!(normal_cdf(x) <= normal_cdf(y));
        prop_assert!(student_t_cdf(x, df) <= student_t_cdf(y, df) + ROUNDING);
        prop_assert!(chi_squared_cdf(x, df) <= chi_squared_cdf(y, df) + ROUNDING);
        prop_assert!(noncentral_t_cdf(x, df, nc) <= noncentral_t_cdf(y, df, nc) + ROUNDING);
        prop_assert!(binomial_cdf(k, n, share) <= binomial_cdf(k + 1, n, share) + ROUNDING);
        prop_assert!(near(normal_cdf(x) + normal_sf(x), 1.0, ROUNDING));
        prop_assert!(near(student_t_cdf(x, df) + student_t_sf(x, df), 1.0, ROUNDING));
        prop_assert!(near(chi_squared_cdf(x, df) + chi_squared_sf(x, df), 1.0, ROUNDING));
        prop_assert!(near(binomial_cdf(k, n, share) + binomial_sf(k, n, share), 1.0, ROUNDING));
    }

    #[test]
    fn corrections_keep_the_order_and_only_raise(p in prop::collection::vec(0.0..=1.0f64, 1..20)) {
        let [most, holm, least] =
            [bonferroni(&p), holm(&p), benjamini_hochberg(&p)].map(Result::unwrap);
        for i in 0..p.len() {
            prop_assert!(p[i] <= least[i] && least[i] <= holm[i] * (1.0 + ROUNDING));
            prop_assert!(holm[i] <= most[i] && most[i] <= 1.0);
            for j in 0..p.len() {
                prop_assert!(p[i] > p[j] || holm[i] <= holm[j] && least[i] <= least[j]);
            }
        }
    }

    #[test]
    fn intervals_hold_the_estimate_and_grow_with_the_level(
        n in 1u64..500, m in 1u64..500, x in 0u64..500, y in 0u64..500, values in sample(2),
        level in 0.01..0.98f64,
    ) {
        let (first, second) = ((x.min(n), n), (y.min(m), m));
        let [p, q] = [first, second].map(|(k, n)| k as f64 / n as f64);
        let summary = Summary::of(&values).unwrap();
        let at = |level: f64| [
            (p, wilson(first.0, n, level).unwrap()),
            (p - q, newcombe(first, second, level).unwrap()),
            (summary.mean().unwrap(), mean_interval(&summary, level).unwrap()),
        ];
        for ((value, narrow), (_, wide)) in at(level).into_iter().zip(at(level + 0.01)) {
            prop_assert!(narrow.low <= value + ROUNDING && value - ROUNDING <= narrow.high);
            prop_assert!(wide.low <= narrow.low + ROUNDING && narrow.high <= wide.high + ROUNDING);
        }
    }

    #[test]
    fn a_bootstrap_is_that_of_its_seed_and_stays_within_the_sample(
        values in sample(2), seed: u64, bca: bool,
    ) {
        let method = if bca { BootstrapMethod::Bca } else { BootstrapMethod::Percentile };
        let bootstrap = Bootstrap { resamples: 60, seed, method, ..Bootstrap::default() };
        let Ok(found) = bootstrap.mean(&values) else {
            // No acceleration without jackknife values that differ, or with all resamples on one side.
            prop_assert!(bca);
            return Ok(());
        };
        prop_assert_eq!(found, bootstrap.mean(&values).unwrap());
        let least = values.iter().copied().fold(f64::INFINITY, f64::min);
        let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        prop_assert!(least - ROUNDING <= found.interval.low && found.interval.high <= most + ROUNDING);
        prop_assert!(found.interval.low <= found.interval.high);
        let moved: Vec<f64> = values.iter().map(|x| x + 64.0).collect();
        let paired = bootstrap.paired_means(&moved, &values);
        prop_assert!(bca || near(paired.unwrap().difference.interval.low, 64.0, ROUNDING));
        let run = |seed| approximate_randomisation(values.len(), 20, seed, Alternative::TwoSided, |flags| {
            flags.iter().zip(&values).map(|(&flag, x)| if flag { -x } else { *x }).sum()
        });
        prop_assert_eq!(run(seed).unwrap(), run(seed).unwrap());
    }
}

/// Each is refused in words that name what is wrong.
fn refused<T: std::fmt::Debug>(found: Result<T>, why: &str) {
    match found {
        Err(Error::Refused(text)) => assert!(text.contains(why), "{text:?} does not say {why:?}"),
        other => panic!("{other:?}, not refused for {why:?}"),
    }
}

#[test]
fn a_sample_that_cannot_answer_is_refused_by_name() {
    let two = Alternative::TwoSided;
    let (none, one, nan) = (&[][..], &[1.0][..], &[1.0, f64::NAN][..]);
    let (some, same) = (&[1.0, 2.0][..], &[2.0, 2.0][..]);
    let summary = |values: &[f64]| Summary::of(values).unwrap();
    let rank = |a: &[f64], b: &[f64]| mann_whitney(a, b, two, Method::Auto);
    let signed = |a: &[f64], b: &[f64]| wilcoxon(a, b, two, Method::Auto);
    let distance = |a: &[f64], b: &[f64]| kolmogorov_smirnov(a, b, two, Method::Auto);

    refused(rank(none, some), "empty");
    refused(rank(some, none), "empty");
    refused(signed(none, none), "no pair differs");
    refused(distance(none, some), "empty");
    refused(distance(some, none), "empty");
    refused(Bootstrap::default().mean(none), "no example");
    refused(jackknife(0, |_| Some(1.0)), "no example");
    refused(mcnemar_exact(&PairedOutcomes::default()), "no pair");
    refused(two_proportions((0, 0), (1, 2), two), "0 trials");
    refused(fisher_exact((1, 2), (0, 0), two), "0 trials");
    refused(chi_squared_fit(&[0, 0], &[1.0, 1.0]), "0 counts");
    refused(approximate_randomisation(0, 10, 0, two, |_| 0.0), "no pair");

    refused(Summary::of(nan), "value 1 is NaN");
    refused(rank(nan, some), "value 1 is NaN");
    refused(signed(nan, some), "value 1 is NaN");
    refused(paired_t(nan, some, two), "value 1 is NaN");
    refused(distance(some, nan), "value 1 is not a number");
    refused(Bootstrap::default().mean(nan), "value 1 is NaN");
    refused(Bootstrap::default().paired_means(some, nan), "value 1 is NaN");
    refused(holm(nan), "p-value 1 is NaN");

    refused(welch_t(&summary(same), &summary(same), two), "standard error is 0");
    refused(equal_variance_t(&summary(same), &summary(same), two), "standard error is 0");
    refused(one_sample_t(&summary(same), 0.0, two), "standard error is 0");
    refused(paired_t(some, some, two), "standard error is 0");
    refused(signed(some, some), "no pair differs");
    refused(two_proportions((0, 3), (0, 4), two), "all outcomes are the same");
    refused(fisher_exact((3, 3), (4, 4), two), "all outcomes are the same");
    let bca = Bootstrap { method: BootstrapMethod::Bca, ..Bootstrap::default() };
    refused(bca.mean(same), "BCa is undefined");

    refused(welch_t(&summary(one), &summary(some), two), "the first sample has 1 observation");
    refused(equal_variance_t(&summary(some), &summary(one), two), "the second sample has 1");
    refused(one_sample_t(&summary(one), 0.0, two), "the sample has 1 observation");
    refused(paired_t(one, &[0.0], two), "the sample has 1 observation");
    refused(mean_interval(&summary(one), 0.95), "the sample has 1 observation");
    refused(Bootstrap::default().mean(one), "at least 2");
    refused(Bootstrap::default().paired_means(one, one), "at least 2");
    refused(jackknife(1, |_| Some(1.0)), "at least 2");

    refused(signed(some, one), "2 values are paired with 1");
    refused(paired_t(some, one, two), "2 values are paired with 1");
    refused(Bootstrap::default().paired_means(some, one), "2 values are paired with 1");
    let huge = summary(&[1e300, -1e300]);
    refused(mean_interval(&huge, 0.95), "overflow");
    refused(welch_t(&huge, &huge, two), "overflow");
    let unknown = one_sample_t(&summary(some), f64::NAN, two);
    assert!(matches!(unknown, Err(Error::Config { .. })), "{unknown:?}");
    // A variance far below 1 is one.
    let tiny = summary(&[1e-160, 2e-160]);
    assert!((welch_t(&tiny, &tiny, two).unwrap().df.unwrap() - 2.0).abs() < ROUNDING);
}
