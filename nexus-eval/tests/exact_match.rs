//! Exact match of generated answers.

mod model;

use model::{close, device, golden, random, tokenizer};
use nexus_core::generate::{SamplingConfig, generate_text};
use nexus_core::stage::Evaluator;
use nexus_eval::{ExactMatch, ExactMatchOptions, Prompt, encode_prompt};

fn options() -> ExactMatchOptions {
    ExactMatchOptions { max_new_tokens: 6, ..ExactMatchOptions::default() }
}

/// Prompts of which the first two are answered as the random model does.
fn prompts() -> Vec<Prompt> {
    let (tokenizer, model) = (tokenizer(), random(290));
    let greedy = SamplingConfig::default();
    let mut prompts: Vec<Prompt> = ["the cat", "which animal", "a dog sat"]
        .map(|prompt| {
            let ids = encode_prompt(&tokenizer, prompt).unwrap();
            let stop = ["\n".to_string()];
            let text =
                generate_text(&model, &tokenizer, &ids, &greedy, 6, &stop, &device(), |_| {})
                    .unwrap();
            assert!(!text.text.trim().is_empty());
            Prompt { prompt: prompt.into(), answer: format!(" {}\n", text.text) }
        })
        .into();
    prompts[2].answer.push('x');
    prompts
}

#[test]
fn the_share_of_matches_and_every_generation_come_back() {
    let (tokenizer, model) = (tokenizer(), random(290));
    let task = ExactMatch::new(&prompts(), &tokenizer, options()).unwrap();
    let (report, outcomes) = task.measure(&model, &mut |_, _| {}).unwrap();
    let matched: Vec<bool> = outcomes.iter().map(|outcome| outcome.matched).collect();
    assert_eq!(matched, [true, true, false]);
    let measure = report.measure("exact_match").unwrap();
    close(measure.value, 2.0 / 3.0, 1e-12);
    // sqrt(2/3 * 1/3 / 2)
    close(measure.stderr.unwrap(), 1.0 / 3.0, 1e-12);
    for (outcome, prompt) in outcomes.iter().zip(prompts()) {
        assert_eq!(outcome.answer, prompt.answer);
        assert!(!outcome.generated.contains('\n'));
    }
    let strict = ExactMatchOptions { trim: false, ..options() };
    let strict = ExactMatch::new(&prompts(), &tokenizer, strict).unwrap();
    assert_eq!(strict.evaluate(&model).unwrap().measures[0].value, 0.0);
}

#[test]
fn files_are_read_and_their_errors_name_the_line() {
    let tokenizer = tokenizer();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pairs.jsonl");
    let good = r#"{"prompt": "the cat", "completion": "sat"}"#;
    std::fs::write(&path, format!("{good}\n{}", good.replace("completion", "answer"))).unwrap();
    assert!(ExactMatch::from_file(&path, &tokenizer, options()).is_ok());
    for (bad, part) in [
        (r#"{"prompt": "a"}"#, "expected {"),
        (r#"{"completion": "a"}"#, "expected {"),
        (r#"{"prompt": "a", "answer": 3}"#, "expected {"),
        (r#"{"prompt": "a", "answer": "b", "completion": "b"}"#, "both"),
        (r#"{"prompt": "", "answer": "b"}"#, "prompt is empty"),
        (r#"{"prompt": "a", "answer": " "}"#, "answer is empty"),
    ] {
        std::fs::write(&path, format!("{good}\n{bad}\n")).unwrap();
        let error = ExactMatch::from_file(&path, &tokenizer, options()).unwrap_err().to_string();
        assert!(error.contains("pairs.jsonl:2: ") && error.contains(part), "{bad}: {error}");
    }
}

#[test]
fn settings_out_of_range_and_prompts_that_do_not_fit_are_errors() {
    let tokenizer = tokenizer();
    let new = |options| ExactMatch::new(&prompts(), &tokenizer, options);
    let none = ExactMatchOptions { max_new_tokens: 0, ..options() };
    assert!(new(none).unwrap_err().to_string().contains("max_new_tokens"));
    let sampling = SamplingConfig { top_p: 2.0, ..SamplingConfig::default() };
    let error = new(ExactMatchOptions { sampling, ..options() }).unwrap_err();
    assert!(error.to_string().contains("top_p"));
    assert!(ExactMatch::new(&[], &tokenizer, options()).is_err());
    let long = [Prompt { prompt: "zq ".repeat(100), answer: "x".into() }];
    let error = ExactMatch::new(&long, &tokenizer, options()).unwrap().evaluate(&golden("gpt2"));
    assert!(error.unwrap_err().to_string().contains("prompt 0"));
}
