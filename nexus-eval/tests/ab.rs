//! A/B tests simulated: false positives with and without peeking, power as computed, assignment as hashlib has it.

mod random_cases;

use nexus_eval::ab::*;
use nexus_eval::stats::hypothesis::{LEVEL, two_proportions};
use nexus_eval::stats::*;
use random_cases::SplitMix64;

const RUNS: usize = 2000;
const ALPHA: f64 = 0.05;

/// Counts of runs in which a peeker would have claimed a difference at any time, by the sequential test and by the naive
/// z test at every look.
#[derive(Debug, Default)]
struct Claims {
    sequential: usize,
    naive: usize,
    missed_truth: usize,
}

/// RUNS experiments with a look after each pair of units; `draw(rng, treated)` gives an outcome.
fn peek(
    config: SequentialConfig,
    units: usize,
    truth: f64,
    mut draw: impl FnMut(&mut SplitMix64, bool) -> f64,
) -> Claims {
    let mut claims = Claims::default();
    let mut rng = SplitMix64(20_240_101);
    for _ in 0..RUNS {
        let mut test = SequentialTest::new(config).unwrap();
        let [mut treatment, mut control] = [Summary::default(); 2];
        let (mut sequential, mut naive, mut missed) = (false, false, false);
        for n in 1..=units {
            treatment.push(draw(&mut rng, true)).unwrap();
            control.push(draw(&mut rng, false)).unwrap();
            if (n as u64) < config.min_units {
                continue;
            }
            let look = test.look(&treatment, &control);
            sequential |= look.verdict == Verdict::Significant;
            missed |= look.interval.is_some_and(|interval| !interval.contains(truth));
            let variance = treatment.variance().unwrap() + control.variance().unwrap();
            let stderr = (variance / n as f64).sqrt();
            naive |= look.difference.unwrap().abs() > 1.959963984540054 * stderr;
        }
        claims.sequential += usize::from(sequential);
        claims.naive += usize::from(naive);
        claims.missed_truth += usize::from(missed);
    }
    claims
}

fn assert_valid(claims: &Claims) {
    assert!(claims.sequential as f64 <= ALPHA * RUNS as f64, "{claims:?}");
    assert!(claims.missed_truth as f64 <= ALPHA * RUNS as f64, "{claims:?}");
    assert!(claims.naive as f64 > 0.20 * RUNS as f64, "{claims:?}");
}

#[test]
fn peeking_at_equal_proportions_claims_nothing() {
    let binary = |p: f64| move |rng: &mut SplitMix64, _| if rng.unit() < p { 1.0 } else { 0.0 };
    for (p, min_units) in [(0.3, 100), (0.05, 200)] {
        let tau = tau_for(2.0 * p * (1.0 - p) / 500.0, ALPHA);
        let config = SequentialConfig { min_units, ..SequentialConfig::new(tau) };
        assert_valid(&peek(config, 1000, 0.0, binary(p)));
    }
}

#[test]
fn peeking_at_equal_means_claims_nothing() {
    // Skewed outcomes, exponential with mean 1.
    let draw = |rng: &mut SplitMix64, _| -(1.0 - rng.unit()).ln();
    let config = SequentialConfig::new(tau_for(2.0 / 500.0, ALPHA));
    assert_valid(&peek(config, 1000, 0.0, draw));
    // Hoeffding's bound holds from the first unit on.
    let bounded = |rng: &mut SplitMix64, _| rng.unit();
    let config = SequentialConfig {
        min_units: 2,
        variance_bound: Some(0.25),
        ..SequentialConfig::new(tau_for(0.5 / 500.0, ALPHA))
    };
    assert_valid(&peek(config, 500, 0.0, bounded));
}

