//! Clipped counts of common n-grams, the core of BLEU, chrF and ROUGE-N.

use foldhash::HashMap;

/// The n-grams of one or more references, for counting how many of a hypothesis' occur among them.
///
/// An n-gram is numbered by its first n - 1 tokens' number and its last token, so any order costs one look-up.
#[derive(Default)]
pub(super) struct ReferenceNgrams {
    numbers: HashMap<(u32, u32), u32>,
    /// By number: the most occurrences in one reference.
    most: Vec<u32>,
    /// By number: occurrences in the present reference or hypothesis.
    seen: Vec<u32>,
    /// By start: the number of the n-gram that starts there, for the order at hand.
    grams: Vec<u32>,
}

/// Stands for the empty n-gram, and for one that no reference has.
const NONE: u32 = u32::MAX;

impl ReferenceNgrams {
    pub(super) fn clear(&mut self) {
        self.numbers.clear();
        self.most.clear();
        self.seen.clear();
    }

    /// Adds the n-grams of orders 1 to `max_order`; an n-gram's count is its largest in one reference.
    pub(super) fn add(&mut self, tokens: &[u32], max_order: usize) {
        self.seen.fill(0);
        self.grams.clear();
        self.grams.resize(tokens.len(), NONE);
        for order in 1..=max_order.min(tokens.len()) {
            for (gram, &last) in self.grams.iter_mut().zip(&tokens[order - 1..]) {
                let next = self.most.len() as u32;
                *gram = *self.numbers.entry((*gram, last)).or_insert(next);
                if *gram == next {
                    self.most.push(0);
                    self.seen.push(0);
                }
                let number = *gram as usize;
                self.seen[number] += 1;
                self.most[number] = self.most[number].max(self.seen[number]);
            }
        }
    }

    /// How many n-grams of orders 1 to `matches.len()` a hypothesis shares with the references, each at most as often as
    /// one reference has it.
    pub(super) fn count(&mut self, tokens: &[u32], matches: &mut [u64]) {
        matches.fill(0);
        self.seen.fill(0);
        self.grams.clear();
        self.grams.resize(tokens.len(), NONE);
        let max_order = matches.len().min(tokens.len());
        for (before, found) in matches[..max_order].iter_mut().enumerate() {
            let mut any = false;
            for (gram, &last) in self.grams.iter_mut().zip(&tokens[before..]) {
                // A longer n-gram cannot be known if its beginning is not.
                if before > 0 && *gram == NONE {
                    continue;
                }
                *gram = self.numbers.get(&(*gram, last)).copied().unwrap_or(NONE);
                if *gram != NONE {
                    any = true;
                    let number = *gram as usize;
                    *found += u64::from(self.seen[number] < self.most[number]);
                    self.seen[number] += 1;
                }
            }
            if !any {
                break;
            }
        }
    }
}

/// How many n-grams of one order `tokens` tokens have.
pub(super) fn ngram_total(tokens: usize, order: usize) -> u64 {
    (tokens + 1).saturating_sub(order) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn counts(tokens: &[u32], order: usize) -> BTreeMap<&[u32], u64> {
        let mut counts = BTreeMap::new();
        for gram in tokens.windows(order) {
            *counts.entry(gram).or_default() += 1;
        }
        counts
    }

    fn matches(references: &[Vec<u32>], hypothesis: &[u32], max_order: usize) -> Vec<u64> {
        let mut ngrams = ReferenceNgrams::default();
        for reference in references {
            ngrams.add(reference, max_order);
        }
        let mut matches = vec![9; max_order];
        ngrams.count(hypothesis, &mut matches);
        matches
    }

    proptest! {
        #[test]
        fn as_counted_with_maps(
            references in prop::collection::vec(prop::collection::vec(0u32..4, 0..12), 1..4),
            hypothesis in prop::collection::vec(0u32..5, 0..12),
        ) {
            let found = matches(&references, &hypothesis, 5);
            for order in 1..=5 {
                let mut most = BTreeMap::new();
                for reference in &references {
                    for (gram, count) in counts(reference, order) {
                        let entry: &mut u64 = most.entry(gram).or_default();
                        *entry = count.max(*entry);
                    }
                }
                let counts = counts(&hypothesis, order);
                let expected: u64 = counts
                    .iter()
                    .map(|(gram, count)| *most.get(gram).unwrap_or(&0).min(count))
                    .sum();
                prop_assert_eq!(found[order - 1], expected);
                prop_assert_eq!(ngram_total(hypothesis.len(), order), counts.values().sum::<u64>());
            }
        }
    }

    #[test]
    fn clearing_forgets_the_last_segment() {
        let mut ngrams = ReferenceNgrams::default();
        ngrams.add(&[1, 2], 2);
        ngrams.clear();
        ngrams.add(&[2], 2);
        let mut matches = [0; 2];
        ngrams.count(&[1, 2], &mut matches);
        assert_eq!(matches, [1, 0]);
    }
}
