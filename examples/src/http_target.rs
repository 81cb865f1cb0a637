//! A model behind HTTP, as a target of load.

use crate::Failure;
use nexus_eval::performance::Response;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read};
use std::time::{Duration, Instant};
use ureq::Agent;

/// An endpoint that takes completions or chats in the form of OpenAI's API, as vLLM, llama.cpp and others serve it.
#[derive(Debug)]
pub struct HttpTarget {
    agent: Agent,
    url: String,
    model: Option<String>,
    max_new_tokens: usize,
    stream: bool,
}

/// The most bytes of an answer that are read.
const MOST: u64 = 64 << 20;

impl HttpTarget {
    /// A target at `url`, such as `http://localhost:8000/v1/completions`; where the path ends in `chat/completions` each
    /// prompt is a message of a user. `model` is the name in the request; `connections` are kept open; an answer that is
    /// not complete after `timeout` is an error. No proxy is used, since its time would be measured too.
    ///
    /// # Errors
    /// When `url` is not one of http or https.
    pub fn new(
        url: &str,
        model: Option<String>,
        max_new_tokens: usize,
        stream: bool,
        connections: usize,
        timeout: Duration,
    ) -> Result<Self, Failure> {
        let uri: ureq::http::Uri = url.parse().map_err(|why| format!("--url {url}: {why}"))?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) {
            return Err(format!("--url {url}: expected http://... or https://...").into());
        }
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .proxy(None)
            .max_idle_connections(connections)
            .max_idle_connections_per_host(connections)
            .timeout_global(Some(timeout))
            .build()
            .new_agent();
        Ok(Self { agent, url: url.into(), model, max_new_tokens, stream })
    }

    /// Sends a prompt and waits for the whole answer. In a stream, each piece of text has its time; it is usually a
    /// token. Numbers of tokens are the server's (`usage`).
    ///
    /// # Errors
    /// A sentence: no connection, no time left, a status other than success, an answer in another form.
    pub fn send(&self, prompt: &str) -> Result<Response, String> {
        let start = Instant::now();
        let sent = self.agent.post(&self.url).content_type("application/json");
        let answer = sent.send(self.body(prompt).to_string()).map_err(|why| why.to_string())?;
        let status = answer.status();
        if !status.is_success() {
            return Err(format!("HTTP status {status}"));
        }
        let reader = BufReader::new(answer.into_body().into_with_config().limit(MOST).reader());
        if self.stream { events(reader, start) } else { object(reader) }
    }

    fn body(&self, prompt: &str) -> Value {
        let mut body = json!({ "max_tokens": self.max_new_tokens });
        if let Some(model) = &self.model {
            body["model"] = model.as_str().into();
        }
        let path = self.url.split(['?', '#']).next().unwrap_or_default();
        match path.trim_end_matches('/').ends_with("chat/completions") {
            true => body["messages"] = json!([{ "role": "user", "content": prompt }]),
            false => body["prompt"] = prompt.into(),
        }
        if self.stream {
            body["stream"] = true.into();
            body["stream_options"] = json!({ "include_usage": true });
        }
        body
    }
}

/// An answer that comes whole.
fn object(reader: impl Read) -> Result<Response, String> {
    let answer: Value =
        serde_json::from_reader(reader).map_err(|why| format!("the answer is no JSON: {why}"))?;
    refused(&answer)?;
    if !answer["choices"].is_array() {
        return Err("the answer has no \"choices\"".into());
    }
    let mut response = Response::default();
    count(&answer, &mut response);
    Ok(response)
}

/// An answer as server-sent events: lines `data: {...}`, the last one `data: [DONE]`.
fn events(reader: impl BufRead, start: Instant) -> Result<Response, String> {
    let mut response = Response::default();
    let mut done = false;
    // To the end, so that the connection can be used again.
    for line in reader.lines() {
        let line = line.map_err(|why| format!("the stream broke: {why}"))?;
        let Some(data) = line.strip_prefix("data:").map(str::trim) else { continue };
        if data == "[DONE]" {
            done = true;
            continue;
        }
        let event: Value = serde_json::from_str(data)
            .map_err(|why| format!("an event of the stream is no JSON: {why}"))?;
        refused(&event)?;
        let choice = &event["choices"][0];
        let text = choice["text"].as_str().or(choice["delta"]["content"].as_str());
        if text.is_some_and(|text| !text.is_empty()) {
            response.token_times.push(start.elapsed());
        }
        count(&event, &mut response);
    }
    if done { Ok(response) } else { Err("the stream ended before data: [DONE]".into()) }
}

fn refused(answer: &Value) -> Result<(), String> {
    match &answer["error"] {
        Value::Null => Ok(()),
        error => Err(error["message"].as_str().map_or_else(|| error.to_string(), str::to_string)),
    }
}

