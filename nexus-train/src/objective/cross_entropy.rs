//! Cross-entropy with class weights and label smoothing.

use burn::tensor::{Device, Int, Tensor, TensorData, activation};
use nexus_core::{Error, Result};

/// How the classes of a cross-entropy count.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Weighting {
    /// One factor per class; none: all 1.
    pub(super) class_weights: Option<Vec<f32>>,
    /// epsilon: the share of the target that is spread over all classes.
    pub(super) smoothing: f64,
}

impl Weighting {
    /// The factor of a class.
    pub(super) fn of(&self, class: usize) -> f64 {
        let weights = self.class_weights.as_ref();
        weights.map_or(1.0, |weights| f64::from(weights.get(class).copied().unwrap_or(1.0)))
    }

    /// # Errors
    /// What is wrong, when there are weights of another number of classes.
    pub(super) fn check_classes(&self, classes: usize) -> Result<(), String> {
        match &self.class_weights {
            Some(weights) if weights.len() != classes => {
                Err(format!("{} class weights for {classes} classes; give one each", weights.len()))
            }
            _ => Ok(()),
        }
    }

    /// # Errors
    /// [`Error::Config`] for a weight or a smoothing out of range.
    pub(super) fn check(&self) -> Result<()> {
        if !(0.0..1.0).contains(&self.smoothing) {
            return Err(Error::config("label_smoothing", self.smoothing, "from 0 up to below 1"));
        }
        let bad = |weight: &&f32| !weight.is_finite() || **weight < 0.0;
        match self.class_weights.iter().flatten().find(bad) {
            Some(weight) => Err(Error::config("class_weights", weight, "numbers of 0 or above")),
            None => Ok(()),
        }
    }
}

/// The sum over rows of
///
/// ```text
/// (1 - eps) w_y (-log p_y) + eps / C * sum_c w_c (-log p_c)
/// ```
///
/// which divided by the sum of `w_y` is `torch.nn.CrossEntropyLoss(weight, label_smoothing)`, and without weights what
/// transformers' `LabelSmoother` computes (Szegedy et al. 2015, arXiv:1512.00567, section 7).
///
/// # Shapes
/// `logits`: `[N, C]`; `targets`: N classes; result `[1]`.
pub(super) fn cross_entropy_sum(
    logits: Tensor<2>,
    targets: &[i32],
    weighting: &Weighting,
) -> Tensor<1> {
    let [rows, classes] = logits.dims();
    let device = logits.device();
    let log_probabilities = activation::log_softmax(logits, 1);
    let smoothing = weighting.smoothing;
    let indices = TensorData::new(targets.to_vec(), [rows, 1]);
    let indices: Tensor<2, Int> = Tensor::from_data(indices, &device);
    let mut picked = log_probabilities.clone().gather(1, indices);
    let mut sum = Tensor::<1>::zeros([1], &device);
    if smoothing > 0.0 {
        let mut all = log_probabilities;
        if let Some(weights) = &weighting.class_weights {
            all = all * row(weights.clone(), [1, classes], &device);
        }
        sum = sum - all.sum() * (smoothing / classes as f64);
    }
    if weighting.class_weights.is_some() {
        let weights = targets.iter().map(|&class| weighting.of(class as usize) as f32).collect();
        picked = picked * row(weights, [rows, 1], &device);
    }
    sum - picked.sum() * (1.0 - smoothing)
}

/// Values as a tensor.
pub(super) fn row(values: Vec<f32>, shape: [usize; 2], device: &Device) -> Tensor<2> {
    Tensor::from_data(TensorData::new(values, shape), device)
}
