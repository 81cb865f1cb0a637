//! The Bradley-Terry model.

use super::graph::undefeated;
use super::pairs::Pair;
use crate::{Error, Result};

/// What is assumed about strengths before an outcome is seen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Prior {
    /// Nothing: maximum likelihood. It exists only when every model is linked with every other over a chain of wins
    /// (or ties) in both directions; an unbeaten or winless model has none.
    None,
    /// Strengths are normal around 0 with this standard deviation in rating points (400 / ln 10 points are one unit of
    /// the model). It is the L2 penalty of logistic regression with `C = (sd * ln 10 / 400)^2`.
    ///
    /// Its effect: an unbeaten model gets a finite rating that grows with its number of wins, and unconnected groups
    /// are centred on the same mean. With 400 points (the default of
    /// [`RatingOptions`](super::RatingOptions)) a lead of 100 points from 200 outcomes becomes 0.2 points smaller; a
    /// model that won 10 of 10 leads by 592 points, with 100 of 100 by 920.
    Normal {
        /// Standard deviation in points, above 0.
        sd: f64,
    },
}

/// Rating points of one unit of the model: a lead of 400 points means odds of 10 to 1.
pub(super) const POINTS: f64 = 400.0 / std::f64::consts::LN_10;

/// Newton's steps; from 0 it converges in less than 20 where a maximum exists.
const STEPS: usize = 200;

/// A last step shorter than this leaves an error of its square, since the convergence is quadratic.
const CONVERGED: f64 = 1e-9;

/// A step shorter than this is always right: curvature changes by less than 1 % over it. Whether the objective grows
/// is then a matter of rounding.
const SHORT: f64 = 1e-3;

/// Strengths b (natural scale, mean 0) that make the outcomes likeliest under `P(i beats j) = 1 / (1 + exp(b_j - b_i))`,
/// a tie counted as half a win of each:
///
/// ```text
/// maximise  sum over pairs (s_ij log P(i beats j) + s_ji log P(j beats i))  -  sum(b^2) / (2 v)
/// ```
///
/// with s the wins plus half the ties, and v the prior's variance (no last term without a prior). Source: Bradley and
/// Terry 1952, Biometrika 39; Newton's method on the concave objective.
///
/// # Errors
/// [`Error::Refused`] without players, for a pair that names a player out of range or the same one twice, and when
/// the maximum does not exist; [`Error::Config`] for a prior out of range.
pub fn fit(players: usize, pairs: &[Pair], prior: Prior) -> Result<Vec<f64>> {
    if players == 0 {
        return Err(Error::Refused("there are no models to rate".into()));
    }
    if let Some(pair) = pairs.iter().find(|p| p.a == p.b || p.a.max(p.b) >= players) {
        return Err(Error::Refused(format!(
            "a comparison of model {} with model {}, but there are {players} different models",
            pair.a, pair.b
        )));
    }
    let penalty = match prior {
        Prior::None => match undefeated(players, pairs) {
            Some(group) => return Err(no_maximum(&group)),
            None => 0.0,
        },
        Prior::Normal { sd } if sd > 0.0 && sd.is_finite() => (POINTS / sd).powi(2),
        Prior::Normal { sd } => {
            return Err(Error::config("prior.sd", sd, "a finite number above 0"));
        }
    };
    newton(players, pairs, penalty).ok_or_else(|| {
        Error::Refused("the ratings do not converge; give a prior with a smaller sd".into())
    })
}

fn no_maximum(group: &[usize]) -> Error {
    Error::Refused(format!(
        "model(s) {group:?}, counted from 0, never lost against the others: their ratings are infinite; use a prior"
    ))
}

fn newton(players: usize, pairs: &[Pair], penalty: f64) -> Option<Vec<f64>> {
    let mut strengths = vec![0.0; players];
    let mut value = objective(&strengths, pairs, penalty);
    for _ in 0..STEPS {
        let (gradient, mut hessian) = derivatives(&strengths, pairs, penalty);
        let step = solve(&mut hessian, gradient)?;
        let size = step.iter().fold(0.0f64, |most, x| most.max(x.abs()));
        // Far from the maximum a full step can overshoot; halved often enough it climbs.
        let mut factor = 1.0;
        let next = loop {
            let next: Vec<f64> = strengths.iter().zip(&step).map(|(b, x)| b + factor * x).collect();
            let reached = objective(&next, pairs, penalty);
            if reached >= value || size < SHORT {
                value = reached;
                break next;
            }
            factor /= 2.0;
            if factor < 1e-12 {
                // No better point in double precision.
                return Some(centred(strengths));
            }
        };
        strengths = next;
        if !size.is_finite() {
            return None;
        }
        if size < CONVERGED {
            return Some(centred(strengths));
        }
    }
    None
}

fn centred(mut strengths: Vec<f64>) -> Vec<f64> {
    let mean = strengths.iter().sum::<f64>() / strengths.len() as f64;
    strengths.iter_mut().for_each(|b| *b -= mean);
    strengths
}

/// `log(1 / (1 + exp(-x)))` without overflow.
fn log_sigmoid(x: f64) -> f64 {
    x.min(0.0) - (-x.abs()).exp().ln_1p()
}

fn objective(strengths: &[f64], pairs: &[Pair], penalty: f64) -> f64 {
    let outcomes: f64 = pairs
        .iter()
        .map(|pair| {
            let lead = strengths[pair.a] - strengths[pair.b];
            pair.score_a() * log_sigmoid(lead) + pair.score_b() * log_sigmoid(-lead)
        })
        .sum();
    outcomes - 0.5 * penalty * strengths.iter().map(|b| b * b).sum::<f64>()
}

