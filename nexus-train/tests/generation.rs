//! Batches of prompts of unequal length against each prompt alone, texts, and what is refused.

mod case;

use case::{Case, MODELS, device};
use nexus_core::data::Tokenizer;
use nexus_core::generate::{
    BeamConfig, Finish, GenerationConfig, SamplingConfig, Search, generate, generate_batch,
    generate_seq2seq, generate_seq2seq_texts, generate_texts,
};
use nexus_core::model::{Decoder, EncoderDecoder, Model};
use nexus_core::weights::load;
use serde_json::json;
use std::ops::ControlFlow;
use std::path::Path;

/// Lengths beyond mistral's window of 5 and below it.
fn prompts() -> Vec<Vec<u32>> {
    let row = |length: u32| (0..length).map(|i| (i * 17 + length * 5 + 3) % 60).collect();
    [9, 1, 4, 7, 2].map(row).to_vec()
}

fn beams<M: Model>(name: &str) -> M {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/beams").join(name);
    load(&folder, &device()).unwrap()
}

#[test]
fn a_batch_gives_what_each_prompt_gives_alone() {
    // Dynamic scaling depends on the length: see below.
    for name in MODELS.iter().filter(|&&name| name != "llama_dynamic") {
        let model = Case::open(name).load(&device());
        let eos = vec![5, 11, 23];
        let drawn = SamplingConfig {
            temperature: 1.0,
            top_k: Some(20),
            repetition_penalty: 1.1,
            seed: 40,
            ..SamplingConfig::default()
        };
        for sampling in [SamplingConfig::default(), drawn] {
            let config = GenerationConfig {
                max_new_tokens: 12,
                eos: eos.clone(),
                search: Search::Sample(sampling.clone()),
                ..GenerationConfig::default()
            };
            let together = generate_batch(&model, &prompts(), &config, &device()).unwrap();
            for (i, prompt) in prompts().iter().enumerate() {
                let sampling =
                    SamplingConfig { seed: sampling.seed + i as u64, ..sampling.clone() };
                let go_on = |_| Ok(ControlFlow::Continue(()));
                let alone = generate(&model, prompt, &sampling, 12, &eos, &device(), go_on);
                assert_eq!(together[i], [alone.unwrap()], "{name} {i}");
            }
        }
        let config = GenerationConfig {
            max_new_tokens: 12,
            eos,
            search: Search::Beams(BeamConfig { num_return_sequences: 2, ..BeamConfig::default() }),
            ..GenerationConfig::default()
        };
        let together = generate_batch(&model, &prompts(), &config, &device()).unwrap();
        for (prompt, together) in prompts().into_iter().zip(together) {
            let alone = generate_batch(&model, &[prompt], &config, &device()).unwrap().remove(0);
            for (alone, together) in alone.iter().zip(&together) {
                assert_eq!((&alone.ids, alone.finish), (&together.ids, together.finish), "{name}");
                // Rounding of sums of another length, over at most 12 tokens.
                let error = (alone.score.unwrap() - together.score.unwrap()).abs();
                assert!(error < 1e-4, "{name}: {error}");
            }
        }
    }
}

#[test]
fn each_row_ends_at_the_end_of_the_position_table() {
    let model = Case::open("gpt2").load(&device());
    let longest = model.config().max_positions;
    let lengths = [longest, longest - 3, 1];
    let prompts: Vec<Vec<u32>> = lengths.iter().map(|&length| vec![7; length]).collect();
    let greedy = GenerationConfig { max_new_tokens: 10_000, ..GenerationConfig::default() };
    let beams = Search::Beams(BeamConfig { num_beams: 2, ..BeamConfig::default() });
    for config in [greedy.clone(), GenerationConfig { search: beams, ..greedy.clone() }] {
        let found = generate_batch(&model, &prompts, &config, &device()).unwrap();
        for (length, found) in lengths.iter().zip(&found) {
            assert_eq!(
                (found[0].ids.len(), found[0].finish),
                (longest + 1 - length, Finish::Length)
            );
        }
    }
    let error = generate_batch(&model, &[vec![7; longest + 1]], &greedy, &device()).unwrap_err();
    assert!(error.to_string().starts_with("prompt length"), "{error}");
}

#[test]
fn dynamic_scaling_refuses_unequal_lengths_where_they_matter() {
    let model = Case::open("llama_dynamic").load(&device());
    let run = |prompts: &[Vec<u32>], max_new_tokens| {
        let config = GenerationConfig { max_new_tokens, ..GenerationConfig::default() };
        generate_batch(&model, prompts, &config, &device())
    };
    // Trained on 16 positions.
    assert!(run(&prompts(), 8).is_ok());
    let error = run(&prompts(), 9).unwrap_err().to_string();
    assert!(error.contains("equal length"), "{error}");
    let equal = run(&[vec![1, 2, 3], vec![4, 5, 6]], 30).unwrap();
    let go_on = |_| Ok(ControlFlow::Continue(()));
    let plain = SamplingConfig::default();
    let alone = generate(&model, &[4, 5, 6], &plain, 30, &[], &device(), go_on).unwrap();
    assert_eq!(equal[1], [alone]);
}

