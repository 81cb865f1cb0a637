//! Masks, truncation, packing, batches and the order of an epoch.

use std::path::Path;

use nexus_core::data::{
    CHATML, EncodeOptions, Encoded, Example, ExampleSource, IGNORED, Located, LossMask, Message,
    Overflow, Record, Tokenizer, collate, encode_records, epoch_order, pack_wrapped,
};
use nexus_core::{Error, Result};
use proptest::prelude::*;

const END: u32 = 0;

/// Byte-level BPE trained on a sentence: bos = eos = pad = `<|endoftext|>` = 0.
fn tokenizer() -> Tokenizer {
    let text = "the quick brown fox jumps over the lazy dog, and the dog sleeps. ".to_owned();
    Tokenizer::train_bpe(std::iter::repeat_n(text, 20), 320, &[]).unwrap()
}

fn located(record: Record) -> Vec<Located> {
    vec![Located { record, line: 1 }]
}

fn text(text: &str) -> Vec<Located> {
    located(Record::Text { text: text.into() })
}

fn completion(prompt: &str, completion: &str) -> Vec<Located> {
    located(Record::Completion { prompt: prompt.into(), completion: completion.into() })
}

fn encode(records: &[Located], tokenizer: &Tokenizer, options: &EncodeOptions) -> Result<Encoded> {
    encode_records(records, tokenizer, options, Path::new("data.jsonl"))
}

/// The text whose tokens have labels.
fn trained_text(example: &Example, tokenizer: &Tokenizer) -> String {
    let ids: Vec<u32> = std::iter::zip(&example.ids, &example.labels)
        .filter(|(_, label)| **label != IGNORED)
        .map(|(&id, &label)| {
            assert_eq!(label, id as i32);
            id
        })
        .collect();
    tokenizer.decode(&ids, false).unwrap()
}

#[test]
fn eos_is_trained_although_it_pads() {
    let tokenizer = tokenizer();
    assert_eq!(tokenizer.pad(), END);
    let encoded = encode(&text("the dog"), &tokenizer, &EncodeOptions::default()).unwrap();
    let example = &encoded.examples[0];
    assert_eq!(example.ids.last(), Some(&END));
    assert_eq!(example.labels.last(), Some(&(END as i32)));
    assert_eq!(encoded.tokens, example.ids.len());
    assert_eq!(encoded.trained_tokens, example.ids.len() - 1);
    // Padded with the same token, the padding has no label and the end keeps its own.
    let short = Example::new(vec![5, END], vec![5, END as i32]);
    let batch = collate(&[short, example.clone()], tokenizer.pad());
    assert_eq!(batch.labels[1], END as i32);
    assert!(batch.labels[2..batch.columns].iter().all(|&l| l == IGNORED));
    assert_eq!(batch.lengths, [2, example.ids.len()]);
    assert_eq!(batch.trained_tokens(), 1 + encoded.trained_tokens);
}

#[test]
fn eos_is_written_once() {
    let tokenizer = tokenizer();
    let count = |records: &[Located], add_eos| {
        let options = EncodeOptions { add_eos, ..Default::default() };
        let encoded = encode(records, &tokenizer, &options).unwrap();
        encoded.examples[0].ids.iter().filter(|&&id| id == END).count()
    };
    assert_eq!(count(&text("the dog"), true), 1);
    assert_eq!(count(&text("the dog<|endoftext|>"), true), 1);
    assert_eq!(count(&text("the dog"), false), 0);
    assert_eq!(count(&completion("the ", "dog<|endoftext|>"), true), 1);
}

