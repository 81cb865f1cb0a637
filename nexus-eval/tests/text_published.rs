//! Text metrics against published values.

use nexus_eval::metrics::text::*;
use nexus_eval::stats::{Bootstrap, Interval};
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
    for (hypothesis, reference, expected) in [
        ("this is a fest", "this is a test", 22.3606797749979),
        ("this is a test", "this is a test", 100.0),
        ("test", "a test", 36.78794411714425),
        ("a test", "a test", 100.0),
        ("a little test", "a test", 3.218297948685433),
    ] {
        near(effective.sentence(hypothesis, &[reference]).unwrap().score, expected, 12);
    }
    let (hypothesis, reference) =
        ("am I am a character sequence", "I am a symbol string sequence a a");
    // The first is 0.1555722182 there, cut, not rounded: these are all its digits.
    for (value, expected) in [(0.1, 15.557221826646018), (0.0, 0.0)] {
        let options = BleuOptions { smoothing: Smoothing::Floor(value), ..BleuOptions::default() };
        let score = bleu(options).sentence(hypothesis, &[reference]).unwrap();
        near(score.score, expected, 12);
        assert_eq!((score.counts, score.totals), (vec![4., 2., 1., 0.], vec![6., 5., 4., 3.]));
    }
}

/// sacrebleu's test/test_sentence_bleu.py (Apache-2.0), with the tolerance that it has: its digits are cut, not rounded.
#[test]
fn bleu_of_one_sentence() {
    const TOLERANCE: f64 = 1e-3;
    let hypothesis = "Producția de zahăr primă va fi exprimată în ceea ce privește zahărul alb;";
    let reference = "producţia de zahăr brut se exprimă în zahăr alb;";
    use BleuTokenizer::{Char, Intl, None, V13a};
    for (smoothing, lowercase, tokenizer, expected) in [
        (Smoothing::Exp, false, V13a, 8.493),
        (Smoothing::None, false, V13a, 0.0),
        (Smoothing::Floor(0.1), false, V13a, 4.51688),
        (Smoothing::Floor(0.5), false, V13a, 10.10),
        (Smoothing::AddK(1.0), false, V13a, 14.882),
        (Smoothing::AddK(2.0), false, V13a, 21.389),
        (Smoothing::Exp, false, None, 7.347),
        (Smoothing::Exp, false, Intl, 8.493),
        (Smoothing::Exp, false, Char, 40.8759),
        (Smoothing::Exp, true, Char, 42.0267),
    ] {
        let options = BleuOptions {
            tokenizer,
            smoothing,
            lowercase,
            effective_order: true,
            ..BleuOptions::default()
        };
        let bleu = bleu(options);
        let score = bleu.sentence(hypothesis, &[reference]).unwrap().score;
        assert!((score - expected).abs() < TOLERANCE, "{score} {expected}");
        if tokenizer == V13a {
            assert_eq!(bleu.sentence("this is a cat", &["okay thanks"]).unwrap().score, 0.0);
        }
    }
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

const LARGE: [&str; 2] = [
    include_str!("golden/text_metrics/perl_large_references.txt"),
    include_str!("golden/text_metrics/perl_large_hypotheses.txt"),
];

#[test]
fn rouge_lsum_of_a_thousand_lines() {
    let [reference, hypothesis] = LARGE;
    let score = Rouge::new(RougeOptions::default()).unwrap().sentence(hypothesis, &[reference]);
    let score = score.unwrap()[3];
    near(score.fmeasure, 0.533, 3);
    // rouge_score 0.1.2 on the same texts.
    near(score.precision, 0.6878976234003656, 12);
    near(score.recall, 0.43550925925925926, 12);
    near(score.fmeasure, 0.5333522324592488, 12);
}

/// The bootstrapped means of T5's evaluation tests, which allow 0.5; and the means of rouge_score 0.1.2.
#[test]
fn rouge_means_of_a_thousand_lines() {
    // A sentence a line, as T5 prepares them.
    let sentences = |text: &str| text.lines().map(|l| l.replace(" . ", " .\n")).collect();
    let [references, hypotheses]: [Vec<String>; 2] = LARGE.map(sentences);
    let rouge = Rouge::new(RougeOptions::default()).unwrap();
    let scores: Vec<_> = hypotheses
        .iter()
        .zip(&references)
        .map(|(hypothesis, reference)| rouge.sentence(hypothesis, &[reference]).unwrap())
        .collect();
    for (place, published, exact) in [
        (0, 38.517523467350486, 38.55254912815273),
        (1, 22.1524010821563, 22.144908117571894),
        (3, 38.362646331618514, 38.32645124692054),
    ] {
        let sum: f64 = scores.iter().map(|score| 100.0 * score[place].fmeasure).sum();
        let mean = sum / scores.len() as f64;
        assert!((mean - published).abs() < 0.5, "{mean} {published}");
        near(mean, exact, 10);
    }
}

/// rouge_scorer_test.py of google-research/rouge (Apache-2.0).
#[test]
fn rouge_of_a_few_words() {
    let rouge = Rouge::new(RougeOptions::default()).unwrap();
    let score = |hypothesis, place: usize| {
        let RougeScore { precision, recall, fmeasure } =
            rouge.sentence(hypothesis, &["testing one two"]).unwrap()[place];
        (precision, recall, fmeasure)
    };
    assert_eq!(score("testing", 0), (1.0, 1.0 / 3.0, 0.5));
    assert_eq!(score("testing one", 1), (1.0, 0.5, 2.0 / 3.0));
    assert_eq!(score("testing one", 2), (1.0, 2.0 / 3.0, 0.8));
    assert_eq!(score("testing two", 2), (1.0, 2.0 / 3.0, 0.8));
    for (place, nothing) in (0..4).flat_map(|place| [(place, ""), (place, "/")]) {
        assert_eq!(score(nothing, place), (0.0, 0.0, 0.0));
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
fn options_of_bleu_are_checked() {
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
