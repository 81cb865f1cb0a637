//! The texts of the random cases, as golden/text_metrics/inputs.py makes them, and the golden values beside it.

use serde::de::DeserializeOwned;
use serde::Deserialize;
use std::path::Path;

/// Sums and quotients of doubles, in another order in places; scores are at most 100.
pub(crate) const TOLERANCE: f64 = 1e-9;

pub(crate) const CASES: usize = 2000;
pub(crate) const LONG: usize = 80;
pub(crate) const LONG_TER: usize = 40;

/// The rows of a golden file.
pub(crate) fn golden<T: DeserializeOwned>(name: &str) -> Vec<T> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/text_metrics");
    let text = std::fs::read_to_string(folder.join(name)).unwrap();
    serde_json::from_str(&text).unwrap()
}

pub(crate) fn close(found: f64, expected: f64, what: impl std::fmt::Display) {
    assert!((found - expected).abs() <= TOLERANCE, "{what}: found {found:?}, expected {expected:?}");
}

/// SplitMix64.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    fn pick<'a>(&mut self, choices: &'a [String]) -> &'a String {
        &choices[self.below(choices.len())]
    }
}

#[derive(Deserialize)]
pub(crate) struct Texts {
    words: Vec<String>,
    gaps: Vec<String>,
    punctuation: Vec<String>,
    syllables: Vec<String>,
    suffixes: Vec<String>,
}

impl Texts {
    pub(crate) fn read() -> Self {
        golden("texts.json").pop().unwrap()
    }

    fn piece(&self, random: &mut Random, topic: usize) -> String {
        let index = match random.below(4) {
            0 => random.below(self.words.len()),
            _ => topic + random.below(12),
        };
        self.words[index % self.words.len()].clone() + random.pick(&self.gaps)
    }

    fn pieces(&self, random: &mut Random, long: usize) -> Vec<String> {
        let (kind, topic) = (random.below(16), random.below(self.words.len()));
        let count = match kind {
            0 => 0,
            1 => {
                let count = 1 + random.below(6);
                return (0..count).map(|_| random.pick(&self.punctuation).clone()).collect();
            }
            2 => 1,
            3 => long + random.below(long),
            _ => 1 + random.below(24),
        };
        (0..count).map(|_| self.piece(random, topic)).collect()
    }

    fn edited(&self, random: &mut Random, source: &[String]) -> Vec<String> {
        let mut result = Vec::new();
        for part in source {
            let kind = random.below(16);
            if matches!(kind, 1 | 2) {
                let topic = random.below(self.words.len());
                result.push(self.piece(random, topic));
            }
            if !matches!(kind, 0 | 1) {
                result.push(part.clone());
            }
        }
        if !result.is_empty() && random.below(2) > 0 {
            let (start, length) = (random.below(result.len()), 1 + random.below(4));
            let end = result.len().min(start + length);
            let phrase: Vec<String> = result.drain(start..end).collect();
            let target = random.below(result.len() + 1);
            result.splice(target..target, phrase);
        }
        result
    }

    fn case(&self, seed: u64, segments: usize, long: usize) -> (Vec<String>, Vec<Vec<String>>) {
        let mut random = Random(seed);
        let (mut hypotheses, mut references) = (Vec::new(), Vec::new());
        let mode = random.below(4);
        for _ in 0..segments {
            let count = [1, 1, 2, 1 + random.below(3)][mode];
            let mut group = vec![self.pieces(&mut random, long)];
            while group.len() < count {
                group.push(match random.below(4) {
                    0 => self.pieces(&mut random, long),
                    _ => self.edited(&mut random, &group[0]),
                });
            }
            let source = group[random.below(group.len())].clone();
            let hypothesis = match random.below(16) {
                0 => source,
                1 => self.pieces(&mut random, long),
                _ => self.edited(&mut random, &source),
            };
            hypotheses.push(hypothesis.concat());
            references.push(group.iter().map(|pieces| pieces.concat()).collect());
        }
        (hypotheses, references)
    }

    /// Case `index` of a family: a corpus when it is even, a single segment when it is odd.
    pub(crate) fn corpus_or_sentence(
        &self,
        family: u64,
        index: usize,
        long: usize,
    ) -> (Vec<String>, Vec<Vec<String>>) {
        let segments = if index % 2 == 0 { 2 + index / 2 % 3 } else { 1 };
        self.case(family * 1_000_003 + index as u64, segments, long)
    }

    pub(crate) fn stemmer_word(&self, index: usize) -> String {
        let mut random = Random(index as u64);
        let mut word = String::new();
        for _ in 0..1 + random.below(5) {
            word += random.pick(&self.syllables);
        }
        for _ in 0..random.below(3) {
            word += random.pick(&self.suffixes);
        }
        word
    }
}
