//! Judgement on whole reports, and the promises of checks kept in simulations.

mod sample_report;

use nexus_eval::quality::{
    MaximumLoss, ModelScores, Pairs, Rubric, RuleLimits, Severity, TaskScores, Verdict, check_loss,
    compare,
};
use nexus_eval::report::{Bottleneck, ConfusionMatrix, LatencyPercentile, ModelReport, Report};
use nexus_eval::stats::Bootstrap;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// How often a check of `n` examples passes and fails, when the candidate is right with probability `p` where the
/// baseline is, and as often where it is not.
fn outcomes(n: usize, lost: f64, allowed: f64, trials: usize) -> (f64, f64) {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let (mut passed, mut failed) = (0, 0);
    for _ in 0..trials {
        let (mut before, mut after) = (Vec::new(), Vec::new());
        for _ in 0..n {
            let right = rng.random::<f64>() < 0.8;
            let flip = rng.random::<f64>();
            // Of all examples, `lost + 0.03` are lost and 0.03 are gained.
            let (to_wrong, to_right) = ((lost + 0.03) / 0.8, 0.03 / 0.2);
            let later = if right { flip >= to_wrong } else { flip < to_right };
            before.push(f64::from(right));
            after.push(f64::from(later));
        }
        let loss = MaximumLoss::Absolute(allowed);
        match check_loss("accuracy", &before, &after, true, loss).unwrap().verdict {
            Verdict::Pass => passed += 1,
            Verdict::Fail => failed += 1,
            Verdict::NotEnoughData { .. } => {}
        }
    }
    (passed as f64 / trials as f64, failed as f64 / trials as f64)
}

#[test]
fn a_model_at_the_limit_passes_in_one_of_twenty_cases_at_most() {
    // Five standard errors of a share of 0.05 in 2,000 trials.
    let allowed = 0.05 + 5.0 * (0.05f64 * 0.95 / 2000.0).sqrt();
    for n in [50, 200, 1000] {
        let (passed, failed) = outcomes(n, 0.02, 0.02, 2000);
        assert!(passed <= allowed, "{n}: {passed} pass at the limit");
        assert!(failed <= allowed, "{n}: {failed} fail at the limit");
    }
    // And far from it they are told apart.
    assert!(outcomes(2000, 0.0, 0.03, 300).0 > 0.95);
    assert!(outcomes(2000, 0.08, 0.03, 300).1 > 0.95);
}

#[test]
fn the_number_of_further_examples_decides_most_new_samples() {
    // At n examples, loss 0 and 0.03 allowed; the number that is asked for decides in about 80 % of cases.
    let n = 150;
    let pattern = |i: usize, phase: usize| f64::from((i + phase) % 100 < 80);
    let before: Vec<f64> = (0..n).map(|i| pattern(i, 0)).collect();
    let after: Vec<f64> = (0..n).map(|i| pattern(i, 3)).collect();
    let check = check_loss("a", &before, &after, true, MaximumLoss::Absolute(0.03)).unwrap();
    let Verdict::NotEnoughData { more_examples: Some(more) } = check.verdict else {
        panic!("{check:?}");
    };
    let (passed, _) = outcomes(n + more as usize, 0.0, 0.03, 1000);
    assert!((0.7..0.92).contains(&passed), "{passed} with {more} more");
}

fn rules_of(report: &ModelReport, limits: &RuleLimits) -> Vec<(String, Severity)> {
    let found = limits.findings(report).unwrap();
    found.into_iter().map(|finding| (finding.rule, finding.severity)).collect()
}

