//! Which examples stand before a question.

use super::keys::Keys;
use super::python_random::PythonRandom;
use super::source::{Row, Sources};
use super::yaml::Node;
use crate::Result;
use serde_json::{Map, Value};

/// `fewshot_config`, with what it takes over from the task.
#[derive(Clone, Debug)]
pub(super) struct FewshotConfig {
    first: bool,
    pub(super) split: Option<String>,
    pub(super) samples: Option<Vec<Row>>,
    pub(super) sources: Sources,
    pub(super) delimiter: String,
    pub(super) target_delimiter: String,
    given: Map<String, Value>,
}

impl FewshotConfig {
    pub(super) fn read(
        node: Option<Node>,
        split: Option<String>,
        task: &Sources,
        [delimiter, target_delimiter]: [&str; 2],
    ) -> Result<Self> {
        let mut config = Self {
            first: false,
            split,
            samples: None,
            sources: task.clone(),
            delimiter: delimiter.into(),
            target_delimiter: target_delimiter.into(),
            given: Map::new(),
        };
        let Some(node) = node else { return Ok(config) };
        if let Value::Object(given) = node.json() {
            config.given = given;
        }
        let mut keys = Keys::of(node, "fewshot_config")?;
        let place = keys.place.clone();
        config.first = match keys.text("sampler")?.as_deref() {
            None | Some("default") => false,
            Some("first_n") => true,
            Some(other) => {
                return Err(
                    place.error(format!("sampler {other:?} is not one of default, first_n"))
                );
            }
        };
        config.split = keys.text("split")?.or(config.split);
        if let Some(samples) = keys.take("samples") {
            let rows = match samples.json() {
                Value::Array(items) => items
                    .into_iter()
                    .map(|item| match item {
                        Value::Object(row) => Some(row),
                        _ => None,
                    })
                    .collect(),
                _ => None,
            };
            let why = || samples.place.error("samples must be a list of documents");
            config.samples = Some(rows.ok_or_else(why)?);
        }
        config.sources = Sources::read(&mut keys)?.or(config.sources);
        config.delimiter = keys.text("fewshot_delimiter")?.unwrap_or(config.delimiter);
        config.target_delimiter = keys.text("target_delimiter")?.unwrap_or(config.target_delimiter);
        keys.finish("fewshot_config")?;
        Ok(config)
    }

    /// As the harness writes it: every key, with what the task passes on.
    pub(super) fn as_harness(&self, task: &Map<String, Value>) -> Value {
        let mut all = Map::new();
        for (key, inherited) in [
            ("sampler", None),
            ("split", task.get("fewshot_split")),
            ("process_docs", None),
            ("fewshot_indices", None),
            ("samples", None),
            ("doc_to_text", task.get("doc_to_text")),
            ("doc_to_choice", task.get("doc_to_choice")),
            ("doc_to_target", task.get("doc_to_target")),
            ("gen_prefix", task.get("gen_prefix")),
            ("fewshot_delimiter", task.get("fewshot_delimiter")),
            ("target_delimiter", task.get("target_delimiter")),
        ] {
            let value = self.given.get(key).or(inherited).cloned();
            all.insert(key.into(), value.unwrap_or_default());
        }
        if all.get("sampler").is_none_or(Value::is_null) {
            all.insert("sampler".into(), "default".into());
        }
        all.into()
    }
}

/// Draws the examples, document after document: the random sampler's state goes on from one to the next.
pub(super) struct Sampler {
    random: PythonRandom,
    first: bool,
    /// Whether a document may be among the pool, and so among its own examples.
    exclude: bool,
}

impl Sampler {
    pub(super) fn new(config: &FewshotConfig, exclude: bool, seed: u64) -> Self {
        Self { random: PythonRandom::new(seed), first: config.first, exclude }
    }

    /// The places in `pool` of the k examples of `document`; `None` where the pool has too few.
    ///
    /// As the harness: one more is drawn than needed where the document itself may be among them, and left out; where the
    /// document occurs several times, the draw is repeated without it.
    pub(super) fn sample(&mut self, pool: &[Row], k: usize, document: &Row) -> Option<Vec<usize>> {
        let other = |i: &usize| !self.exclude || pool.get(*i) != Some(document);
        if self.first {
            let places: Vec<usize> = (0..pool.len()).filter(other).take(k).collect();
            return (places.len() == k).then_some(places);
        }
        if !self.exclude {
            return self.random.sample(pool.len(), k);
        }
        let drawn = self.random.sample(pool.len(), k + 1)?;
        let places: Vec<usize> = drawn.into_iter().filter(other).take(k).collect();
        if places.len() == k {
            return Some(places);
        }
        let others: Vec<usize> = (0..pool.len()).filter(other).collect();
        let drawn = self.random.sample(others.len(), k)?;
        drawn.into_iter().map(|i| others.get(i).copied()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn pool(values: &[u8]) -> Vec<Row> {
        values.iter().map(|value| Map::from_iter([("x".to_string(), json!(value))])).collect()
    }

    proptest! {
        #[test]
        fn a_document_is_never_among_its_own_examples(
            values in prop::collection::vec(0u8..6, 1..30), k in 0usize..6, seed in 0u64..50, first: bool,
        ) {
            let pool = pool(&values);
            let config = FewshotConfig {
                first, split: None, samples: None,
                sources: Sources::default(),
                delimiter: String::new(), target_delimiter: String::new(), given: Map::new(),
            };
            let mut sampler = Sampler::new(&config, true, seed);
            for document in &pool {
                let Some(places) = sampler.sample(&pool, k, document) else { continue };
                prop_assert_eq!(places.len(), k);
                prop_assert!(places.iter().all(|&i| pool[i] != *document));
                let mut distinct = places.clone();
                distinct.sort_unstable();
                distinct.dedup();
                prop_assert_eq!(distinct.len(), k);
            }
        }
    }
}
