//! Masked language modelling: what is hidden, how often, and that it is learned.

mod case;

use case::device;
use nexus_core::adapter::train_all;
use nexus_core::data::{
    Encode, Example, ExampleSource, IGNORED, MaskedTextEncoder, Record, Tokenizer,
};
use nexus_core::model::{Encoder, Model, RandomSource, Spec};
use nexus_core::observe::{Evaluation, Observer, StepStats};
use nexus_core::stage::{TrainData, Trainer};
use nexus_train::{MaskedLm, Objective, ScheduleKind, Sft, TrainConfig, last_checkpoint};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;

const SENTENCES: [&str; 5] = [
    "the cat sat on the mat near an old door",
    "a dog runs through green fields every day",
    "birds sing when morning light comes over hills",
    "my brother reads long books about cold seas",
    "they cooked fresh fish with salt and lemon",
];

/// Whole words, `[CLS]` and `[SEP]` around a text, `[MASK]`.
fn tokenizer(folder: &Path) -> Tokenizer {
    let special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];
    let mut words: Vec<&str> = SENTENCES.iter().flat_map(|text| text.split(' ')).collect();
    words.sort_unstable();
    words.dedup();
    let all = special.iter().chain(&words).enumerate();
    let vocab: serde_json::Map<String, Value> =
        all.map(|(i, word)| (word.to_string(), json!(i))).collect();
    let json = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
        "normalizer": null, "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]},
        "decoder": null, "model": {"type": "WordLevel", "unk_token": "[UNK]", "vocab": vocab},
    });
    std::fs::write(folder.join("tokenizer.json"), json.to_string()).unwrap();
    let roles = json!({"mask_token": "[MASK]", "pad_token": "[PAD]"});
    std::fs::write(folder.join("tokenizer_config.json"), roles.to_string()).unwrap();
    Tokenizer::load(folder).unwrap()
}

fn model(vocabulary: usize, dropout: f64) -> Encoder {
    let Value::Object(config) = json!({
        "model_type": "bert", "architectures": ["BertForMaskedLM"], "vocab_size": vocabulary,
        "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
        "intermediate_size": 64, "max_position_embeddings": 16, "hidden_dropout_prob": dropout,
        "initializer_range": 0.1,
    }) else {
        unreachable!()
    };
    let spec = Arc::new(Spec::from_json(config, Path::new("config.json")).unwrap());
    train_all(Encoder::build(&mut RandomSource::new(5, &device()), spec).unwrap())
}

fn setup() -> (Tokenizer, Vec<Example>) {
    let folder = tempfile::tempdir().unwrap();
    let tokenizer = tokenizer(folder.path());
    let encoder = MaskedTextEncoder { tokenizer: tokenizer.clone(), max_length: 16 };
    let encode = |text: &&str| encoder.encode(&Record::Text { text: text.to_string() }).unwrap();
    let examples = SENTENCES.iter().flat_map(|text| encode(text).examples).collect();
    (tokenizer, examples)
}

fn prepare(objective: &MaskedLm, example: Example, seed: u64) -> Example {
    Objective::<Encoder>::prepare(objective, example, seed)
}

#[test]
fn of_the_chosen_tokens_four_fifths_are_hidden_and_a_tenth_each_is_another_or_stays() {
    let (tokenizer, _) = setup();
    let objective = MaskedLm::new(&tokenizer, 0.15).unwrap();
    let words = 5..tokenizer.vocab_size() as u32;
    let ids: Vec<u32> = [2].into_iter().chain(words.cycle().take(200)).chain([3]).collect();
    let (mut all, mut chosen, mut hidden, mut kept, mut other) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for seed in 0..500 {
        let masked = prepare(&objective, Example::new(ids.clone(), Vec::new()), seed);
        assert_eq!(masked.labels.len(), ids.len());
        for (i, (&was, (&id, &label))) in
            ids.iter().zip(masked.ids.iter().zip(&masked.labels)).enumerate()
        {
            all += 1.0;
            if label == IGNORED {
                assert_eq!(id, was);
                continue;
            }
            assert_eq!(label, was as i32);
            assert!((1..=200).contains(&i), "a special token is hidden");
            chosen += 1.0;
            match id {
                4 => hidden += 1.0,
                id if id == was => kept += 1.0,
                _ => other += 1.0,
            }
        }
    }
    // 100,000 tokens: the standard deviations are 0.0011 of the first share and below 0.0033 of the others. A random
    // token is now and then the mask or the old one, 1 in 44 each.
    let all = all * 200.0 / 202.0;
    for (share, expected) in
        [(chosen / all, 0.15), (hidden / chosen, 0.8), (kept / chosen, 0.1), (other / chosen, 0.1)]
    {
        let error: f64 = share - expected;
        assert!(error.abs() < 0.016, "{share}, expected {expected}");
    }
}

