//! Labelled records into examples: special tokens, types, truncation, labels, errors, batches.

use std::path::Path;

use nexus_core::data::{
    Encode, Encoded, Example, IGNORED, Label, LabelMap, LabeledText, Located, MaskedTextEncoder,
    Problem, Record, Seq2SeqEncoder, SequenceEncoder, SourceTarget, TaggedWords, Target,
    TokenEncoder, Tokenizer, WordLabels, collate, collate_pairs, encode,
};
use nexus_core::{Error, Result};
use proptest::prelude::*;
use serde_json::{Value, json};
use tokenizers::utils::truncation::{TruncationParams, truncate_encodings};

const CLS: u32 = 1;
const SEP: u32 = 2;
const END: u32 = 3;

/// Word pieces: a letter is a token (4 to 29), within a word another one (30 to 55).
fn pieces(post: Value) -> Tokenizer {
    let mut vocab = json!({"[UNK]": 0, "[CLS]": 1, "[SEP]": 2, "</s>": 3});
    for (i, letter) in ('a'..='z').enumerate() {
        vocab[letter.to_string()] = json!(4 + i);
        vocab[format!("##{letter}")] = json!(30 + i);
    }
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
        "normalizer": null, "pre_tokenizer": {"type": "Whitespace"}, "post_processor": post,
        "decoder": null,
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                  "max_input_chars_per_word": 100, "vocab": vocab},
    });
    let tokenizer = tokenizers::Tokenizer::from_bytes(tokenizer.to_string()).unwrap();
    Tokenizer::from_tokenizer(tokenizer)
}

fn bert() -> Tokenizer {
    pieces(json!({"type": "BertProcessing", "sep": ["[SEP]", SEP], "cls": ["[CLS]", CLS]}))
}

/// T5 writes its end token; a tokenizer without post-processor writes nothing.
fn t5(writes_end: bool) -> Tokenizer {
    let end = json!({"SpecialToken": {"id": "</s>", "type_id": 0}});
    let post = json!({
        "type": "TemplateProcessing",
        "single": [{"Sequence": {"id": "A", "type_id": 0}}, end],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, end,
                 {"Sequence": {"id": "B", "type_id": 0}}, end],
        "special_tokens": {"</s>": {"id": "</s>", "ids": [END], "tokens": ["</s>"]}},
    });
    let post = if writes_end { post } else { Value::Null };
    pieces(post).with_special(None, Some("</s>"), None).unwrap()
}

fn run<T: Sync>(records: Vec<T>, encoder: &impl Encode<T>) -> Result<Encoded> {
    let lines = records.into_iter().enumerate();
    let records: Vec<_> = lines.map(|(i, record)| Located { record, line: i + 1 }).collect();
    encode(&records, encoder, Path::new("data.csv"))
}

fn check<T: std::fmt::Debug>(result: Result<T>, parts: &[&str]) {
    let error = result.unwrap_err().to_string();
    for part in parts {
        assert!(error.contains(part), "{part:?} is not in: {error}");
    }
}

fn labeled(text: &str, pair: Option<&str>, label: &str) -> LabeledText {
    let (text, pair) = (text.into(), pair.map(str::to_owned));
    LabeledText { text, pair, label: Label::Text(label.into()) }
}

fn sequences(max_length: usize) -> SequenceEncoder {
    let labels = LabelMap::new(["neg", "pos"]).unwrap();
    SequenceEncoder { tokenizer: bert(), labels, problem: Problem::SingleLabel, max_length }
}

