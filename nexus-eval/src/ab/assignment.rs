//! Which unit gets which variant.

use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;

/// One of the things that are compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variant {
    /// Its name, such as `control`.
    pub name: String,
    /// Its share of the units, relative to the other weights; at least 1.
    pub weight: u32,
}

/// The deterministic assignment of units to variants. It needs no memory: the same unit gets the same variant in every
/// process, on every platform and in every version of this crate.
///
/// ```text
/// hash    = SHA-256(salt as UTF-8, one byte 0, unit as UTF-8)
/// word    = the first 8 bytes of the hash, big-endian
/// point   = (word * sum of weights) >> 64
/// variant = the first whose cumulated weight is above the point
/// ```
///
/// Different salts make assignments independent. Adding or reweighting variants moves units between them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    salt: String,
    variants: Vec<Variant>,
}

impl Assignment {
    /// # Errors
    /// [`Error::Config`] for fewer than two variants, a name that is empty or given twice, a weight of 0, and a salt that
    /// is empty or contains the character 0 (which separates it from the unit).
    pub fn new(salt: &str, variants: &[Variant]) -> Result<Self> {
        if variants.len() < 2 {
            return Err(Error::config("variants", variants.len(), "at least 2"));
        }
        if salt.is_empty() || salt.contains('\0') {
            return Err(Error::config(
                "salt",
                format!("{salt:?}"),
                "a text without the character 0",
            ));
        }
        let mut names = BTreeSet::new();
        for Variant { name, weight } in variants {
            if name.is_empty() || !names.insert(name) {
                return Err(Error::config(
                    "variants.name",
                    name,
                    "a name that no other variant has",
                ));
            }
            if *weight == 0 {
                let allowed = "at least 1; leave out variants without units";
                return Err(Error::config("variants.weight", weight, allowed));
            }
        }
        Ok(Self { salt: salt.into(), variants: variants.to_vec() })
    }

    /// The variants, in their order.
    pub fn variants(&self) -> &[Variant] {
        &self.variants
    }

    /// The index of the variant of this unit (a user, a session, a request).
    pub fn index(&self, unit: &str) -> usize {
        let hash = Sha256::new()
            .chain_update(self.salt.as_bytes())
            .chain_update([0])
            .chain_update(unit.as_bytes())
            .finalize();
        let word = hash.iter().take(8).fold(0u64, |word, byte| word << 8 | u64::from(*byte));
        let total: u64 = self.variants.iter().map(|variant| u64::from(variant.weight)).sum();
        let point = ((u128::from(word) * u128::from(total)) >> 64) as u64;
        let mut end = 0;
        let above = |variant: &Variant| {
            end += u64::from(variant.weight);
            end > point
        };
        // The last end is the total, which is above every point.
        self.variants.iter().position(above).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variants(weights: &[u32]) -> Vec<Variant> {
        let variant = |(i, &weight): (usize, &u32)| Variant { name: format!("v{i}"), weight };
        weights.iter().enumerate().map(variant).collect()
    }

    #[test]
    fn shares_follow_the_weights() {
        let assignment = Assignment::new("salt", &variants(&[1, 2, 7])).unwrap();
        let mut counts = [0u64; 3];
        (0..20_000).for_each(|i| counts[assignment.index(&format!("user-{i}"))] += 1);
        let fit = crate::stats::hypothesis::chi_squared_fit(&counts, &[1.0, 2.0, 7.0]).unwrap();
        assert!(fit.p_value > 0.001, "{counts:?}");
    }

    #[test]
    fn other_salts_are_independent() {
        let [a, b] = ["a", "b"].map(|salt| Assignment::new(salt, &variants(&[1, 1])).unwrap());
        let same =
            (0..10_000).filter(|i| a.index(&i.to_string()) == b.index(&i.to_string())).count();
        assert!((4800..5200).contains(&same), "{same}");
    }

    #[test]
    fn what_is_no_experiment_is_refused() {
        let refused = |salt: &str, variants: &[Variant]| {
            assert!(matches!(Assignment::new(salt, variants), Err(Error::Config { .. })));
        };
        refused("s", &variants(&[1]));
        refused("s", &variants(&[1, 0]));
        refused("", &variants(&[1, 1]));
        refused("a\0b", &variants(&[1, 1]));
        let mut twice = variants(&[1, 1]);
        twice[1].name = "v0".into();
        refused("s", &twice);
    }
}
