//! Text metrics against published values, and what holds for all texts.

use nexus_eval::metrics::text::*;
use nexus_eval::stats::{Bootstrap, Interval};
use proptest::prelude::*;
use serde::Deserialize;

/// The example of sacrebleu's README and its test/test_bleu.py (Apache-2.0).
const HYPOTHESES: [&str; 3] =
    ["The dog bit the man.", "It wasn't surprising.", "The man had just bitten him."];
const REFERENCES: [[&str; 2]; 3] = [
    ["The dog bit the man.", "The dog had bit the man."],
    ["It was not unexpected.", "No one was surprised."],
    ["The man bit him first.", "The man had bitten the dog."],
];

/// Half of the last digit printed.
fn near(found: f64, printed: f64, digits: i32) {
    assert!((found - printed).abs() <= 0.5 * 10f64.powi(-digits), "{found} {printed}");
}

fn bleu(options: BleuOptions) -> Bleu {
    Bleu::new(options).unwrap()
}

#[test]
fn bleu_of_the_readme() {
    for (tokenizer, expected, digits) in [
        (BleuTokenizer::V13a, 48.530827, 6),
        (BleuTokenizer::None, 49.1919566, 7),
        (BleuTokenizer::Intl, 43.91623493, 8),
    ] {
        let bleu = bleu(BleuOptions { tokenizer, ..BleuOptions::default() });
        near(bleu.corpus(&HYPOTHESES, &REFERENCES).unwrap().score, expected, digits);
    }
    let none = bleu(BleuOptions { smoothing: Smoothing::None, ..BleuOptions::default() });
    near(none.corpus(&HYPOTHESES, &REFERENCES).unwrap().score, 48.530827, 6);
    assert_eq!(none.corpus(&[""; 3], &REFERENCES).unwrap().score, 0.0);
}

#[test]
fn bleu_of_statistics() {
    let floor =
        |value| bleu(BleuOptions { smoothing: Smoothing::Floor(value), ..BleuOptions::default() });
    let score = |bleu: &Bleu, counts: [u64; 4], totals: [u64; 4], sys_len, ref_len| {
        let (counts, totals) = (counts.to_vec(), totals.to_vec());
        bleu.score(&[BleuStatistics { sys_len, ref_len, counts, totals }]).score
    };
    let none = bleu(BleuOptions { smoothing: Smoothing::None, ..BleuOptions::default() });
    near(score(&none, [9, 7, 5, 3], [10, 8, 6, 4], 11, 11), 83.75922397, 8);
    for (value, counts, totals, sys_len, ref_len) in [
        (0.0, [0; 4], [4, 4, 2, 1], 0, 1),
        (0.0, [0; 4], [10, 11, 12, 0], 14, 10),
        (0.0, [0; 4], [0; 4], 0, 0),
        (0.0, [6, 5, 4, 0], [6, 5, 4, 3], 6, 6),
        (0.1, [0; 4], [0; 4], 0, 0),
        (0.01, [0; 4], [0; 4], 1, 5),
    ] {
        assert_eq!(score(&floor(value), counts, totals, sys_len, ref_len), 0.0);
    }
    let effective = bleu(BleuOptions {
        tokenizer: BleuTokenizer::None,
        smoothing: Smoothing::Floor(0.01),
        effective_order: true,
        ..BleuOptions::default()
    });
    near(
        effective.sentence("this is a fest", &["this is a test"]).unwrap().score,
        22.3606797749979,
        12,
    );
}

/// Random texts with the scores of ROUGE-1.5.5.pl, from rouge_score's tests (Apache-2.0).
#[derive(Deserialize)]
struct PerlRouge {
    rouge: RougeType,
    stemmer: bool,
    reference: String,
    hypothesis: String,
    recall: f64,
    precision: f64,
    fmeasure: f64,
}

