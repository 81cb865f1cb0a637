//! The monitor: its exposition, its windows, its alerts.

use nexus_eval::monitor::{
    AlertRule, AlertState, GRAFANA_DASHBOARD, LATENCY_BUCKETS, ManualClock, Monitor, MonitorOptions,
};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

fn seconds(value: f64) -> Duration {
    Duration::from_secs_f64(value)
}

fn monitor(options: MonitorOptions) -> (Monitor, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::default());
    (Monitor::with_clock(options, clock.clone()).unwrap(), clock)
}

#[test]
fn the_exposition_has_the_five_metrics_by_name_and_type() {
    let (monitor, clock) = monitor(MonitorOptions::default());
    let model = monitor.model("a \"b\"\\", "1").unwrap();
    clock.advance(seconds(10.0));
    for latency in [0.004, 2.0, 2.0000001, 100.0] {
        model.inference(seconds(latency));
    }
    model.evaluation(Some(0.75)).unwrap();
    model.evaluation(None).unwrap();
    model.memory(8_000_000_001);
    let text = monitor.encode();
    let labels = r#"model="a \"b\"\\",version="1""#;
    for line in [
        "# TYPE model_inference_duration_seconds histogram".to_string(),
        format!("model_inference_duration_seconds_count{{{labels}}} 4"),
        // An observation on an edge belongs to the bucket below it.
        format!("model_inference_duration_seconds_bucket{{le=\"1.5\",{labels}}} 1"),
        format!("model_inference_duration_seconds_bucket{{le=\"2.0\",{labels}}} 2"),
        format!("model_inference_duration_seconds_bucket{{le=\"3.0\",{labels}}} 3"),
        format!("model_inference_duration_seconds_bucket{{le=\"+Inf\",{labels}}} 4"),
        "# TYPE model_accuracy_score gauge".into(),
        format!("model_accuracy_score{{{labels}}} 0.75"),
        "# TYPE model_throughput_requests_per_second gauge".into(),
        format!("model_throughput_requests_per_second{{{labels}}} 0.4"),
        "# TYPE model_memory_usage_bytes gauge".into(),
        format!("model_memory_usage_bytes{{{labels}}} 8000000001.0"),
        "# TYPE model_evaluations_total counter".into(),
        format!("model_evaluations_total{{{labels}}} 2"),
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
    let types = text.lines().filter(|line| line.starts_with("# TYPE")).count();
    let helps = text.lines().filter(|line| line.starts_with("# HELP model_")).count();
    assert_eq!((types, helps), (5, 5));
    assert!(!text.contains("EOF") && !text.contains("_total_total"), "{text}");
    // Every edge is a line, and the objective of 2 s an edge.
    let edges = text.lines().filter(|line| line.contains("_bucket{")).count();
    assert_eq!(edges, LATENCY_BUCKETS.len() + 1);
    assert!(LATENCY_BUCKETS.contains(&2.0) && LATENCY_BUCKETS.is_sorted());
}

#[test]
fn what_is_not_known_has_no_series() {
    let (monitor, clock) = monitor(MonitorOptions::default());
    let model = monitor.model("a", "1").unwrap();
    let text = monitor.encode();
    assert!(!text.contains("model_accuracy_score{") && !text.contains("model_memory_usage_bytes{"));
    assert!(text.contains("model_throughput_requests_per_second{model=\"a\",version=\"1\"} 0.0"));
    // Outcomes count from 20 on, and while they are recent.
    let accuracy = || {
        let text = monitor.encode();
        let line = text.lines().find(|line| line.starts_with("model_accuracy_score{"))?;
        line.rsplit(' ').next()?.parse::<f64>().ok()
    };
    (0..19).for_each(|_| model.outcome(true));
    assert_eq!(accuracy(), None);
    model.outcome(false);
    assert_eq!(accuracy(), Some(0.95));
    model.evaluation(Some(0.5)).unwrap();
    assert_eq!(accuracy(), Some(0.95));
    clock.advance(seconds(61.0));
    assert_eq!(accuracy(), Some(0.5));
    assert!(monitor.remove("a", "1") && !monitor.remove("a", "1"));
    assert!(!monitor.encode().contains("model=\"a\""));
}

#[test]
fn the_snapshot_is_of_the_recent_past() {
    let (monitor, clock) = monitor(MonitorOptions::default());
    let model = monitor.model("a", "1").unwrap();
    assert_eq!(model.snapshot().latency_p95, None);
    for second in 0..120 {
        for _ in 0..20 {
            model.inference(seconds(if second < 60 { 9.0 } else { 0.1 }));
        }
        clock.advance(seconds(1.0));
    }
    let snapshot = model.snapshot();
    // The slots of 5 s from 65 to 120.
    assert_eq!((snapshot.requests, snapshot.requests_per_second), (1100, 20.0));
    assert!((snapshot.latency.at(0.99).unwrap() - 0.1).abs() < 1e-3);
    let p95 = |fast: usize, slow: usize| {
        let model = monitor.model("b", &format!("{fast} {slow}")).unwrap();
        (0..fast).for_each(|_| model.inference(seconds(1.0)));
        (0..slow).for_each(|_| model.inference(seconds(3.0)));
        model.snapshot().latency_p95.unwrap().round()
    };
    // Above a latency when more than 5 % of the requests are: Prometheus' condition.
    assert_eq!(
        [p95(19, 1), p95(18, 1), p95(95, 5), p95(94, 6), p95(0, 1)],
        [1.0, 3.0, 1.0, 3.0, 3.0]
    );
}

#[test]
fn each_alert_fires_after_its_wait_and_resolves() {
    let (monitor, clock) = monitor(MonitorOptions::default());
    let model = monitor.model("a", "1").unwrap();
    let mut events = Vec::new();
    let mut run = |minutes: usize, latency: f64, per_second: usize, right: usize, memory: u64| {
        for second in 0..minutes * 60 {
            (0..per_second).for_each(|_| model.inference(seconds(latency)));
            (0..10).for_each(|i| model.outcome(i < right));
            model.memory(memory);
            clock.advance(seconds(1.0));
            if second % 15 == 14 {
                events.extend(monitor.evaluate());
            }
        }
    };
    run(7, 0.1, 20, 9, 8_000_000_000);
    run(4, 2.5, 5, 7, 8_000_000_001);
    run(7, 0.1, 20, 9, 8_000_000_000);
    run(7, 2.5, 5, 7, 8_000_000_001);
    run(7, 0.1, 20, 9, 8_000_000_000);
    let names: Vec<String> = AlertRule::defaults().into_iter().map(|rule| rule.name).collect();
    use AlertState::*;
    for name in &names {
        let states: Vec<AlertState> =
            events.iter().filter(|event| event.rule == *name).map(|event| event.to).collect();
        // The first bad stretch is shorter than five minutes.
        assert_eq!(states, [Pending, Inactive, Pending, Firing, Resolved], "{name}");
        let at = |state| {
            let found = events.iter().rfind(|event| event.rule == *name && event.to == state);
            found.unwrap().at
        };
        assert_eq!(at(Firing) - at(Pending), seconds(300.0), "{name}");
    }
    let status = monitor.alerts();
    assert_eq!(status.len(), 4);
    assert!(status.iter().all(|alert| alert.state == Resolved), "{status:?}");
    monitor.remove("a", "1");
    assert!(monitor.alerts().is_empty());
}

#[test]
fn many_threads_count_everything() {
    let monitor = Monitor::new(MonitorOptions::default()).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..1000 {
                    monitor.model("a", "1").unwrap().inference(seconds(0.01));
                }
                monitor.encode();
            });
        }
    });
    let text = monitor.encode();
    assert!(text.contains("duration_seconds_count{model=\"a\",version=\"1\"} 8000"), "{text}");
}

