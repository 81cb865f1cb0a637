//! Intervals of ratings by resampling the outcomes.

use super::bradley_terry::{Prior, fit};
use super::pairs::{Pair, Tally};
use super::rating::RatingOptions;
use crate::stats::quantile;
use crate::{Error, Result};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Binomial, Distribution};

/// The interval of each player's strength; `None` when none is asked for, there is no outcome, or the fit of a
/// resample does not exist.
pub(super) fn intervals(
    players: usize,
    pairs: &[Pair],
    options: &RatingOptions,
) -> Result<Option<Vec<(f64, f64)>>> {
    let total = pairs.iter().fold(0u64, |sum, pair| sum.saturating_add(pair.tally.total()));
    if options.resamples == 0 || total == 0 {
        return Ok(None);
    }
    let mut rng = ChaCha8Rng::seed_from_u64(options.seed);
    let mut strengths = vec![Vec::with_capacity(options.resamples); players];
    for _ in 0..options.resamples {
        let drawn = resample(pairs, total, &mut rng)?;
        let fitted = match (fit(players, &drawn, options.prior), options.prior) {
            (Ok(fitted), _) => fitted,
            (Err(Error::Refused(_)), Prior::None) => return Ok(None),
            (Err(error), _) => return Err(error),
        };
        strengths.iter_mut().zip(fitted).for_each(|(all, strength)| all.push(strength));
    }
    let tail = (1.0 - options.level) / 2.0;
    let interval = |values: &mut Vec<f64>| {
        values.sort_by(f64::total_cmp);
        (quantile(values, tail), quantile(values, 1.0 - tail))
    };
    Ok(Some(strengths.iter_mut().map(interval).collect()))
}

/// `total` outcomes drawn from the multinomial distribution of the observed ones, one binomial after the other.
fn resample(pairs: &[Pair], total: u64, rng: &mut impl Rng) -> Result<Vec<Pair>> {
    let (mut left, mut unseen) = (total, total);
    let mut draw = |count: u64| -> Result<u64> {
        if count == 0 || left == 0 {
            unseen -= count;
            return Ok(0);
        }
        let share = count as f64 / unseen as f64;
        let drawn = Binomial::new(left, share.min(1.0))
            .map_err(|why| Error::Refused(format!("outcomes cannot be resampled: {why}")))?
            .sample(rng);
        left -= drawn;
        unseen -= count;
        Ok(drawn)
    };
    let drawn = pairs.iter().map(|pair| {
        let Tally { wins, losses, ties } = pair.tally;
        let tally = Tally { wins: draw(wins)?, losses: draw(losses)?, ties: draw(ties)? };
        Ok(Pair { tally, ..*pair })
    });
    drawn.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resample_has_as_many_outcomes_and_their_shares_on_average() {
        let tally = |wins, losses, ties| Tally { wins, losses, ties };
        let pairs = [
            Pair { a: 0, b: 1, tally: tally(50, 0, 30) },
            Pair { a: 1, b: 2, tally: tally(0, 15, 5) },
        ];
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut sums = [Tally::default(); 2];
        let draws = 20_000;
        for _ in 0..draws {
            let drawn = resample(&pairs, 100, &mut rng).unwrap();
            assert_eq!(drawn.iter().map(|pair| pair.tally.total()).sum::<u64>(), 100);
            sums.iter_mut().zip(&drawn).for_each(|(sum, pair)| *sum = sum.plus(&pair.tally));
        }
        // Five standard errors of the mean of a binomial count with variance at most 25.
        let allowed = 5.0 * (25.0 / f64::from(draws)).sqrt();
        for (sum, pair) in sums.iter().zip(&pairs) {
            for (found, wanted) in [
                (sum.wins, pair.tally.wins),
                (sum.losses, pair.tally.losses),
                (sum.ties, pair.tally.ties),
            ] {
                let mean = found as f64 / f64::from(draws);
                assert!((mean - wanted as f64).abs() <= allowed, "{mean} {wanted}");
            }
        }
    }
}