#[test]
fn only_the_completion_is_trained() {
    let tokenizer = tokenizer();
    let records = completion("the quick brown ", "fox jumps");
    let encoded = encode(&records, &tokenizer, &EncodeOptions::default()).unwrap();
    // The token " fox" straddles the border: it is trained, and nothing before it.
    let trained = trained_text(&encoded.examples[0], &tokenizer);
    assert!(
        ["fox jumps<|endoftext|>", " fox jumps<|endoftext|>"].contains(&trained.as_str()),
        "{trained:?}"
    );
    let all = EncodeOptions { mask: Some(LossMask::All), ..Default::default() };
    let encoded = encode(&records, &tokenizer, &all).unwrap();
    let trained = trained_text(&encoded.examples[0], &tokenizer);
    assert_eq!(trained, "the quick brown fox jumps<|endoftext|>");
    let wrong = EncodeOptions { mask: Some(LossMask::Assistant), ..Default::default() };
    let error = encode(&text("x y"), &tokenizer, &wrong).unwrap_err();
    assert!(matches!(error, Error::Config { .. }), "{error}");
}

#[test]
fn white_space_at_the_border_belongs_to_the_completion() {
    let tokenizer = tokenizer();
    let encoded = encode(&completion("the", "  dog  "), &tokenizer, &EncodeOptions::default());
    let example = &encoded.unwrap().examples[0];
    assert_eq!(trained_text(example, &tokenizer), "  dog  <|endoftext|>");
}

#[test]
fn chats_train_the_assistant() {
    let bare = tokenizer();
    let chat = |turns: &[(&str, &str)]| {
        let messages = turns.iter().map(|(role, text)| Message::new(*role, *text)).collect();
        located(Record::Chat { messages, tools: None })
    };
    let records =
        chat(&[("user", "the dog"), ("assistant", "fox"), ("user", "a"), ("assistant", "lazy")]);
    let error = encode(&records, &bare, &EncodeOptions::default()).unwrap_err().to_string();
    assert!(error.contains("chat template"), "{error}");

    let tokenizer = bare.with_chat_template(CHATML).unwrap();
    let trained = |mask| {
        let options = EncodeOptions { mask, ..Default::default() };
        let encoded = encode(&records, &tokenizer, &options).unwrap();
        trained_text(&encoded.examples[0], &tokenizer)
    };
    assert_eq!(trained(None), "fox<|im_end|>lazy<|im_end|>");
    assert_eq!(trained(Some(LossMask::Completion)), "lazy<|im_end|>");
    assert!(trained(Some(LossMask::All)).starts_with("<|im_start|>user\nthe dog"));

    let silent = chat(&[("user", "the dog")]);
    let error = encode(&silent, &tokenizer, &EncodeOptions::default()).unwrap_err().to_string();
    assert!(error.contains("--max-length"), "{error}");
    let both: Vec<_> = silent.into_iter().chain(records.clone()).collect();
    let encoded = encode(&both, &tokenizer, &EncodeOptions::default()).unwrap();
    assert_eq!((encoded.untrainable, encoded.examples.len()), (1, 1));
}

/// A tokenizer folder whose tokenizer writes `<s>` before a text.
fn with_bos() -> Tokenizer {
    let dir = tempfile::tempdir().unwrap();
    tokenizer().with_special(Some("<s>"), Some("</s>"), None).unwrap().save(dir.path()).unwrap();
    let config = r#"{"bos_token": {"content": "<s>"}, "eos_token": "</s>", "add_bos_token": true,
        "chat_template": [{"name": "other", "template": "x"}, {"name": "default", "template":
        "{{ bos_token }}{% for m in messages %}[{{ m.content }}]{% endfor %}"}]}"#;
    std::fs::write(dir.path().join("tokenizer_config.json"), config).unwrap();
    Tokenizer::load(dir.path()).unwrap()
}

#[test]
fn one_bos_never_two() {
    let tokenizer = with_bos();
    let bos = tokenizer.bos().unwrap();
    let chat = located(Record::Chat { messages: vec![Message::new("user", "dog")], tools: None });
    let all = EncodeOptions { mask: Some(LossMask::All), ..Default::default() };
    for records in [text("the dog"), text("<s>the dog"), completion("the", " dog"), chat] {
        let encoded = encode(&records, &tokenizer, &all).unwrap();
        let ids = &encoded.examples[0].ids;
        assert_eq!(ids.iter().filter(|&&id| id == bos).count(), 1, "{records:?}");
        assert_eq!(ids[0], bos);
    }
    // A template that writes none gets none.
    let tokenizer = tokenizer.with_chat_template(CHATML).unwrap();
    let chat = located(Record::Chat { messages: vec![Message::new("user", "dog")], tools: None });
    let encoded = encode(&chat, &tokenizer, &all).unwrap();
    assert!(!encoded.examples[0].ids.contains(&bos));
}

