//! Latency over throughput.

use super::{Load, LoadOptions, LoadReport, Response, run_load};
use crate::{Error, Progress, Result};
use serde::Serialize;

/// Load runs at rising rates.
#[derive(Clone, Debug, Serialize)]
pub struct Curve {
    /// A report per rate, in rising order.
    pub points: Vec<LoadReport>,
    /// The highest rate up to which, at every rate that was tried, at least the wanted share of requests kept the
    /// objective; `None` without an objective, and when the lowest rate was too high already.
    pub capacity: Option<f64>,
    /// The rate after which no higher one was tried, because the target answered less than [`SATURATED`] of it; a queue
    /// would only grow longer.
    pub saturated_at: Option<f64>,
}

/// A target that answers a smaller share of the requests as they come cannot bear the rate.
pub const SATURATED: f64 = 0.8;

/// Runs an open loop at each of `rates`, in place of the rate of `options`. `share` is the part of the requests, such as
/// 0.95, that must keep the objective of `options` for a rate to be within capacity.
///
/// # Errors
/// As [`run_load`]; [`Error::Config`] when the load is no open loop, there is no rate, the rates do not rise, or `share`
/// is not in 0 to 1.
pub fn latency_curve<F>(
    options: &LoadOptions,
    rates: &[f64],
    share: f64,
    request: F,
    progress: &mut Progress<'_>,
) -> Result<Curve>
where
    F: Fn(u64) -> Result<Response, String> + Sync,
{
    if !(0.0..=1.0).contains(&share) {
        return Err(Error::config("share", share, "0 to 1"));
    }
    if rates.is_empty() || !rates.is_sorted_by(|a, b| a < b) {
        return Err(Error::config("rates", format!("{rates:?}"), "rising rates, at least one"));
    }
    let mut runs = Vec::with_capacity(rates.len());
    for &wanted in rates {
        let mut options = options.clone();
        match &mut options.load {
            Load::Open { rate, .. } => *rate = wanted,
            Load::Closed { .. } => {
                return Err(Error::config("load", "closed", "open, to step its rate"));
            }
        }
        // All of them before the first run, which may take long.
        options.check()?;
        runs.push((wanted, options));
    }
    let mut curve = Curve { points: Vec::new(), capacity: None, saturated_at: None };
    let mut kept = true;
    for (rate, options) in runs {
        let report = run_load(&options, &request, progress)?;
        kept &= report.goodput.is_some_and(|goodput| goodput.share >= share);
        if kept {
            curve.capacity = Some(rate);
        }
        let answered = report.requests_per_second;
        curve.points.push(report);
        if answered < SATURATED * rate {
            curve.saturated_at = Some(rate);
            break;
        }
    }
    Ok(curve)
}
