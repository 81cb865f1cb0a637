//! The random inputs of golden cases, the same as in `golden/random_cases.py`, and their values.

use std::path::Path;

/// The reference's values and ours come from different orders of summation and other series for the same functions.
pub(crate) const TOLERANCE: f64 = 1e-9;

/// Steele, Lea and Flood (2014), Fast splittable pseudorandom number generators.
pub(crate) struct SplitMix64(pub(crate) u64);

impl SplitMix64 {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.next()) * n as u128) >> 64) as usize
    }

    pub(crate) fn between(&mut self, low: usize, high: usize) -> usize {
        low + self.below(high - low + 1)
    }

    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// n values: near normal, tied, constant, skewed, two-valued.
    pub(crate) fn sample(&mut self, n: usize, kind: usize) -> Vec<f64> {
        match kind % 5 {
            0 => (0..n)
                .map(|_| self.unit() + self.unit() + self.unit() + self.unit() - 2.0)
                .collect(),
            1 => (0..n).map(|_| self.below(5) as f64).collect(),
            2 => vec![self.below(3) as f64; n],
            3 => (0..n).map(|_| self.unit()).map(|u| u * u * u * 10.0).collect(),
            _ => (0..n).map(|_| self.below(2) as f64).collect(),
        }
    }
}

/// The values of every case of `golden/FOLDER/NAME.0.txt`, continued in `NAME.1.txt` and so on.
pub(crate) fn values(folder: &str, name: &str) -> Vec<Vec<f64>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(folder);
    let mut rows: Vec<Vec<f64>> = Vec::new();
    for part in 0.. {
        let Ok(text) = std::fs::read_to_string(folder.join(format!("{name}.{part}.txt"))) else {
            break;
        };
        rows.resize(text.lines().count(), Vec::new());
        for (row, line) in rows.iter_mut().zip(text.lines()) {
            row.extend(line.split(' ').map(|value| value.parse::<f64>().unwrap()));
        }
    }
    assert!(!rows.is_empty(), "no values of {name}");
    rows
}

/// `None` and errors stand where the reference's value is NaN. Values above 1 are compared relatively.
pub(crate) fn check(case: usize, name: &str, found: Option<f64>, wanted: f64) {
    let same = match found {
        None => wanted.is_nan(),
        Some(found) => {
            found == wanted || (found - wanted).abs() <= TOLERANCE * wanted.abs().max(1.0)
        }
    };
    assert!(same, "case {case}: {name} is {found:?}, the reference has {wanted:?}");
}
