//! Text metrics against the reference programs' values.

mod text_cases;

use nexus_eval::metrics::text::*;
use nexus_eval::stats::Bootstrap;
use serde::Deserialize;
use serde_json::Value;
use text_cases::{CASES, LONG, LONG_TER, Random, Texts, close, golden};

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
        let bleu = &options[index / 2 % options.len()].1;
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

/// BLEU with the options of a case of the grid, as export.py's `grid_option`.
fn grid_bleu(index: usize) -> Bleu {
    let rest = index / 32;
    let given = rest / 2 % 2 == 1;
    let smoothing = match index / 8 % 4 {
        0 => Smoothing::Exp,
        1 => Smoothing::Floor(if given { 0.05 } else { 0.1 }),
        2 => Smoothing::AddK(if given { 0.5 } else { 1.0 }),
        _ => Smoothing::None,
    };
    let tokenizers =
        [BleuTokenizer::V13a, BleuTokenizer::Intl, BleuTokenizer::Char, BleuTokenizer::None];
    let options = BleuOptions {
        tokenizer: tokenizers[index / 2 % 4],
        smoothing,
        max_order: 4,
        effective_order: rest % 2 == 1,
        lowercase: rest / 4 % 2 == 1,
    };
    Bleu::new(options).unwrap()
}

#[test]
fn bleu_with_every_combination_of_options() {
    let texts = Texts::read();
    let scores: Vec<f64> = golden("bleu_grid.json");
    let signatures: Vec<String> = golden("bleu_grid_signatures.json");
    assert_eq!((scores.len(), signatures.len()), (8192, 256));
    for (index, expected) in scores.into_iter().enumerate() {
        let (hypotheses, references) = texts.corpus_or_sentence(8, index, LONG);
        let bleu = grid_bleu(index);
        let score = bleu.corpus(&hypotheses, &references).unwrap().score;
        close(score, expected, format_args!("case {index}, {bleu:?}"));
        if let Some(signature) = signatures.get(index) {
            let count = references[0].len();
            let count = match references.iter().all(|group| group.len() == count) {
                true => ReferenceCount::Fixed(count),
                false => ReferenceCount::Varying,
            };
            assert_eq!(bleu.signature(count), *signature);
        }
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
        let hypothesis = hypotheses[0].replace("s ", " ").replace("e ", "es ");
        let found = rouge[index / 2 % 2].sentence(&hypothesis, &references[0]).unwrap();
        for (i, (score, fmeasure)) in found.iter().zip(fmeasures).enumerate() {
            let what = format!("case {index}, {}", ROUGE_TYPES[i]);
            close(score.fmeasure, *fmeasure, &what);
            if let Some(others) = others.get(index) {
                close(score.precision, others[2 * i], &what);
                close(score.recall, others[2 * i + 1], &what);
            }
        }
    }
    assert_eq!(fmeasures.len(), 5000);
}

