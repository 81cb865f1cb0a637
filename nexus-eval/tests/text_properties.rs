//! What holds for all texts, and for those with nothing in them.

use nexus_eval::metrics::text::*;
use proptest::prelude::*;

/// Another order of sums and products of doubles up to 100.
const ROUNDING: f64 = 1e-9;

/// Any characters, line ends too; some texts of few letters, so that they have much in common.
const TEXT: &str = "(?s).{0,60}|[a-c .,'&;\n-]{0,80}";

fn bleus() -> Vec<Bleu> {
    let tokenizers =
        [BleuTokenizer::V13a, BleuTokenizer::Intl, BleuTokenizer::Char, BleuTokenizer::None];
    let smoothings = [Smoothing::Exp, Smoothing::Floor(0.1), Smoothing::AddK(1.0), Smoothing::None];
    let pair = |(i, tokenizer): (usize, BleuTokenizer)| {
        [false, true].map(|effective_order| {
            let options = BleuOptions {
                tokenizer,
                smoothing: smoothings[i],
                effective_order,
                lowercase: effective_order,
                ..BleuOptions::default()
            };
            Bleu::new(options).unwrap()
        })
    };
    tokenizers.into_iter().enumerate().flat_map(pair).collect()
}

fn chrfs() -> Vec<Chrf> {
    let options = [(0, false, false), (2, false, true), (2, true, false)];
    let chrf = |(word_order, whitespace, eps_smoothing)| {
        let options = ChrfOptions { word_order, whitespace, eps_smoothing, ..Default::default() };
        Chrf::new(options).unwrap()
    };
    options.into_iter().map(chrf).collect()
}

fn ters() -> [Ter; 3] {
    let all =
        TerOptions { normalized: true, no_punct: true, asian_support: true, case_sensitive: true };
    [TerOptions::default(), TerOptions { no_punct: false, ..all }, all].map(Ter::new)
}

fn rouges() -> Vec<Rouge> {
    let settings = [(RougeTokenizer::Default, true), (RougeTokenizer::Unicode, false)];
    let rouge = |(tokenizer, stemmer)| {
        let options = RougeOptions { tokenizer, stemmer, ..RougeOptions::default() };
        Rouge::new(options).unwrap()
    };
    settings.into_iter().map(rouge).collect()
}

type Pairs = Vec<(String, Vec<String>)>;

/// Hypotheses with one to three references each.
fn pairs() -> impl Strategy<Value = Pairs> {
    prop::collection::vec((TEXT, prop::collection::vec(TEXT, 1..4)), 1..6)
}

fn corpus<M: CorpusMetric>(metric: &M, pairs: &Pairs) -> M::Score {
    let (hypotheses, references): (Vec<String>, Vec<Vec<String>>) = pairs.iter().cloned().unzip();
    metric.corpus(&hypotheses, &references).unwrap()
}