#[test]
fn sequence_classification() {
    let records = vec![
        labeled("a b c d", None, "pos"),
        labeled("a b", Some("c"), "neg"),
        labeled("a", Some("b c d e f"), "pos"),
    ];
    let encoded = run(records, &sequences(6)).unwrap();
    let [single, pair, cut] = &encoded.examples[..] else { panic!("{encoded:?}") };
    assert_eq!(single.ids, [CLS, 4, 5, 6, 7, SEP]);
    assert!(single.types.is_empty() && single.labels.is_empty());
    assert_eq!(single.target, Target::Class(1));
    assert_eq!(pair.ids, [CLS, 4, 5, SEP, 6, SEP]);
    assert_eq!(pair.types, [0, 0, 0, 0, 1, 1]);
    assert_eq!(pair.target, Target::Class(0));
    assert_eq!(cut.ids, [CLS, 4, SEP, 5, 6, SEP]);
    assert_eq!((encoded.truncated, encoded.trained_tokens, encoded.tokens), (1, 3, 18));

    let batch = collate(&[pair.clone(), Example::new(vec![9], vec![9])], 0);
    assert_eq!(batch.types, [0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0]);
    assert_eq!(batch.targets, [Target::Class(0), Target::Unset]);
    assert!(batch.labels[..6].iter().all(|&l| l == IGNORED) && batch.labels[6] == 9);
    assert_eq!(batch.ids[6..], [9, 0, 0, 0, 0, 0]);

    let wrong = vec![labeled("a", None, "pos"), labeled("b", None, "good")];
    check(run(wrong, &sequences(6)), &["data.csv:2:", "\"good\"", "\"neg\", \"pos\""]);
    check(run(vec![labeled("a", None, "pos")], &sequences(3)), &["max_length", "3 special"]);
    check(run(Vec::<LabeledText>::new(), &sequences(6)), &["no records"]);
    let none = SequenceEncoder { labels: LabelMap::default(), ..sequences(6) };
    check(run(vec![labeled("a", None, "pos")], &none), &["labels", "class"]);
    let value = SequenceEncoder { problem: Problem::Regression, ..none };
    let encoded = run(vec![labeled("a", None, "0.5")], &value).unwrap();
    assert_eq!(encoded.examples[0].target, Target::Values(vec![0.5]));
}

#[test]
fn a_text_without_tokens_is_refused_with_its_line() {
    let bare = SequenceEncoder { tokenizer: pieces(Value::Null), ..sequences(6) };
    let records = vec![labeled("a", None, "pos"), labeled("", None, "neg")];
    check(run(records, &bare), &["data.csv:2:", "no token"]);
    let pair = vec![labeled("", Some(" "), "neg")];
    check(run(pair, &bare), &["data.csv:1:", "no token"]);
    // With special tokens, an empty text is one like any other.
    let encoded = run(vec![labeled("", None, "pos")], &sequences(6)).unwrap();
    assert_eq!(encoded.examples[0].ids, [CLS, SEP]);
}

#[test]
fn masked_language_models_read_pieces_with_special_tokens() {
    let encoder = MaskedTextEncoder { tokenizer: bert(), max_length: 5 };
    let text = |text: &str| Record::Text { text: text.into() };
    let encoded = run(vec![text("a b c d"), text("")], &encoder).unwrap();
    let ids: Vec<_> = encoded.examples.iter().map(|example| example.ids.clone()).collect();
    assert_eq!(ids, [vec![CLS, 4, 5, 6, SEP], vec![CLS, 7, SEP]]);
    assert!(encoded.examples.iter().all(|example| example.labels.is_empty()));
    assert_eq!((encoded.records, encoded.untrainable, encoded.trained_tokens), (2, 1, 4));
    let pair = Record::Completion { prompt: "a".into(), completion: "b".into() };
    check(run(vec![pair], &encoder), &["data.csv:1:", "one text"]);
    let short = MaskedTextEncoder { max_length: 2, ..encoder };
    check(run(vec![text("a")], &short), &["max_length", "2 special"]);
}

fn tagged(words: &[&str], tags: &[&str]) -> TaggedWords {
    let tags = tags.iter().map(|tag| Label::Text((*tag).into())).collect();
    TaggedWords { words: words.iter().map(|w| (*w).into()).collect(), tags }
}

fn tags(word_labels: WordLabels, max_length: usize) -> TokenEncoder {
    let labels = LabelMap::new(["O", "B-X", "I-X", "B-Y"]).unwrap();
    TokenEncoder { tokenizer: bert(), labels, word_labels, max_length }
}