#[test]
fn long_records_are_split_or_truncated() {
    let tokenizer = tokenizer();
    let long = "the quick brown fox ".repeat(20);
    let options = EncodeOptions { max_length: 16, ..Default::default() };
    let split = encode(&text(&long), &tokenizer, &options).unwrap();
    let whole = encode(&text(&long), &tokenizer, &EncodeOptions::default()).unwrap();
    assert!(split.examples.len() > 1 && split.truncated == 0);
    assert!(split.examples.iter().all(|e| e.ids.len() <= 16));
    let joined: Vec<u32> = split.examples.iter().flat_map(|e| e.ids.clone()).collect();
    assert!(whole.examples[0].ids.starts_with(&joined));

    let options = EncodeOptions { overflow: Overflow::Truncate, ..options };
    let cut = encode(&text(&long), &tokenizer, &options).unwrap();
    assert_eq!((cut.examples.len(), cut.truncated, cut.tokens), (1, 1, 16));
    // Without its completion, nothing of a record is trained.
    let error = encode(&completion(&long, "fox"), &tokenizer, &options).unwrap_err();
    assert!(error.to_string().contains("--max-length"), "{error}");
    let error = encode(&text("a"), &tokenizer, &EncodeOptions { max_length: 1, ..options });
    assert!(matches!(error, Err(Error::Config { .. })));
    assert!(encode(&[], &tokenizer, &EncodeOptions::default()).is_err());
}

/// Many records are encoded on several threads: the order and the numbers are those of one.
#[test]
fn many_records_keep_their_order() {
    let tokenizer = tokenizer();
    let records: Vec<Located> = (0..333)
        .map(|i| Located {
            record: Record::Text { text: "the dog ".repeat(1 + i * 7 % 11) + &i.to_string() },
            line: i + 1,
        })
        .collect();
    let all = encode(&records, &tokenizer, &EncodeOptions::default()).unwrap();
    assert_eq!(all.examples.len(), records.len());
    for (record, example) in std::iter::zip(&records, &all.examples) {
        let one = std::slice::from_ref(record);
        let one = encode(one, &tokenizer, &EncodeOptions::default()).unwrap();
        assert_eq!(&one.examples[0], example);
    }
    let mut wrong = records.clone();
    let messages = vec![Message::new("user", "x")];
    wrong[200].record = Record::Chat { messages, tools: None };
    let raising = tokenizer.with_chat_template("{{ raise_exception('no') }}").unwrap();
    let error = encode(&wrong, &raising, &EncodeOptions::default()).unwrap_err().to_string();
    assert!(error.contains("data.jsonl:201") && error.contains("no"), "{error}");
}

#[test]
fn an_end_token_is_required() {
    let dir = tempfile::tempdir().unwrap();
    tokenizer().save(dir.path()).unwrap();
    std::fs::remove_file(dir.path().join("tokenizer_config.json")).unwrap();
    let tokenizer = Tokenizer::load(dir.path()).unwrap();
    assert!(tokenizer.eos().is_empty() && tokenizer.pad() == 0);
    let error = encode(&text("the dog"), &tokenizer, &EncodeOptions::default()).unwrap_err();
    assert!(error.to_string().contains("end-of-sequence"), "{error}");
    let options = EncodeOptions { add_eos: false, ..Default::default() };
    assert!(encode(&text("the dog"), &tokenizer, &options).is_ok());
}