proptest! {
    #[test]
    fn scores_are_within_their_range(pairs in pairs()) {
        for bleu in bleus() {
            let score = corpus(&bleu, &pairs).score;
            prop_assert!((0.0..=100.0 + ROUNDING).contains(&score), "{score} {bleu:?}");
        }
        for chrf in chrfs() {
            let score = corpus(&chrf, &pairs).score;
            prop_assert!((0.0..=100.0 + ROUNDING).contains(&score), "{score} {chrf:?}");
        }
        for ter in ters() {
            let score = corpus(&ter, &pairs).score;
            prop_assert!(score.is_finite() && score >= 0.0, "{score} {ter:?}");
        }
        for rouge in rouges() {
            for score in corpus(&rouge, &pairs) {
                for part in [score.precision, score.recall, score.fmeasure] {
                    prop_assert!((0.0..=1.0 + ROUNDING).contains(&part), "{score:?} {rouge:?}");
                }
            }
        }
        let SquadScore { exact_match, f1 } = corpus(&Squad, &pairs);
        prop_assert!((0.0..=100.0).contains(&exact_match) && f1 <= 100.0 + ROUNDING);
        prop_assert!(f1 >= 0.0);
        for (hypothesis, references) in &pairs {
            porter_stem(hypothesis);
            normalize_answer(&references[0]);
        }
    }

    /// Four words at the start, so that every order has an n-gram.
    #[test]
    fn a_text_is_its_own_best_hypothesis(rest in TEXT, other in TEXT) {
        let text = format!("w1 x2 y3 z4 {rest}");
        let references = [other, text.clone()];
        for bleu in bleus() {
            let score = bleu.sentence(&text, &references).unwrap().score;
            prop_assert!((score - 100.0).abs() <= ROUNDING, "{score} {bleu:?}");
        }
        for chrf in chrfs() {
            let score = chrf.sentence(&text, &references).unwrap().score;
            prop_assert!((score - 100.0).abs() <= ROUNDING, "{score} {chrf:?}");
        }
        for rouge in rouges() {
            for score in rouge.sentence(&text, &references).unwrap() {
                prop_assert_eq!(score.fmeasure, 1.0);
            }
        }
        let squad = Squad.sentence(&text, &references).unwrap();
        prop_assert_eq!(squad, SquadScore { exact_match: 100.0, f1: 100.0 });
        prop_assert_eq!(Ter::default().sentence(&text, &[&text]).unwrap().score, 0.0);
        for unit in [EditUnit::Words, EditUnit::Characters] {
            prop_assert_eq!(EditRate::new(unit).sentence(&text, &text).edits, 0);
        }
    }

    #[test]
    fn the_order_of_segments_and_of_references_does_not_matter(
        (pairs, mut shuffled) in pairs().prop_flat_map(|p| (Just(p.clone()), Just(p).prop_shuffle()))
    ) {
        shuffled.iter_mut().for_each(|(_, references)| references.reverse());
        for bleu in bleus() {
            prop_assert_eq!(corpus(&bleu, &pairs), corpus(&bleu, &shuffled));
        }
        let near = |a: f64, b: f64| (a - b).abs() <= ROUNDING;
        for ter in ters() {
            let (a, b) = (corpus(&ter, &pairs), corpus(&ter, &shuffled));
            prop_assert!(a.num_edits == b.num_edits && near(a.score, b.score));
        }
        for rouge in rouges() {
            for (a, b) in corpus(&rouge, &pairs).into_iter().zip(corpus(&rouge, &shuffled)) {
                prop_assert!(near(a.fmeasure, b.fmeasure));
            }
        }
        prop_assert!(near(corpus(&Squad, &pairs).f1, corpus(&Squad, &shuffled).f1));
        // Of references with equal scores, chrF takes the first, so only the segments change places.
        shuffled.iter_mut().for_each(|(_, references)| references.reverse());
        for chrf in chrfs() {
            prop_assert_eq!(corpus(&chrf, &pairs), corpus(&chrf, &shuffled));
        }
    }

    /// Not summary-level ROUGE-L: its union is of lines of the reference.
    #[test]
    fn swapping_the_texts_swaps_precision_and_recall(a in TEXT, b in TEXT) {
        let types = vec![RougeType::N(1), RougeType::N(2), RougeType::L];
        for tokenizer in [RougeTokenizer::Default, RougeTokenizer::Unicode] {
            let options = RougeOptions { types: types.clone(), tokenizer, stemmer: true };
            let rouge = Rouge::new(options).unwrap();
            let there = rouge.sentence(&a, &[&b]).unwrap();
            for (there, back) in there.into_iter().zip(rouge.sentence(&b, &[&a]).unwrap()) {
                prop_assert_eq!((there.precision, there.recall), (back.recall, back.precision));
                prop_assert!((there.fmeasure - back.fmeasure).abs() <= f64::EPSILON);
            }
        }
    }

    #[test]
    fn edits_are_a_metric(a in TEXT, b in TEXT, c in TEXT) {
        for unit in [EditUnit::Words, EditUnit::Characters] {
            let edits = |x: &str, y: &str| EditRate::new(unit).sentence(x, y).edits;
            prop_assert_eq!(edits(&a, &b), edits(&b, &a));
            prop_assert!(edits(&a, &c) <= edits(&a, &b) + edits(&b, &c));
        }
    }
}

