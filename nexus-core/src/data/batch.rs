//! Examples into padded batches, and the order in which an epoch visits them.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::{Example, IGNORED, Target};
use crate::{Error, Result};

/// Steps that are sorted by length together: enough to find rows of like length, few enough that
/// the order of an epoch stays random.
const STEPS_PER_MEGA_BATCH: usize = 50;

/// A random-access collection of examples.
pub trait ExampleSource: Send + Sync {
    /// The number of examples.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of tokens of example `i`, without reading it; 0 past the end.
    fn length(&self, i: usize) -> usize;

    /// Example `i`.
    ///
    /// # Errors
    /// Where `i` is past the end or the example cannot be read.
    fn get(&self, i: usize) -> Result<Example>;
}

impl ExampleSource for Vec<Example> {
    fn len(&self) -> usize {
        self.as_slice().len()
    }

    fn length(&self, i: usize) -> usize {
        self.as_slice().get(i).map_or(0, |e| e.ids.len())
    }

    fn get(&self, i: usize) -> Result<Example> {
        self.as_slice().get(i).cloned().ok_or_else(|| {
            let last = self.as_slice().len().saturating_sub(1);
            Error::config("example", i, format!("an index of at most {last}"))
        })
    }
}

/// Token ids and labels of some examples, padded at the right to the longest.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// B, the number of examples.
    pub rows: usize,
    /// T, the length of the longest example.
    pub columns: usize,
    /// Token ids `[B, T]`, row major.
    pub ids: Vec<i32>,
    /// Token types `[B, T]`, row major; 0 in padding and in examples that have none.
    pub types: Vec<i32>,
    /// Labels `[B, T]`, row major, aligned with `ids` (not shifted); [`IGNORED`] where untrained.
    pub labels: Vec<i32>,
    /// What each whole example stands for `[B]`.
    pub targets: Vec<Target>,
    /// The number of real tokens of each row `[B]`.
    pub lengths: Vec<usize>,
}

impl Batch {
    /// The number of labels that a causal loss counts: not [`IGNORED`] and not in the first column.
    pub fn trained_tokens(&self) -> usize {
        let rows = self.labels.chunks(self.columns.max(1));
        rows.map(|row| row.iter().skip(1).filter(|&&l| l != IGNORED).count()).sum()
    }
}

/// Sources and their targets, each padded at the right to the longest.
#[derive(Clone, Debug, PartialEq)]
pub struct PairBatch {
    /// The sources; their labels are all [`IGNORED`].
    pub source: Batch,
    /// U, the length of the longest target.
    pub columns: usize,
    /// The tokens of the targets `[B, U]`, row major, not shifted; [`IGNORED`] in padding.
    pub labels: Vec<i32>,
    /// The number of real tokens of each target `[B]`.
    pub lengths: Vec<usize>,
}

/// Pads examples at the right into one [`Batch`].
///
/// Padding is known by length, never by token id, so the label of a real end-of-sequence token
/// survives where the tokenizer pads with the same token. An example without labels, as in sequence
/// classification, gets [`IGNORED`] throughout.
pub fn collate(examples: &[Example], pad_id: u32) -> Batch {
    let mut batch = pad_inputs(examples, pad_id);
    let labels = examples.iter().map(|e| e.labels.iter().take(e.ids.len()).copied());
    batch.labels = pad(labels, batch.columns, IGNORED);
    batch
}

/// Pads examples whose labels are the tokens of an answer (sequence to sequence) into a
/// [`PairBatch`].
pub fn collate_pairs(examples: &[Example], pad_id: u32) -> PairBatch {
    let lengths: Vec<usize> = examples.iter().map(|e| e.labels.len()).collect();
    let columns = lengths.iter().copied().max().unwrap_or(0);
    let labels = pad(examples.iter().map(|e| e.labels.iter().copied()), columns, IGNORED);
    PairBatch { source: pad_inputs(examples, pad_id), columns, labels, lengths }
}

