//! How answers are generated: `generation_kwargs`.

use super::keys::Keys;
use super::yaml::{Node, Yaml};
use crate::Result;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// How an answer is generated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Generation {
    /// Texts that end an answer and do not belong to it.
    pub until: Vec<String>,
    /// The most tokens of an answer. As many fewer are left to the context.
    pub max_gen_toks: usize,
    /// 0 takes the most probable token.
    pub temperature: f64,
    /// Keeps the smallest set of tokens whose probabilities reach this.
    pub top_p: f64,
    /// Keeps as many of the most probable tokens.
    pub top_k: Option<usize>,
    /// Seed of the draws, where there are any.
    pub seed: u64,
}

/// `generation_kwargs` as read, and as the harness writes them.
#[derive(Clone, Debug)]
pub(super) struct GenerationKwargs {
    pub(super) generation: Generation,
    pub(super) json: Map<String, Value>,
}

const MAX_GEN_TOKS: usize = 256;

impl GenerationKwargs {
    /// The mapping of a task file; without one, greedy up to `delimiter`. Of the names for the number of tokens the first
    /// in the harness's order counts. `do_sample: false` is greedy whatever the temperature; without `do_sample` a
    /// temperature above 0 samples.
    pub(super) fn read(node: Option<Node>, delimiter: &str) -> Result<Self> {
        let Some(node) = node else {
            let json = json!({
                "temperature": 0.0, "do_sample": false, "max_gen_toks": MAX_GEN_TOKS,
                "until": [delimiter],
            });
            let generation = Generation {
                until: vec![delimiter.into()],
                max_gen_toks: MAX_GEN_TOKS,
                temperature: 0.0,
                top_p: 1.0,
                top_k: None,
                seed: 0,
            };
            return Ok(Self { generation, json: json.as_object().cloned().unwrap_or_default() });
        };
        let mut json = match (&node.value, node.json()) {
            (Yaml::Map(_), Value::Object(json)) => json,
            _ => Map::new(),
        };
        let mut keys = Keys::of(node, "generation_kwargs")?;
        let place = keys.place.clone();
        let until = keys.texts("until")?;
        let mut max_gen_toks = None;
        for name in ["max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens"] {
            max_gen_toks = max_gen_toks.or(keys.count(name)?);
        }
        let do_sample = keys.flag("do_sample")?;
        let temperature = keys.number("temperature")?;
        let top_p = keys.number("top_p")?.unwrap_or(1.0);
        let top_k = keys.count("top_k")?.filter(|&k| k > 0);
        keys.finish("generation_kwargs")?;
        if let Some(temperature) = temperature {
            json.insert("temperature".into(), temperature.into());
        }
        if until.is_none() {
            json.insert("until".into(), json!([delimiter]));
        }
        let given = temperature.unwrap_or(0.0);
        if given < 0.0 || !(top_p > 0.0 && top_p <= 1.0) || max_gen_toks == Some(0) {
            return Err(place.error(
                "generation_kwargs: temperature must be 0 or above, top_p above 0 and at most 1, max_gen_toks at least 1",
            ));
        }
        if do_sample == Some(true) && given == 0.0 {
            return Err(place.error("do_sample: true needs a temperature above 0"));
        }
        let generation = Generation {
            until: until.unwrap_or_else(|| vec![delimiter.into()]),
            max_gen_toks: max_gen_toks.unwrap_or(MAX_GEN_TOKS),
            temperature: if do_sample == Some(false) { 0.0 } else { given },
            top_p,
            top_k,
            seed: 0,
        };
        Ok(Self { generation, json })
    }
}
