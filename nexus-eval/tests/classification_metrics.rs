//! Measures of classifiers and of regression against scikit-learn and SciPy, on random cases that both sides draw from one
//! generator.

mod random_cases;

use nexus_eval::metrics::classification::*;
use nexus_eval::metrics::regression::*;
use nexus_eval::stats::Bootstrap;
use random_cases::{SplitMix64, check, values};

/// Calls `case` with the generator and the case's number; compares what it gives with the reference's values.
fn each(name: &str, mut case: impl FnMut(&mut SplitMix64, usize) -> Vec<Option<f64>>) {
    let mut rng = SplitMix64(name.bytes().map(u64::from).sum());
    for (i, row) in values("classification_metrics", name).iter().enumerate() {
        let found = case(&mut rng, i);
        assert_eq!(found.len(), row.len());
        for (column, (found, wanted)) in found.into_iter().zip(row).enumerate() {
            check(i, &format!("{name} {column}"), found, *wanted);
        }
    }
}

fn predictions(rng: &mut SplitMix64, case: usize) -> (Vec<usize>, Vec<usize>) {
    let (classes, n) = (rng.between(2, 12), rng.between(1, 40));
    let classes = if case % 8 == 7 { 1 } else { classes };
    let step = 1 + case % 3;
    let truth: Vec<usize> =
        (0..n).map(|_| rng.below(classes).min(rng.below(classes)) * step).collect();
    let predict = |&t: &usize| if rng.below(2) == 1 { t } else { rng.below(classes) * step };
    let predicted = truth.iter().map(predict).collect();
    (truth, predicted)
}

fn settings(case: usize) -> FScore {
    let beta = [1.0, 0.5, 2.0, 0.0, f64::INFINITY][case % 5];
    let zero_division = [ZeroDivision::Zero, ZeroDivision::One, ZeroDivision::Undefined][case % 3];
    FScore { beta, zero_division }
}

const AVERAGES: [Average; 3] = [Average::Macro, Average::Weighted, Average::Micro];

#[test]
fn single_labels() {
    each("single_label", |rng, case| {
        let (truth, predicted) = predictions(rng, case);
        let matrix = ConfusionMatrix::of(&truth, &predicted).unwrap();
        let right = accuracy(&truth, &predicted).unwrap();
        assert_eq!(matrix.accuracy(), Some(right));
        let mut found = vec![
            Some(right.value),
            matrix.balanced_accuracy(),
            matrix.adjusted_balanced_accuracy(),
            Some(matrix.matthews()),
            matrix.kappa(KappaWeights::Unweighted),
            matrix.kappa(KappaWeights::Linear),
            matrix.kappa(KappaWeights::Quadratic),
        ];
        let counts = label_counts(&truth, &predicted).unwrap();
        for average in AVERAGES {
            let scores = average_scores(&counts, average, &settings(case)).unwrap();
            found.extend([scores.precision, scores.recall, scores.f]);
        }
        found
    });
}

#[test]
fn some_labels() {
    each("some_labels", |rng, case| {
        let (truth, predicted) = predictions(rng, case);
        let labels = [rng.below(4), 4 + rng.below(4), 8 + rng.below(20)];
        let counts = selected_counts(&truth, &predicted, &labels).unwrap();
        let settings = settings(case);
        let average = |average| average_scores(&counts, average, &settings).unwrap().f;
        let mut found = AVERAGES.map(average).to_vec();
        for count in &counts[..2] {
            let scores = count.scores(&settings).unwrap();
            found.extend([scores.precision, scores.recall, scores.f]);
        }
        let matrix = ConfusionMatrix::with_labels(&truth, &predicted, &labels).ok();
        for by in [Normalise::Truth, Normalise::Predicted, Normalise::All] {
            found.push(matrix.as_ref().map(|matrix| matrix.normalised(by)[0][0]));
        }
        found
    });
}

#[test]
fn label_sets() {
    each("label_sets", |rng, case| {
        let (n, labels) = (rng.between(1, 20), rng.between(2, 6));
        let rarity = rng.between(2, 6);
        let truth: Vec<Vec<bool>> =
            (0..n).map(|_| (0..labels).map(|_| rng.below(rarity) == 0).collect()).collect();
        let mut flag = |&t: &bool| if rng.below(3) > 0 { t } else { rng.below(rarity) == 0 };
        let predicted: Vec<Vec<bool>> =
            truth.iter().map(|row| row.iter().map(&mut flag).collect()).collect();
        let counts = multi_label_counts(&truth, &predicted).unwrap();
        let settings = settings(case);
        let mut found = vec![
            Some(accuracy(&truth, &predicted).unwrap().value),
            Some(hamming_loss(&truth, &predicted).unwrap()),
        ];
        for average in AVERAGES {
            let scores = average_scores(&counts, average, &settings).unwrap();
            found.extend([scores.recall, scores.f]);
        }
        let scores = sample_scores(&truth, &predicted, &settings).unwrap();
        found.extend([scores.recall, scores.f]);
        found
    });
}