/// Segments without a word: what sacrebleu, rouge_score and evaluate-v1.1.py give.
#[test]
fn texts_with_nothing_in_them() {
    for (hypotheses, references, ter) in [
        (vec!["", ""], vec![["a b"], ["c"]], 100.0),
        (vec!["a b", ""], vec![[""], [""]], 100.0),
        (vec![" ", "\n"], vec![["a"], ["b"]], 100.0),
        (vec!["\u{3000}\t"], vec![["a\r\nb"]], 100.0),
        (vec![""], vec![[""]], 0.0),
    ] {
        for bleu in bleus() {
            assert_eq!(bleu.corpus(&hypotheses, &references).unwrap().score, 0.0, "{bleu:?}");
        }
        let chrf = Chrf::new(ChrfOptions::default()).unwrap();
        assert_eq!(chrf.corpus(&hypotheses, &references).unwrap().score, 0.0);
        assert_eq!(Ter::default().corpus(&hypotheses, &references).unwrap().score, ter);
        for rouge in rouges() {
            let score = rouge.corpus(&hypotheses, &references).unwrap();
            assert!(score.iter().all(|score| *score == RougeScore::default()), "{score:?}");
        }
        assert_eq!(Squad.corpus(&hypotheses, &references).unwrap().f1, 0.0);
    }
    assert_eq!(EditRate::new(EditUnit::Words).corpus(&["a", " "], &["", ""]).unwrap().rate(), None);
}

/// A blank segment counts: its reference's words make the corpus' hypotheses too short.
#[test]
fn a_blank_hypothesis_is_not_left_out() {
    let bleu = Bleu::new(BleuOptions::default()).unwrap();
    let (hypotheses, references) = (["a b c d e", ""], [["a b c d e"], ["f g h i j"]]);
    let score = bleu.corpus(&hypotheses, &references).unwrap();
    assert_eq!((score.sys_len, score.ref_len), (5, 10));
    assert!((score.score - 100.0 * (-1.0_f64).exp()).abs() <= ROUNDING);
    let rouge = Rouge::new(RougeOptions::default()).unwrap();
    assert_eq!(rouge.corpus(&hypotheses, &references).unwrap()[0].fmeasure, 0.5);
    let ter = Ter::default().corpus(&hypotheses, &references).unwrap();
    assert_eq!((ter.num_edits, ter.score), (5, 50.0));
}

/// Segments may have different numbers of references, but each needs one, and lists are never cut to the shorter.
#[test]
fn references_by_segment() {
    fn refusals<M: CorpusMetric>(metric: &M) -> [String; 4] {
        let error = |hypotheses: &[&str], references: &[Vec<&str>]| match metric
            .corpus(hypotheses, references)
        {
            Ok(_) => "accepted".into(),
            Err(why) => why.to_string(),
        };
        metric.corpus(&["a", "b"], &[vec!["a"], vec!["b", "c"]]).unwrap_or_else(|_| panic!());
        [
            error(&["a", "b"], &[vec!["a"]]),
            error(&["a"], &[vec!["a"], vec!["b"]]),
            error(&[], &[]),
            error(&["a", "b"], &[vec!["a"], vec![]]),
        ]
    }
    for [more, fewer, none, lacking] in [
        refusals(&Bleu::new(BleuOptions::default()).unwrap()),
        refusals(&Chrf::new(ChrfOptions::default()).unwrap()),
        refusals(&Ter::default()),
        refusals(&Rouge::new(RougeOptions::default()).unwrap()),
        refusals(&Squad),
    ] {
        assert!(more.contains("2 hypotheses") && more.contains("1 segments"), "{more}");
        assert!(fewer.contains("1 hypotheses") && fewer.contains("2 segments"), "{fewer}");
        assert!(none.contains("0 hypotheses"), "{none}");
        assert!(lacking.contains("segment 1"), "{lacking}");
    }
    let edits = EditRate::new(EditUnit::Words);
    for (hypotheses, references) in [(&["a", "b"][..], &["a"][..]), (&[], &[]), (&[], &["a"])] {
        assert!(edits.corpus(hypotheses, references).is_err());
    }
}
