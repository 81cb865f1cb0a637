//! Load runs in real time. A sleep never ends early, so lower bounds are exact; upper bounds leave room for a machine
//! that is busy with other work.

use nexus_eval::performance::{
    Arrivals, Load, LoadOptions, LoadReport, Objective, Response, latency_curve, run_load,
};
use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::Duration;

fn millis(value: u64) -> Duration {
    Duration::from_millis(value)
}

fn closed(workers: usize, requests: u64) -> LoadOptions {
    let load = Load::Closed { workers, expected_interval: None };
    LoadOptions { requests: Some(requests), ..LoadOptions::new(load) }
}

fn open(rate: f64, max_in_flight: usize) -> Load {
    Load::Open { rate, arrivals: Arrivals::Constant, seed: 1, max_in_flight }
}

fn run(
    options: &LoadOptions,
    request: impl Fn(u64) -> Result<Response, String> + Sync,
) -> LoadReport {
    run_load(options, request, &mut |_, _| {}).unwrap()
}

#[test]
fn a_closed_loop_keeps_as_many_requests_in_flight_as_it_has_workers() {
    let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let seen = Mutex::new(BTreeSet::new());
    let mut options = closed(4, 40);
    options.warmup_requests = 10;
    options.objective = Some(Objective { latency: 3600.0, first_token: Some(0.005) });
    let report = run(&options, |index| {
        seen.lock().unwrap().insert(index);
        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        sleep(millis(10));
        now.fetch_sub(1, Ordering::SeqCst);
        if index % 10 == 9 {
            return Err(format!("status {}", 500 + index % 20));
        }
        Ok(Response {
            tokens_in: Some(10),
            tokens_out: Some(3),
            first_token: None,
            token_times: vec![millis(2), millis(4), millis(9)],
        })
    });
    assert_eq!(seen.into_inner().unwrap(), (0..50).collect());
    assert_eq!(most.into_inner(), 4);
    assert_eq!((report.warmup_requests, report.requests), (10, 40));
    assert_eq!((report.succeeded, report.failed()), (36, 4));
    // Of 19, 29, 39, 49.
    let errors: Vec<_> =
        report.errors.iter().map(|(message, count)| (&message[..], *count)).collect();
    assert_eq!(errors, [("status 509", 2), ("status 519", 2)]);
    assert!(report.latency.min.unwrap() >= 0.010);
    assert_eq!(report.latency.samples, 36);
    // 40 requests of at least 10 ms, four at a time.
    assert!(report.seconds >= 0.1, "{}", report.seconds);
    let tokens = report.tokens_out_per_second.unwrap();
    assert!((tokens / report.requests_per_second - 3.0).abs() < 1e-9);
    assert!((report.tokens_in_per_second.unwrap() / tokens - 10.0 / 3.0).abs() < 1e-9);
    assert!((report.first_token.max.unwrap() - 0.002).abs() < 1e-9);
    assert_eq!(report.inter_token.samples, 72);
    assert!((report.inter_token.max.unwrap() - 0.005).abs() < 1e-9);
    // At least (10 - 2) / 2 ms.
    assert!(report.time_per_output_token.min.unwrap() >= 0.004);
    let goodput = report.goodput.unwrap();
    assert_eq!((goodput.within, goodput.share), (36, 0.9));
    assert!(report.send_lag.is_none());
    assert_eq!(report.warnings, ["4 of 40 requests failed"]);
}

#[test]
fn percentiles_without_enough_samples_are_not_reported() {
    let report = run(&closed(1, 12), |_| Ok(Response::default()));
    let values: Vec<bool> =
        report.latency.percentiles.iter().map(|percentile| percentile.seconds.is_some()).collect();
    // P50 takes 2, P90 10, P95 20, P99 100.
    assert_eq!(values, [true, true, false, false]);
    let names: Vec<String> =
        report.to_eval_report("load").measures.into_iter().map(|measure| measure.name).collect();
    assert_eq!(names, ["latency_p50_seconds", "latency_p90_seconds", "requests_per_second"]);
    let text = report.to_markdown();
    let line = text.lines().find(|line| line.contains("| latency")).unwrap();
    let cells: Vec<&str> = line.split('|').map(str::trim).collect();
    assert_eq!((cells[5], cells[6], cells[8]), ("n/a", "n/a", "12"), "{text}");
    assert!(!text.contains("first token") && text.contains("12 (0 failed)"), "{text}");
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["latency"]["percentiles"][3]["seconds"], serde_json::Value::Null);
    assert_eq!(json["latency"]["percentiles"][3]["needed"], 100);
    assert_eq!(json["tokens_out_per_second"], serde_json::Value::Null);
}

