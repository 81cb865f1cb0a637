//! Drift statistics against numpy and scipy, on random samples: tests/golden/drift/export.py.

mod random_cases;

use nexus_eval::monitor::{DriftReference, centroid_distance, maximum_mean_discrepancy};
use random_cases::SplitMix64;
use serde::Deserialize;
use std::collections::BTreeMap;

/// Sums of up to 16 million terms in another order, and scipy's exact probability by another recurrence.
const TOLERANCE: f64 = 1e-9;

#[derive(Deserialize)]
struct Expected {
    numbers: Vec<(f64, f64, Option<f64>)>,
    large: BTreeMap<String, (f64, f64, Option<f64>)>,
    embeddings: Vec<(f64, f64, f64)>,
}

/// Of a continuous distribution, of few values, of many ties, or mostly 0.
fn value(rng: &mut SplitMix64, kind: usize) -> f64 {
    match kind {
        0 => rng.unit() + rng.unit() + rng.unit(),
        1 => rng.below(4) as f64,
        2 => (rng.unit() * rng.unit() * 50.0).floor(),
        _ if rng.unit() < 0.9 => 0.0,
        _ => rng.unit(),
    }
}

fn samples(seed: u64, most: usize) -> (Vec<f64>, Vec<f64>, usize) {
    let mut rng = SplitMix64(seed);
    let (n, m, kind) = (rng.between(1, most), rng.between(1, most), rng.below(4));
    let shift = match kind {
        0 | 3 => rng.below(5) as f64 / 10.0,
        _ => rng.below(3) as f64,
    };
    let a = (0..n).map(|_| value(&mut rng, kind)).collect();
    let b = (0..m).map(|_| value(&mut rng, kind) + shift).collect();
    (a, b, rng.between(2, 10))
}

fn expected() -> Expected {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/drift/expected.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn close(found: f64, wanted: f64, what: &str) {
    assert!((found - wanted).abs() <= TOLERANCE, "{what}: {found}, expected {wanted}");
}

fn compare(seed: u64, most: usize, wanted: (f64, f64, Option<f64>)) {
    let (statistic, p_value, stability) = wanted;
    let (a, b, bins) = samples(seed, most);
    let Some(stability) = stability else {
        assert!(DriftReference::new(&a, bins).is_err());
        return;
    };
    let found = DriftReference::new(&a, bins).unwrap().compare(&b).unwrap();
    close(found.stability.value, stability, &format!("stability index of {seed}"));
    close(found.test.statistic, statistic, &format!("statistic of {seed}"));
    // Small probabilities have their digits too; some are 0.
    let p = found.test.p_value;
    let ratio = if p == p_value { 1.0 } else { p / p_value };
    close(ratio, 1.0, &format!("p of {seed}, relative"));
    let exact = a.len() * b.len() <= 10_000_000;
    assert!(found.test.test.ends_with(if exact { "exact" } else { "asymptotic" }));
}

#[test]
fn numbers_as_numpy_and_scipy() {
    let expected = expected();
    assert_eq!(expected.numbers.len(), 2000);
    for (seed, wanted) in (0..).zip(expected.numbers) {
        compare(seed, 60, wanted);
    }
}

#[test]
fn large_samples_as_numpy_and_scipy() {
    let expected = expected();
    assert_eq!(expected.large.len(), 10);
    for (seed, wanted) in expected.large {
        compare(seed.parse().unwrap(), 8000, wanted);
    }
}

#[test]
fn embeddings_as_numpy_and_scipy() {
    let expected = expected();
    assert_eq!(expected.embeddings.len(), 200);
    for (seed, (distance, value, width)) in (9000..).zip(expected.embeddings) {
        let mut rng = SplitMix64(seed);
        let (n, m) = (rng.between(2, 31), rng.between(2, 31));
        let (d, shift) = (rng.between(1, 8), rng.below(4) as f64 / 4.0);
        let mut set = |count: usize, shift: f64| -> Vec<Vec<f64>> {
            (0..count).map(|_| (0..d).map(|_| rng.unit() + shift).collect()).collect()
        };
        let (a, b) = (set(n, 0.0), set(m, shift));
        close(centroid_distance(&a, &b).unwrap(), distance, &format!("distance of {seed}"));
        let found = maximum_mean_discrepancy(&a, &b, 19, seed).unwrap();
        close(found.value, value, &format!("discrepancy of {seed}"));
        close(found.bandwidth, width, &format!("bandwidth of {seed}"));
    }
}
