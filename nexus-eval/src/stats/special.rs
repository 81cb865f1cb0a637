//! Incomplete beta and gamma functions, and the densities they start from.
//!
//! Densities follow Loader (2000), Fast and accurate computation of binomial probabilities: Stirling's error and the
//! deviance are computed apart, so that no large logarithms cancel. The continued fractions are evaluated from the
//! front (modified Lentz; Thompson and Barnett 1986).

use std::f64::consts::{PI, TAU};

/// Continued fractions need about the square root of their largest parameter; this serves parameters up to 1e12.
const MAX_STEPS: usize = 10_000_000;

/// Relative change at which a series or fraction has converged.
const CONVERGED: f64 = 1e-16;

/// Replaces a zero denominator in a continued fraction.
const TINY: f64 = 1e-300;

/// `ln Gamma(x + 1) - ((x + 1/2) ln x - x + ln(2 pi) / 2)` for x > 0.
pub(super) fn stirling_error(x: f64) -> f64 {
    if x < 15.0 {
        return libm::lgamma(x + 1.0) - ((x + 0.5) * x.ln() - x + 0.5 * TAU.ln());
    }
    let s = 1.0 / (x * x);
    (1.0 / 12.0 - s * (1.0 / 360.0 - s * (1.0 / 1260.0 - s * (1.0 / 1680.0 - s / 1188.0)))) / x
}

/// `x ln(x / m) + m - x` for x, m > 0, without cancellation where x is near m.
fn deviance(x: f64, m: f64) -> f64 {
    if (x - m).abs() >= 0.1 * (x + m) {
        return x * (x / m).ln() + m - x;
    }
    let v = (x - m) / (x + m);
    let (mut sum, mut term) = ((x - m) * v, 2.0 * x * v);
    for j in 1..1000 {
        term *= v * v;
        let next = sum + term / f64::from(2 * j + 1);
        if next == sum {
            break;
        }
        sum = next;
    }
    sum
}

/// `m^x exp(-m) / Gamma(x + 1)` for real x >= 0 and m >= 0.
pub(super) fn poisson_density(x: f64, m: f64) -> f64 {
    if m == 0.0 {
        return if x == 0.0 { 1.0 } else { 0.0 };
    }
    if x == 0.0 {
        return (-m).exp();
    }
    (-stirling_error(x) - deviance(x, m)).exp() / (TAU * x).sqrt()
}

/// `Gamma(n + 1) / (Gamma(x + 1) Gamma(n - x + 1)) p^x q^(n - x)` for real 0 <= x <= n and q = 1 - p.
pub(super) fn binomial_density(x: f64, n: f64, p: f64, q: f64) -> f64 {
    let power = |base: f64, other: f64, n: f64| {
        if n == 0.0 {
            1.0
        } else {
            (n * if other < 0.5 { (-other).ln_1p() } else { base.ln() }).exp()
        }
    };
    if x <= 0.0 {
        return power(q, p, n);
    }
    if x >= n {
        return power(p, q, n);
    }
    if p <= 0.0 || q <= 0.0 {
        return 0.0;
    }
    let rest = n - x;
    let exponent = stirling_error(n)
        - stirling_error(x)
        - stirling_error(rest)
        - deviance(x, n * p)
        - deviance(rest, n * q);
    exponent.exp() * (n / (TAU * x * rest)).sqrt()
}

/// Probability of `x` marked among `drawn` of `marked + unmarked`, without replacement.
pub(super) fn hypergeometric_density(x: u64, drawn: u64, marked: u64, unmarked: u64) -> f64 {
    let [x, drawn, marked, unmarked] = [x, drawn, marked, unmarked].map(|count| count as f64);
    let all = marked + unmarked;
    if drawn == 0.0 || drawn == all {
        return 1.0;
    }
    let (p, q) = (drawn / all, (all - drawn) / all);
    binomial_density(x, marked, p, q) * binomial_density(drawn - x, unmarked, p, q)
        / binomial_density(drawn, all, p, q)
}

/// The regularised incomplete beta function and its complement, `(I_x(a, b), 1 - I_x(a, b))`, for a, b > 0 and
/// y = 1 - x (DLMF 8.17.22).
pub(super) fn beta(a: f64, b: f64, x: f64, y: f64) -> (f64, f64) {
    if x <= 0.0 {
        return (0.0, 1.0);
    }
    if y <= 0.0 {
        return (1.0, 0.0);
    }
    if x > (a + 1.0) / (a + b + 2.0) {
        let (upper, lower) = beta(b, a, y, x);
        return (lower, upper);
    }
    let front = binomial_density(a, a + b, x, y) * b / (a + b);
    let step = |m: usize| {
        let k = (m / 2) as f64;
        if m.is_multiple_of(2) {
            k * (b - k) * x / ((a + 2.0 * k - 1.0) * (a + 2.0 * k))
        } else {
            -(a + k) * (a + b + k) * x / ((a + 2.0 * k) * (a + 2.0 * k + 1.0))
        }
    };
    let lower = (front / fraction(1.0, |m| (step(m), 1.0))).clamp(0.0, 1.0);
    (lower, 1.0 - lower)
}