#[test]
fn token_classification() {
    let record = tagged(&["ab", "c", "", "de", "f"], &["B-X", "O", "O", "B-Y", "O"]);
    let first = run(vec![record.clone()], &tags(WordLabels::First, 99)).unwrap();
    let n = IGNORED;
    assert_eq!(first.examples[0].ids, [CLS, 4, 31, 6, 7, 34, 9, SEP]);
    assert_eq!(first.examples[0].labels, [n, 1, n, 0, 3, n, 0, n]);
    assert_eq!((first.trained_tokens, first.truncated), (4, 0));
    // Inside of a word, B-X goes on as I-X; Y has no such class.
    let all = run(vec![record.clone()], &tags(WordLabels::All, 99)).unwrap();
    assert_eq!(all.examples[0].labels, [n, 1, 2, 0, 3, 3, 0, n]);
    let cut = run(vec![record.clone()], &tags(WordLabels::First, 5)).unwrap();
    assert_eq!(cut.examples[0].ids, [CLS, 4, 31, 6, SEP]);
    assert_eq!((cut.examples[0].labels.len(), cut.truncated), (5, 1));

    let unknown = tagged(&["a"], &["B-Z"]);
    check(run(vec![record.clone(), unknown], &tags(WordLabels::First, 9)), &[":2:", "\"B-Z\""]);
    check(run(vec![record.clone()], &tags(WordLabels::First, 2)), &["max_length", "2 special"]);
    let empty = tagged(&["", " "], &["O", "O"]);
    let encoded = run(vec![record, empty.clone()], &tags(WordLabels::First, 9)).unwrap();
    assert_eq!((encoded.untrainable, encoded.examples.len()), (1, 1));
    check(run(vec![empty], &tags(WordLabels::First, 9)), &["none of the 1 records"]);
}

#[test]
fn sequence_to_sequence() {
    let encoder = |tokenizer: Tokenizer, max_source_length, max_target_length| Seq2SeqEncoder {
        tokenizer,
        source_prefix: "z ".into(),
        max_source_length,
        max_target_length,
    };
    let record =
        |source: &str, target: &str| SourceTarget { source: source.into(), target: target.into() };
    let records = vec![record("a b c", "d e f"), record("a", "b")];
    let encoded = run(records.clone(), &encoder(t5(true), 4, 3)).unwrap();
    assert_eq!(encoded.examples[0], Example::new(vec![29, 4, 5, END], vec![7, 8, END as i32]));
    assert_eq!(encoded.examples[1], Example::new(vec![29, 4, END], vec![5, END as i32]));
    assert_eq!((encoded.truncated, encoded.trained_tokens), (1, 5));
    // The end is written where the tokenizer does not write it.
    let bare = run(records.clone(), &encoder(t5(false), 4, 3)).unwrap();
    assert_eq!(bare.examples[0], Example::new(vec![29, 4, 5, 6], vec![7, 8, END as i32]));

    let batch = collate_pairs(&encoded.examples, 0);
    assert_eq!((batch.source.columns, batch.columns), (4, 3));
    assert_eq!(batch.source.ids, [29, 4, 5, 3, 29, 4, 3, 0]);
    assert!(batch.source.labels.iter().all(|&l| l == IGNORED));
    assert_eq!(batch.labels, [7, 8, 3, 5, 3, IGNORED]);
    assert_eq!((batch.source.lengths, batch.lengths), (vec![4, 3], vec![3, 2]));
    assert!(collate_pairs(&[], 0).labels.is_empty());

    let no_end = run(records.clone(), &encoder(bert(), 9, 9));
    assert!(matches!(no_end, Err(Error::Tokenizer { .. })));
    check(run(records.clone(), &encoder(t5(true), 1, 9)), &["max_source_length"]);
    check(run(records, &encoder(t5(true), 9, 2)), &["max_target_length"]);
}

proptest! {
    /// Pairs are cut as the tokenizers library cuts them.
    #[test]
    fn pairs_are_cut_longest_first(first in 0usize..20, second in 0usize..20, max in 4usize..40) {
        let words = |n: usize| vec!["a"; n].join(" ");
        let record = labeled(&words(first), Some(&words(second)), "pos");
        let example = run(vec![record], &sequences(max)).unwrap().examples.remove(0);
        let encoding = |n| {
            let token = tokenizers::Token::new(4, "a".into(), (0, 1));
            tokenizers::Encoding::from_tokens(vec![token; n], 0)
        };
        let params = TruncationParams { max_length: max - 3, ..Default::default() };
        let (a, b) =
            truncate_encodings(encoding(first), Some(encoding(second)), &params).unwrap();
        let kept = (a.len(), b.unwrap().len());
        let at = example.ids.iter().position(|&id| id == SEP).unwrap();
        prop_assert_eq!((at - 1, example.ids.len() - at - 2), kept);
        prop_assert!(example.ids.len() <= max);
    }
}
