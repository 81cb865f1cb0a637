//! When requests of an open loop are due.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How the requests of an open loop follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arrivals {
    /// Independent of each other, as many users send them: the time between two is exponentially distributed.
    Poisson,
    /// At equal distances.
    Constant,
}

/// The times of arrivals since the start, endless and never decreasing. The first is one gap after the start.
#[derive(Clone, Debug)]
pub(super) struct Schedule {
    rate: f64,
    rng: Option<ChaCha8Rng>,
    /// The last arrival in seconds.
    last: f64,
    count: u64,
}

impl Schedule {
    /// `rate` arrivals per second on average.
    pub(super) fn new(arrivals: Arrivals, rate: f64, seed: u64) -> Self {
        let rng = (arrivals == Arrivals::Poisson).then(|| ChaCha8Rng::seed_from_u64(seed));
        Self { rate, rng, last: 0.0, count: 0 }
    }

    pub(super) fn next(&mut self) -> Duration {
        self.last = match &mut self.rng {
            // 1 - u lies in (0, 1], so that the logarithm is finite.
            Some(rng) => self.last - (1.0 - rng.random::<f64>()).ln() / self.rate,
            None => (self.count + 1) as f64 / self.rate,
        };
        self.count += 1;
        Duration::try_from_secs_f64(self.last).unwrap_or(Duration::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constant_arrivals_do_not_drift() {
        let mut schedule = Schedule::new(Arrivals::Constant, 3.0, 0);
        let times: Vec<Duration> = (0..3000).map(|_| schedule.next()).collect();
        assert_eq!((times[2], times[2999]), (Duration::from_secs(1), Duration::from_secs(1000)));
    }

    #[test]
    fn poisson_arrivals_have_the_moments_of_an_exponential_distribution() {
        const N: usize = 100_000;
        let mut schedule = Schedule::new(Arrivals::Poisson, 50.0, 1);
        let times: Vec<f64> = (0..N).map(|_| schedule.next().as_secs_f64()).collect();
        let gaps: Vec<f64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let square = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        // Standard errors: 1 / sqrt(N) of the mean, sqrt(8 / N) of the variance, relative; five of each.
        assert!((mean * 50.0 - 1.0).abs() < 5.0 / (N as f64).sqrt(), "{mean}");
        assert!((square * 2500.0 - 1.0).abs() < 5.0 * (8.0 / N as f64).sqrt(), "{square}");
        assert!(gaps.iter().all(|&gap| gap >= 0.0));
        // The same seed gives the same arrivals, another one others.
        let mut again = Schedule::new(Arrivals::Poisson, 50.0, 1);
        assert_eq!(again.next().as_secs_f64(), times[0]);
        assert_ne!(Schedule::new(Arrivals::Poisson, 50.0, 2).next().as_secs_f64(), times[0]);
    }
}