/// The gradient, and the negative Hessian row by row.
fn derivatives(strengths: &[f64], pairs: &[Pair], penalty: f64) -> (Vec<f64>, Vec<f64>) {
    let n = strengths.len();
    let mut gradient: Vec<f64> = strengths.iter().map(|b| -penalty * b).collect();
    // Without a prior the mean is free; this term fixes it and changes nothing else.
    let level = if penalty == 0.0 { 1.0 / n as f64 } else { 0.0 };
    let mut hessian = vec![level; n * n];
    for i in 0..n {
        hessian[i * n + i] += penalty;
    }
    for pair in pairs {
        let (a, b) = (pair.a, pair.b);
        let p = 1.0 / (1.0 + (strengths[b] - strengths[a]).exp());
        let surplus = pair.score_a() * (1.0 - p) - pair.score_b() * p;
        gradient[a] += surplus;
        gradient[b] -= surplus;
        let curvature = (pair.score_a() + pair.score_b()) * p * (1.0 - p);
        hessian[a * n + a] += curvature;
        hessian[b * n + b] += curvature;
        hessian[a * n + b] -= curvature;
        hessian[b * n + a] -= curvature;
    }
    (gradient, hessian)
}

/// Solves `A x = y` for a symmetric positive definite A by Cholesky's factorisation; `None` when it is not.
fn solve(matrix: &mut [f64], mut y: Vec<f64>) -> Option<Vec<f64>> {
    let n = y.len();
    for j in 0..n {
        for i in j..n {
            let products: f64 = (0..j).map(|k| matrix[i * n + k] * matrix[j * n + k]).sum();
            let rest = matrix[i * n + j] - products;
            if i > j {
                matrix[i * n + j] = rest / matrix[j * n + j];
            } else if rest > 0.0 {
                matrix[j * n + j] = rest.sqrt();
            } else {
                return None;
            }
        }
    }
    for i in 0..n {
        let known: f64 = (0..i).map(|k| matrix[i * n + k] * y[k]).sum();
        y[i] = (y[i] - known) / matrix[i * n + i];
    }
    for i in (0..n).rev() {
        let known: f64 = (i + 1..n).map(|k| matrix[k * n + i] * y[k]).sum();
        y[i] = (y[i] - known) / matrix[i * n + i];
    }
    Some(y)
}

#[cfg(test)]
mod tests {
    use super::super::pairs::Tally;
    use super::*;

    /// Rounding of sums of a few terms near 1.
    const TOLERANCE: f64 = 1e-12;

    fn pair(a: usize, b: usize, wins: u64, losses: u64, ties: u64) -> Pair {
        Pair { a, b, tally: Tally { wins, losses, ties } }
    }

    #[test]
    fn two_models_have_a_closed_form() {
        for (wins, losses, ties) in [(30, 10, 0), (1, 1, 0), (7, 3, 4), (0, 1, 2), (999, 1, 0)] {
            let found = fit(2, &[pair(0, 1, wins, losses, ties)], Prior::None).unwrap();
            let half = ties as f64 / 2.0;
            let odds = (wins as f64 + half) / (losses as f64 + half);
            let lead = POINTS * (found[0] - found[1]);
            assert!((lead - 400.0 * odds.log10()).abs() < 1e-9, "{wins} {losses} {ties}: {lead}");
            assert!((found[0] + found[1]).abs() < TOLERANCE);
        }
    }

    #[test]
    fn what_has_no_maximum_needs_a_prior() {
        let unbeaten = [pair(0, 1, 10, 0, 0)];
        let error = fit(2, &unbeaten, Prior::None).unwrap_err().to_string();
        assert!(error.contains("[0]") && error.contains("prior"), "{error}");
        let lead = |wins, sd| {
            let found = fit(2, &[pair(0, 1, wins, 0, 0)], Prior::Normal { sd }).unwrap();
            POINTS * (found[0] - found[1])
        };
        // The numbers in the documentation of the prior.
        assert_eq!((lead(10, 400.0).round(), lead(100, 400.0).round()), (592.0, 920.0));
        let lead = |prior| {
            let found = fit(2, &[pair(0, 1, 128, 72, 0)], prior).unwrap();
            POINTS * (found[0] - found[1])
        };
        let smaller = lead(Prior::None) - lead(Prior::Normal { sd: 400.0 });
        assert_eq!((lead(Prior::None).round(), (10.0 * smaller).round()), (100.0, 2.0));
        // Nothing against anything: everyone is average.
        assert_eq!(fit(3, &[], Prior::Normal { sd: 800.0 }).unwrap(), vec![0.0; 3]);
        assert!(fit(0, &[], Prior::None).is_err());
        assert!(fit(2, &[], Prior::Normal { sd: 0.0 }).is_err());
        assert!(fit(2, &[pair(0, 2, 1, 1, 0)], Prior::None).is_err());
        assert!(fit(2, &[pair(1, 1, 1, 1, 0)], Prior::None).is_err());
    }

    #[test]
    fn the_gradient_vanishes_at_the_maximum() {
        let pairs =
            [pair(0, 1, 9, 2, 1), pair(1, 2, 400, 3, 0), pair(0, 3, 1, 80, 5), pair(2, 3, 1, 2, 0)];
        for prior in [Prior::None, Prior::Normal { sd: 300.0 }, Prior::Normal { sd: 1e6 }] {
            let found = fit(4, &pairs, prior).unwrap();
            let penalty = match prior {
                Prior::None => 0.0,
                Prior::Normal { sd } => (POINTS / sd).powi(2),
            };
            let (gradient, _) = derivatives(&found, &pairs, penalty);
            assert!(gradient.iter().all(|g| g.abs() < 1e-10), "{prior:?}: {gradient:?}");
        }
    }
}