/// The regularised incomplete gamma functions `(P(a, x), Q(a, x))` for a > 0 (DLMF 8.7.1, 8.9.2).
pub(super) fn gamma(a: f64, x: f64) -> (f64, f64) {
    if x <= 0.0 {
        return (0.0, 1.0);
    }
    if x == f64::INFINITY {
        return (1.0, 0.0);
    }
    let front = poisson_density(a, x);
    if x < a + 1.0 {
        let (mut sum, mut term) = (1.0, 1.0);
        for k in 1..MAX_STEPS {
            term *= x / (a + k as f64);
            sum += term;
            if term < CONVERGED * sum {
                break;
            }
        }
        let lower = (front * sum).min(1.0);
        return (lower, 1.0 - lower);
    }
    let bottom = fraction(x + 1.0 - a, |m| {
        let m = m as f64;
        (-m * (m - a), x + 2.0 * m + 1.0 - a)
    });
    let upper = (front * a / bottom).min(1.0);
    (1.0 - upper, upper)
}

/// `b0 + a1 / (b1 + a2 / (b2 + ...))`, where `term(m)` gives `(a_m, b_m)`.
fn fraction(b0: f64, term: impl Fn(usize) -> (f64, f64)) -> f64 {
    let away = |x: f64| if x.abs() < TINY { TINY } else { x };
    let mut value = away(b0);
    let (mut c, mut d) = (value, 0.0);
    for m in 1..MAX_STEPS {
        let (a, b) = term(m);
        d = 1.0 / away(b + a * d);
        c = away(b + a / c);
        value *= c * d;
        if (c * d - 1.0).abs() < CONVERGED {
            break;
        }
    }
    value
}

/// Where the increasing function `f` crosses `target` between `low` and `high`, to the last bit: bisection, which needs
/// no derivative and cannot leave the bracket.
pub(crate) fn bisect(f: impl Fn(f64) -> f64, target: f64, mut low: f64, mut high: f64) -> f64 {
    loop {
        let middle = low + (high - low) / 2.0;
        if middle <= low || middle >= high {
            return high;
        }
        if f(middle) < target { low = middle } else { high = middle }
    }
}

/// Density of the standard normal distribution.
pub(super) fn normal_density(x: f64) -> f64 {
    (-0.5 * x * x).exp() / (2.0 * PI).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closed_forms() {
        let close = |found: f64, wanted: f64| {
            assert!((found / wanted - 1.0).abs() < 1e-13, "{found} is not {wanted}");
        };
        // I_x(1, b) = 1 - (1 - x)^b; I_x(1/2, 1/2) = 2 asin(sqrt x) / pi; P(1, x) = 1 - exp(-x).
        close(beta(1.0, 7.0, 0.3, 0.7).1, 0.7f64.powi(7));
        close(beta(0.5, 0.5, 0.2, 0.8).0, 2.0 * 0.2f64.sqrt().asin() / PI);
        close(gamma(1.0, 3.0).1, (-3.0f64).exp());
        close(gamma(1.0, 0.2).0, -(-0.2f64).exp_m1());
        close(gamma(0.5, 2.0).1, libm::erfc(2.0f64.sqrt()));
        close(poisson_density(3.0, 2.0), 8.0 / 6.0 * (-2.0f64).exp());
        close(binomial_density(2.0, 5.0, 0.1, 0.9), 10.0 * 0.01 * 0.729);
        close(hypergeometric_density(1, 2, 3, 4), 12.0 / 21.0);
    }

    #[test]
    fn the_middle_of_large_symmetric_betas_is_a_half() {
        for a in [0.5, 3.0, 1e3, 1e6] {
            let (lower, upper) = beta(a, a, 0.5, 0.5);
            assert!((lower - 0.5).abs() < 1e-12 && (upper - 0.5).abs() < 1e-12, "{a}: {lower}");
        }
    }

    #[test]
    fn bisection_ends_at_the_last_bit() {
        assert_eq!(bisect(|x| x * x, 2.0, 0.0, 2.0), 2.0f64.sqrt());
        assert_eq!(bisect(|x| x, 5.0, 0.0, 1.0), 1.0);
    }
}