#[test]
fn the_sequential_test_finds_what_is_there() {
    let draw = |rng: &mut SplitMix64, treated: bool| {
        if rng.unit() < if treated { 0.4 } else { 0.3 } { 1.0 } else { 0.0 }
    };
    let config = SequentialConfig::new(tau_for(0.45 / 500.0, ALPHA));
    let claims = peek(config, 1000, 0.1, draw);
    assert!(claims.sequential as f64 > 0.9 * RUNS as f64, "{claims:?}");
    assert!(claims.missed_truth as f64 <= ALPHA * RUNS as f64, "{claims:?}");
}

/// The share of RUNS two-proportion tests with p below alpha.
fn significant(first: f64, second: f64, n: u64, seed: u64) -> Interval {
    let mut rng = SplitMix64(seed);
    let mut found = 0;
    for _ in 0..RUNS {
        let mut draw = |p: f64| (0..n).filter(|_| rng.unit() < p).count() as u64;
        let (a, b) = ((draw(first), n), (draw(second), n));
        let test = two_proportions(a, b, Alternative::TwoSided).unwrap();
        found += u64::from(test.p_value < ALPHA);
    }
    // Wide enough that a right formula fails once in a thousand seeds.
    wilson(found, RUNS as u64, 0.999).unwrap()
}

#[test]
fn simulated_power_is_the_computed_one() {
    let plan = PowerAnalysis::default();
    for (first, second, power) in [(0.3, 0.38, 0.8), (0.5, 0.42, 0.9), (0.12, 0.2, 0.5)] {
        let n = plan.proportions_n(first, second, power).unwrap().ceil();
        let computed = plan.proportions_power(first, second, n).unwrap();
        let simulated = significant(first, second, n as u64, 7);
        assert!(simulated.contains(computed), "{computed} is outside {simulated:?}");
    }
    assert!(significant(0.3, 0.3, 500, 8).contains(ALPHA));
}

#[test]
fn assignments_equal_those_of_hashlib() {
    let variant = |(i, weight): (usize, u32)| Variant { name: i.to_string(), weight };
    let weights = [vec![1, 1], vec![90, 10], vec![1, 2, 3, 4], vec![u32::MAX, 1, 7]];
    let salts = ["checkout", "Größe-2", "実験", "a b"];
    let assignments: Vec<Assignment> = salts
        .iter()
        .zip(weights)
        .map(|(salt, weights)| {
            let variants: Vec<Variant> = weights.into_iter().enumerate().map(variant).collect();
            Assignment::new(salt, &variants).unwrap()
        })
        .collect();
    for (case, row) in random_cases::values("assignment", "variants").iter().enumerate() {
        let units = [
            format!("user-{case}"),
            format!("ünit {case}"),
            format!("用户{case}"),
            case.to_string(),
        ];
        for ((assignment, unit), wanted) in assignments.iter().zip(units).zip(row) {
            let found = Some(assignment.index(&unit) as f64);
            random_cases::check(case, &unit, found, *wanted);
        }
    }
}

#[test]
fn an_experiment_from_assignment_to_verdict() {
    let variant = |name: &str, weight| Variant { name: name.into(), weight };
    let variants = vec![variant("control", 2), variant("treatment", 1)];
    let config = ExperimentConfig::new("tone of voice", variants, Outcome::Continuous);
    let mut experiment = Experiment::new(config).unwrap();
    let mut rng = SplitMix64(3);
    for i in 0..3000 {
        let name = experiment.assign(&format!("user-{i}")).name.clone();
        let gain = if name == "treatment" { 0.1 } else { 0.0 };
        experiment.record(&name, rng.unit() + gain).unwrap();
    }
    let analysis = experiment.analyse().unwrap();
    let comparison = &analysis.comparisons[0];
    assert!(analysis.sample_ratio.p_value > 0.001);
    assert_eq!(comparison.verdict, Verdict::Significant);
    let effect = comparison.test.as_ref().unwrap().effect.clone().unwrap();
    let interval = effect.interval.unwrap();
    assert!(interval.contains(0.1) && interval.level == LEVEL, "{interval:?}");
    let json = serde_json::to_string(&analysis).unwrap();
    assert_eq!(serde_json::from_str::<Analysis>(&json).unwrap(), analysis);
}
