//! Drift of embeddings.

use crate::{Error, Result};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

/// The cosine distance `1 - cos` between the means of two sets of embeddings, 0 to 2: whether they have moved as a
/// whole. `a` is `[N, D]`, `b` `[M, D]`. It sees no change that leaves the means where they are; for those see
/// [`maximum_mean_discrepancy`].
///
/// # Errors
/// [`Error::Refused`] for an empty set, embeddings of different lengths, values that are not finite, and a mean of
/// length 0, which has no direction.
pub fn centroid_distance(a: &[Vec<f64>], b: &[Vec<f64>]) -> Result<f64> {
    check(a, b)?;
    let (a, b) = (centroid(a), centroid(b));
    let lengths = dot(&a, &a).sqrt() * dot(&b, &b).sqrt();
    match lengths > 0.0 && lengths.is_finite() {
        true => Ok(1.0 - (dot(&a, &b) / lengths).clamp(-1.0, 1.0)),
        false => Err(Error::Refused(
            "the mean of the embeddings has length 0 or overflows, so that its direction is undefined".into(),
        )),
    }
}

/// How far two distributions of embeddings are apart.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Discrepancy {
    /// The unbiased estimate of the squared maximum mean discrepancy; about 0, and at times below, when the
    /// distributions are the same.
    pub value: f64,
    /// The share of permutations of the two sets, the given one included, with at least this value: the probability of it
    /// if the distributions are the same.
    pub p_value: f64,
    /// The width of the kernel.
    pub bandwidth: f64,
}

/// The most embeddings in both sets together: their kernel takes N^2 numbers.
const MOST: usize = 4000;

/// The squared maximum mean discrepancy (Gretton et al. 2012, A Kernel Two-Sample Test, JMLR 13, lemma 6) with the kernel
/// `exp(-|x - y|^2 / (2 s^2))`, where s is the median distance between two different embeddings of both sets together
/// (section 8), and a permutation test of `permutations` seeded draws (999 is usual). `a` is `[N, D]`, `b` `[M, D]`.
///
/// # Errors
/// As [`centroid_distance`] but for the mean; [`Error::Refused`] for fewer than two embeddings in a set, more than 4000
/// in both, and distances whose squares overflow; [`Error::Config`] for no or more than 100,000 permutations.
pub fn maximum_mean_discrepancy(
    a: &[Vec<f64>],
    b: &[Vec<f64>],
    permutations: usize,
    seed: u64,
) -> Result<Discrepancy> {
    check(a, b)?;
    if !(1..=100_000).contains(&permutations) {
        return Err(Error::config("permutations", permutations, "1 to 100000"));
    }
    let all: Vec<&[f64]> = a.iter().chain(b).map(Vec::as_slice).collect();
    let count = all.len();
    if a.len() < 2 || b.len() < 2 || count > MOST {
        return Err(Error::Refused(format!(
            "{} and {} embeddings: expected at least 2 in each set and at most {MOST} in both; draw a sample",
            a.len(),
            b.len()
        )));
    }
    let mut kernel = vec![0.0; count * count];
    let mut distances = Vec::with_capacity(count * (count - 1) / 2);
    for i in 0..count {
        for j in 0..i {
            let square = squared_distance(all[i], all[j]);
            kernel[i * count + j] = square;
            kernel[j * count + i] = square;
            distances.extend((square > 0.0).then(|| square.sqrt()));
        }
    }
    let bandwidth = median(&mut distances);
    if !(bandwidth * bandwidth).is_finite() {
        return Err(Error::Refused(
            "the distances of the embeddings overflow; scale them down".into(),
        ));
    }
    // Without two different embeddings all distances are 0, and any width will do.
    let width = if bandwidth > 0.0 { 2.0 * bandwidth * bandwidth } else { 1.0 };
    kernel.iter_mut().for_each(|square| *square = (-*square / width).exp());
    let rows: Vec<f64> = kernel.chunks(count).map(|row| row.iter().sum()).collect();

    let mut order: Vec<usize> = (0..count).collect();
    let value = statistic(&kernel, &rows, &order, a.len());
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut at_least = 1;
    for _ in 0..permutations {
        for i in (1..count).rev() {
            order.swap(i, rng.random_range(0..=i));
        }
        // Sums in another order differ in their last digits.
        let permuted = statistic(&kernel, &rows, &order, a.len());
        at_least += usize::from(permuted >= value - 1e-12);
    }
    Ok(Discrepancy { value, p_value: at_least as f64 / (permutations + 1) as f64, bandwidth })
}

/// The estimate when the first `n` of an order are one set and the rest the other. Of the kernel only the block of the
/// first set is summed; the other sums follow from those of whole rows.
fn statistic(kernel: &[f64], rows: &[f64], order: &[usize], n: usize) -> f64 {
    let count = order.len();
    let (first, second) = order.split_at(n);
    let within = |i: &usize| {
        let row = &kernel[i * count..(i + 1) * count];
        first.iter().map(|&j| row[j]).sum::<f64>()
    };
    let xx: f64 = first.iter().map(within).sum();
    let xy = first.iter().map(|&i| rows[i]).sum::<f64>() - xx;
    let yy = second.iter().map(|&i| rows[i]).sum::<f64>() - xy;
    let (n, m) = (n as f64, second.len() as f64);
    // Each embedding's kernel with itself is 1 and left out.
    (xx - n) / (n * (n - 1.0)) + (yy - m) / (m * (m - 1.0)) - 2.0 * xy / (n * m)
}