#[test]
fn sources_and_empty_batches() {
    let examples = vec![Example::new(vec![1, 2], vec![1, 2])];
    assert_eq!((ExampleSource::len(&examples), examples.length(0), examples.length(1)), (1, 2, 0));
    assert_eq!(ExampleSource::get(&examples, 0).unwrap(), examples[0]);
    assert!(ExampleSource::get(&examples, 1).is_err());
    let batch = collate(&[], 0);
    assert_eq!((batch.rows, batch.columns, batch.trained_tokens()), (0, 0, 0));
}

/// The order is part of what a resumed run relies on: it must never change.
#[test]
fn the_order_is_stable() {
    assert_eq!(epoch_order(&[1; 5], 2, 42, 0, false, false), [vec![0, 1], vec![2, 3], vec![4]]);
    let order: Vec<usize> = epoch_order(&[1; 8], 8, 42, 1, true, false).concat();
    assert_eq!(order, epoch_order(&[1; 8], 3, 42, 1, true, false).concat());
    assert_ne!(order, epoch_order(&[1; 8], 8, 42, 2, true, false).concat());
    assert_ne!(order, epoch_order(&[1; 8], 8, 43, 1, true, false).concat());
    assert_eq!(order, PINNED);
}

/// Also computed by an independent ChaCha8, multiply-and-reject and Fisher-Yates in Python.
const PINNED: [usize; 8] = [6, 0, 5, 3, 7, 2, 1, 4];

proptest! {
    #[test]
    fn an_epoch_visits_every_record_once(
        lengths in prop::collection::vec(1usize..50, 0..700), per_step in 1usize..9,
        seed: u64, epoch in 0usize..4, shuffle: bool, group: bool,
    ) {
        let steps = epoch_order(&lengths, per_step, seed, epoch, shuffle, group);
        for step in steps.iter().rev().skip(1) {
            prop_assert_eq!(step.len(), per_step);
        }
        let mut all = steps.concat();
        if group && lengths.len() >= per_step {
            prop_assert_eq!(steps[0].iter().map(|&i| lengths[i]).max(), lengths.iter().copied().max());
        }
        all.sort_unstable();
        prop_assert_eq!(all, (0..lengths.len()).collect::<Vec<_>>());
    }

    #[test]
    fn packing_keeps_every_token(
        lengths in prop::collection::vec(0usize..40, 0..20), length in 1usize..30,
    ) {
        let examples: Vec<Example> = lengths
            .iter()
            .enumerate()
            .map(|(i, &n)| Example::new(vec![i as u32; n], vec![-100; n]))
            .collect();
        let packed = pack_wrapped(&examples, length);
        for piece in packed.iter().rev().skip(1) {
            prop_assert_eq!(piece.ids.len(), length);
        }
        let ids = |all: &[Example]| all.iter().flat_map(|e| e.ids.clone()).collect::<Vec<_>>();
        prop_assert_eq!(ids(&packed), ids(&examples));
    }

    #[test]
    fn the_mask_covers_the_completion_and_its_border_only(
        prompt in "[a-z \n\u{e9}\u{1f999}]{1,30}", reply in "[a-z \n\u{e9}\u{1f999}]{1,30}",
    ) {
        let tokenizer = TOKENIZER.with(Clone::clone);
        let encoded = encode(&completion(&prompt, &reply), &tokenizer, &EncodeOptions::default());
        let Ok(encoded) = encoded else { return Ok(()) };
        let example = &encoded.examples[0];
        let first = example.labels.iter().position(|&l| l != IGNORED).unwrap();
        prop_assert!(example.labels[first..].iter().all(|&l| l != IGNORED));
        let trained = tokenizer.decode(&example.ids[first..], false).unwrap();
        let reply = format!("{reply}<|endoftext|>");
        prop_assert!(trained.ends_with(&reply), "{:?} {:?}", trained, reply);
        let before = tokenizer.decode(&example.ids[..first], false).unwrap();
        // The border may cut a character of the prompt into tokens.
        let before = before.trim_end_matches(char::REPLACEMENT_CHARACTER);
        prop_assert!(prompt.starts_with(before));
    }
}

thread_local! {
    static TOKENIZER: Tokenizer = tokenizer();
}
