//! Greedy and beam search on batches of unequal length against transformers.

mod case;

use case::device;
use nexus_core::generate::{
    BeamConfig, EarlyStopping, Finish, Generation, GenerationConfig, SamplingConfig, Search,
    generate_batch, generate_seq2seq,
};
use nexus_core::model::{Decoder, EncoderDecoder, Model};
use nexus_core::weights::load;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Log-probabilities in f32 on their side; the narrowest of their decisions was taken by more.
const SCORE: f64 = 1e-4;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/beams")
}

fn expect(model: &str) -> Value {
    let text = std::fs::read_to_string(folder().join("expect.json")).unwrap();
    let mut all: Value = serde_json::from_str(&text).unwrap();
    all["models"][model].take()
}

fn ids(value: &Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect()
}

/// The rows of a batch without padding.
fn inputs(expect: &Value) -> Vec<Vec<u32>> {
    let (rows, masks) = (&expect["inputs"]["input_ids"], &expect["inputs"]["attention_mask"]);
    let real = |(row, mask): (&Value, &Value)| {
        ids(row).into_iter().zip(ids(mask)).filter(|&(_, real)| real == 1).map(|(id, _)| id)
    };
    rows.as_array()
        .unwrap()
        .iter()
        .zip(masks.as_array().unwrap())
        .map(|pair| real(pair).collect())
        .collect()
}

/// The settings of a call of transformers' `generate`; `start` tokens stand before an answer.
fn config(settings: &Value, eos: u32, start: usize) -> GenerationConfig {
    let known = [
        "num_beams",
        "max_new_tokens",
        "max_length",
        "min_new_tokens",
        "min_length",
        "length_penalty",
        "early_stopping",
        "num_return_sequences",
        "no_repeat_ngram_size",
        "repetition_penalty",
        "forced_bos_token_id",
        "forced_eos_token_id",
        "eos_token_id",
    ];
    for key in settings.as_object().unwrap().keys() {
        assert!(known.contains(&key.as_str()), "{key}");
    }
    let whole = |key: &str| settings[key].as_u64().map(|value| value as usize);
    let real = |key: &str, default| settings[key].as_f64().unwrap_or(default);
    let token = |key: &str| whole(key).map(|id| id as u32);
    let repetition_penalty = real("repetition_penalty", 1.0);
    let num_beams = whole("num_beams").unwrap();
    let search = match num_beams {
        1 => Search::Sample(SamplingConfig { repetition_penalty, ..SamplingConfig::default() }),
        _ => Search::Beams(BeamConfig {
            num_beams,
            length_penalty: real("length_penalty", 1.0),
            early_stopping: match &settings["early_stopping"] {
                Value::Bool(true) => EarlyStopping::WhenFull,
                Value::String(never) if never == "never" => EarlyStopping::Never,
                _ => EarlyStopping::Estimate,
            },
            num_return_sequences: whole("num_return_sequences").unwrap_or(1),
            repetition_penalty,
        }),
    };
    GenerationConfig {
        max_new_tokens: whole("max_new_tokens")
            .unwrap_or_else(|| whole("max_length").unwrap() - start),
        min_new_tokens: whole("min_new_tokens")
            .or_else(|| Some(whole("min_length")? - start))
            .unwrap_or(0),
        no_repeat_ngram_size: whole("no_repeat_ngram_size"),
        forced_bos: token("forced_bos_token_id"),
        forced_eos: token("forced_eos_token_id"),
        eos: match &settings["eos_token_id"] {
            Value::Null => vec![eos],
            several => ids(several),
        },
        search,
    }
}

/// Compares all settings of one model.
fn check<M: Model>(
    name: &str,
    start: usize,
    generate: impl Fn(&M, &[Vec<u32>], &GenerationConfig) -> Vec<Vec<Generation>>,
) {
    let expect = expect(name);
    let model: M = load(&folder().join(name), &device()).unwrap();
    let inputs = inputs(&expect);
    let eos = expect["eos_token_id"].as_u64().unwrap() as u32;
    for (setting, result) in expect["results"].as_object().unwrap() {
        let config = config(&result["settings"], eos, start);
        let found = generate(&model, &inputs, &config);
        assert_eq!(found.len(), inputs.len());
        let found: Vec<Generation> = found.into_iter().flatten().collect();
        let expected = result["generated"].as_array().unwrap();
        assert_eq!(found.len(), expected.len(), "{name} {setting}");
        for (row, (found, expected)) in found.iter().zip(expected).enumerate() {
            let mut expected = ids(expected);
            let ended = expected.last().is_some_and(|id| config.eos.contains(id));
            if ended {
                expected.pop();
            }
            let finish = if ended { Finish::Eos } else { Finish::Length };
            assert_eq!((&found.ids, found.finish), (&expected, finish), "{name} {setting} {row}");
            match (&result["sequences_scores"][row], found.score) {
                (Value::Null, None) => {}
                (expected, found) => {
                    let (found, expected) = (found.unwrap(), expected.as_f64().unwrap());
                    let error = (found - expected).abs();
                    assert!(error < SCORE, "{name} {setting} {row}: {found}, expected {expected}");
                }
            }
        }
        // What stands beside a row does not matter.
        for (i, input) in inputs.iter().enumerate() {
            let alone = generate(&model, std::slice::from_ref(input), &config).remove(0);
            let width = alone.len();
            for (alone, together) in alone.iter().zip(&found[i * width..]) {
                assert_eq!(alone.ids, together.ids, "{name} {setting} {i}");
            }
        }
    }
}

#[test]
fn encoder_decoders_equal_transformers() {
    for name in ["t5_relu", "t5_gated"] {
        check::<EncoderDecoder>(name, 1, |model, sources, config| {
            generate_seq2seq(model, sources, config, &device()).unwrap()
        });
    }
}

#[test]
fn decoders_equal_transformers() {
    for name in ["llama", "gpt2"] {
        check::<Decoder>(name, 0, |model, prompts, config| {
            generate_batch(model, prompts, config, &device()).unwrap()
        });
    }
}
