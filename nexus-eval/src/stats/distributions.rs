//! Distribution functions and quantiles: normal, Student's t, chi-squared, binomial, noncentral t.
//!
//! `cdf` is P(X <= x) and `sf` is P(X > x), each computed directly, so that small tails keep their digits. Arguments
//! outside a distribution's domain (a negative number of degrees of freedom, a probability above 1, NaN) give NaN, as
//! functions of mathematics do; the tests and intervals of [`stats`](super) check theirs first and give errors.

use super::special::{beta, bisect, gamma, normal_density, poisson_density};
use std::f64::consts::FRAC_1_SQRT_2;

/// Largest `|nc|` of [`noncentral_t_cdf`].
pub const MAX_NONCENTRALITY: f64 = 1e4;

/// P(Z <= z) of the standard normal distribution.
pub fn normal_cdf(z: f64) -> f64 {
    0.5 * libm::erfc(-z * FRAC_1_SQRT_2)
}

/// P(Z > z) of the standard normal distribution.
pub fn normal_sf(z: f64) -> f64 {
    normal_cdf(-z)
}

/// The z with P(Z <= z) = p.
///
/// The start of Abramowitz and Stegun (1964), 26.2.23, then Halley's steps on the smaller tail.
pub fn normal_quantile(p: f64) -> f64 {
    if p > 0.5 {
        return -normal_quantile(1.0 - p);
    }
    if p == 0.0 {
        return f64::NEG_INFINITY;
    }
    let t = (-2.0 * p.ln()).sqrt();
    let top = 2.515517 + t * (0.802853 + t * 0.010328);
    let mut z = top / (1.0 + t * (1.432788 + t * (0.189269 + t * 0.001308))) - t;
    for _ in 0..3 {
        let newton = (normal_cdf(z) - p) / normal_density(z);
        z -= newton / (1.0 + 0.5 * z * newton);
    }
    z
}

/// P(T <= t) of Student's distribution with `df` > 0 degrees of freedom.
pub fn student_t_cdf(t: f64, df: f64) -> f64 {
    student_t_sf(-t, df)
}

/// P(T > t) of Student's distribution with `df` > 0 degrees of freedom.
pub fn student_t_sf(t: f64, df: f64) -> f64 {
    if t.is_nan() || !positive(df) {
        return f64::NAN;
    }
    if t < 0.0 {
        return 1.0 - student_t_sf(-t, df);
    }
    if df == f64::INFINITY {
        return normal_sf(t);
    }
    let (x, y) = shares(df, t * t);
    0.5 * beta(0.5 * df, 0.5, x, y).0
}

/// The t with P(T <= t) = p.
pub fn student_t_quantile(p: f64, df: f64) -> f64 {
    if !(0.0..=1.0).contains(&p) || !positive(df) {
        return f64::NAN;
    }
    if p < 0.5 {
        return -upper_quantile(|t| student_t_sf(t, df), p);
    }
    upper_quantile(|t| student_t_sf(t, df), 1.0 - p)
}

/// P(X <= x) of the chi-squared distribution with `df` > 0 degrees of freedom.
pub fn chi_squared_cdf(x: f64, df: f64) -> f64 {
    if x.is_nan() || !positive(df) { f64::NAN } else { gamma(0.5 * df, 0.5 * x).0 }
}

/// P(X > x) of the chi-squared distribution with `df` > 0 degrees of freedom.
pub fn chi_squared_sf(x: f64, df: f64) -> f64 {
    if x.is_nan() || !positive(df) { f64::NAN } else { gamma(0.5 * df, 0.5 * x).1 }
}

/// The x with P(X <= x) = p.
pub fn chi_squared_quantile(p: f64, df: f64) -> f64 {
    if !(0.0..=1.0).contains(&p) || !positive(df) {
        return f64::NAN;
    }
    if p < 0.5 {
        return bisect(|x| chi_squared_cdf(x, df), p, 0.0, df);
    }
    upper_quantile(|x| chi_squared_sf(x, df), 1.0 - p)
}

/// P(X <= k) for X the number of successes in `n` trials of probability `p`.
pub fn binomial_cdf(k: u64, n: u64, p: f64) -> f64 {
    binomial_tails(k, n, p).0
}

/// P(X > k) for X the number of successes in `n` trials of probability `p`.
pub fn binomial_sf(k: u64, n: u64, p: f64) -> f64 {
    binomial_tails(k, n, p).1
}

fn binomial_tails(k: u64, n: u64, p: f64) -> (f64, f64) {
    if !(0.0..=1.0).contains(&p) {
        return (f64::NAN, f64::NAN);
    }
    if k >= n {
        return (1.0, 0.0);
    }
    let (above, below) = beta(k as f64 + 1.0, (n - k) as f64, p, 1.0 - p);
    (below, above)
}

