//! Rotary position embedding, half-split layout, with the scalings of the LLaMA family.

use crate::{Error, Result};
use burn::tensor::{Device, Tensor, TensorData};

/// Rotary position embedding (Su et al. 2021, arXiv:2104.09864) in the half-split layout of Hugging Face:
/// dimension `i` is paired with `i + dim/2`.
#[derive(Clone, Debug, PartialEq)]
pub struct RotaryConfig {
    /// The base of the frequencies, `rope_theta`.
    pub theta: f64,
    /// How the frequencies are stretched beyond the trained length.
    pub scaling: RotaryScaling,
}

/// The scalings that `rope_parameters` / `rope_scaling` of a `config.json` can name.
#[derive(Clone, Debug, PartialEq)]
pub enum RotaryScaling {
    /// Unscaled.
    Default,
    /// Every position divided by `factor` (position interpolation, arXiv:2306.15595).
    Linear {
        /// The stretch, >= 1.
        factor: f64,
    },
    /// The base grows with the sequence beyond the trained length ("dynamic NTK").
    Dynamic {
        /// The stretch, >= 1.
        factor: f64,
        /// The trained length in tokens.
        trained_length: usize,
    },
    /// YaRN (arXiv:2309.00071): interpolates low frequencies, keeps high ones, scales the attention.
    Yarn {
        /// The stretch, >= 1.
        factor: f64,
        /// The trained length in tokens.
        trained_length: usize,
        /// Rotations above which a frequency is kept.
        beta_fast: f64,
        /// Rotations below which a frequency is interpolated.
        beta_slow: f64,
        /// Multiplies cosine and sine.
        attention_factor: f64,
        /// Whether the ramp's ends are rounded to whole dimensions.
        truncate: bool,
    },
    /// The scaling of Llama 3.1: by wavelength against the trained length.
    Llama3 {
        /// The stretch of low frequencies.
        factor: f64,
        /// Wavelengths above `trained_length / low` are stretched.
        low: f64,
        /// Wavelengths below `trained_length / high` are kept.
        high: f64,
        /// The trained length in tokens.
        trained_length: usize,
    },
}

impl RotaryConfig {
    /// Inverse frequencies `[dim/2]` and the factor on cosine and sine for a sequence of `length` tokens.
    ///
    /// # Errors
    /// [`Error::Config`] when `theta` or a factor is out of range.
    pub fn frequencies(&self, dim: usize, length: usize) -> Result<(Vec<f64>, f64)> {
        let theta = self.theta;
        if theta.is_nan() || theta <= 1.0 {
            return Err(Error::config("rope_theta", theta, "a number above 1"));
        }
        let inverse = |base: f64| -> Vec<f64> {
            (0..dim / 2).map(|i| base.powf(-((2 * i) as f64) / dim as f64)).collect()
        };
        let at_least_one = |field: &str, value: f64| {
            if value >= 1.0 {
                Ok(value)
            } else {
                Err(Error::config(format!("rope scaling {field}"), value, "a number >= 1"))
            }
        };
        let plain = inverse(theta);
        Ok(match self.scaling {
            RotaryScaling::Default => (plain, 1.0),
            RotaryScaling::Linear { factor } => {
                let factor = at_least_one("factor", factor)?;
                (plain.into_iter().map(|f| f / factor).collect(), 1.0)
            }
            RotaryScaling::Dynamic { factor, trained_length } => {
                let factor = at_least_one("factor", factor)?;
                let length = length.max(trained_length) as f64;
                let stretch = factor * length / trained_length as f64 - (factor - 1.0);
                let exponent = dim as f64 / (dim as f64 - 2.0).max(1.0);
                (inverse(theta * stretch.powf(exponent)), 1.0)
            }
            RotaryScaling::Yarn {
                factor,
                trained_length,
                beta_fast,
                beta_slow,
                attention_factor,
                truncate,
            } => {
                let factor = at_least_one("factor", factor)?;
                // The dimension whose frequency makes `rotations` turns over the trained length.
                let dimension = |rotations: f64| {
                    dim as f64
                        * (trained_length as f64 / (rotations * 2.0 * std::f64::consts::PI)).ln()
                        / (2.0 * theta.ln())
                };
                let (mut low, mut high) = (dimension(beta_fast), dimension(beta_slow));
                if truncate {
                    (low, high) = (low.floor(), high.ceil());
                }
                let (low, mut high) = (low.max(0.0), high.min(dim as f64 - 1.0));
                if low == high {
                    high += 0.001;
                }
                let scaled = plain.iter().enumerate().map(|(i, f)| {
                    let ramp = ((i as f64 - low) / (high - low)).clamp(0.0, 1.0);
                    f / factor * ramp + f * (1.0 - ramp)
                });
                (scaled.collect(), attention_factor)
            }
            RotaryScaling::Llama3 { factor, low, high, trained_length } => {
                let factor = at_least_one("factor", factor)?;
                if high <= low {
                    return Err(Error::config(
                        "rope scaling high_freq_factor",
                        high,
                        "a number above low_freq_factor",
                    ));
                }
                let trained = trained_length as f64;
                let scaled = plain.into_iter().map(|f| {
                    let wavelength = 2.0 * std::f64::consts::PI / f;
                    if wavelength < trained / high {
                        f
                    } else if wavelength > trained / low {
                        f / factor
                    } else {
                        let smooth = (trained / wavelength - low) / (high - low);
                        (1.0 - smooth) * f / factor + smooth * f
                    }
                });
                (scaled.collect(), 1.0)
            }
        })
    }

    /// Cosine and sine tables `[T, dim/2]` for positions `start .. start + count`.
    ///
    /// # Errors
    /// As [`frequencies`](Self::frequencies).
    pub fn table(
        &self,
        dim: usize,
        start: usize,
        count: usize,
        device: &Device,
    ) -> Result<(Tensor<2>, Tensor<2>)> {
        let (frequencies, factor) = self.frequencies(dim, start + count)?;
        let angles: Vec<f64> = (start..start + count)
            .flat_map(|position| frequencies.iter().map(move |f| position as f64 * f))
            .collect();
        let tensor = |value: fn(f64) -> f64| {
            let values: Vec<f32> = angles.iter().map(|&a| (value(a) * factor) as f32).collect();
            Tensor::from_data(TensorData::new(values, [count, dim / 2]), device)
        };
        Ok((tensor(f64::cos), tensor(f64::sin)))
    }
}

/// Rotates queries or keys: with each head split in halves `[x1, x2]`, `[x1 cos - x2 sin, x2 cos + x1 sin]`.
///
/// # Shapes
/// `x`: `[B, T, heads*dim]`; `cos`, `sin`: `[T, dim/2]`; result as `x`.
pub(super) fn rotate(x: Tensor<3>, heads: usize, (cos, sin): &(Tensor<2>, Tensor<2>)) -> Tensor<3> {
    let [batch, time, width] = x.dims();
    let dim = width / heads;
    let table = |table: &Tensor<2>| table.clone().reshape([1, time, 1, dim / 2]);
    let (cos, sin) = (table(cos), table(sin));
    let x = x.reshape([batch, time, heads, dim]);
    let first = x.clone().narrow(3, 0, dim / 2);
    let second = x.narrow(3, dim / 2, dim / 2);
    let rotated = Tensor::cat(
        vec![
            first.clone() * cos.clone() - second.clone() * sin.clone(),
            second * cos + first * sin,
        ],
        3,
    );
    rotated.reshape([batch, time, width])
}