fn check(a: &[Vec<f64>], b: &[Vec<f64>]) -> Result<()> {
    let width = a.first().map_or(0, Vec::len);
    if width == 0 || b.is_empty() {
        return Err(Error::Refused("a set of embeddings is empty".into()));
    }
    for (i, embedding) in a.iter().chain(b).enumerate() {
        if embedding.len() != width {
            let found = embedding.len();
            return Err(Error::Refused(format!(
                "embedding {i}, counted from 0 over both sets, has {found} values, the first {width}"
            )));
        }
        if embedding.iter().any(|value| !value.is_finite()) {
            return Err(Error::Refused(format!(
                "embedding {i}, counted from 0 over both sets, has a value that is not finite"
            )));
        }
    }
    Ok(())
}

fn centroid(set: &[Vec<f64>]) -> Vec<f64> {
    let mut mean = vec![0.0; set[0].len()];
    for embedding in set {
        mean.iter_mut().zip(embedding).for_each(|(sum, value)| *sum += value);
    }
    mean.iter_mut().for_each(|sum| *sum /= set.len() as f64);
    mean
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn squared_distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}

/// The mean of the two middle values when their number is even; 0 without values.
fn median(values: &mut [f64]) -> f64 {
    if values.is_empty() {
        return 0.0;
    }
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() % 2 {
        0 => (values[middle - 1] + values[middle]) / 2.0,
        _ => values[middle],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cloud(rng: &mut ChaCha8Rng, count: usize, shift: f64) -> Vec<Vec<f64>> {
        (0..count).map(|_| (0..4).map(|_| rng.random::<f64>() + shift).collect()).collect()
    }

    #[test]
    fn centroids_by_hand() {
        let a = [vec![2.0, 0.0], vec![0.0, 0.0]];
        let near = |b: &[Vec<f64>], wanted: f64| {
            assert!((centroid_distance(&a, b).unwrap() - wanted).abs() < 1e-15);
        };
        near(&[vec![5.0, 0.0]], 0.0);
        near(&[vec![0.0, 3.0]], 1.0);
        near(&[vec![-1.0, 0.0]], 2.0);
        near(&[vec![1.0, 1.0]], 1.0 - 0.5f64.sqrt());
        assert!(centroid_distance(&a, &[vec![0.0, 0.0]]).is_err());
    }

    #[test]
    fn one_distribution_is_seldom_and_another_one_always_found_out() {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        const RUNS: usize = 200;
        let found = (0..RUNS).filter(|&seed| {
            let (a, b) = (cloud(&mut rng, 12, 0.0), cloud(&mut rng, 15, 0.0));
            maximum_mean_discrepancy(&a, &b, 99, seed as u64).unwrap().p_value <= 0.05
        });
        // 5 % of 200 within five standard deviations of 3.1.
        assert!(found.count() <= 25);
        let (a, b) = (cloud(&mut rng, 20, 0.0), cloud(&mut rng, 20, 0.5));
        let moved = maximum_mean_discrepancy(&a, &b, 199, 0).unwrap();
        assert!(moved.value > 0.1, "{moved:?}");
        assert_eq!(moved.p_value, 1.0 / 200.0);
        assert_eq!(moved, maximum_mean_discrepancy(&a, &b, 199, 0).unwrap());
    }

    #[test]
    fn equal_embeddings_have_no_discrepancy() {
        let same = vec![vec![1.0, 2.0]; 5];
        let found = maximum_mean_discrepancy(&same, &same, 19, 0).unwrap();
        assert_eq!((found.value, found.p_value, found.bandwidth), (0.0, 1.0, 0.0));
    }

    #[test]
    fn sets_that_cannot_be_compared_are_refused() {
        let good = vec![vec![1.0, 2.0]; 3];
        let bad = [vec![], vec![vec![]; 3], vec![vec![1.0]; 3], vec![vec![1.0, f64::NAN]; 3]];
        for bad in &bad {
            for (a, b) in [(&good, bad), (bad, &good)] {
                assert!(centroid_distance(a, b).is_err(), "{bad:?}");
                assert!(maximum_mean_discrepancy(a, b, 9, 0).is_err(), "{bad:?}");
            }
        }
        assert!(maximum_mean_discrepancy(&good, &good[..1], 9, 0).is_err());
        assert!(maximum_mean_discrepancy(&good, &good, 0, 0).is_err());
        let far = vec![vec![1e200, 1.0], vec![-1e200, 1.0]];
        assert!(maximum_mean_discrepancy(&far, &far, 9, 0).is_err());
        let many = vec![vec![0.0, 1.0]; MOST];
        assert!(
            maximum_mean_discrepancy(&many, &good, 9, 0).unwrap_err().to_string().contains("4000")
        );
    }
}
