//! Where a model's parameters come from: a checkpoint, or a seeded initialisation.

use crate::Result;
use burn::module::Param;
use burn::tensor::{Device, Tensor, TensorData};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// How a parameter starts when there is no checkpoint.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// All zeros (biases).
    Zeros,
    /// All ones (norm scales).
    Ones,
    /// Normal with mean 0 and this standard deviation.
    Normal(f64),
}

/// Gives a model its parameters while it is built, so that there is one constructor per module.
pub trait ParameterSource {
    /// The values of the parameter at `path`, row major, of exactly `shape`.
    ///
    /// # Errors
    /// [`Error::Weights`](crate::Error::Weights) when the source lacks the parameter or holds another shape.
    fn values(&mut self, path: &str, shape: &[usize], init: Init) -> Result<Vec<f32>>;

    /// Whether the source holds the parameter at `path`; `None` when it makes up whatever is asked for.
    fn has(&self, path: &str) -> Option<bool> {
        let _ = path;
        None
    }

    /// The device on which parameters are created.
    fn device(&self) -> &Device;

    /// The parameter at `path` as a tensor.
    ///
    /// # Errors
    /// As [`values`](Self::values).
    fn parameter<const N: usize>(
        &mut self,
        path: &str,
        shape: [usize; N],
        init: Init,
    ) -> Result<Param<Tensor<N>>>
    where
        Self: Sized,
    {
        let values = self.values(path, &shape, init)?;
        Ok(Param::from_tensor(Tensor::from_data(TensorData::new(values, shape), self.device())))
    }
}

/// A seeded initialisation: the same seed gives the same model on every device.
#[derive(Debug)]
pub struct RandomSource {
    rng: ChaCha8Rng,
    device: Device,
}

impl RandomSource {
    /// A source whose values depend on `seed` and on the order in which parameters are asked for.
    pub fn new(seed: u64, device: &Device) -> Self {
        Self { rng: ChaCha8Rng::seed_from_u64(seed), device: device.clone() }
    }
}

impl ParameterSource for RandomSource {
    fn values(&mut self, _path: &str, shape: &[usize], init: Init) -> Result<Vec<f32>> {
        let count = shape.iter().product();
        Ok(match init {
            Init::Zeros => vec![0.0; count],
            Init::Ones => vec![1.0; count],
            Init::Normal(std) => normal(&mut self.rng, count, std),
        })
    }

    fn device(&self) -> &Device {
        &self.device
    }
}

/// `count` normal values by the Box-Muller transform; written out because it has to stay the same
/// across versions of the random crates.
pub(crate) fn normal(rng: &mut ChaCha8Rng, count: usize, std: f64) -> Vec<f32> {
    let mut values = Vec::with_capacity(count + 1);
    while values.len() < count {
        let u: f64 = 1.0 - unit(rng);
        let angle = 2.0 * std::f64::consts::PI * unit(rng);
        let radius = std * (-2.0 * u.ln()).sqrt();
        values.push((radius * angle.cos()) as f32);
        values.push((radius * angle.sin()) as f32);
    }
    values.truncate(count);
    values
}

/// A uniform number in `[0, 1)` from the top 53 bits of the next word.
pub(crate) fn unit(rng: &mut ChaCha8Rng) -> f64 {
    (rng.random::<u64>() >> 11) as f64 / (1u64 << 53) as f64
}