/// A batch whose labels are all [`IGNORED`].
fn pad_inputs(examples: &[Example], pad_id: u32) -> Batch {
    let rows = examples.len();
    let lengths: Vec<usize> = examples.iter().map(|e| e.ids.len()).collect();
    let columns = lengths.iter().copied().max().unwrap_or(0);
    let ids = examples.iter().map(|e| e.ids.iter().map(|&id| id as i32));
    let types = examples.iter().map(|e| e.types.iter().take(e.ids.len()).map(|&t| i32::from(t)));
    Batch {
        rows,
        columns,
        ids: pad(ids, columns, pad_id as i32),
        types: pad(types, columns, 0),
        labels: vec![IGNORED; rows * columns],
        targets: examples.iter().map(|e| e.target.clone()).collect(),
        lengths,
    }
}

/// Rows of at most `columns` values, each filled up with `filler`.
fn pad<R: IntoIterator<Item = i32>>(
    rows: impl ExactSizeIterator<Item = R>,
    columns: usize,
    filler: i32,
) -> Vec<i32> {
    let mut all = Vec::with_capacity(rows.len() * columns);
    for (row, values) in rows.enumerate() {
        all.extend(values);
        all.resize((row + 1) * columns, filler);
    }
    all
}

/// The record indices of each optimizer step of one epoch; every record occurs exactly once and
/// only the last step may have fewer than `records_per_step` (at least 1) records.
///
/// A pure function of its arguments: the same seed and epoch give the same order on every machine,
/// which is what makes an interrupted run resumable.
///
/// - `shuffle`: a Fisher-Yates permutation drawn from ChaCha8; without it, file order.
/// - `group_by_length`: records of like length share a step (less padding). Mega-batches of 50
///   steps are sorted by length, then the steps are shuffled (if `shuffle`), and the step with the
///   longest record comes first, so that a lack of memory shows at once.
pub fn epoch_order(
    lengths: &[usize],
    records_per_step: usize,
    seed: u64,
    epoch: usize,
    shuffle: bool,
    group_by_length: bool,
) -> Vec<Vec<usize>> {
    let per_step = records_per_step.max(1);
    let mut rng = rng(seed, epoch as u64);
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    if shuffle {
        permute(&mut order, &mut rng);
    }
    if group_by_length {
        for mega in order.chunks_mut(per_step.saturating_mul(STEPS_PER_MEGA_BATCH)) {
            mega.sort_by_key(|&i| std::cmp::Reverse(lengths[i]));
        }
    }
    let mut steps: Vec<Vec<usize>> = order.chunks(per_step).map(<[usize]>::to_vec).collect();
    if group_by_length {
        // A short step stays the last one: a smaller batch in mid-epoch would surprise the caller.
        let full = steps.iter().take_while(|s| s.len() == per_step).count();
        if shuffle {
            permute(&mut steps[..full], &mut rng);
        }
        let longest = |step: &Vec<usize>| step.iter().map(|&i| lengths[i]).max();
        let first = (0..full).rev().max_by_key(|&s| longest(&steps[s]));
        if let Some(first) = first {
            steps[..=first].rotate_right(1);
        }
    }
    steps
}

fn rng(seed: u64, epoch: u64) -> ChaCha8Rng {
    let mut key = [0u8; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&epoch.to_le_bytes());
    ChaCha8Rng::from_seed(key)
}

/// Fisher-Yates, written out because library shuffles may change between versions.
fn permute<T>(items: &mut [T], rng: &mut ChaCha8Rng) {
    for i in (1..items.len()).rev() {
        items.swap(i, below(i as u64 + 1, rng) as usize);
    }
}

/// A uniform number below `n` (Lemire 2019, arXiv:1805.10941): multiply, reject the biased part.
fn below(n: u64, rng: &mut ChaCha8Rng) -> u64 {
    let reject = n.wrapping_neg() % n;
    loop {
        let product = u128::from(rng.next_u64()) * u128::from(n);
        if product as u64 >= reject {
            return (product >> 64) as u64;
        }
    }
}