#[test]
fn two_classes() {
    each("two_classes", |rng, case| {
        let n = rng.between(1, 50);
        let rarity = rng.between(2, 8);
        let truth: Vec<bool> = (0..n).map(|_| rng.below(rarity) == 0).collect();
        let tied = case % 2 == 1;
        let score = |_| if tied { rng.below(6) as f64 / 5.0 } else { rng.unit() };
        let scores: Vec<f64> = (0..n).map(score).collect();
        let bins = rng.between(1, 12);
        let mut found = vec![
            auroc(&truth, &scores).ok().map(|area| area.value),
            average_precision(&truth, &scores).ok(),
            Some(brier_score(&truth, &scores).unwrap().value),
        ];
        for binning in [Binning::EqualWidth, Binning::EqualMass] {
            let curve = calibration_curve(&truth, &scores, bins, binning).unwrap();
            found.extend([
                Some(curve.len() as f64),
                Some(curve.iter().map(|bin| bin.share_true).sum()),
                Some(curve.iter().map(|bin| bin.mean_probability).sum()),
                expected_calibration_error(&curve).ok(),
            ]);
        }
        found
    });
}

#[test]
fn many_classes() {
    each("many_classes", |rng, _| {
        let (classes, n) = (rng.between(3, 6), rng.between(2, 40));
        let truth: Vec<usize> =
            (0..n).map(|_| rng.below(classes).min(rng.below(classes))).collect();
        let mut row = |&t: &usize| -> Vec<f64> {
            let mut weights: Vec<usize> = (0..classes).map(|_| rng.below(5)).collect();
            weights[t] += 1 + rng.below(3);
            let total: usize = weights.iter().sum();
            weights.iter().map(|&weight| weight as f64 / total as f64).collect()
        };
        let rows: Vec<Vec<f64>> = truth.iter().map(&mut row).collect();
        let area = |way, average| auroc_multiclass(&truth, &rows, way, average).ok();
        let whole = (0..classes).all(|class| truth.contains(&class));
        let precision =
            |average| whole.then(|| average_precision_multiclass(&truth, &rows, average).unwrap());
        let several = truth.iter().any(|&t| t != truth[0]);
        let weighted = area(MultiClass::OneVsRest, Average::Weighted);
        assert_eq!(weighted.is_some(), several);
        let k = rng.between(1, classes);
        vec![
            area(MultiClass::OneVsRest, Average::Macro),
            weighted,
            area(MultiClass::OneVsRest, Average::Micro),
            area(MultiClass::OneVsOne, Average::Macro),
            area(MultiClass::OneVsOne, Average::Weighted),
            precision(Average::Macro),
            precision(Average::Weighted),
            Some(top_k_accuracy(&truth, &rows, k).unwrap().value),
            Some(log_loss(&truth, &rows).unwrap().value),
            Some(brier_score_multiclass(&truth, &rows).unwrap().value),
        ]
    });
}

#[test]
fn temperatures() {
    each("temperatures", |rng, _| {
        let (classes, n) = (rng.between(2, 5), rng.between(2, 40));
        let truth: Vec<usize> = (0..n).map(|_| rng.below(classes)).collect();
        let scale = 1.0 + rng.unit() * 9.0;
        let mut row = |&t: &usize| -> Vec<f64> {
            let mut row: Vec<f64> = (0..classes).map(|_| (rng.unit() - 0.5) * scale).collect();
            row[t] += rng.unit() * 3.0;
            row
        };
        let logits: Vec<Vec<f64>> = truth.iter().map(&mut row).collect();
        let found = temperature_scaling(&truth, &logits).ok();
        vec![
            found.map(|f| f.temperature),
            found.map(|f| f.loss_before),
            found.map(|f| f.loss_after),
        ]
    });
}

#[test]
fn regressions() {
    each("regression", |rng, case| {
        let n = rng.between(1, 40);
        let truth = rng.sample(n, case);
        let mut predicted = rng.sample(n, case / 5);
        if case % 3 == 0 {
            predicted = truth.iter().zip(&predicted).map(|(t, p)| t + 0.25 * p).collect();
        }
        vec![
            Some(mean_squared_error(&truth, &predicted).unwrap().value),
            Some(root_mean_squared_error(&truth, &predicted).unwrap().value),
            Some(mean_absolute_error(&truth, &predicted).unwrap().value),
            r_squared(&truth, &predicted).unwrap(),
            pearson(&truth, &predicted).unwrap(),
            spearman(&truth, &predicted).unwrap(),
            kendall(&truth, &predicted).unwrap(),
        ]
    });
}

#[test]
fn any_measure_has_a_bootstrap_interval() {
    let (truth, predicted) = predictions(&mut SplitMix64(5), 0);
    let measure = |truth: &[usize], predicted: &[usize]| {
        Some(ConfusionMatrix::of(truth, predicted).ok()?.matthews())
    };
    let found = Bootstrap::default().pairs(&truth, &predicted, measure).unwrap();
    assert!(found.interval.contains(found.value) && found.stderr > 0.0);
    assert!(Bootstrap::default().pairs(&truth, &predicted[1..], measure).is_err());
}