#[test]
fn unusable_prompts_and_settings_are_refused() {
    let decoder: Decoder = beams("llama");
    let encoder_decoder: EncoderDecoder = beams("t5_relu");
    let plain = GenerationConfig::default();
    let run = |prompts: &[Vec<u32>], config: &GenerationConfig| {
        let errors = [
            generate_batch(&decoder, prompts, config, &device()).map(drop),
            generate_seq2seq(&encoder_decoder, prompts, config, &device()).map(drop),
        ];
        errors.map(|result| result.unwrap_err().to_string())
    };
    let error = |prompts: &[Vec<u32>], config: &GenerationConfig, part: &str| {
        for error in run(prompts, config) {
            assert!(error.contains(part), "{error}");
        }
    };
    error(&[vec![1], vec![]], &plain, "no tokens");
    error(&[vec![1], vec![32]], &plain, "token id 32");
    error(&[vec![1]], &GenerationConfig { eos: vec![32], ..plain.clone() }, "eos = 32");
    error(&[vec![1]], &GenerationConfig { min_new_tokens: 3, ..plain.clone() }, "min_new_tokens");
    let beams = BeamConfig { num_beams: 2, num_return_sequences: 3, ..BeamConfig::default() };
    let beams = GenerationConfig { search: Search::Beams(beams), ..plain.clone() };
    error(&[vec![1]], &beams, "num_return_sequences = 3: expected from 1 to num_beams = 2");
    assert!(generate_batch(&decoder, &[], &plain, &device()).unwrap().is_empty());
    assert!(generate_seq2seq(&encoder_decoder, &[], &plain, &device()).unwrap().is_empty());
}

/// Words `w0` to `w31`; `</s>` ends a text.
fn tokenizer(eos: u32) -> Tokenizer {
    let name = |id: u32| if id == eos { "</s>".to_string() } else { format!("w{id}") };
    let vocabulary: serde_json::Map<_, _> = (0..32).map(|id| (name(id), json!(id))).collect();
    let special = json!({"id": eos, "content": "</s>", "special": true, "normalized": false,
        "single_word": false, "lstrip": false, "rstrip": false});
    let template = json!([{"Sequence": {"id": "A", "type_id": 0}},
        {"SpecialToken": {"id": "</s>", "type_id": 0}}]);
    let file = json!({"version": "1.0", "truncation": null, "padding": null,
        "added_tokens": [special], "normalizer": null,
        "pre_tokenizer": {"type": "WhitespaceSplit"},
        "post_processor": {"type": "TemplateProcessing", "single": template, "pair": template,
            "special_tokens": {"</s>": {"id": "</s>", "ids": [eos], "tokens": ["</s>"]}}},
        "decoder": null,
        "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "w0"}});
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("tokenizer.json"), file.to_string()).unwrap();
    Tokenizer::load(folder.path()).unwrap().with_special(None, Some("</s>"), None).unwrap()
}

#[test]
fn texts_become_texts_without_special_tokens() {
    let model: EncoderDecoder = beams("t5_relu");
    let tokenizer = tokenizer(17);
    let beams = BeamConfig { num_return_sequences: 4, ..BeamConfig::default() };
    let config = GenerationConfig { search: Search::Beams(beams), ..GenerationConfig::default() };
    let sources = ["w24 w20 w18", "w26"];
    let found = generate_seq2seq_texts(&model, &tokenizer, &sources, &config, &device()).unwrap();
    let ids = [vec![24, 20, 18, 17], vec![26, 17]];
    let with_eos = GenerationConfig { eos: vec![17], ..config };
    let expected = generate_seq2seq(&model, &ids, &with_eos, &device()).unwrap();
    assert!(expected.iter().flatten().any(|answer| answer.finish == Finish::Eos));
    for (found, expected) in found.iter().flatten().zip(expected.iter().flatten()) {
        let words: Vec<String> = expected.ids.iter().map(|id| format!("w{id}")).collect();
        assert_eq!(found.text, words.join(" "));
        assert_eq!((found.tokens, found.finish), (expected.ids.len(), expected.finish));
        assert_eq!(found.score, expected.score);
    }

    let model: Decoder = self::beams("llama");
    let config = GenerationConfig { eos: vec![29], ..GenerationConfig::default() };
    let found = generate_texts(&model, &tokenizer, &sources, &config, &device()).unwrap();
    let expected = generate_batch(&model, &ids, &config, &device()).unwrap();
    for (found, expected) in found.iter().flatten().zip(expected.iter().flatten()) {
        assert_eq!(found.text, tokenizer.decode(&expected.ids, true).unwrap());
        assert_eq!(found.tokens, expected.ids.len());
    }
}
