//! A report with everything in it: three classifiers, one of them with a hostile name.

use nexus_core::report::{EvalReport, Measure};
use nexus_eval::performance::EnergySource;
use nexus_eval::quality::{
    Check, Comparison, CriterionPoints, Difference, Finding, Flips, Grade, Severity, Verdict,
};
use nexus_eval::report::{
    ConfusionMatrix, LatencyPercentile, MeasureInterval, ModelReport, Performance, ReliabilityBin,
    ReliabilityDiagram, Report,
};
use nexus_eval::stats::Interval;
use nexus_eval::stats::hypothesis::PairedOutcomes;

/// A name that would run a script where it is not escaped, and that looks like a plot's placeholder.
pub(crate) const HOSTILE: &str = "<script>document.title='broken'</script>\"'#010000";

pub(crate) fn sample() -> Report {
    let mut report = Report::new("Support tickets: the int8 model against its f32 base");
    report.created = Some("24 November 2026".into());
    report.models = vec![
        model("bert-base, f32", 0.9215, 0.9127, 0.2671, [0.041, 0.058, 0.083, 0.132], 0),
        model("bert-base, int8", 0.9163, 0.9071, 0.2856, [0.013, 0.019, 0.027, 0.048], 1),
        model(HOSTILE, 0.8734, 0.8502, 0.4417, [0.009, 0.012, 0.022, 0.031], 2),
    ];
    report.models[0].description = Some("fine-tuned for 3 epochs, the baseline".into());
    report.comparisons = vec![
        comparison(1, -0.0052, -0.0064, 0.0185, (0.04, 0.12)),
        comparison(2, -0.0481, -0.0625, 0.1746, (0.0001, 0.0002)),
    ]
    .into_iter()
    .map(|mut comparison| {
        let number = if comparison.candidate == "1" { 1 } else { 2 };
        comparison.candidate = report.models[number].name.clone();
        comparison
    })
    .collect();
    for (key, value) in [
        ("data", "tickets-test.jsonl, sha256 9f1c2a70b3de"),
        ("resamples", "10000"),
        ("device", "flex, 16 threads"),
    ] {
        report.settings.insert(key.into(), value.into());
    }
    report.settings.insert("batch_size".into(), 8.into());
    report.signatures =
        vec!["macro_f1|zero_division:0|average:macro|labels:seen|version:0.1.0".into()];
    report
}

fn measure(name: &str, value: f64, stderr: f64, higher_is_better: bool) -> Measure {
    Measure { name: name.into(), value, stderr: Some(stderr), n: 2310, higher_is_better }
}

fn model(
    name: &str,
    accuracy: f64,
    f1: f64,
    loss: f64,
    latency: [f64; 4],
    number: u64,
) -> ModelReport {
    let evaluation = EvalReport {
        task: "tickets".into(),
        measures: vec![
            measure("accuracy", accuracy, 0.0057, true),
            Measure { stderr: None, ..measure("macro_f1", f1, 0.0, true) },
            measure("loss", loss, 0.0171, false),
        ],
        examples: 2310,
        seconds: 41.0,
    };
    let labels = ["billing", "login", "delivery", "cancel subscription", "other"];
    let counts = (0..5)
        .map(|target: u64| {
            let cell = |answer: u64| match target == answer {
                true => 430 - 22 * number * (target + 1) / 2,
                false => (7 * target + 5 * answer + 11 * number) % 19,
            };
            (0..5).map(cell).collect()
        })
        .collect();
    let bins = (0..10u32)
        .map(|i| {
            let low = f64::from(i) / 10.0;
            let confidence = low + 0.06;
            let accuracy =
                (confidence - 0.04 * (number as f64 + 1.0) * (confidence - 0.2)).max(0.02);
            let n = if i == 0 { 0 } else { 12 + u64::from(i).pow(3) * 2 };
            ReliabilityBin { low, high: low + 0.1, n, confidence, accuracy }
        })
        .collect();
    let points = [0.5, 0.9, 0.99, 0.999].into_iter().zip(latency);
    let mut latency: Vec<LatencyPercentile> =
        points.map(|(quantile, seconds)| LatencyPercentile { quantile, seconds }).collect();
    let p95 = (latency[1].seconds + latency[2].seconds) / 2.0;
    latency.insert(2, LatencyPercentile { quantile: 0.95, seconds: p95 });
    ModelReport {
        name: name.into(),
        evaluations: vec![evaluation],
        intervals: vec![MeasureInterval {
            task: "tickets".into(),
            measure: "macro_f1".into(),
            interval: Interval { low: f1 - 0.0121, high: f1 + 0.0117, level: 0.95 },
            method: "bootstrap, 10000 resamples".into(),
        }],
        confusion: Some(ConfusionMatrix { labels: labels.map(String::from).to_vec(), counts }),
        reliability: Some(ReliabilityDiagram { bins, ece: Some(0.031 * (number as f64 + 1.0)) }),
        performance: Some(Performance {
            conditions: "50 requests/s for 60 s, open loop, 16 threads".into(),
            requests: 3000,
            latency,
            objective: Some(LatencyPercentile { quantile: 0.95, seconds: 0.06 }),
            bottleneck: None,
            requests_per_second: Some(49.8),
            peak_memory_bytes: Some((1 << 30) / (1 + number)),
            model_bytes: Some((438 << 20) / (1 + 3 * number)),
            joules_per_request: (number < 2).then_some(1.9 / (1.0 + number as f64)),
            energy_source: [
                EnergySource::Rapl,
                EnergySource::TdpEstimate,
                EnergySource::Unavailable,
            ]
            .get(number as usize)
            .copied(),
        }),
        checks: checks(accuracy, number),
        grade: Some(Grade {
            letter: ['A', 'B', 'D'][number as usize],
            percent: 93.4 - 8.7 * number as f64,
            criteria: vec![
                points_for("accuracy", accuracy, 27.6),
                points_for("macro F1", f1, 18.0),
            ],
            missing: vec!["energy".into()],
        }),
        findings: findings(name, number),
        ..ModelReport::default()
    }
}