/// P(T <= t) of the noncentral t distribution with `df` > 0 degrees of freedom and noncentrality `nc`: what Student's
/// statistic follows when the means differ.
///
/// The Poisson mixture of incomplete beta functions of Lenth (1989), algorithm AS 243, summed outward from the largest
/// Poisson weight so that large noncentralities do not underflow. The number of terms grows with `|nc|`, whose domain
/// ends at [`MAX_NONCENTRALITY`].
pub fn noncentral_t_cdf(t: f64, df: f64, nc: f64) -> f64 {
    if t.is_nan() || !(-MAX_NONCENTRALITY..=MAX_NONCENTRALITY).contains(&nc) || !positive(df) {
        return f64::NAN;
    }
    if t < 0.0 {
        return 1.0 - noncentral_t_cdf(-t, df, -nc);
    }
    let (y, x) = shares(df, t * t);
    let rate = 0.5 * nc * nc;
    let sign = nc.signum();
    let term = |j: f64| {
        let even = poisson_density(j, rate);
        let odd = if rate == 0.0 { 0.0 } else { sign * poisson_density(j + 0.5, rate) };
        (
            even * beta(j + 0.5, 0.5 * df, x, y).0 + odd * beta(j + 1.0, 0.5 * df, x, y).0,
            even + odd.abs(),
        )
    };
    let centre = rate.floor();
    let mut sum = 0.0;
    for up in 0.. {
        let (value, weight) = term(centre + f64::from(up));
        sum += value;
        if weight < 1e-18 {
            break;
        }
    }
    for down in 1.. {
        let j = centre - f64::from(down);
        if j < 0.0 {
            break;
        }
        let (value, weight) = term(j);
        sum += value;
        if weight < 1e-18 {
            break;
        }
    }
    (normal_cdf(-nc) + 0.5 * sum).clamp(0.0, 1.0)
}

/// False for NaN, too.
fn positive(df: f64) -> bool {
    df > 0.0
}

/// `(df / (df + square), square / (df + square))`, also where `square` overflows.
fn shares(df: f64, square: f64) -> (f64, f64) {
    if square == f64::INFINITY {
        return (0.0, 1.0);
    }
    (df / (df + square), square / (df + square))
}

/// The x >= 0 with `sf(x) = tail`, for a decreasing `sf`.
fn upper_quantile(sf: impl Fn(f64) -> f64, tail: f64) -> f64 {
    if tail == 0.0 {
        return f64::INFINITY;
    }
    let mut high = 1.0;
    while sf(high) > tail && high < f64::MAX / 2.0 {
        high *= 2.0;
    }
    bisect(|x| -sf(x), -tail, 0.0, high)
}

/// The z with P(|Z| > z) = alpha of the standard normal distribution.
pub(crate) fn two_sided_normal(alpha: f64) -> f64 {
    -normal_quantile(0.5 * alpha)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: f64, wanted: f64) {
        assert!(
            (found - wanted).abs() <= 1e-13 * wanted.abs().max(1e-3),
            "{found} is not {wanted}"
        );
    }

    #[test]
    fn closed_forms() {
        close(normal_quantile(0.975), 1.959963984540054);
        close(normal_quantile(1e-300), -37.0470962993612);
        close(normal_cdf(std::f64::consts::SQRT_2), 0.5 * libm::erfc(-1.0));
        // df = 1 is Cauchy: 1/2 - atan(t) / pi; df = 2: (1 - t / sqrt(t^2 + 2)) / 2.
        close(student_t_sf(3.0, 1.0), 0.5 - 3.0f64.atan() / std::f64::consts::PI);
        close(student_t_sf(3.0, 2.0), 0.5 * (1.0 - 3.0 / 11.0f64.sqrt()));
        close(student_t_quantile(0.975, 1.0), 12.706204736174698);
        close(chi_squared_sf(5.0, 2.0), (-2.5f64).exp());
        close(chi_squared_quantile(0.95, 1.0), normal_quantile(0.975).powi(2));
        close(binomial_cdf(1, 3, 0.5), 0.5);
        close(binomial_sf(2, 3, 0.1), 0.001);
    }

    #[test]
    fn a_noncentrality_of_zero_is_students_distribution() {
        for t in [-2.0, 0.0, 0.7, 5.0] {
            close(noncentral_t_cdf(t, 7.0, 0.0), student_t_cdf(t, 7.0));
        }
    }

    #[test]
    fn outside_the_domain_is_not_a_number() {
        assert!(student_t_sf(1.0, 0.0).is_nan() && student_t_quantile(1.5, 3.0).is_nan());
        assert!(chi_squared_sf(f64::NAN, 1.0).is_nan() && chi_squared_quantile(0.5, -1.0).is_nan());
        assert!(binomial_cdf(1, 3, 1.5).is_nan() && normal_quantile(-0.1).is_nan());
        assert!(noncentral_t_cdf(1.0, -1.0, 0.0).is_nan() && normal_quantile(1.1).is_nan());
        assert_eq!(normal_quantile(0.0), f64::NEG_INFINITY);
        assert_eq!(normal_quantile(1.0), f64::INFINITY);
    }
}
