//! What all text metrics share: the check of their input, words as numbers, and segments in parallel.

use crate::{Error, Result};
use foldhash::HashMap;
use rayon::prelude::*;
use serde::Serialize;
use std::fmt;

/// How many references the segments of a corpus have, as a signature states it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum ReferenceCount {
    /// Each segment has this number.
    Fixed(usize),
    /// The segments differ.
    Varying,
}

impl fmt::Display for ReferenceCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(count) => count.fmt(f),
            Self::Varying => f.write_str("var"),
        }
    }
}

/// Checks that there are segments, as many hypotheses as lists of references, and a reference for each.
pub(super) fn reference_count<R, G: AsRef<[R]>>(
    hypotheses: usize,
    references: &[G],
) -> Result<ReferenceCount> {
    same_length(hypotheses, references.len())?;
    let mut counts = references.iter().map(|references| references.as_ref().len());
    if let Some(segment) = counts.clone().position(|count| count == 0) {
        return Err(Error::Refused(format!(
            "segment {segment} (counted from 0) has no reference; give it one or leave it out"
        )));
    }
    let first = counts.next().unwrap_or(0);
    Ok(match counts.all(|count| count == first) {
        true => ReferenceCount::Fixed(first),
        false => ReferenceCount::Varying,
    })
}

/// Checks that there are segments and as many hypotheses as references.
pub(super) fn same_length(hypotheses: usize, references: usize) -> Result<()> {
    match (hypotheses, references) {
        (0, 0) => Err(Error::Refused(
            "there are 0 hypotheses and 0 references; a metric needs at least one of each".into(),
        )),
        (h, r) if h != r => Err(Error::Refused(format!(
            "there are {h} hypotheses and references for {r} segments; give each hypothesis its references"
        ))),
        _ => Ok(()),
    }
}

/// `each` of the numbers below `count`, in parallel and in order. A `State` serves many neighbouring segments, so that
/// it can keep buffers and what it knows of words.
pub(super) fn per_segment<State, T: Send>(
    count: usize,
    state: impl Fn() -> State + Sync,
    each: impl Fn(&mut State, usize) -> T + Sync,
) -> Vec<T> {
    /// Enough for all threads to finish at about the same time.
    const PARTS_PER_THREAD: usize = 4;
    let size = count.div_ceil(PARTS_PER_THREAD * rayon::current_num_threads()).max(1);
    let part = |start: usize| {
        let mut state = state();
        (start..count.min(start + size)).map(|i| each(&mut state, i)).collect::<Vec<T>>()
    };
    let starts: Vec<usize> = (0..count).step_by(size).collect();
    starts.into_par_iter().flat_map_iter(part).collect()
}

/// Words as numbers: equal words have the same one.
#[derive(Default)]
pub(super) struct Vocabulary(HashMap<Box<str>, u32>);

impl Vocabulary {
    /// Numbers are below this.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn number(&mut self, word: &str) -> u32 {
        if let Some(&number) = self.0.get(word) {
            return number;
        }
        let number = self.0.len() as u32;
        self.0.insert(word.into(), number);
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn input_is_checked() {
        let count = |hypotheses, references: &[Vec<&str>]| {
            reference_count(hypotheses, references).map_err(|why| why.to_string())
        };
        assert_eq!(count(2, &[vec!["a"], vec!["b"]]), Ok(ReferenceCount::Fixed(1)));
        assert_eq!(count(2, &[vec!["a", "b"], vec!["b"]]), Ok(ReferenceCount::Varying));
        let why = count(3, &[vec!["a"]]).unwrap_err();
        assert!(why.contains("3 hypotheses") && why.contains("1 segments"), "{why}");
        assert!(count(0, &[]).unwrap_err().contains("0 hypotheses and 0 references"));
        assert!(count(2, &[vec!["a"], vec![]]).unwrap_err().contains("segment 1"));
    }

    #[test]
    fn segments_keep_their_order() {
        for count in [0, 1, 7, 1000] {
            let found = per_segment(count, || (), |_, i| 2 * i);
            assert_eq!(found, (0..count).map(|i| 2 * i).collect::<Vec<_>>());
        }
    }
}