#[test]
fn every_text_hides_a_token_and_none_that_is_special() {
    let (tokenizer, examples) = setup();
    let objective = MaskedLm::new(&tokenizer, 1e-6).unwrap();
    let mut places = std::collections::BTreeSet::new();
    for seed in 0..300 {
        for example in &examples {
            let masked = prepare(&objective, example.clone(), seed);
            assert_eq!(masked.labelled_tokens(), 1);
            let last = masked.labels.len() - 1;
            assert!(masked.labels[0] == IGNORED && masked.labels[last] == IGNORED);
            places.insert(masked.labels.iter().position(|&label| label != IGNORED));
        }
    }
    assert_eq!(places.len(), 10, "each place of the longest sentence: {places:?}");
    // Nothing can be hidden here, and nothing is.
    let special = prepare(&objective, Example::new(vec![2, 3], Vec::new()), 1);
    assert_eq!(special, Example::new(vec![2, 3], vec![IGNORED; 2]));
}

#[test]
fn labels_are_kept_only_when_they_are_given() {
    let (tokenizer, _) = setup();
    let copied = Example::new(vec![2, 6, 7, 8, 3], vec![2, 6, 7, 8, 3]);
    let given = MaskedLm::with_given_labels();
    assert_eq!(prepare(&given, copied.clone(), 1), copied);
    let masked = prepare(&MaskedLm::new(&tokenizer, 0.15).unwrap(), copied.clone(), 1);
    assert_ne!(masked.labels, copied.labels);
    for probability in [0.0, 1.0, f64::NAN] {
        let error = MaskedLm::new(&tokenizer, probability).unwrap_err().to_string();
        assert!(error.contains("mask_probability"), "{error}");
    }
}

#[derive(Default)]
struct Trace {
    losses: Vec<f64>,
    held_out: f64,
    stop_after: Option<usize>,
}

impl Observer for Trace {
    fn on_step(&mut self, step: &StepStats) -> nexus_core::Result<()> {
        self.losses.push(step.loss);
        Ok(())
    }

    fn on_evaluation(&mut self, evaluation: &Evaluation) -> nexus_core::Result<()> {
        self.held_out = evaluation.metrics[0].1;
        Ok(())
    }

    fn wants_stop(&self) -> bool {
        self.stop_after == Some(self.losses.len())
    }
}

#[test]
fn a_small_bert_learns_sentences_by_heart() {
    let (tokenizer, examples) = setup();
    let objective = MaskedLm::new(&tokenizer, 0.15).unwrap();
    // Other draws than those of any step.
    let valid: Vec<Example> = (0..20).flat_map(|_| examples.clone()).collect();
    let config = TrainConfig {
        max_steps: Some(400),
        batch_size: 5,
        learning_rate: 3e-3,
        schedule: ScheduleKind::Linear,
        warmup_steps: 20,
        eval_steps: Some(400),
        ..TrainConfig::default()
    };
    let data = TrainData { train: &examples, valid: Some(&valid), pad_id: tokenizer.pad() };
    let model = model(tokenizer.vocab_size(), 0.0);
    let mut trace = Trace::default();
    Sft::with_objective(config, objective).train(model, &data, &mut trace).unwrap();
    assert!(trace.losses[0] > 3.0, "{}", trace.losses[0]);
    assert!(trace.held_out < 0.3, "{}", trace.held_out);
}

#[test]
fn a_resumed_run_hides_what_an_uninterrupted_one_does() {
    let (tokenizer, examples) = setup();
    let folder = tempfile::tempdir().unwrap();
    let run = |out: &str, stop_after| {
        let out = folder.path().join(out);
        let config = TrainConfig {
            max_steps: Some(8),
            batch_size: 2,
            save_steps: Some(100),
            ..TrainConfig::default()
        };
        let objective = MaskedLm::new(&tokenizer, 0.15).unwrap();
        let mut trainer = Sft::with_objective(config, objective).checkpoints_in(&out);
        if let Some(checkpoint) = last_checkpoint(&out).unwrap() {
            trainer = trainer.resume_from(checkpoint);
        }
        let source: &dyn ExampleSource = &examples;
        let data = TrainData { train: source, valid: None, pad_id: tokenizer.pad() };
        let mut trace = Trace { stop_after, ..Trace::default() };
        trainer.train(model(tokenizer.vocab_size(), 0.1), &data, &mut trace).unwrap();
        trace.losses
    };
    let whole = run("whole", None);
    let parts = [run("parts", Some(3)), run("parts", None)].concat();
    assert_eq!(whole, parts);
}