/// One worker, requests due every 10 ms, the first of which takes 300 ms: the others are due while nothing is sent. A
/// generator that counts from the sending would find them fast.
#[test]
fn a_stall_costs_every_request_that_was_due_meanwhile() {
    let options = LoadOptions { requests: Some(20), ..LoadOptions::new(open(100.0, 1)) };
    let report = run(&options, |index| {
        sleep(millis(if index == 0 { 300 } else { 0 }));
        Ok(Response { token_times: vec![Duration::ZERO], ..Response::default() })
    });
    // Request i was due at 10 (i + 1) ms and answered after 310 ms; the last was due at 200 ms.
    assert!(report.latency.min.unwrap() >= 0.110, "{:?}", report.latency);
    assert!(report.latency.mean.unwrap() >= 0.205, "{:?}", report.latency);
    // The first token waited as long.
    assert!(report.first_token.max.unwrap() >= 0.290);
    let lag = report.send_lag.unwrap();
    assert!(lag.all_busy >= 0.95, "{lag:?}");
    assert!(lag.late >= 0.9 && lag.lag.max.unwrap() >= 0.290, "{lag:?}");
    assert!(report.warnings[0].contains("all workers were busy"), "{:?}", report.warnings);
    // With a worker for each the stall costs one request.
    let options = LoadOptions { requests: Some(20), ..LoadOptions::new(open(100.0, 20)) };
    let report = run(&options, |index| {
        sleep(millis(if index == 0 { 300 } else { 0 }));
        Ok(Response::default())
    });
    assert!(report.send_lag.unwrap().all_busy < 0.95);
    assert!(report.latency.max.unwrap() >= 0.3);
}

#[test]
fn an_open_loop_sends_at_its_rate_for_its_time() {
    let mut options = LoadOptions::new(Load::Open {
        rate: 200.0,
        arrivals: Arrivals::Poisson,
        seed: 7,
        max_in_flight: 16,
    });
    options.seconds = Some(0.5);
    options.warmup_seconds = 0.25;
    let calls = Mutex::new(Vec::new());
    let report = run_load(&options, |_| Ok(Response::default()), &mut |done, all| {
        calls.lock().unwrap().push((done, all));
    })
    .unwrap();
    // The seed decides: 50 and 100 are expected, and the standard deviation is their root.
    assert!((22..=78).contains(&report.warmup_requests), "{}", report.warmup_requests);
    assert!((60..=140).contains(&report.requests), "{}", report.requests);
    let again = run(&options, |_| Ok(Response::default()));
    assert_eq!((again.requests, again.warmup_requests), (report.requests, report.warmup_requests));
    assert!(report.seconds >= 0.4, "{}", report.seconds);
    let calls = calls.into_inner().unwrap();
    assert_eq!(calls.last(), Some(&(750, 750)));
    assert!(calls.is_sorted());
}

#[test]
fn an_expected_interval_corrects_a_closed_loop() {
    let load = Load::Closed { workers: 1, expected_interval: Some(0.01) };
    let options = LoadOptions { requests: Some(1), ..LoadOptions::new(load) };
    let report = run(&options, |_| {
        sleep(millis(200));
        Ok(Response::default())
    });
    // 200, 190, ... 10 ms at least, of one request.
    assert!(report.latency.samples >= 20, "{}", report.latency.samples);
    assert_eq!(report.requests, 1);
}

#[test]
fn a_curve_ends_where_the_target_is_saturated() {
    // One request at a time, each 20 ms: at most 50 a second.
    let target = Mutex::new(());
    let request = |_| {
        let _one = target.lock().unwrap();
        sleep(millis(20));
        Ok(Response::default())
    };
    let mut options = LoadOptions::new(open(1.0, 40));
    options.requests = Some(25);
    // A queue of 25 at 500 a second waits up to 450 ms, on an idle machine; nobody waits at 5 a second.
    options.objective = Some(Objective { latency: 0.15, first_token: None });
    let curve =
        latency_curve(&options, &[5.0, 500.0, 1000.0], 0.6, request, &mut |_, _| {}).unwrap();
    assert_eq!(curve.points.len(), 2);
    assert_eq!((curve.capacity, curve.saturated_at), (Some(5.0), Some(500.0)));
    assert!(curve.points[1].latency.max.unwrap() >= 0.45, "{:?}", curve.points[1].latency);
    let refused = |options: &LoadOptions, rates: &[f64], share| {
        let request = |_| Ok(Response::default());
        latency_curve(options, rates, share, request, &mut |_, _| {}).unwrap_err().to_string()
    };
    assert!(refused(&options, &[], 0.9).contains("rates"));
    assert!(refused(&options, &[5.0, 5.0], 0.9).contains("rates"));
    assert!(refused(&options, &[5.0, f64::NAN], 0.9).contains("rates"));
    assert!(refused(&options, &[5.0], 1.1).contains("share"));
    assert!(refused(&options, &[5.0, 1e9], 0.9).contains("rate = 1000000000"));
    assert!(refused(&closed(1, 1), &[5.0], 0.9).contains("load"));
}

#[test]
#[should_panic(expected = "the caller's own panic")]
fn a_panic_of_the_request_reaches_the_caller() {
    run(&closed(2, 4), |_| panic!("the caller's own panic"));
}

#[test]
fn options_are_checked_and_a_run_of_failures_has_no_latency() {
    let request = |_| Ok(Response::default());
    let error = run_load(&closed(0, 1), request, &mut |_, _| {}).unwrap_err().to_string();
    assert!(error.contains("workers = 0"), "{error}");
    let report = run(&closed(2, 4), |_| Err("no".into()));
    assert_eq!((report.latency.mean, report.tokens_out_per_second), (None, None));
    assert_eq!((report.requests_per_second, report.failed()), (0.0, 4));
}