#[test]
fn rouge_of_the_perl_program() {
    let file = include_str!("golden/text_metrics/perl_rouge.json");
    for case in serde_json::from_str::<Vec<PerlRouge>>(file).unwrap() {
        let options = RougeOptions {
            types: vec![case.rouge],
            stemmer: case.stemmer,
            ..RougeOptions::default()
        };
        let scores = Rouge::new(options).unwrap().sentence(&case.hypothesis, &[&case.reference]);
        let score = scores.unwrap()[0];
        near(score.recall, case.recall, 5);
        near(score.precision, case.precision, 5);
        near(score.fmeasure, case.fmeasure, 5);
    }
}

/// Lin 2004, section 3.2.
#[test]
fn rouge_lsum_of_the_paper() {
    let rouge = Rouge::new(RougeOptions::default()).unwrap();
    let scores = rouge.sentence("w1 w2 w6 w7 w8\nw1 w3 w8 w9 w5", &["w1 w2 w3 w4 w5"]).unwrap();
    near(scores[3].recall, 0.8, 12);
    near(scores[3].precision, 0.4, 12);
    near(scores[3].fmeasure, 0.5333, 4);
    // A line that occurs twice in the hypothesis counts once.
    let scores = rouge.sentence("w1 w2\nw1 w2", &["w1 w2\nw1 w3"]).unwrap();
    assert_eq!((scores[3].recall, scores[3].precision), (0.75, 0.75));
}

#[test]
fn unicode_tokenizer_sees_other_scripts() {
    let rouge = |tokenizer| {
        let types = vec![RougeType::N(1)];
        Rouge::new(RougeOptions { types, tokenizer, ..RougeOptions::default() }).unwrap()
    };
    let fmeasure = |tokenizer, hypothesis, reference: &str| {
        rouge(tokenizer).sentence(hypothesis, &[reference]).unwrap()[0].fmeasure
    };
    let (default, unicode) = (RougeTokenizer::Default, RougeTokenizer::Unicode);
    assert_eq!(fmeasure(default, "Привет, мир", "привет мир"), 0.0);
    assert_eq!(fmeasure(unicode, "Привет, мир", "привет мир"), 1.0);
    assert_eq!(fmeasure(unicode, "你好", "你们"), 0.5);
    assert_eq!(fmeasure(unicode, "cafe\u{301}", "cafe"), 0.0);
    assert_ne!(rouge(default).signature(), rouge(unicode).signature());
}

#[test]
fn rouge_types_are_checked() {
    for wrong in [vec![], vec![RougeType::N(0)], vec![RougeType::N(10)]] {
        assert!(Rouge::new(RougeOptions { types: wrong, ..RougeOptions::default() }).is_err());
    }
}

#[test]
fn intervals_of_scores() {
    fn contained<M: CorpusMetric>(metric: &M, number: impl Fn(&M::Score) -> f64) {
        let statistics = metric.statistics(&HYPOTHESES, &REFERENCES).unwrap();
        let bootstrap = Bootstrap::default();
        let found = metric.interval(&statistics, &number, &bootstrap).unwrap();
        assert_eq!(found.value, number(&metric.corpus(&HYPOTHESES, &REFERENCES).unwrap()));
        let Interval { low, high, .. } = found.interval;
        assert!(low < found.value && found.value < high && low < found.median, "{found:?}");
        assert_eq!(found, metric.interval(&statistics, &number, &bootstrap).unwrap());
        let other = Bootstrap { seed: 1, ..bootstrap };
        assert_ne!(found.stderr, metric.interval(&statistics, &number, &other).unwrap().stderr);
        assert!(metric.interval(&[], &number, &bootstrap).is_err());
    }
    contained(&bleu(BleuOptions::default()), |score| score.score);
    contained(&Chrf::new(ChrfOptions::default()).unwrap(), |score| score.score);
    contained(&Ter::default(), |score| score.score);
    contained(&Rouge::new(RougeOptions::default()).unwrap(), |means| means[0].fmeasure);
    contained(&Squad, |score| score.f1);
}

