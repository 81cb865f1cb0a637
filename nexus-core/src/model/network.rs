//! What files, adapters and training need of any model.

use super::embedding::Embedding;
use super::family::Spec;
use super::pass::Pass;
use super::projection::Projection;
use super::source::ParameterSource;
use crate::adapter::AdapterConfig;
use crate::data::Batch;
use crate::{Error, Result};
use burn::module::Module;
use burn::tensor::{Device, Int, Tensor, TensorData};
use nexus_kernels::select_rows;
use std::sync::Arc;

/// A model of any family: parameters that can be read, written, adapted and trained.
pub trait Model: Module {
    /// Builds the model that `spec` describes with parameters from `source`.
    ///
    /// # Errors
    /// [`Error::Config`] for sizes out of range or a spec of another kind of model; otherwise as
    /// [`ParameterSource::values`].
    fn build(source: &mut impl ParameterSource, spec: Arc<Spec>) -> Result<Self>;

    /// The family, its key names and the `config.json` that the model came with.
    fn spec(&self) -> &Arc<Spec>;

    /// Every projection with its path, in the order of the forward pass.
    fn projections_mut(&mut self) -> Vec<(String, &mut Projection)>;

    /// The embedding of the tokens.
    fn embedding_mut(&mut self) -> &mut Embedding;

    /// The configuration of the attached adapter, if there is one.
    fn adapter(&self) -> Option<&AdapterConfig>;

    /// Records the configuration of the attached adapter.
    fn set_adapter(&mut self, config: Option<Arc<AdapterConfig>>);

    /// Describes the model anew, after its parameters have changed their shapes.
    fn set_spec(&mut self, spec: Arc<Spec>);
}

/// The model with this padding token in its `config.json`, unless that names one. transformers needs it to find the last
/// token of each sequence where a decoder classifies, and refuses batches of more than one sequence without it.
pub fn with_pad_token<M: Model>(mut model: M, id: u32) -> M {
    let mut spec = (**model.spec()).clone();
    if spec.json.get("pad_token_id").is_some_and(|pad| !pad.is_null()) {
        return model;
    }
    spec.json.insert("pad_token_id".into(), id.into());
    model.set_spec(Arc::new(spec));
    model
}

/// A model that can give one row of C numbers for a whole sequence.
pub trait Classify: Model {
    /// The logits of the classes.
    ///
    /// # Shapes
    /// `tokens`: B sequences; result `[B, C]`.
    ///
    /// # Errors
    /// [`Error::Refused`] when the model has no classification head; [`Error::Config`] for a sequence that is too long.
    fn class_logits(&self, tokens: &TokenBatch, pass: &Pass) -> Result<Tensor<2>>;
}

/// B sequences of token ids, padded at the right to the longest.
#[derive(Clone, Debug)]
pub struct TokenBatch {
    /// Token ids, `[B, T]`.
    pub ids: Tensor<2, Int>,
    /// Token types, `[B, T]`; `None` when all are 0.
    pub types: Option<Tensor<2, Int>>,
    /// The number of tokens of each sequence, `[B]`.
    pub lengths: Vec<usize>,
}

impl TokenBatch {
    /// The tokens of a collated batch on `device`.
    pub fn new(batch: &Batch, device: &Device) -> Self {
        let shape = [batch.rows, batch.columns];
        let types = batch.types.iter().any(|&kind| kind != 0);
        Self {
            ids: ids_tensor(&batch.ids, shape, device),
            types: types.then(|| ids_tensor(&batch.types, shape, device)),
            lengths: batch.lengths.clone(),
        }
    }

    /// The range of keys that exist in each sequence; `None` when none is padded.
    pub(crate) fn keys(&self) -> Option<Arc<Vec<(usize, usize)>>> {
        let time = self.ids.dims()[1];
        let padded = self.lengths.iter().any(|&length| length < time);
        padded.then(|| Arc::new(self.lengths.iter().map(|&length| (0, length)).collect()))
    }
}

/// Token ids as a tensor `[B, T]`.
pub fn ids_tensor(ids: &[i32], [rows, columns]: [usize; 2], device: &Device) -> Tensor<2, Int> {
    Tensor::from_data(TensorData::new(ids.to_vec(), [rows, columns]), device)
}

/// The states of tokens `rows` of `[B*T]`: `[B, T, D]` to `[1, N, D]`.
pub(super) fn select_tokens(x: Tensor<3>, rows: &[i32]) -> Tensor<3> {
    let [batch, time, width] = x.dims();
    select_rows(x.reshape([batch * time, width]), rows).unsqueeze()
}

/// The error for a model whose spec belongs to another kind of model.
pub(super) fn wrong_kind(spec: &Spec, wanted: &str) -> Error {
    let kind = spec.json.get("model_type").and_then(|v| v.as_str()).unwrap_or("unknown");
    Error::config("model_type", kind, format!("a family of {wanted}s"))
}