fn points_for(criterion: &str, value: f64, points: f64) -> CriterionPoints {
    CriterionPoints { criterion: criterion.into(), value, points, of: 30.0 }
}

fn checks(accuracy: f64, number: u64) -> Vec<Check> {
    let verdict = match number {
        0 => Verdict::Pass,
        1 => Verdict::NotEnoughData { more_examples: Some(1840) },
        _ => Verdict::Fail,
    };
    vec![Check {
        criterion: "accuracy (tickets)".into(),
        value: accuracy,
        interval: Some(Interval { low: accuracy - 0.0094, high: accuracy + 0.0094, level: 0.9 }),
        limit: 0.91,
        higher_is_better: true,
        verdict,
        reason: "decided on the one-sided 95 % bound".into(),
    }]
}

fn findings(name: &str, number: u64) -> Vec<Finding> {
    let finding = |rule: &str, severity, evidence: &str, advice: Option<&str>| Finding {
        rule: rule.into(),
        model: name.into(),
        severity,
        evidence: evidence.into(),
        advice: advice.map(String::from),
    };
    match number {
        0 => vec![finding(
            "calibration",
            Severity::Warning,
            "the expected calibration error is 0.0310 over 2310 answers, above 0.0200",
            Some("Fit a temperature on held-out data and divide the logits by it."),
        )],
        1 => vec![finding(
            "latency",
            Severity::Note,
            "P95 is 23.0 ms, within the objective of 60 ms",
            None,
        )],
        _ => vec![finding(
            "class_recall",
            Severity::Problem,
            "recall of class 'cancel subscription' is 0.71, 0.18 below the mean of the others",
            Some("Collect more examples of class 'cancel subscription', or weight it in training."),
        )],
    }
}

fn comparison(number: usize, accuracy: f64, f1: f64, loss: f64, p: (f64, f64)) -> Comparison {
    let difference = |name: &str, value: f64, half: f64, higher_is_better| Difference {
        task: "tickets".into(),
        measure: name.into(),
        higher_is_better,
        baseline: 0.9215,
        candidate: 0.9215 + value,
        difference: value,
        interval: Interval { low: value - half, high: value + half, level: 0.95 },
        p_value: p.0,
        p_adjusted: p.1,
        test: if name == "accuracy" { "McNemar, exact".into() } else { "paired bootstrap".into() },
        n: 2310,
    };
    let ids =
        |count: u64, step: u64| (0..count).map(|i| format!("ticket-{}", 17 + step * i)).collect();
    let (lost, gained) = if number == 1 { (31, 19) } else { (143, 32) };
    Comparison {
        baseline: "bert-base, f32".into(),
        candidate: number.to_string(),
        differences: vec![
            difference("accuracy", accuracy, 0.0059, true),
            difference("macro_f1", f1, 0.0074, true),
            difference("loss", loss, 0.0129, false),
        ],
        flips: vec![Flips {
            task: "tickets".into(),
            counts: PairedOutcomes {
                both: 2098,
                only_first: lost,
                only_second: gained,
                neither: 162,
            },
            lost: ids(lost, 7),
            gained: ids(gained, 11),
        }],
    }
}
