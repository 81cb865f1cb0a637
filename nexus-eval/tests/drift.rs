//! Drift statistics against numpy and scipy, on random samples: tests/golden/drift/export.py.

use nexus_eval::monitor::{
    DriftReference, centroid_distance, kolmogorov_smirnov, maximum_mean_discrepancy,
};
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

/// SplitMix64 (Steele, Lea and Flood 2014), as in export.py.
struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    fn value(&mut self, kind: u64) -> f64 {
        match kind {
            0 => self.unit() + self.unit() + self.unit(),
            1 => (self.unit() * 4.0).floor(),
            2 => (self.unit() * self.unit() * 50.0).floor(),
            _ if self.unit() < 0.9 => 0.0,
            _ => self.unit(),
        }
    }
}

fn samples(seed: u64, most: u64) -> (Vec<f64>, Vec<f64>, usize) {
    let mut rng = SplitMix64(seed);
    let (n, m, kind) = (1 + rng.below(most), 1 + rng.below(most), rng.below(4));
    let shift = match kind {
        0 | 3 => rng.below(5) as f64 / 10.0,
        _ => rng.below(3) as f64,
    };
    let a = (0..n).map(|_| rng.value(kind)).collect();
    let b = (0..m).map(|_| rng.value(kind) + shift).collect();
    (a, b, 2 + rng.below(9) as usize)
}

fn expected() -> Expected {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/drift/expected.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn close(found: f64, wanted: f64, what: &str) {
    assert!((found - wanted).abs() <= TOLERANCE, "{what}: {found}, expected {wanted}");
}

fn compare(seed: u64, most: u64, wanted: (f64, f64, Option<f64>)) {
    let (statistic, p_value, stability) = wanted;
    let (a, b, bins) = samples(seed, most);
    let found = kolmogorov_smirnov(&a, &b).unwrap();
    close(found.statistic, statistic, &format!("statistic of {seed}"));
    close(found.p_value, p_value, &format!("p of {seed}"));
    // Small probabilities have their digits too.
    close(found.p_value / p_value, 1.0, &format!("p of {seed}, relative"));
    assert_eq!(found.exact, a.len() * b.len() <= 10_000_000);
    let Some(stability) = stability else {
        assert!(DriftReference::new(&a, bins).is_err());
        return;
    };
    let report = DriftReference::new(&a, bins).unwrap().compare(&b).unwrap();
    close(report.stability.value, stability, &format!("stability index of {seed}"));
    assert_eq!(report.test, found);
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
        let (n, m) = (2 + rng.below(30), 2 + rng.below(30));
        let (d, shift) = (1 + rng.below(8), rng.below(4) as f64 / 4.0);
        let mut set = |count: u64, shift: f64| -> Vec<Vec<f64>> {
            (0..count).map(|_| (0..d).map(|_| rng.unit() + shift).collect()).collect()
        };
        let (a, b) = (set(n, 0.0), set(m, shift));
        close(centroid_distance(&a, &b).unwrap(), distance, &format!("distance of {seed}"));
        let found = maximum_mean_discrepancy(&a, &b, 19, seed).unwrap();
        close(found.value, value, &format!("discrepancy of {seed}"));
        close(found.bandwidth, width, &format!("bandwidth of {seed}"));
    }
}