#[test]
fn wrong_input_is_refused() {
    type Refusal = dyn Fn(&[&str], &[Vec<&str>]) -> String;
    let metrics: [&Refusal; 5] = [
        &|h, r| bleu(BleuOptions::default()).corpus(h, r).unwrap_err().to_string(),
        &|h, r| Chrf::new(ChrfOptions::default()).unwrap().corpus(h, r).unwrap_err().to_string(),
        &|h, r| Ter::default().corpus(h, r).unwrap_err().to_string(),
        &|h, r| Rouge::new(RougeOptions::default()).unwrap().corpus(h, r).unwrap_err().to_string(),
        &|h, r| Squad.corpus(h, r).unwrap_err().to_string(),
    ];
    for error in metrics {
        let why = error(&["a", "b"], &[vec!["a"]]);
        assert!(why.contains("2 hypotheses") && why.contains("1 segments"), "{why}");
        assert!(error(&[], &[]).contains("0 hypotheses"));
        assert!(error(&["a"], &[vec![]]).contains("segment 0"));
    }
    for smoothing in [Smoothing::Floor(f64::NAN), Smoothing::AddK(-1.0)] {
        assert!(Bleu::new(BleuOptions { smoothing, ..BleuOptions::default() }).is_err());
    }
    for max_order in [0, 65] {
        assert!(Bleu::new(BleuOptions { max_order, ..BleuOptions::default() }).is_err());
    }
}

#[test]
fn statistics_of_segments_add_up_to_the_corpus() {
    let metric = bleu(BleuOptions::default());
    let statistics = metric.statistics(&HYPOTHESES, &REFERENCES).unwrap();
    assert_eq!(metric.score(&statistics), metric.corpus(&HYPOTHESES, &REFERENCES).unwrap());
    // A resample that draws the first segment twice is the corpus with that segment twice.
    let resampled = metric.score([&statistics[0], &statistics[0], &statistics[2]]);
    let [h0, _, h2] = HYPOTHESES;
    let [r0, _, r2] = REFERENCES;
    assert_eq!(resampled, metric.corpus(&[h0, h0, h2], &[r0, r0, r2]).unwrap());
}

proptest! {
    /// Whatever the characters: no panic, scores in their range, and the best score for the reference itself.
    #[test]
    fn any_text(hypothesis in ".{0,60}", reference in "\\PC{0,40}|[a-c .,'-]{0,80}") {
        for options in [
            BleuOptions { effective_order: true, ..BleuOptions::default() },
            BleuOptions { tokenizer: BleuTokenizer::Intl, lowercase: true, ..BleuOptions::default() },
        ] {
            let score = bleu(options).sentence(&hypothesis, &[&reference]).unwrap().score;
            prop_assert!((0.0..=100.0 + 1e-9).contains(&score), "{score}");
        }
        let chrf = Chrf::new(ChrfOptions { word_order: 2, ..ChrfOptions::default() }).unwrap();
        let score = chrf.sentence(&hypothesis, &[&reference]).unwrap().score;
        prop_assert!((0.0..=100.0 + 1e-9).contains(&score), "{score}");
        for tokenizer in [RougeTokenizer::Default, RougeTokenizer::Unicode] {
            let options = RougeOptions { tokenizer, stemmer: true, ..RougeOptions::default() };
            let rouge = Rouge::new(options).unwrap();
            for score in rouge.sentence(&hypothesis, &[&reference]).unwrap() {
                prop_assert!((0.0..=1.0).contains(&score.fmeasure), "{score:?}");
            }
        }
        let options = TerOptions { normalized: true, asian_support: true, ..TerOptions::default() };
        Ter::new(options).sentence(&hypothesis, &[&reference]).unwrap();
        prop_assert_eq!(Ter::default().sentence(&reference, &[&reference]).unwrap().score, 0.0);
        prop_assert_eq!(Squad.sentence(&reference, &[&reference]).unwrap().exact_match, 100.0);
        let stem = porter_stem(&hypothesis);
        prop_assert!(stem.len() <= hypothesis.to_lowercase().len() + 1);
    }
}