#[test]
fn rules_find_what_is_wrong_and_name_the_remedy() {
    let mut model = sample_report::sample().models.remove(0);
    model.checks.clear();
    // Nothing but the latency, which is above its objective.
    let limits = RuleLimits { calibration_error: Some(0.5), ..RuleLimits::default() };
    assert_eq!(rules_of(&model, &limits), [("latency".to_string(), Severity::Problem)]);
    let advice = |model: &ModelReport| limits.findings(model).unwrap()[0].advice.clone().unwrap();
    assert!(advice(&model).contains("Measure"), "{}", advice(&model));
    for (bottleneck, remedy) in [
        (Bottleneck::Compute, "int8"),
        (Bottleneck::MemoryBandwidth, "int4"),
        (Bottleneck::Queue, "instances"),
    ] {
        model.performance.as_mut().unwrap().bottleneck = Some(bottleneck);
        assert!(advice(&model).contains(remedy), "{}", advice(&model));
    }

    let performance = model.performance.as_mut().unwrap();
    performance.objective = Some(LatencyPercentile { quantile: 0.95, seconds: 1.0 });
    let strict = RuleLimits {
        calibration_error: Some(0.01),
        tail: Some(1.5),
        requests_per_second: Some(100.0),
        memory_bytes: Some(1 << 20),
        interval_width: Some(0.01),
        ..RuleLimits::default()
    };
    model.confusion = Some(ConfusionMatrix {
        labels: ["a", "b", "c", "none"].map(String::from).to_vec(),
        counts: vec![vec![95, 5, 0, 0], vec![40, 60, 0, 0], vec![0, 3, 97, 0], vec![0; 4]],
    });
    let found: Vec<String> = rules_of(&model, &strict).into_iter().map(|found| found.0).collect();
    let wanted = [
        "calibration",
        "latency",
        "tail_latency",
        "throughput",
        "memory",
        "class_recall",
        "absent_class",
        "confused_classes",
        "few_examples",
    ];
    assert_eq!(found, wanted);
    let findings = strict.findings(&model).unwrap();
    let of = |rule: &str| findings.iter().find(|finding| finding.rule == rule).unwrap();
    assert!(of("class_recall").evidence.contains("0.600 (60 of 100)"), "{:?}", of("class_recall"));
    assert!(of("calibration").evidence.contains("too sure"), "{:?}", of("calibration"));
    // (2 * 1.96 * 0.0057 / 0.01)^2 * 2310 = 11532.3, rounded up.
    assert!(
        of("few_examples").advice.as_ref().unwrap().contains("11533"),
        "{:?}",
        of("few_examples")
    );

    model.confusion.as_mut().unwrap().counts[0].pop();
    assert!(strict.findings(&model).is_err());
}

#[test]
fn churn_behind_equal_scores_is_found() {
    let model = |name: &str, wrong: &dyn Fn(usize) -> bool| ModelScores {
        model: name.into(),
        tasks: vec![TaskScores {
            task: "t".into(),
            measure: "accuracy".into(),
            higher_is_better: true,
            scores: (0..200).map(|i| (i.to_string(), f64::from(!wrong(i)))).collect(),
        }],
    };
    let models =
        [model("a", &|i| i % 10 == 0), model("b", &|i| i % 10 == 1), model("c", &|i| i % 2 == 0)];
    let comparisons = compare(&models, Pairs::WithBaseline, &Bootstrap::default()).unwrap();
    let rules = |i: usize| {
        let found = RuleLimits::default().compared(&comparisons[i]);
        found.into_iter().map(|finding| finding.rule).collect::<Vec<_>>()
    };
    assert_eq!(rules(0), ["churn"]);
    assert_eq!(rules(1), ["worse"]);
}

#[test]
fn a_judged_report_is_written() {
    let mut report: Report = sample_report::sample();
    for model in &mut report.models {
        model.grade = Rubric::default().grade(model).unwrap();
        model.findings = RuleLimits::default().findings(model).unwrap();
    }
    let grades: String = report.models.iter().map(|m| m.grade.as_ref().unwrap().letter).collect();
    // By hand: 92.9 of 100 points, 91.4 of 100, 78.0 of 95.
    assert_eq!(grades, "AAB");
    let markdown = report.to_markdown().unwrap();
    assert!(markdown.contains("## Findings") && markdown.contains("## Grades"));
}