#[test]
fn bad_settings_are_refused() {
    let refused = |options: MonitorOptions| Monitor::new(options).unwrap_err().to_string();
    let good = MonitorOptions::default;
    assert!(refused(MonitorOptions { window: Duration::ZERO, ..good() }).contains("window"));
    let twice = [AlertRule::defaults(), AlertRule::defaults()].concat();
    assert!(refused(MonitorOptions { rules: twice, ..good() }).contains("name of its own"));
    let (monitor, _) = monitor(MonitorOptions { max_models: 1, ..good() });
    let model = monitor.model("a", "1").unwrap();
    assert!(Arc::ptr_eq(&model, &monitor.model("a", "1").unwrap()));
    assert!(monitor.model("a", "2").unwrap_err().to_string().contains("max_models"));
    for accuracy in [-0.1, 1.1, f64::NAN] {
        assert!(model.evaluation(Some(accuracy)).is_err());
    }
    assert!(monitor.encode().contains("model_evaluations_total{model=\"a\",version=\"1\"} 0"));
}

#[test]
fn the_dashboard_asks_for_series_that_exist() {
    let (monitor, _) = monitor(MonitorOptions::default());
    let model = monitor.model("a", "1").unwrap();
    model.inference(seconds(1.0));
    model.evaluation(Some(1.0)).unwrap();
    model.memory(1);
    let text = monitor.encode();
    let dashboard: Value = serde_json::from_str(GRAFANA_DASHBOARD).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap());
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut seen = 0;
    for target in targets {
        for name in target["expr"].as_str().unwrap().split(|c| !word(c)) {
            if name.starts_with("model_") {
                assert!(text.contains(&format!("\n{name}{{")), "{name} is not in\n{text}");
                seen += 1;
            }
        }
    }
    assert_eq!(seen, 9);
    // The threshold in a panel is a label's text.
    assert!(text.contains("le=\"2.0\""));
}
