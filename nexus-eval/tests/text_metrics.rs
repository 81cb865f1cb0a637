//! Text metrics against the reference programs' values.

mod text_cases;

use nexus_eval::metrics::text::{
    Bleu, BleuOptions, BleuTokenizer, ReferenceCount, Rouge, RougeOptions, RougeType, Smoothing, porter_stem,
};
use serde::Deserialize;
use serde_json::Value;
use text_cases::{CASES, LONG, Texts, close, golden};

/// An option of sacrebleu with its signatures and a line.
#[derive(Deserialize)]
struct Options {
    options: Value,
    one: String,
    varying: String,
    line: String,
}

fn flag(options: &Value, name: &str) -> bool {
    options[name].as_bool().unwrap()
}

fn bleu_options() -> Vec<(Options, Bleu)> {
    let parse = |options: Options| {
        let given = &options.options;
        let value = |default| given["smooth_value"].as_f64().unwrap_or(default);
        let bleu = Bleu::new(BleuOptions {
            tokenizer: serde_json::from_value::<BleuTokenizer>(given["tokenize"].clone()).unwrap(),
            smoothing: match given["smooth_method"].as_str().unwrap() {
                "exp" => Smoothing::Exp,
                "floor" => Smoothing::Floor(value(0.1)),
                "add-k" => Smoothing::AddK(value(1.0)),
                _ => Smoothing::None,
            },
            max_order: given["max_ngram_order"].as_u64().unwrap() as usize,
            effective_order: flag(given, "effective_order"),
            lowercase: flag(given, "lowercase"),
        });
        (options, bleu.unwrap())
    };
    golden("bleu_options.json").into_iter().map(parse).collect()
}

#[test]
fn bleu_of_random_texts() {
    let (texts, options) = (Texts::read(), bleu_options());
    let corpora: Vec<Vec<f64>> = golden("bleu_corpus.json");
    let sentences: Vec<Vec<f64>> = golden("bleu_sentence.json");
    let lines: Vec<String> = golden("bleu_lines.json");
    for index in 0..CASES {
        let (hypotheses, references) = texts.corpus_or_sentence(1, index, LONG);
        let bleu = &options[index % options.len()].1;
        let (score, expected) = match index % 2 {
            0 => (bleu.corpus(&hypotheses, &references).unwrap(), &corpora[index / 2]),
            _ => (bleu.sentence(&hypotheses[0], &references[0]).unwrap(), &sentences[index / 2]),
        };
        let mut found = vec![score.score, score.bp, score.sys_len as f64, score.ref_len as f64];
        found.extend(score.counts.iter().chain(&score.totals).chain(&score.precisions));
        assert_eq!(found.len(), expected.len());
        for (field, (found, expected)) in found.into_iter().zip(expected).enumerate() {
            close(found, *expected, format_args!("case {index}, field {field}, {bleu:?}"));
        }
        if let Some(line) = lines.get(index) {
            assert_eq!(score.to_string(), *line);
        }
    }
}

#[test]
fn bleu_signatures() {
    for (options, bleu) in bleu_options() {
        let one = bleu.signature(ReferenceCount::Fixed(1));
        assert_eq!(one, options.one);
        assert_eq!(bleu.signature(ReferenceCount::Varying), options.varying);
        let score = bleu.corpus(&["a b c d e"], &[["a b c d e f"]]).unwrap();
        assert_eq!(score.line(&one), options.line);
    }
}

const ROUGE_TYPES: [RougeType; 5] =
    [RougeType::N(1), RougeType::N(2), RougeType::N(3), RougeType::L, RougeType::Lsum];

#[test]
fn rouge_of_random_texts() {
    let texts = Texts::read();
    let rouge = [false, true].map(|stemmer| {
        let types = ROUGE_TYPES.to_vec();
        Rouge::new(RougeOptions { types, stemmer, ..RougeOptions::default() }).unwrap()
    });
    let fmeasures: Vec<[f64; 5]> = golden("rouge_fmeasure.json");
    let others: Vec<[f64; 10]> = golden("rouge_precision_recall.json");
    for (index, fmeasures) in fmeasures.iter().enumerate() {
        let (hypotheses, references) = texts.corpus_or_sentence(4, index, LONG);
        let found = rouge[index % 2].sentence(&hypotheses[0], &references[0]).unwrap();
        for (i, (score, fmeasure)) in found.iter().zip(fmeasures).enumerate() {
            let what = format!("case {index}, {}", ROUGE_TYPES[i]);
            close(score.fmeasure, *fmeasure, &what);
            if let Some(others) = others.get(index) {
                close(score.precision, others[2 * i], &what);
                close(score.recall, others[2 * i + 1], &what);
            }
        }
    }
    assert_eq!(fmeasures.len(), CASES);
}

#[test]
fn stems_of_shakespeare_and_of_made_words() {
    let stems: Vec<Vec<String>> = golden("porter_shakespeare.json");
    let words = include_str!("golden/text_metrics/shakespeare.txt");
    let mut count = 0;
    for (word, stem) in words.split_whitespace().zip(stems.iter().flatten()) {
        assert_eq!(porter_stem(word), *stem, "{word}");
        count += 1;
    }
    assert_eq!((count, stems.iter().flatten().count()), (11455, 11455));
    let texts = Texts::read();
    let made: Vec<Vec<String>> = golden("porter_made.json");
    for (index, stem) in made.iter().flatten().enumerate() {
        let word = texts.stemmer_word(index);
        assert_eq!(porter_stem(&word), *stem, "{word}");
    }
}
