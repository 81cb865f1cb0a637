//! Which final states a caller of a model needs.

use super::network::select_tokens;
use super::packing::Packing;
use super::pass::Pass;
use burn::tensor::Tensor;

/// All states, or those of some tokens.
///
/// Behind the attention of the last block, every token goes its own way. So that block computes what follows, three
/// quarters of its work, for the tokens that are needed: the first of each text for a classifier, the answer of a prompt
/// with an answer. Not where a pass has an adapter for each sequence, which goes by equal lengths.
pub(super) struct Wanted {
    /// Numbers of tokens of `[B*T]`, or of `[1, N]` where padding is left out.
    rows: Option<Vec<i32>>,
    /// Whether the last block gives back nothing else.
    early: bool,
}

impl Wanted {
    /// `rows`: numbers of tokens of `[B*T]`; `None` for all.
    pub(super) fn new(rows: Option<&[i32]>, packing: Option<&Packing>, pass: &Pass) -> Self {
        let rows = rows.map(|rows| match packing {
            Some(packing) => packing.rows(rows),
            None => rows.to_vec(),
        });
        let early = pass.adapters().is_none() && rows.as_ref().is_some_and(|rows| !rows.is_empty());
        Self { rows, early }
    }

    /// The tokens that block `i` of `count` gives back; `None` for all.
    pub(super) fn in_block(&self, i: usize, count: usize) -> Option<&[i32]> {
        self.rows.as_deref().filter(|_| self.early && i + 1 == count)
    }

    /// The states in question of those that the last of `count` blocks gave: `[B, T, D]`, or `[1, N, D]`.
    pub(super) fn of(&self, x: Tensor<3>, count: usize, packing: Option<Packing>) -> Tensor<3> {
        match (&self.rows, packing) {
            (Some(_), _) if self.early && count > 0 => x,
            (Some(rows), _) => select_tokens(x, rows),
            (None, Some(packing)) => packing.unpack(x),
            (None, None) => x,
        }
    }
}

/// The states of tokens `rows`, `[1, N, D]`, or all of `x: [B, T, D]` without them.
pub(super) fn only(x: Tensor<3>, rows: Option<&[i32]>) -> Tensor<3> {
    match rows {
        Some(rows) => select_tokens(x, rows),
        None => x,
    }
}

#[cfg(test)]
mod tests {
    use crate::data::{Example, collate};
    use crate::model::{Decoder, Encoder, Model, Pass, RandomSource, Spec, TokenBatch};
    use burn::tensor::Tensor;
    use serde_json::{Value, json};
    use std::path::Path;
    use std::sync::Arc;

    /// The order of some sums differs; values are of the order 1.
    const ROUNDING: f32 = 1e-5;

    fn model<M: Model>(config: Value) -> M {
        let Value::Object(config) = config else { unreachable!() };
        let spec = Spec::from_json(config, Path::new("config.json")).unwrap();
        let device = crate::device("flex").unwrap();
        M::build(&mut RandomSource::new(1, &device), Arc::new(spec)).unwrap()
    }

    fn tokens(rows: &[&[u32]]) -> TokenBatch {
        let rows: Vec<Example> =
            rows.iter().map(|row| Example::new(row.to_vec(), vec![])).collect();
        TokenBatch::new(&collate(&rows, 0), &crate::device("flex").unwrap())
    }

    /// `of(tokens, rows)` gives those rows of `all(tokens)`, whether or not there is padding.
    fn agree(
        all: impl Fn(&TokenBatch, &Pass) -> Tensor<3>,
        of: impl Fn(&TokenBatch, &[i32], &Pass) -> Tensor<2>,
    ) {
        let values = |x: Vec<f32>, rows: &[i32]| -> Vec<f32> {
            rows.iter().flat_map(|&row| x[row as usize * 8..][..8].to_vec()).collect()
        };
        let base = Pass::inference();
        for batch in [tokens(&[&[3, 7, 1, 2], &[1, 2, 3, 4]]), tokens(&[&[3, 7], &[1, 2, 3, 4]])] {
            for pass in [base.clone(), base.clone().with_adapters(vec![None; 2])] {
                for rows in [&[0, 4][..], &[1, 4, 5, 7], &[6]] {
                    let all = all(&batch, &pass).into_data().iter::<f32>().collect();
                    let of: Vec<f32> = of(&batch, rows, &pass).into_data().iter().collect();
                    let all = values(all, rows);
                    assert_eq!(of.len(), all.len());
                    let close = of.iter().zip(&all).all(|(a, b)| (a - b).abs() < ROUNDING);
                    assert!(close, "{rows:?}: {of:?} {all:?}");
                }
            }
        }
    }

    #[test]
    fn the_states_of_some_tokens_are_those_among_all() {
        let bert: Encoder = model(json!({
            "model_type": "bert", "architectures": ["BertModel"], "vocab_size": 20,
            "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2,
            "intermediate_size": 16, "max_position_embeddings": 6, "initializer_range": 0.5,
        }));
        let all = |tokens: &TokenBatch, pass: &Pass| bert.hidden(tokens, pass).unwrap();
        agree(all, |tokens, rows, pass| bert.hidden_of(tokens, rows, pass).unwrap());

        let llama: Decoder = model(json!({
            "model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": 20,
            "hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 2,
            "num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 12,
            "initializer_range": 0.5,
        }));
        let all =
            |tokens: &TokenBatch, pass: &Pass| llama.hidden(tokens.ids.clone(), pass).unwrap();
        let of = |tokens: &TokenBatch, rows: &[i32], pass: &Pass| {
            llama.hidden_of(tokens.ids.clone(), &tokens.lengths, rows, pass).unwrap()
        };
        agree(all, of);
    }
}
