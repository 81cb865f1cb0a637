//! Means and ratios with their standard errors.

/// An estimated quantity.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The value.
    pub value: f64,
    /// Its standard error; `None` when there are too few observations for one.
    pub stderr: Option<f64>,
}

/// What one cluster (such as a document) contributes to a ratio.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cluster {
    /// Its share of the numerator.
    pub sum: f64,
    /// Its share of the denominator.
    pub weight: f64,
}

impl Estimate {
    /// This quantity times a constant.
    pub fn scaled(self, factor: f64) -> Self {
        Self { value: self.value * factor, stderr: self.stderr.map(|error| error * factor.abs()) }
    }

    /// The exponential of this quantity; its standard error by the delta method, `exp(x) * stderr(x)`.
    pub fn exp(self) -> Self {
        let value = self.value.exp();
        Self { value, stderr: self.stderr.map(|error| error * value) }
    }
}

/// The mean of independent values, with the standard error `s / sqrt(n)`, where `s` is the sample standard deviation
/// (divisor n - 1). `None` without values; no standard error with one.
pub fn mean(values: &[f64]) -> Option<Estimate> {
    let clusters: Vec<Cluster> = values.iter().map(|&sum| Cluster { sum, weight: 1.0 }).collect();
    ratio(&clusters)
}

/// A share of n independent trials, with the standard error `sqrt(p (1 - p) / (n - 1))`: that of [`mean`] for values of
/// 0 and 1. `None` without trials.
pub fn proportion(successes: usize, n: usize) -> Option<Estimate> {
    let count = n as f64;
    let value = successes as f64 / count;
    let stderr = (n > 1).then(|| (value * (1.0 - value) / (count - 1.0)).sqrt());
    (n > 0).then_some(Estimate { value, stderr })
}

/// The ratio `r = sum(y) / sum(x)` over G independent clusters, whose members may depend on each other, with
///
/// ```text
/// stderr^2 = G / (G - 1) * sum((y_g - r x_g)^2) / sum(x)^2
/// ```
///
/// the ratio estimator of cluster sampling (Cochran 1977, Sampling Techniques, 3rd edition, chapters 6 and 9A; for
/// evaluations of language models: Miller 2024, arXiv:2411.00640, section 2.2). Clusters of weight 0 are left out.
/// `None` when the weights sum to 0; no standard error with one cluster.
pub fn ratio(clusters: &[Cluster]) -> Option<Estimate> {
    let clusters = || clusters.iter().filter(|cluster| cluster.weight != 0.0);
    let count = clusters().count() as f64;
    let weight: f64 = clusters().map(|cluster| cluster.weight).sum();
    if weight == 0.0 {
        return None;
    }
    let value = clusters().map(|cluster| cluster.sum).sum::<f64>() / weight;
    let squares: f64 =
        clusters().map(|cluster| (cluster.sum - value * cluster.weight).powi(2)).sum();
    let stderr = (count > 1.0).then(|| (count / (count - 1.0) * squares).sqrt() / weight);
    Some(Estimate { value, stderr })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: Option<Estimate>, value: f64, stderr: f64) {
        let found = found.unwrap();
        assert!((found.value - value).abs() < 1e-12, "{found:?}");
        assert!((found.stderr.unwrap() - stderr).abs() < 1e-12, "{found:?}");
    }

    #[test]
    fn mean_by_hand() {
        // Mean 3; squared deviations 4 + 1 + 9 = 14; s^2 = 7; stderr = sqrt(7 / 3).
        close(mean(&[1.0, 2.0, 6.0]), 3.0, (7.0f64 / 3.0).sqrt());
        assert_eq!(mean(&[2.5]), Some(Estimate { value: 2.5, stderr: None }));
        assert_eq!(mean(&[]), None);
    }

    #[test]
    fn proportion_by_hand_and_as_the_mean_of_zeros_and_ones() {
        // p = 3/4, n = 4: sqrt(3/16 / 3) = 1/4.
        close(proportion(3, 4), 0.75, 0.25);
        close(mean(&[1.0, 0.0, 1.0, 1.0]), 0.75, 0.25);
        close(proportion(5, 5), 1.0, 0.0);
        assert_eq!(proportion(1, 1).unwrap().stderr, None);
        assert_eq!(proportion(0, 0), None);
    }

    #[test]
    fn ratio_by_hand() {
        let clusters =
            [(2.0, 1.0), (2.0, 2.0), (5.0, 3.0)].map(|(sum, weight)| Cluster { sum, weight });
        // r = 9/6; residuals 0.5, -1, 0.5: squares 1.5; 3/2 * 1.5 = 2.25; sqrt = 1.5; / 6.
        close(ratio(&clusters), 1.5, 0.25);
        let empty = Cluster { sum: 0.0, weight: 0.0 };
        assert_eq!(ratio(&[clusters[0], clusters[1], clusters[2], empty]), ratio(&clusters));
        assert_eq!(ratio(&[empty]), None);
        assert_eq!(ratio(&clusters[..1]), Some(Estimate { value: 2.0, stderr: None }));
    }

    #[test]
    fn delta_method_by_hand() {
        let estimate = Estimate { value: 2.0f64.ln(), stderr: Some(0.1) };
        close(Some(estimate.exp()), 2.0, 0.2);
        close(Some(estimate.scaled(-3.0)), -3.0 * 2.0f64.ln(), 0.3);
    }
}
