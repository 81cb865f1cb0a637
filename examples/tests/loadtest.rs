//! `loadtest`: a model in this process and one behind HTTP.

mod programs;

use nexus_eval::report::Report;
use programs::{lines, program, random_model};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener};

#[test]
fn a_model_in_this_process_is_measured() {
    let folder = tempfile::tempdir().unwrap();
    random_model(folder.path());
    let model = folder.path().to_str().unwrap();
    let prompts = lines(folder.path(), "prompts.txt", &["the cat", "", "a dog sat"]);
    let flags = ["--model", model, "--prompts", &prompts, "--max-new-tokens", "3"];
    let short = ["--requests", "20", "--warmup", "0", "--objective-ms", "3600000"];
    let text = program("loadtest", &[&flags[..], &short, &["--workers", "2"]].concat(), "").ok();
    assert!(text.contains("20 (0 failed)") && text.contains("first token"), "{text}");
    let open = ["--rate", "100", "--constant", "--json", "--tdp-watts", "10"];
    let json = program("loadtest", &[&flags[..], &short, &open].concat(), "").ok();
    let report: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&report["requests"], &report["succeeded"]), (&20.into(), &20.into()));
    assert_eq!(report["goodput"]["share"], 1.0);
    // Three tokens of each answer: two distances.
    assert_eq!(report["inter_token"]["samples"], 40);
    assert!(report["tokens_out_per_second"].as_f64().unwrap() > 0.0);
    assert!(report["latency"]["percentiles"][2]["seconds"].as_f64().unwrap() > 0.0);
    assert_eq!(report["latency"]["percentiles"][3]["seconds"], Value::Null);
    let resources = &report["resources"];
    assert!(resources["model_bytes"].as_u64().unwrap() > 1000, "{resources}");
    let source = resources["energy"]["readings"][0]["source"].as_str().unwrap();
    assert!(["rapl", "tdp_estimate"].contains(&source), "{source}");
    assert!(resources["joules_per_request"].as_f64().unwrap() >= 0.0);
    let out = folder.path().join("report");
    let page = ["--report", out.to_str().unwrap()];
    let text = program("loadtest", &[&flags[..], &short, &page].concat(), "").ok();
    assert!(text.contains("model size") && !text.contains('{'), "{text}");
    let report = Report::read(&out.join("report.json")).unwrap();
    assert_eq!(report.models[0].performance.as_ref().unwrap().requests, 20);
}

#[test]
fn a_model_behind_http_is_measured() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("http://{}/v1/completions", listener.local_addr().unwrap());
    // Ends with the test's process.
    std::thread::spawn(move || listener.incoming().for_each(|stream| respond(stream.unwrap())));
    let folder = tempfile::tempdir().unwrap();
    let prompts = lines(folder.path(), "prompts.jsonl", &[r#"{"prompt": "the cat"}"#]);
    let flags =
        ["--url", &url, "--prompts", &prompts, "--requests", "5", "--warmup", "0", "--json"];
    let report: Value = serde_json::from_str(&program("loadtest", &flags, "").ok()).unwrap();
    assert_eq!((&report["succeeded"], &report["errors"]), (&5.into(), &serde_json::json!({})));
    assert_eq!(report["first_token"]["samples"], 5);
    assert_eq!(report["resources"], serde_json::json!({}));
}

/// Reads a request and answers it with a stream of one token.
fn respond(mut stream: std::net::TcpStream) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line.trim().is_empty() {
            break;
        }
    }
    reader.read_exact(&mut vec![0; length]).unwrap();
    let body = "data: {\"choices\":[{\"text\":\"a\"}]}\n\ndata: [DONE]\n\n";
    write!(stream, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{body}").unwrap();
}

#[test]
fn wrong_calls_are_explained() {
    let folder = tempfile::tempdir().unwrap();
    let prompts = lines(folder.path(), "prompts.txt", &["the cat"]);
    let neither = program("loadtest", &["--prompts", &prompts], "");
    assert_eq!(neither.code, Some(2), "{}", neither.stderr);
    let base = ["--url", "http://127.0.0.1:1/v1/completions", "--prompts", &prompts];
    let error = program("loadtest", &[&base[..], &["--rate", "0"]].concat(), "").error();
    assert!(error.contains("rate = 0"), "{error}");
    let empty = lines(folder.path(), "empty.txt", &[""]);
    let error =
        program("loadtest", &["--url", "http://127.0.0.1:1/", "--prompts", &empty], "").error();
    assert!(error.contains("no prompt"), "{error}");
    // Nobody listens: all requests fail, which is a result and not an error.
    let failed =
        program("loadtest", &[&base[..], &["--requests", "2", "--warmup", "0"]].concat(), "");
    assert_eq!(failed.code, Some(0));
    assert!(failed.stdout.contains("2 (2 failed)"), "{}", failed.stdout);
    assert!(failed.stderr.contains("2 of 2 requests failed"), "{}", failed.stderr);
}
