//! Corrections for many tests.

use super::refused;
use crate::Result;

/// Bonferroni's adjusted p-values, `min(1, m p)`.
///
/// # Errors
/// [`Error::Refused`](crate::Error::Refused) for a p-value outside `[0, 1]`.
pub fn bonferroni(p_values: &[f64]) -> Result<Vec<f64>> {
    check(p_values)?;
    Ok(p_values.iter().map(|p| (p * p_values.len() as f64).min(1.0)).collect())
}

/// Adjusted p-values of Holm (1979): comparing each with alpha bounds the probability of any false claim by alpha, whatever
/// the dependence of the tests.
///
/// # Errors
/// As [`bonferroni`].
pub fn holm(p_values: &[f64]) -> Result<Vec<f64>> {
    check(p_values)?;
    let m = p_values.len();
    let mut adjusted = vec![0.0; m];
    let mut largest = 0.0f64;
    for (i, index) in ascending(p_values).into_iter().enumerate() {
        largest = largest.max(p_values[index] * (m - i) as f64).min(1.0);
        adjusted[index] = largest;
    }
    Ok(adjusted)
}

/// Adjusted p-values of Benjamini and Hochberg (1995): comparing each with q bounds the expected share of false claims by q
/// for independent tests.
///
/// # Errors
/// As [`bonferroni`].
pub fn benjamini_hochberg(p_values: &[f64]) -> Result<Vec<f64>> {
    check(p_values)?;
    let m = p_values.len();
    let mut adjusted = vec![0.0; m];
    let mut smallest = 1.0f64;
    for (i, index) in ascending(p_values).into_iter().enumerate().rev() {
        // A division by a share of at most 1 cannot round below the p-value itself.
        smallest = smallest.min(p_values[index] / ((i + 1) as f64 / m as f64));
        adjusted[index] = smallest;
    }
    Ok(adjusted)
}

fn ascending(p_values: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|&a, &b| p_values[a].total_cmp(&p_values[b]));
    order
}

fn check(p_values: &[f64]) -> Result<()> {
    match p_values.iter().position(|p| !(0.0..=1.0).contains(p)) {
        None => Ok(()),
        Some(i) => Err(refused(format!("p-value {i} is {}; it must lie in [0, 1]", p_values[i]))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let p = [0.01, 0.04, 0.03, 0.5];
        let close = |found: Vec<f64>, wanted: [f64; 4]| {
            let off = found.iter().zip(wanted).any(|(f, w)| (f - w).abs() > 1e-15);
            assert!(!off, "{found:?}");
        };
        close(bonferroni(&p).unwrap(), [0.04, 0.16, 0.12, 1.0]);
        close(holm(&p).unwrap(), [0.04, 0.09, 0.09, 0.5]);
        close(benjamini_hochberg(&p).unwrap(), [0.04, 0.16 / 3.0, 0.16 / 3.0, 0.5]);
        assert!(holm(&[]).unwrap().is_empty());
        assert!(holm(&[0.1, f64::NAN]).is_err() && bonferroni(&[1.1]).is_err());
        assert!(benjamini_hochberg(&[-0.1]).is_err());
    }
}
