//! What stands on top of a model's hidden states.

use super::family::ConfigReader;
use crate::Result;
use crate::data::Problem;
use serde_json::{Map, Value, json};
use std::collections::HashSet;

/// The head of a model, as the class in `architectures` of its `config.json` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Head {
    /// None: hidden states only (`BertModel`).
    Features,
    /// Logits over the vocabulary: next tokens of a decoder, masked tokens of an encoder, the answer's tokens of an
    /// encoder-decoder.
    Language,
    /// Logits of the classes of a whole sequence.
    Sequence(Classes),
    /// Logits of the classes of every token.
    Tokens(Classes),
}

/// The classes of a classification head and what is asked about them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Classes {
    /// The names, by class number (`id2label`).
    pub names: Vec<String>,
    /// What is asked.
    pub problem: Problem,
}

impl Problem {
    /// The name in a `config.json`.
    pub fn name(self) -> &'static str {
        match self {
            Self::SingleLabel => "single_label_classification",
            Self::MultiLabel => "multi_label_classification",
            Self::Regression => "regression",
        }
    }
}

impl Classes {
    /// Classes of which one is right.
    pub fn single_label(names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { names: names.into_iter().map(Into::into).collect(), problem: Problem::SingleLabel }
    }

    /// Number of classes, C.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The classes of a `config.json`; two nameless ones without any, as transformers has it.
    fn from_json(json: &ConfigReader) -> Result<Self> {
        let names: Vec<String> = match json.object("id2label")? {
            None => {
                let count = json.optional_size("num_labels")?.unwrap_or(2);
                if count > 1 << 20 {
                    return Err(json.wrong("num_labels", "at most 1048576"));
                }
                (0..count).map(|id| format!("LABEL_{id}")).collect()
            }
            Some(labels) => {
                let name = |id: usize| Ok(labels.text(&id.to_string())?.to_string());
                (0..labels.len()).map(name).collect::<Result<_>>()?
            }
        };
        if names.is_empty() {
            return Err(json.wrong("id2label", "at least one label"));
        }
        let mut seen = HashSet::new();
        if !names.iter().all(|name| seen.insert(name)) {
            return Err(json.wrong("id2label", "a different name for every class"));
        }
        let problem = match json.optional_text("problem_type")? {
            None if names.len() == 1 => Problem::Regression,
            None => Problem::SingleLabel,
            Some(name) => [Problem::SingleLabel, Problem::MultiLabel, Problem::Regression]
                .into_iter()
                .find(|problem| problem.name() == name)
                .ok_or_else(|| {
                    let expected = "one of single_label_classification, \
                                    multi_label_classification, regression";
                    json.wrong("problem_type", expected)
                })?,
        };
        Ok(Self { names, problem })
    }
}

impl Head {
    /// The head of a `config.json`; `default` when it names no architecture. An unknown architecture is an error.
    pub(super) fn from_json(json: &ConfigReader, default: Head) -> Result<Self> {
        let Some(architecture) = json.architecture()? else { return Ok(default) };
        let language = ["ForCausalLM", "LMHeadModel", "ForMaskedLM", "ForConditionalGeneration"];
        let ends = |endings: &[&str]| endings.iter().any(|end| architecture.ends_with(end));
        if ends(&language) || ends(&["ForPreTraining"]) {
            return Ok(Self::Language);
        }
        if ends(&["ForSequenceClassification"]) {
            return Ok(Self::Sequence(Classes::from_json(json)?));
        }
        if ends(&["ForTokenClassification"]) {
            return Ok(Self::Tokens(Classes::from_json(json)?));
        }
        if ends(&["Model"]) && !ends(&["EncoderModel"]) {
            return Ok(Self::Features);
        }
        let expected = "a bare model, a language-model head, ...ForSequenceClassification or \
                        ...ForTokenClassification";
        Err(json.wrong("architectures", expected))
    }

    /// The classes, when it has some.
    pub fn classes(&self) -> Option<&Classes> {
        match self {
            Self::Sequence(classes) | Self::Tokens(classes) => Some(classes),
            Self::Features | Self::Language => None,
        }
    }

    /// Writes the head into a `config.json`.
    pub(super) fn write(&self, json: &mut Map<String, Value>, architecture: String) {
        json.insert("architectures".into(), json!([architecture]));
        for field in ["id2label", "label2id", "problem_type", "num_labels"] {
            json.shift_remove(field);
        }
        let Some(classes) = self.classes() else { return };
        let names = classes.names.iter().enumerate();
        let by_id: Map<String, Value> =
            names.clone().map(|(id, name)| (id.to_string(), json!(name))).collect();
        let by_name: Map<String, Value> =
            names.map(|(id, name)| (name.clone(), json!(id))).collect();
        json.insert("id2label".into(), by_id.into());
        json.insert("label2id".into(), by_name.into());
        if matches!(self, Self::Sequence(_)) {
            json.insert("problem_type".into(), json!(classes.problem.name()));
        }
    }
}