/// The reference's draws stand in for ours: the statistic is asked for all scores first, then for each resample.
#[test]
fn bootstrap_of_random_scores() {
    let types = vec![RougeType::L];
    let rouge = Rouge::new(RougeOptions { types, ..RougeOptions::default() }).unwrap();
    let intervals: Vec<[f64; 3]> = golden("bootstrap.json");
    assert_eq!(intervals.len(), CASES);
    for (index, expected) in intervals.into_iter().enumerate() {
        let mut random = Random(index as u64);
        let (n, resamples) = (1 + random.below(12), 2 + random.below(30));
        let level = [0.95, 0.9, 0.5][index % 3];
        let mut score = || random.below(1000) as f64 / 999.0;
        let scores: Vec<Vec<RougeScore>> = (0..n)
            .map(|_| vec![RougeScore { fmeasure: score(), ..RougeScore::default() }])
            .collect();
        let mut calls = 0;
        let bootstrap = Bootstrap { resamples, level, ..Bootstrap::default() };
        let found = bootstrap.interval(n, |all| {
            calls += 1;
            let drawn: Vec<_> = match calls {
                1 => all.iter().map(|&i| &scores[i]).collect(),
                _ => (0..n).map(|_| &scores[random.below(n)]).collect(),
            };
            Some(rouge.score(drawn)[0].fmeasure)
        });
        // rouge_score answers one example with an interval of no width.
        if n == 1 {
            let [low, _, high] = expected;
            assert!(found.is_err() && low == high, "case {index}");
            continue;
        }
        let found = found.unwrap();
        let found = [found.interval.low, found.median, found.interval.high];
        for (found, expected) in found.into_iter().zip(expected) {
            close(found, expected, format_args!("case {index}"));
        }
    }
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

fn chrf_options() -> Vec<(Options, Chrf)> {
    let parse = |options: Options| {
        // The names are sacrebleu's.
        let chrf = serde_json::from_value::<ChrfOptions>(options.options.clone()).unwrap();
        (options, Chrf::new(chrf).unwrap())
    };
    golden("chrf_options.json").into_iter().map(parse).collect()
}

#[test]
fn chrf_of_random_texts() {
    let (texts, options) = (Texts::read(), chrf_options());
    let defaults = [0, 2]
        .map(|word_order| Chrf::new(ChrfOptions { word_order, ..ChrfOptions::default() }).unwrap());
    let scores: Vec<[f64; 3]> = golden("chrf.json");
    assert_eq!(scores.len(), CASES);
    for (index, expected) in scores.into_iter().enumerate() {
        let (hypotheses, references) = texts.corpus_or_sentence(2, index, LONG);
        // Any options, chrF, chrF++.
        let metrics = [&options[index / 2 % options.len()].1, &defaults[0], &defaults[1]];
        for (chrf, expected) in metrics.into_iter().zip(expected) {
            let score = chrf.corpus(&hypotheses, &references).unwrap().score;
            close(score, expected, format_args!("case {index}, {chrf:?}"));
        }
    }
    for (options, chrf) in chrf_options() {
        let one = chrf.signature(ReferenceCount::Fixed(1));
        assert_eq!(one, options.one);
        assert_eq!(chrf.signature(ReferenceCount::Varying), options.varying);
        let score = chrf.corpus(&["a b c d e"], &[["a b c d e f"]]).unwrap();
        assert_eq!(score.line(&one), options.line);
    }
}

fn ter_options() -> Vec<(Options, Ter)> {
    let parse = |options: Options| {
        let ter = serde_json::from_value::<TerOptions>(options.options.clone()).unwrap();
        (options, Ter::new(ter))
    };
    golden("ter_options.json").into_iter().map(parse).collect()
}

fn close_ter(found: TerScore, expected: [f64; 3], what: std::fmt::Arguments<'_>) {
    close(found.score, expected[0], what);
    close(found.num_edits as f64, expected[1], what);
    close(found.ref_length, expected[2], what);
}

#[test]
fn ter_of_random_texts() {
    let (texts, options) = (Texts::read(), ter_options());
    let scores: Vec<[f64; 3]> = golden("ter.json");
    assert_eq!(scores.len(), CASES);
    for (index, expected) in scores.into_iter().enumerate() {
        let (hypotheses, references) = texts.corpus_or_sentence(3, index, LONG_TER);
        let ter = &options[index / 2 % options.len()].1;
        let score = match index % 2 {
            0 => ter.corpus(&hypotheses, &references),
            _ => ter.sentence(&hypotheses[0], &references[0]),
        };
        close_ter(score.unwrap(), expected, format_args!("case {index}, {ter:?}"));
    }
    for (options, ter) in ter_options() {
        let one = ter.signature(ReferenceCount::Fixed(1));
        assert_eq!(one, options.one);
        assert_eq!(ter.signature(ReferenceCount::Varying), options.varying);
        let score = ter.corpus(&["a b c d e"], &[["a b c d e f"]]).unwrap();
        assert_eq!(score.line(&one), options.line);
    }
}

#[test]
fn ter_at_the_limits_of_beam_and_search() {
    let lengths = [(4, 300), (300, 4), (60, 250), (250, 60), (120, 120), (1, 80)];
    for (index, expected) in golden::<[f64; 3]>("ter_beam.json").into_iter().enumerate() {
        let mut random = Random(index as u64);
        let words = 3 + 40 * (index / 6);
        let mut text = |length| {
            let words = (0..length).map(|_| format!("w{}", random.below(words)));
            words.collect::<Vec<_>>().join(" ")
        };
        let (hypothesis, reference) = lengths[index % 6];
        let (hypothesis, reference) = (text(hypothesis), text(reference));
        let score = Ter::default().sentence(&hypothesis, &[reference]).unwrap();
        close_ter(score, expected, format_args!("case {index}"));
    }
}

#[test]
fn squad_of_random_texts() {
    let texts = Texts::read();
    let scores: Vec<[f64; 2]> = golden("squad.json");
    assert_eq!(scores.len(), CASES);
    let normal: Vec<String> = golden("squad_normal.json");
    for (index, [exact, f1]) in scores.into_iter().enumerate() {
        let (hypotheses, mut references) = texts.corpus_or_sentence(6, index, 20);
        if let Some(normal) = normal.get(index) {
            assert_eq!(normalize_answer(&hypotheses[0]), *normal);
        }
        if index % 3 == 0 {
            references.iter_mut().flatten().for_each(|text| *text = format!("The {text} a An"));
        }
        let score = Squad.corpus(&hypotheses, &references).unwrap();
        close(score.exact_match, exact, format_args!("case {index}"));
        close(score.f1, f1, format_args!("case {index}"));
    }
}

#[test]
fn edits_of_random_texts() {
    let texts = Texts::read();
    let counts: Vec<[u64; 4]> = golden("edits.json");
    assert_eq!(counts.len(), CASES);
    for (index, expected) in counts.into_iter().enumerate() {
        let (hypotheses, references) = texts.corpus_or_sentence(7, index, LONG);
        let references: Vec<&String> = references.iter().map(|group| &group[0]).collect();
        let found = [EditUnit::Words, EditUnit::Characters].map(|unit| {
            let count = EditRate::new(unit).corpus(&hypotheses, &references).unwrap();
            [count.edits, count.reference_len]
        });
        assert_eq!(found.concat(), expected, "case {index}");
    }
}
