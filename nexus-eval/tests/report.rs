//! The report: JSON and back, Markdown, escaping, and what is refused.

mod sample_report;

use nexus_eval::Error;
use nexus_eval::report::{ConfusionMatrix, LatencyPercentile, ModelReport, Report, SCHEMA_VERSION};
use sample_report::{HOSTILE, sample};

#[test]
fn files_are_written_and_json_comes_back_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    let report = sample();
    report.save(folder.path()).unwrap();
    let path = folder.path().join("report.json");
    assert_eq!(Report::read(&path).unwrap(), report);
    for name in ["report.md", "report.html"] {
        assert!(std::fs::read_to_string(folder.path().join(name)).unwrap().contains("bert-base"));
    }

    let text = std::fs::read_to_string(&path).unwrap();
    let newer = text.replacen(
        &format!("\"schema_version\": {SCHEMA_VERSION}"),
        "\"schema_version\": 99",
        1,
    );
    for (text, why) in [(newer.as_str(), "99"), ("{}", "none"), ("[", "EOF"), ("", "EOF")] {
        std::fs::write(&path, text).unwrap();
        let error = Report::read(&path).unwrap_err();
        assert!(
            matches!(error, Error::Format { .. }) && error.to_string().contains(why),
            "{error}"
        );
    }
}

#[test]
fn an_older_report_without_later_fields_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("report.json");
    let text = r#"{"schema_version": 1, "title": "t", "nexus_version": "0.1.0",
        "models": [{"name": "m", "evaluations": []}]}"#;
    std::fs::write(&path, text).unwrap();
    let report = Report::read(&path).unwrap();
    assert_eq!(report.models[0].name, "m");
    // Nothing to show is not an error.
    assert!(report.to_html().unwrap().contains("<h1>t</h1>"));
    assert!(report.to_markdown().unwrap().starts_with("# t\n"));
}

#[test]
fn hostile_names_stay_text() {
    let mut report = sample();
    report.title = HOSTILE.into();
    report.models[0].confusion = Some(ConfusionMatrix {
        labels: vec![HOSTILE.into(), "b".into()],
        counts: vec![vec![3, 1], vec![0, 2]],
    });
    report.settings.insert(HOSTILE.into(), HOSTILE.into());
    report.signatures.push(HOSTILE.into());
    report.comparisons[0].flips[0].lost.push(HOSTILE.into());
    report.models[0].findings[0].evidence = HOSTILE.into();
    let html = report.to_html().unwrap();
    assert!(!html.to_lowercase().contains("<script"));
    // In a text of a plot, what looks like a placeholder of a colour stays.
    assert!(html.contains("#010000"));
    for outside in ["http://", "https://", "src=", "url(", "@import"] {
        let found = html.replace("http://www.w3.org/2000/svg", "").contains(outside);
        assert!(!found, "the page names something outside: {outside}");
    }
    let markdown = report.to_markdown().unwrap();
    assert!(!markdown.contains("<script"));
    let table: Vec<&str> = markdown.lines().skip_while(|line| !line.starts_with('|')).collect();
    let width = table[0].chars().count();
    let rows = table.iter().take_while(|line| line.starts_with('|'));
    assert!(rows.clone().count() > 5);
    rows.for_each(|row| assert_eq!(row.chars().count(), width, "{row}"));
}

#[test]
fn a_table_names_its_columns_and_rows_and_a_plot_has_a_description() {
    let html = sample().to_html().unwrap();
    let count = |what: &str| html.matches(what).count();
    assert_eq!(count("<table>"), count("<caption>"));
    assert_eq!(count("<th "), count("<th scope=\"col\"") + count("<th scope=\"row\">"));
    assert_eq!(count("<svg "), count("<svg role=\"img\" aria-label=\""));
    assert!(count("<svg ") >= 14, "{}", count("<svg "));
    // No placeholder of a colour is left, and none is fixed.
    assert_eq!(count("fill=\"#") + count("stroke=\"#"), 0);
}

#[test]
fn what_cannot_be_shown_is_refused_with_its_place() {
    let refuse = |change: &dyn Fn(&mut ModelReport), place: &str| {
        let mut report = sample();
        change(&mut report.models[0]);
        let error = report.to_html().unwrap_err().to_string();
        assert!(error.contains(place), "{error}");
        assert!(report.to_json().is_err() && report.to_markdown().is_err());
    };
    refuse(&|model| model.name = " ".into(), "model 0");
    refuse(&|model| model.name = "bert-base, int8".into(), "twice");
    refuse(&|model| model.evaluations[0].measures[0].value = f64::NAN, "tickets, accuracy");
    refuse(&|model| model.intervals[0].interval.low = f64::NEG_INFINITY, "macro_f1");
    refuse(&|model| model.confusion.as_mut().unwrap().counts[2].push(1), "confusion");
    refuse(&|model| model.confusion.as_mut().unwrap().labels.clear(), "confusion");
    refuse(&|model| model.reliability.as_mut().unwrap().bins[1].accuracy = 1.2, "reliability");
    let backwards = LatencyPercentile { quantile: 0.1, seconds: 1.0 };
    refuse(&|model| model.performance.as_mut().unwrap().latency.push(backwards), "ascending");
}

#[test]
fn large_and_odd_reports_are_drawn() {
    let mut report = sample();
    report.models[0].confusion = Some(ConfusionMatrix {
        labels: (0..150).map(|class| format!("class {class}")).collect(),
        counts: (0..150)
            .map(|t| (0..150).map(|a| u64::from(t == a) * 1_000_000).collect())
            .collect(),
    });
    report.models[1].confusion =
        Some(ConfusionMatrix { labels: vec!["only".into()], counts: vec![vec![0]] });
    report.models[1].performance.as_mut().unwrap().latency =
        vec![LatencyPercentile { quantile: 1.0, seconds: 0.0 }];
    report.models[2].reliability.as_mut().unwrap().bins.clear();
    for measure in &mut report.models[0].evaluations[0].measures {
        measure.value = 1e300;
        measure.stderr = Some(0.0);
    }
    let html = report.to_html().unwrap();
    assert!(html.contains("class 149") && !html.contains("NaN"), "a number is missing");
}