fn count(answer: &Value, response: &mut Response) {
    let tokens = |name: &str| answer["usage"][name].as_u64();
    response.tokens_in = tokens("prompt_tokens").or(response.tokens_in);
    response.tokens_out = tokens("completion_tokens").or(response.tokens_out);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::net::{Ipv4Addr, TcpListener};
    use std::thread::{JoinHandle, sleep};

    const PAUSE: Duration = Duration::from_millis(40);

    /// Answers one request with pieces, a pause before each, and gives the request's path and body.
    fn serve(status: &str, pieces: &'static [&str]) -> (String, JoinHandle<(String, Value)>) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let head = format!("HTTP/1.1 {status}\r\nConnection: close\r\n\r\n");
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let (mut lines, mut length) = (Vec::new(), 0);
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                let line = line.trim().to_lowercase();
                if let Some(value) = line.strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
                if line.is_empty() {
                    break;
                }
                lines.push(line);
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            stream.write_all(head.as_bytes()).unwrap();
            for piece in pieces {
                sleep(PAUSE);
                stream.write_all(piece.as_bytes()).unwrap();
            }
            (lines.swap_remove(0), serde_json::from_slice(&body).unwrap())
        });
        (url, server)
    }

    fn target(url: &str, stream: bool) -> HttpTarget {
        HttpTarget::new(url, Some("m".into()), 7, stream, 1, Duration::from_secs(60)).unwrap()
    }

    #[test]
    fn a_stream_gives_the_time_of_each_token_and_the_servers_counts() {
        let (url, server) = serve(
            "200 OK",
            &[
                ": a comment\n\ndata: {\"choices\":[{\"delta\":{\"role\":\"assistant\"}}]}\n\n",
                "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n",
                "data:{\"choices\":[{\"delta\":{\"content\":\"b\"}}]}\r\n\r\n",
                "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":2}}\n\n",
                "data: [DONE]\n\n",
            ],
        );
        let response = target(&format!("{url}/v1/chat/completions"), true).send("hi").unwrap();
        let (request, body) = server.join().unwrap();
        assert_eq!(request, "post /v1/chat/completions http/1.1");
        assert_eq!(body["messages"], json!([{ "role": "user", "content": "hi" }]));
        assert_eq!((&body["model"], &body["max_tokens"]), (&json!("m"), &json!(7)));
        assert_eq!((&body["stream"], &body["prompt"]), (&json!(true), &Value::Null));
        assert_eq!((response.tokens_in, response.tokens_out), (Some(5), Some(2)));
        // The second and the third piece; no upper bound holds on a busy machine.
        assert_eq!(response.token_times.len(), 2);
        assert!(response.token_times[0] >= 2 * PAUSE, "{response:?}");
        assert!(response.token_times[1] >= 3 * PAUSE, "{response:?}");
    }

    #[test]
    fn a_whole_answer_has_counts_and_no_times() {
        let answer = "{\"choices\":[{\"text\":\"a b\"}],\"usage\":{\"prompt_tokens\":3}}";
        let (url, server) = serve("200 OK", Box::leak(Box::new([answer])));
        let response = target(&format!("{url}/v1/completions?x=1"), false).send("hi").unwrap();
        let (_, body) = server.join().unwrap();
        assert_eq!((&body["prompt"], &body["stream"]), (&json!("hi"), &Value::Null));
        assert_eq!(response, Response { tokens_in: Some(3), ..Response::default() });
    }

    #[test]
    fn what_goes_wrong_is_said() {
        let error = |status, stream, pieces| {
            let (url, server) = serve(status, pieces);
            let error = target(&url, stream).send("hi").unwrap_err();
            server.join().unwrap();
            error
        };
        assert_eq!(
            error("503 Service Unavailable", true, &[]),
            "HTTP status 503 Service Unavailable"
        );
        let cut = error("200 OK", true, &["data: {\"choices\":[{\"text\":\"a\"}]}\n\n"]);
        assert!(cut.contains("before data: [DONE]"), "{cut}");
        assert!(error("200 OK", true, &["data: {oops\n\n"]).contains("no JSON"));
        assert!(error("200 OK", false, &["oops"]).contains("no JSON"));
        assert!(error("200 OK", false, &["{\"choices\":1}"]).contains("choices"));
        let refused = "{\"error\":{\"message\":\"the queue is full\"}}";
        assert_eq!(error("200 OK", false, Box::leak(Box::new([refused]))), "the queue is full");
        for url in ["localhost:80", "ftp://localhost", "", "http://"] {
            let target = HttpTarget::new(url, None, 1, false, 1, Duration::from_secs(1));
            assert!(target.unwrap_err().to_string().contains("--url"), "{url}");
        }
    }
}
