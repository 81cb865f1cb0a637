//! Prometheus itself reads the metrics and rules: promtool checks them, and a server scrapes a monitor whose alerts fire
//! and clear. Skipped, with a line on stderr, where `promtool` or `prometheus` is not installed.

use nexus_eval::monitor::{
    AlertRule, CONTENT_TYPE, ManualClock, Monitor, MonitorOptions, prometheus_rules,
};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Whether a program is there. The test harness holds back what `eprintln!` writes, but not this.
fn installed(program: &str) -> bool {
    let found = Command::new(program).arg("--version").output().is_ok();
    if !found {
        let _ = writeln!(std::io::stderr(), "SKIPPED: {program} is not installed");
    }
    found
}

fn promtool(args: &[&str], folder: &Path, stdin: &str) -> Output {
    let mut child = Command::new("promtool")
        .args(args)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(stdin.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

#[test]
fn promtool_finds_no_fault_with_the_exposition() {
    if !installed("promtool") {
        return;
    }
    let monitor = Monitor::new(MonitorOptions::default()).unwrap();
    for name in ["plain", "with \"quotes\"\\ and\nlines, {é}"] {
        let model = monitor.model(name, "1").unwrap();
        model.inference(Duration::from_millis(3));
        model.evaluation(Some(0.9)).unwrap();
        model.memory(1 << 33);
    }
    let output = promtool(&["check", "metrics"], Path::new("."), &monitor.encode());
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}

#[test]
fn promtool_accepts_the_rules_and_sees_each_alert_fire_and_clear() {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/monitor"));
    let rules = prometheus_rules(&AlertRule::defaults(), Duration::from_secs(300)).unwrap();
    // The file is there for readers and for alerts_test.yml.
    assert_eq!(rules, std::fs::read_to_string(folder.join("alerts.yml")).unwrap());
    if !installed("promtool") {
        return;
    }
    for args in [["check", "rules", "alerts.yml"], ["test", "rules", "alerts_test.yml"]] {
        let output = promtool(&args, folder, "");
        assert!(output.status.success(), "{output:?}");
    }
    let scratch = tempfile::tempdir().unwrap();
    let odd = AlertRule {
        summary: "it's \"bad\":\n- 5 % of #requests".into(),
        severity: "a: b # c".into(),
        wait_seconds: 0.0,
        ..AlertRule::defaults().remove(0)
    };
    let rules = prometheus_rules(&[odd], Duration::from_millis(1500)).unwrap();
    std::fs::write(scratch.path().join("odd.yml"), rules).unwrap();
    let output = promtool(&["check", "rules", "odd.yml"], scratch.path(), "");
    assert!(output.status.success(), "{output:?}");
}

/// A server and its data, both gone at the end.
struct Prometheus {
    child: Child,
    address: SocketAddr,
    folder: tempfile::TempDir,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Prometheus {
    /// Scrapes `target` every second and evaluates `rules` as often.
    fn start(target: SocketAddr, rules: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("alerts.yml"), rules).unwrap();
        let config = format!(
            "global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}\n\
             rule_files: [alerts.yml]\n\
             scrape_configs: [{{job_name: nexus, static_configs: [{{targets: ['{target}']}}]}}]\n"
        );
        std::fs::write(folder.path().join("prometheus.yml"), config).unwrap();
        // A port that is free now.
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let child = Command::new("prometheus")
            .arg("--config.file=prometheus.yml")
            .arg("--storage.tsdb.path=data")
            .arg(format!("--web.listen-address={address}"))
            .current_dir(folder.path())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Self { child, address, folder }
    }

    /// The data of an answer of the HTTP API; `None` while the server is not ready.
    fn get(&self, path: &str) -> Option<Value> {
        let mut stream = TcpStream::connect(self.address).ok()?;
        // HTTP/1.0: the body ends with the connection.
        write!(stream, "GET /api/v1/{path} HTTP/1.0\r\nHost: {}\r\n\r\n", self.address).ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        let body = text.split_once("\r\n\r\n")?.1;
        let answer: Value = serde_json::from_str(body).ok()?;
        (answer["status"] == "success").then(|| answer["data"].clone())
    }

    /// The states of the alerts by name, of those that are pending or firing.
    fn alerts(&self) -> Option<BTreeMap<String, String>> {
        let data = self.get("alerts")?;
        let alerts = data["alerts"].as_array()?.iter().map(|alert| {
            let text = |value: &Value| value.as_str().unwrap().to_string();
            (text(&alert["labels"]["alertname"]), text(&alert["state"]))
        });
        Some(alerts.collect())
    }

    /// Asks until the answer is right. The bound is for a machine that is busy with much else; it takes seconds.
    fn until(&self, what: &str, mut right: impl FnMut(&Self) -> Option<bool>) {
        const BOUND: Duration = Duration::from_secs(120);
        let start = Instant::now();
        while right(self) != Some(true) {
            if start.elapsed() > BOUND {
                let log = std::fs::read_to_string(self.folder.path().join("log"));
                panic!("{what}: not within {BOUND:?}; {:?}\n{}", self.alerts(), log.unwrap());
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

/// Serves /metrics as long as the listener gets connections other than the one that ends it. Before each answer a second
/// of the model's life passes: a bad one or a good one.
fn serve(
    listener: &TcpListener,
    monitor: &Monitor,
    clock: &ManualClock,
    good: &AtomicBool,
    end: &AtomicBool,
) {
    let model = monitor.model("decoder", "1").unwrap();
    for stream in listener.incoming() {
        if end.load(Ordering::SeqCst) {
            return;
        }
        let Ok(mut stream) = stream else { continue };
        let good = good.load(Ordering::SeqCst);
        let (requests, latency, right, memory) =
            if good { (50, 100, 9, 4_000_000_000) } else { (1, 3000, 5, 9_000_000_000) };
        (0..requests).for_each(|_| model.inference(Duration::from_millis(latency)));
        (0..10).for_each(|i| model.outcome(i < right));
        model.memory(memory);
        model.evaluation(None).unwrap();
        clock.advance(Duration::from_secs(1));
        let body = monitor.encode();
        let mut lines = BufReader::new(&stream).lines();
        while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
        let _ = write!(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Type: {CONTENT_TYPE}\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n{body}",
            body.len()
        );
    }
}

#[test]
fn a_prometheus_server_reads_all_series_and_each_alert_fires_and_clears() {
    if !installed("prometheus") {
        return;
    }
    let clock = Arc::new(ManualClock::default());
    let options =
        MonitorOptions { window: Duration::from_secs(5), min_outcomes: 5, ..Default::default() };
    let monitor = Monitor::with_clock(options, clock.clone()).unwrap();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let mut rules = AlertRule::defaults();
    rules.iter_mut().for_each(|rule| rule.wait_seconds = 2.0);
    let names: Vec<String> = rules.iter().map(|rule| rule.name.clone()).collect();
    let rules = prometheus_rules(&rules, Duration::from_secs(5)).unwrap();
    let (good, end) = (AtomicBool::new(false), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| serve(&listener, &monitor, &clock, &good, &end));
        // Also after a panic the listener must end, or the scope would wait for it.
        let _ending = Ending { end: &end, address };
        let prometheus = Prometheus::start(address, &rules);
        for series in [
            "model_inference_duration_seconds_bucket",
            "model_inference_duration_seconds_sum",
            "model_inference_duration_seconds_count",
            "model_accuracy_score",
            "model_throughput_requests_per_second",
            "model_memory_usage_bytes",
            "model_evaluations_total",
        ] {
            prometheus.until(series, |server| {
                let data = server.get(&format!("query?query={series}"))?;
                let labels = &data["result"].as_array()?.first()?["metric"];
                Some(labels["model"] == "decoder" && labels["version"] == "1")
            });
        }
        let all_firing = |server: &Prometheus| {
            let alerts = server.alerts()?;
            Some(names.iter().all(|name| alerts.get(name).is_some_and(|state| state == "firing")))
        };
        prometheus.until("all four alerts fire", all_firing);
        good.store(true, Ordering::SeqCst);
        prometheus.until("all four alerts clear", |server| Some(server.alerts()?.is_empty()));
        good.store(false, Ordering::SeqCst);
        prometheus.until("all four alerts fire again", all_firing);
    });
}

struct Ending<'a> {
    end: &'a AtomicBool,
    address: SocketAddr,
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.end.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}
