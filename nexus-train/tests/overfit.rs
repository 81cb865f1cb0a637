//! Every kind of model learns a small set by heart through the trainer.

mod case;

use case::device;
use nexus_core::adapter::train_all;
use nexus_core::data::{Example, Target, collate};
use nexus_core::model::{
    Encoder, EncoderDecoder, Model, Pass, RandomSource, Spec, TokenBatch, ids_tensor,
};
use nexus_core::stage::{TrainData, Trainer};
use nexus_train::{Objective, ScheduleKind, Seq2Seq, SequenceClassification, Sft, TrainConfig};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;

const END: i32 = 1;

fn random<M: Model>(config: Value) -> M {
    let Value::Object(config) = config else { unreachable!() };
    let spec = Spec::from_json(config, Path::new("config.json")).unwrap();
    train_all(M::build(&mut RandomSource::new(5, &device()), Arc::new(spec)).unwrap())
}

fn train<M: Model>(
    model: M,
    objective: impl Objective<M> + 'static,
    examples: &Vec<Example>,
    steps: usize,
    learning_rate: f64,
) -> (M, f64) {
    let config = TrainConfig {
        max_steps: Some(steps),
        batch_size: 25,
        learning_rate,
        schedule: ScheduleKind::Linear,
        warmup_steps: 10,
        ..TrainConfig::default()
    };
    let data = TrainData { train: examples, valid: None, pad_id: 0 };
    let trained = Sft::with_objective(config, objective).train(model, &data, &mut ()).unwrap();
    (trained.model, trained.report.final_loss)
}

/// A repeatable number below `n`.
fn draw(seed: u64, n: u64) -> u64 {
    let mixed = (seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    ((mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 33) % n
}

#[test]
fn t5_learns_fifty_pairs_by_heart() {
    let model: EncoderDecoder = random(json!({
        "model_type": "t5", "vocab_size": 40, "d_model": 48, "d_kv": 12, "d_ff": 96,
        "num_layers": 2, "num_heads": 4, "dropout_rate": 0.0, "feed_forward_proj": "gated-gelu",
        "tie_word_embeddings": false, "decoder_start_token_id": 0, "pad_token_id": 0,
    }));
    let tokens = |seed: u64, count: u64| -> Vec<u32> {
        (0..count).map(|i| 2 + draw(seed * 100 + i, 38) as u32).collect()
    };
    let examples: Vec<Example> = (0..50)
        .map(|i| {
            let answer = tokens(1000 + i, 3 + i % 5).into_iter().map(|id| id as i32);
            Example::new(tokens(i, 4 + i % 4), answer.chain([END]).collect())
        })
        .collect();
    let (model, loss) = train(model, Seq2Seq::new(), &examples, 300, 3e-3);
    assert!(loss < 0.02, "{loss}");
    for example in &examples {
        assert_eq!(answer(&model, example), example.labels, "{:?}", example.ids);
    }
}

/// The greedy answer, its end token included.
fn answer(model: &EncoderDecoder, example: &Example) -> Vec<i32> {
    let pass = Pass::inference();
    let source = collate(&[Example::new(example.ids.clone(), Vec::new())], 0);
    let memory = model.encode(&TokenBatch::new(&source, &device()), &pass).unwrap();
    let mut cache = model.cache();
    let mut ids = Vec::new();
    let mut last = model.config().start_token as i32;
    while last != END && ids.len() < 10 {
        let token = ids_tensor(&[last], [1, 1], &device());
        let hidden = model.decode_cached(token, &memory, &mut cache);
        let logits = model.logits(hidden.squeeze_dim::<2>(0), &pass);
        last = logits.argmax(1).into_data().iter::<i32>().next().unwrap();
        ids.push(last);
    }
    ids
}

#[test]
fn bert_learns_classes_of_sequences_by_heart() {
    let model: Encoder = random(json!({
        "model_type": "bert", "vocab_size": 40, "hidden_size": 32, "num_hidden_layers": 2,
        "num_attention_heads": 4, "intermediate_size": 64, "max_position_embeddings": 16,
        "hidden_dropout_prob": 0.1, "initializer_range": 0.1,
        "architectures": ["BertForSequenceClassification"],
        "id2label": {"0": "a", "1": "b", "2": "c"},
    }));
    let examples: Vec<Example> = (0..50)
        .map(|i| Example {
            ids: (0..4 + i % 9).map(|t| 2 + draw(i * 100 + t, 38) as u32).collect(),
            target: Target::Class(draw(i, 3) as u32),
            ..Example::default()
        })
        .collect();
    let (_, loss) = train(model, SequenceClassification::new(), &examples, 200, 3e-3);
    assert!(loss < 0.05, "{loss}");
}
